"""README, documentation and examples' pages: what they say is what was measured, their commands exist."""

import ast
import csv
import itertools
import json
import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from fairseq import options

from benchmark import (
    bookkeeping,
    gpu,
    inference,
    layers,
    long_rows,
    packing,
    prediction,
    questions,
    summary,
    text,
    trainer,
    updates,
    windows,
)
from benchmark.__main__ import markdown as steps
from fairseq_electra.cli.quickstart import table
from fairseq_electra.finetuning import results
from fairseq_electra.finetuning.kinds import KINDS
from fairseq_electra.pretraining.log import read_log
from fairseq_electra.probes.bias_results import CAUTION
from fairseq_electra.probes.bias_results import table as bias_table
from fairseq_electra.probes.prompt_results import table as prompt_table
from fairseq_electra.probes.results import table as blimp_table
from generation.score import table as scores_table
from tests.helpers.commands import run
from tests.helpers.paths import ROOT, USER_DIR
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import train

EXAMPLES, DOCS = ROOT / "examples", ROOT / "docs"
PAGES = ("pretraining", "interchange", "glue", "ner", "squad", "stability")


def page(path: str) -> str:
    """A page, by its path from the repository's root."""
    return (ROOT / path).read_text(encoding="utf-8")


README, RESULTS, SPEED = page("README.md"), page("docs/results.md"), page("examples/benchmark/README.md")
COMMANDS = "\n".join(
    [
        README,
        *(page(f"examples/{name}/README.md") for name in PAGES),
        *(path.read_text(encoding="utf-8") for path in DOCS.rglob("*.md")),
    ]
)
TRAIN_COMMANDS = [
    words
    for found in re.findall(r"^fairseq-train (?:.*\\\n)*.*", COMMANDS, re.M)
    if "--help" not in (words := shlex.split(found.replace("\\\n", " "), comments=True)[1:])
]


def assert_says(text: str, page: str) -> None:
    for line in filter(None, text.splitlines()):
        assert line in page, f"the page lacks: {line}"


def report(name: str) -> dict:
    return json.loads((EXAMPLES / "benchmark" / f"{name}.json").read_text())


def test_the_quick_starts_table():
    assert_says(
        table(json.loads((EXAMPLES / "quickstart" / "results.json").read_text())),
        page("examples/quickstart/README.md"),
    )


def test_the_table_of_speed():
    assert_says(summary.markdown(EXAMPLES / "benchmark"), page("docs/speed.md"))


@pytest.mark.parametrize(
    ("name", "markdown"),
    [
        *(
            ("benchmark", steps),
            ("trainer", trainer.markdown),
            ("packing", packing.markdown),
            ("text", text.markdown),
        ),
        *(
            ("inference", inference.markdown),
            ("prediction", prediction.markdown),
            ("questions", questions.markdown),
        ),
        *(("bookkeeping", bookkeeping.markdown), ("gpu", gpu.markdown), ("amx", steps)),
        *(("updates", updates.markdown), ("layers", layers.markdown), ("long_rows", long_rows.markdown)),
        *((name, windows.markdown) for name in ("windows", "windows_bf16")),
    ],
)
def test_the_tables_of_the_page_on_speed(name, markdown):
    assert_says(markdown(report(name)), SPEED)


@pytest.mark.parametrize("text", [README, RESULTS], ids=["README", "results"])
def test_the_table_of_glue(text):
    assert_says(results.table(json.loads((EXAMPLES / "glue" / "results.json").read_text())), text)


def test_the_table_of_a_rate_that_was_chosen_too_early():
    assert_says(results.table(json.loads((EXAMPLES / "glue" / "results_mlm_2e-3.json").read_text())), RESULTS)


def test_the_table_of_entities():
    found = json.loads((EXAMPLES / "ner" / "results.json").read_text())
    assert_says(results.table(found, ["entity_f1", "legal_f1"]), RESULTS)


def test_the_table_of_blimp():
    found = json.loads((EXAMPLES / "pretraining" / "blimp.json").read_text())
    assert_says(blimp_table(found), page("docs/how-to/probe.md"))


