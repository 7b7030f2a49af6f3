"""Small files in the format of SQuAD."""

import json

CONTEXT = "The Normans came to France in the 10th century; their name is from Norse."


def asked(number=1, question="Where did they come to?", answer="France", start=20, **more):
    return {
        "id": f"q{number}",
        "question": question,
        "answers": [{"answer_start": start, "text": answer}],
    } | more


def squad(*questions, context=CONTEXT):
    return {
        "version": "1.1",
        "data": [{"title": "T", "paragraphs": [{"context": context, "qas": list(questions)}]}],
    }


def written(path, data):
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path
