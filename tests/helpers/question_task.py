"""A small task of questions about real text."""

SIZES = {"train": 24, "valid": 11, "test": 7}
WINDOWS = ["--max-positions", "48", "--stride", "12", "--max-question", "10"]


def squad(corpus_lines, split, unanswerable):
    """Paragraphs, of each two questions: the words before the answer. In 2.0 every third has none."""
    lines = [" ".join(line.split()) for line in corpus_lines if 150 < len(line) < 400]
    first = list(SIZES).index(split) * max(SIZES.values())
    paragraphs = []
    for i, context in enumerate(lines[first : first + SIZES[split]]):
        qas, words = [], context.split(" ")
        for k in range(2):
            place = 3 + (7 * i + 11 * k) % (len(words) - 8)
            answer = " ".join(words[place : place + 1 + (i + k) % 3])
            start = len(" ".join(words[:place])) + 1
            none = unanswerable and (2 * i + k) % 3 == 0
            answers = [] if none else [{"answer_start": start, "text": answer}]
            question = f"What comes after {' '.join(words[place - 3 : place])}?"
            qas.append(
                {"id": f"{split}-{i}-{k}", "question": question, "answers": answers, "is_impossible": none}
            )
        paragraphs.append({"context": context, "qas": qas})
    return {"version": "made", "data": [{"title": split, "paragraphs": paragraphs}]}