@pytest.mark.parametrize("name", ["blimp", "blimp_tiny", "blimp_tiny_mlm"])
def test_the_means_of_blimp(name):
    found = json.loads((EXAMPLES / "pretraining" / f"{name}.json").read_text())
    means = [f"{score['mean']:.1f} ± {score['standard_error']:.1f}" for score in found["summary"].values()]
    cells = [f"{found['paradigms'][0]['pairs']:,}", *means]
    assert cells_of_row(f"pretraining/{name}.json) |", "docs/how-to/probe.md") == cells


def cells_of_row(mark: str, name: str) -> list[str]:
    """Return what stands behind the first cell of the row of a page that has a mark; not the empty cells."""
    (row,) = [row for row in page(name).splitlines() if mark in row]
    return [cell.strip() for cell in row.split("|")[2:-1] if cell.strip()]


def test_the_table_of_bias_and_what_to_beware_of():
    found = json.loads((EXAMPLES / "pretraining" / "bias.json").read_text())
    assert found["caution"] == list(CAUTION)
    assert_says(bias_table(found), page("docs/how-to/bias.md"))
    assert_says("\n".join(f"- {sentences}" for sentences in CAUTION), page("docs/how-to/bias.md"))


@pytest.mark.parametrize("name", ["bias", "bias_tiny", "bias_tiny_mlm"])
def test_the_shares_of_all_pairs(name):
    found = json.loads((EXAMPLES / "pretraining" / f"{name}.json").read_text())["summary"]
    cells = [
        f"{score['share']:.1f} [{score['interval'][0]:.1f}, {score['interval'][1]:.1f}]"
        for score in found.values()
    ]
    assert cells_of_row(f"pretraining/{name}.json) |", "docs/how-to/bias.md") == cells


@pytest.mark.parametrize("name", ["SST-2", "MRPC", "RTE", "SST-2-16"])
def test_the_tables_of_prompts(name):
    found = json.loads((EXAMPLES / "pretraining" / "prompts" / f"{name}.json").read_text())
    assert_says(prompt_table(found), page("docs/how-to/prompt.md"))


def test_the_tables_of_questions():
    found = json.loads((EXAMPLES / "squad" / "results.json").read_text())
    assert_says(results.table(found), RESULTS)
    plain = json.loads((EXAMPLES / "squad" / "results_plain_head.json").read_text())
    assert_says(results.table(plain), page("examples/squad/README.md"))


@pytest.mark.long
def test_the_page_on_interchange_works_from_start_to_end(tmp_path):
    """All blocks of the page, in order, with a smaller net and fewer updates."""
    text = page("examples/interchange/README.md")
    text = text.replace("--max-update 300", f"--max-update 4 {' '.join(TINY_NET)}").replace(
        "source .venv/bin/activate\n", ""
    )
    printed = []
    folder = Path(sys.executable).parent
    for language, block in re.findall(r"^```(bash|python)\n(.*?)^```", text, re.M | re.S):
        command = ["bash", "-euc", block] if language == "bash" else [sys.executable, "-c", block]
        printed.append(
            run(
                command, cwd=tmp_path, env={"PATH": f"{folder}:{os.environ['PATH']}", "HF_HUB_OFFLINE": "1"}
            ).stdout
        )
    assert len(printed) == 5 and "largest difference from transformers" in printed[0]
    theirs, ours = (
        [ast.literal_eval(line) for line in text.splitlines() if line.startswith("[")]
        for text in printed[1:3]
    )
    for left, right in zip(theirs[:2], ours[:2], strict=True):
        assert left == pytest.approx(right, abs=0.0011)
    assert [token.removeprefix("##") for token in theirs[2]] == [
        token.removeprefix("##") for token in ours[2]
    ]


@pytest.mark.parametrize("arguments", TRAIN_COMMANDS, ids=range(len(TRAIN_COMMANDS)))
def test_every_option_of_every_training_command_exists(arguments):
    pipe = arguments.index("|") if "|" in arguments else len(arguments)
    given = [str(USER_DIR) if word == "$(fairseq-electra user-dir)" else word for word in arguments[:pipe]]
    parsed = options.parse_args_and_arch(options.get_training_parser(), input_args=given)
    assert parsed.task in ("electra_pretraining", *KINDS)


def test_the_tests_that_the_table_of_the_trainer_names_exist():
    named = re.findall(r"`(tests/\S+)::(\w+)` \|", page("docs/trainer.md"))
    assert len(named) > 20
    for path, test in named:
        assert f"def {test}(" in (ROOT / path).read_text(), test


def test_there_are_training_commands():
    assert len(TRAIN_COMMANDS) >= 10


@pytest.mark.long
def test_the_page_on_glue_works_from_start_to_end(tmp_path, data_bin, vocabulary, corpus_lines):
    """Run all blocks of the page in order on small files in GLUE's layout, with a smaller model.

    Epochs and seeds are fewer, too.
    """
    train(data_bin, tmp_path / "checkpoints", *TINY_NET, "--max-update", "3", "--disable-validation")
    shutil.copytree(vocabulary, tmp_path / "vocab")
    texts = [line[:60].replace("\t", " ") for line in corpus_lines if len(line) > 60]
    pairs = list(itertools.pairwise(texts[:41]))
    for task, label in (("RTE", "label"), ("STS-B", "score")):
        (tmp_path / "GLUE" / task).mkdir(parents=True)
        for split in ("train", "dev", "test"):
            labels = [
                ["entailment", "not_entailment"][i % 2] if task == "RTE" else f"{i % 6}.0"
                for i in range(len(pairs))
            ]
            named = split != "test"
            lines = [f"{i}\t{a}\t{b}" + (f"\t{labels[i]}" if named else "") for i, (a, b) in enumerate(pairs)]
            header = "index\tsentence1\tsentence2" + (f"\t{label}" if named else "")
            (tmp_path / "GLUE" / task / f"{split}.tsv").write_text("\n".join([header, *lines]) + "\n")
    (tmp_path / "pairs.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in pairs))
    (tmp_path / "train.tsv").write_text(
        "question\tanswer\tclass\n" + "".join(f"{a}\t{b}\t{i % 3}\n" for i, (a, b) in enumerate(pairs))
    )
    rows = [{"question": a, "answer": b, "class": str(i % 3)} for i, (a, b) in enumerate(pairs)]
    (tmp_path / "valid.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = page("examples/glue/README.md").replace("source .venv/bin/activate\n", "")
    text = text.partition("## The table of the main page")[0]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    text = text.replace("--max-epoch 10", "--max-epoch 1 --cpu").replace("--seeds 5", "--seeds 2 --epochs 1")
    for block in re.findall(r"^```bash\n(.*?)^```", text, re.M | re.S):
        run(["bash", "-euc", block], cwd=tmp_path, env={"PATH": path, "HF_HUB_OFFLINE": "1"})
    assert len((tmp_path / "predictions.jsonl").read_text().splitlines()) == len(pairs)
    assert (tmp_path / "my-rte" / "config.json").is_file() and (tmp_path / "my-bin" / "task.json").is_file()
    for name in ("RTE", "STS-B"):
        assert len((tmp_path / "submission" / f"{name}.tsv").read_text().splitlines()) == 1 + len(pairs)


def run_blocks(name: str, folder: Path) -> None:
    """Run all blocks of an example's page, up to its table, with fewer epochs."""
    text = page(f"examples/{name}/README.md").partition("## Many models")[0]
    text = text.replace("source .venv/bin/activate\n", "").replace(
        "--max-epoch", "--max-update 3 --cpu --max-epoch"
    )
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for block in re.findall(r"^```bash\n(.*?)^```", text, re.M | re.S):
        run(["bash", "-euc", block], cwd=folder, env={"PATH": path, "HF_HUB_OFFLINE": "1"})


@pytest.fixture
def pretrained(tmp_path, data_bin, vocabulary) -> Path:
    """A folder with what the pages need: checkpoints and vocab."""
    train(data_bin, tmp_path / "checkpoints", *TINY_NET, "--max-update", "3", "--disable-validation")
    shutil.copytree(vocabulary, tmp_path / "vocab")
    return tmp_path


@pytest.mark.by_hand
def test_the_page_on_questions_works_from_start_to_end(pretrained, corpus_lines):
    contexts = [line for line in corpus_lines if len(line) > 80][:12]
    made = [
        {"id": str(i), "question": text[:30], "answers": [{"answer_start": 40, "text": text[40:60]}]}
        for i, text in enumerate(contexts)
    ]
    paragraphs = [{"context": text, "qas": [question]} for text, question in zip(contexts, made, strict=True)]
    for split in ("train", "dev"):
        (pretrained / f"{split}-v1.1.json").write_text(
            json.dumps({"data": [{"title": "", "paragraphs": paragraphs}]})
        )
    (pretrained / "questions.tsv").write_text("".join(f"{text[:30]}\t{text}\n" for text in contexts))
    run_blocks("squad", pretrained)
    answers = [json.loads(line) for line in (pretrained / "answers.jsonl").read_text().splitlines()]
    assert [text[each["begin"] : each["end"]] for text, each in zip(contexts, answers, strict=True)] == [
        each["answer"] for each in answers
    ]


@pytest.mark.long
def test_the_page_on_entities_works_from_start_to_end(pretrained, corpus_lines):
    sentences = [line.split()[:20] for line in corpus_lines if len(line) > 80][:12]
    text = "".join(
        "".join(f"{word}\t{'B-name' if word[0].isupper() else 'O'}\n" for word in words) + "\n"
        for words in sentences
    )
    for split in ("train", "dev", "test"):
        (pretrained / f"{split}.conll").write_text(text)
    (pretrained / "sentences.txt").write_text("".join(" ".join(words) + "\n" for words in sentences))
    run_blocks("ner", pretrained)
    assert len((pretrained / "entities.jsonl").read_text().splitlines()) == len(sentences)
    assert (pretrained / "my-ner" / "config.json").is_file()


@pytest.mark.long
def test_the_tutorial_works_from_start_to_end(tmp_path):
    """Run all blocks in one shell with a smaller model and fewer updates, then three other pages' Python."""
    text = page("docs/tutorial.md").replace("--max-update 1200", f"--max-update 4 {' '.join(TINY_NET)}")
    text = (
        text.replace("head -n 2500", "head -n 60")
        .replace("--max-epoch 3", "--max-epoch 1")
        .replace("--warmup-updates 24", "--warmup-updates 1")
    )
    text = text.replace("OMP_NUM_THREADS=2", "OMP_NUM_THREADS=1")
    script = "".join(re.findall(r"^```bash\n(.*?)^```", text, re.M | re.S))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    printed = run(["bash", "-c", script], cwd=tmp_path, env={"PATH": path, "HF_HUB_OFFLINE": "1"}).stdout
    assert "p(replaced)" in printed and '"label": ' in printed
    assert (tmp_path / "my-model" / "config.json").is_file() and (
        tmp_path / "tuned" / "checkpoint_best.pt"
    ).is_file()
    pages = "".join(page(f"docs/how-to/{name}.md") for name in ("predict", "embeddings", "transformers"))
    code = "".join(re.findall(r"^```python\n(.*?)^```", pages, re.M | re.S))
    for shown, made in (("checkpoints", "pretrained"), ("my-electra", "my-model")):
        assert f'"{shown}"' in code
        code = code.replace(f'"{shown}"', f'"{made}"')
    run([sys.executable, "-c", code], cwd=tmp_path, env={"HF_HUB_OFFLINE": "1"})


LANGUAGES = ("docs/how-to/languages.md", "examples/languages/README.md")


@pytest.mark.by_hand
@pytest.mark.parametrize("name", LANGUAGES)
def test_the_pages_on_languages_work_from_start_to_end(tmp_path, corpus_lines, name):
    """Run all blocks of a page in one shell, with a smaller model, fewer updates, and three such texts."""
    text = {
        "en": corpus_lines,
        "ko": ["한국어 책은 길다", "나는 책을 읽는다", ""],
        "zh": ["我喜欢读书。", "书很长。", ""],
    }
    for language, lines in text.items():
        for split in ("train", "valid"):
            (tmp_path / f"{language}.{split}.txt").write_text("\n".join((lines * 40)[:400]))
    script = "".join(re.findall(r"^```bash\n(.*?)^```", page(name), re.M | re.S))
    smaller = {
        "--size 32000": "--size 2000",
        "--max-update 28000": f"--max-update 4 --cpu {' '.join(TINY_NET)}",
        "interval-updates 2000": "interval-updates 2",
        "--max-update $2": f"--max-update $2 --cpu {' '.join(TINY_NET)}",
        "updates=30000": "updates=60",
        "--batch-size 32\n": "--batch-size 32 --cpu\n",
        "--batch-size 128": "--batch-size 8",
    }
    for plain, small in smaller.items():
        script = script.replace(plain, small)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    run(["bash", "-euc", script], cwd=tmp_path, env={"PATH": path, "OMP_NUM_THREADS": "1"})
    logs = {path.stem: read_log(path) for path in tmp_path.glob("*.log")}
    assert logs.keys() == ({"train"} if name == LANGUAGES[0] else {"mixture", "en", "ko", "zh"})
    for log, records in logs.items():
        subsets = {record["subset"] for record in records} - {"train_inner"}
        several = {"en/valid", "ko/valid", "zh/valid", "valid"}
        assert subsets == ({f"{log}/valid"} if log in text else several)
    if "mixture" in logs:  # of each language as many rows alone as in the mixture
        updates = {log: max(record["num_updates"] for record in records) for log, records in logs.items()}
        assert updates["mixture"] - 3 <= sum(updates[language] for language in text) <= updates["mixture"]


def test_the_page_on_installing_has_the_lines_of_the_script():
    """In their order; the script's variables stand for what the page says in words."""
    lines = re.findall(r"^(?:pip|\S+python -m pip -q) install (.*)", page("scripts/setup.sh"), re.M)
    shown = re.findall(r"^pip install (.*)", page("docs/install.md"), re.M)
    plain = [
        line.partition("#")[0].replace('${TORCH_INDEX:+--index-url "$TORCH_INDEX"} ', "").strip()
        for line in lines
    ]
    assert plain == [
        *["pip setuptools wheel cython ninja numpy", "torch"],
        *["--no-build-isolation fairseq-fixed", "seqeval", "--no-build-isolation -e '.[dev]'"],
    ]
    assert shown == [
        plain[0].removeprefix("pip "),
        *plain[1:4],
        "--no-build-isolation '.[transformers,plot]'",
    ]


@pytest.mark.by_hand
def test_the_page_on_labels_works_from_start_to_end(pretrained, corpus_lines):
    texts = [line[:60] for line in corpus_lines if len(line) > 60][:24]
    rows = [
        {"text": text, "topics": [["weather"], [], ["weather", "traffic"]][i % 3]}
        for i, text in enumerate(texts)
    ]
    (pretrained / "valid.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with open(pretrained / "train.csv", "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(
            [("text", "topics"), *((row["text"], ",".join(row["topics"])) for row in rows)]
        )
    (pretrained / "sentences.txt").write_text("".join(f"{text}\n" for text in texts))
    run_blocks("multilabel", pretrained)
    assert len((pretrained / "labels.jsonl").read_text().splitlines()) == len(texts)
    assert (pretrained / "my-topics" / "config.json").is_file()


@pytest.mark.by_hand
def test_the_page_on_generation_works_from_start_to_end(tmp_path, data_bin):
    """With few updates, texts and steps."""
    shutil.copytree(data_bin, tmp_path / "data-bin")
    text = page("examples/generation/README.md").replace("source .venv/bin/activate\n", "")
    text = text.replace("16 64 256", "2").replace("--samples 200 --length 64", "--samples 3 --length 9")
    text = re.sub(r"--max-update \d+", "--max-update 3 --disable-validation --cpu", text)
    text = text.replace("PYTHONPATH=examples", f"PYTHONPATH={ROOT}:{EXAMPLES}")
    blocks = "".join(re.findall(r"^```bash\n(.*?)^```", text, re.M | re.S))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = run(["bash", "-euc", blocks], cwd=tmp_path, env={"PATH": path})
    results = json.loads((tmp_path / "results.json").read_text())
    made = {path.stem for path in (tmp_path / "texts").glob("*.jsonl")}
    assert len(made) == 8 and set(results) == {"human (valid)", *made}
    assert all(each["texts"] == 3 and each["perplexity"] > 1 for each in results.values())
    assert done.stdout.count('"in_one_pass"') == 6


def test_the_table_of_languages():
    rows = json.loads((EXAMPLES / "languages" / "tiny.json").read_text())
    mixture = {row["language"]: row for row in rows if row["run"] == "mixture"}
    own = {row["run"]: row for row in rows if row["run"] != "mixture"}
    text = page("examples/languages/README.md")
    for language, name in {"en": "English", "ko": "Korean", "zh": "Chinese"}.items():
        (line,) = (line for line in text.splitlines() if line.startswith(f"| {name} |"))
        both = mixture[language], own[language]
        figures = [
            f"{own[language]['updates']:,}",
            *(f"{each['fixed_auc']:.3f}" for each in both),
            *(
                f"{each[f'fixed_generator_auc, replacements of the {judge}']:.3f}"
                for judge in ("own model", "mixture")
                for each in both
            ),
            *(f"{each['masked_lm_accuracy']:.1f}" for each in both),
        ]
        assert line.split(" | ")[2:] == [*figures[:-1], f"{figures[-1]} |"]


def test_the_rates_of_a_mixture():
    rows = json.loads((EXAMPLES / "languages" / "rates.json").read_text())
    names = {"en": "English", "ko": "Korean", "zh": "Chinese"}
    longest = {"mixture": 12000, "own": 5000}  # updates; others are of twice the length
    found = {
        (row["run"], row["language"], row["lr"]): row for row in rows if row["updates"] <= longest[row["run"]]
    }
    text, behind = page("examples/languages/README.md"), {}
    for language, name in names.items():
        cells, best = [], {}
        for trained in longest:
            # of the mixture by all languages, of the others by their own
            judged = list(names) if trained == "mixture" else [language]
            by_rate = {
                rate: sum(found[trained, each, rate]["valid"]["fixed_auc"] for each in judged)
                for rate in (1e-3, 5e-4)
                if (trained, language, rate) in found
            }
            chosen = max(by_rate, key=by_rate.__getitem__)
            for rate in by_rate:
                area = found[trained, language, rate]["test"]["fixed_auc"]
                cells.append(f"**{area:.3f}**" if rate == chosen else f"{area:.3f}")
            best[trained] = found[trained, language, chosen]["test"]["fixed_auc"]
        assert f"| {name}, test | {' | '.join(cells)} |" in text
        behind[language] = best["own"] - best["mixture"]
    assert max(behind.values()) == behind["ko"] <= 0.02
    said = f"{-behind['en']:.3f} ahead in English, {behind['ko']:.3f} behind in Korean ({behind['ko']:.4f})"
    assert said.replace("0.", ".") in text


def test_the_figures_of_xquad():
    found = json.loads((EXAMPLES / "languages" / "xquad.json").read_text())
    text = page("examples/languages/README.md")
    scores = [
        f"{found[code][name]:.1f}".lstrip("0") for code in ("en", "zh") for name in ("f1", "exact_match")
    ]
    assert "F1 and exact match are {} and {} in English, {} and {} in Chinese".format(*scores) in text


def test_the_tables_of_generation():
    results = json.loads((EXAMPLES / "generation" / "results.json").read_text())
    text = page("examples/generation/README.md")
    assert scores_table(results["scores"]) in text and len(results["scores"]) > 15
    for each in results["infilling"]:
        if each["critic"]:
            continue
        steps = each["in_steps"]
        start = f"| {each['model']} | {100 * each['mask_prob']:.0f} | {each['tokens']:,} |"
        assert f"{start} {each['in_one_pass']:.1f} | {steps:.1f} | " in text
