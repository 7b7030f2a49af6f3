"""``bash scripts/benchmark.sh summary FOLDER``: summarize the reports of a folder in one table."""

import json
import sys
from pathlib import Path

from benchmark import gpu, packing, prediction, text, trainer
from benchmark.baselines import BASELINE_TRAITS

SIZES = ("tiny", "small")
OURS = "fairseq_electra"
NAIVE, MASKED_ONLY = "transformers, head on all positions", "transformers, head on masked positions"
ROFORMER = "transformers' RoFormer, head on masked positions"
BF16 = f"{OURS}, --autocast bf16"
BASELINES = {
    NAIVE: "transformers as most wire it",
    MASKED_ONLY: MASKED_ONLY,
    ROFORMER: ROFORMER,
    "fairseq's modules, head on masked positions": "ELECTRA of fairseq's modules",
}
SORTED = "transformers, sorted by length, its best batch"
Row = tuple[str, str, list[float]]


def markdown(folder: Path) -> str:
    """Return a table of how many times as fast ours is, from the reports of a folder.

    Comparisons that depend on the model size have two numbers, for tiny and small. What a report lacks has no
    row.
    """
    read = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")}
    rows = [
        *_steps(read["benchmark"], read["amx"]),
        *_on_gpu(read["gpu"]),
        *_trainer(read["trainer"], read["updates"]),
        *_packing(read["packing"]),
        *_padding(read["padding"]),
        *_text(read["benchmark"]["loader"], read["text"]["found"]["rows"]),
        *(
            (f"`{name}` of small", SORTED, [_faster(found["rows"], OURS)])
            for name, found in read["inference"]["nets"]["small"].items()
        ),
        *_answers(read["prediction"], read["questions"]),
    ]
    lines = ["| | against | times as fast (tiny, small) |", "|---|---|---|"]
    return "\n".join(
        lines
        + [f"| {what} | {against} | {', '.join(map(_rounded, times))} |" for what, against, times in rows]
    )


def _padding(report: dict) -> list[Row]:
    tasks = ", ".join(found["task"] for found in report["found"])
    times = [found["ratio"] for found in report["found"]]
    return [
        (f"fine-tuning of {report['size']} on a CPU, one update: {tasks}", "the same with padding", times)
    ]


def _steps(report: dict, amx: dict) -> list[Row]:
    found: list[Row] = []
    for kind, ours, suffix in (("float32", OURS, ""), ("bfloat16", BF16, ", bf16")):
        for variant, against in BASELINES.items():
            if all(_has(report[size], variant + suffix) for size in SIZES):
                positions = "rotary" if variant == ROFORMER else "learned"
                times = [
                    _faster(report[size], _with(positions, report[size], ours), variant + suffix)
                    for size in SIZES
                ]
                found.append(
                    (
                        f"pre-training step, {kind}, {positions} positions",
                        against + (", bfloat16" if suffix else ""),
                        times,
                    )
                )
    times = [_faster(amx["small"], _with("learned", amx["small"], BF16), f"{MASKED_ONLY}, bf16")]
    return [
        *found,
        ("the same step of small on an Intel processor with AMX", f"{MASKED_ONLY}, bfloat16", times),
    ]


def _with(positions: str, rows: list[dict], ours: str) -> str:
    """Return the name of our variant with these positions; in older reports, all of ours has learned ones."""
    learned = f"{ours}, {BASELINE_TRAITS}"
    return learned if positions == "learned" and _has(rows, learned) else ours


def _on_gpu(report: dict) -> list[Row]:
    found: list[Row] = []
    for point in report["points"]:
        ms = {row["variant"]: row["ms"] for row in point["variants"]}
        step = f"pre-training step of {point['size']} on a GPU, `--compile --cuda-graphs`"
        found += [
            (step, theirs, [ms[theirs] / ms[gpu.OURS_GRAPHED]])
            for theirs in ms
            if theirs.startswith(gpu.THEIRS)
        ]
    return found


def _trainer(line: dict, between: dict) -> list[Row]:
    # in older reports, our small has the embedding size of --arch, and both sides have learned positions
    theirs = "its `masked_lm`, one network" + (
        "" if "products" in line else " (of small with an embedding twice as wide)"
    )
    found: list[Row] = []
    for ours, base, how in (
        (trainer.OURS, trainer.THEIRS, "float32"),
        (trainer.OURS + trainer.ALIKE, trainer.THEIRS, "float32, positions and LayerNorm of `roberta`"),
        (trainer.OURS + trainer.BEST, trainer.THEIRS + trainer.BEST, "best settings"),
    ):
        if all(_has(line[size], ours) for size in SIZES):
            times = [_faster(line[size], ours, base) for size in SIZES]
            found.append(
                (f"`fairseq-train`, two networks, {how}", f"{theirs}, {how.partition(', ')[0]}", times)
            )
    of_step = {point["size"]: point["host"]["ratio"] for point in between["points"]}
    return [
        *found,
        ("`fairseq-train`, processor time", "its training step alone", [of_step[size] for size in SIZES]),
    ]


def _packing(report: dict) -> list[Row]:
    found: list[Row] = []
    for width in (128, 512):
        of_width = [each["rows"] for each in report["found"] if each["width"] == width]
        for base, against in (
            (packing.PADDED, "padded rows"),
            (packing.BY_LENGTH, "batches by length, as many places"),
        ):
            if all(_has(rows, base) for rows in of_width):
                times = [_faster(rows, packing.PACKED, base) for rows in of_width]
                found.append((f"text with `--pack`, paragraphs, rows of {width}", against, times))
    return found


def _text(loader: list[dict], ways: list[dict]) -> list[Row]:
    ours, theirs = (row["tokens_per_cpu_second"] for row in loader)
    rows = {row["way"]: row for row in ways}
    ratio, alike = (rows[way]["cpu"]["ratio"] for way in (text.OURS, text.CHAIN_WITHOUT_MOSES))
    alike = rows[text.OURS]["alike"]["ratio"] if "alike" in rows[text.OURS] else ratio / alike
    return [
        ("masked batches", "fairseq's `masked_lm`", [ours / theirs]),
        ("raw text to ids, a core", f"{text.CHAIN_WITHOUT_MOSES}: the same bytes", [alike]),
        ("raw text to ids, a core", f"{text.CHAIN}: sacremoses counts", [ratio]),
    ]


def _answers(lines: dict, questions: dict) -> list[Row]:
    found: list[Row] = []
    pipeline, windows = "transformers' pipeline, its best batch", "transformers' tokenizer"
    for report, what, key, against in (
        (lines["sizes"], "`fairseq-electra predict`", "rows", pipeline),
        (questions["sizes"], "questions to answers", "answers", SORTED),
    ):
        if what.startswith("questions"):
            found.append(
                (
                    "questions to windows",
                    windows,
                    [_faster(report["tiny"]["features"], "fairseq-electra prepare")],
                )
            )
        # older reports have only learned positions, under the name of the size
        both = "tiny" + prediction.LEARNED in report
        for positions, suffix in (
            (("rotary", ""), ("learned", prediction.LEARNED)) if both else (("learned", ""),)
        ):
            times = [_faster(report[size + suffix][key], "fairseq-electra predict") for size in SIZES]
            found.append((f"{what}, {positions} positions", against, times))
    return found


def _has(rows: list[dict], variant: str) -> bool:
    return any(row["variant"] == variant for row in rows)


def _faster(rows: list[dict], variant: str, baseline: str = "") -> float:
    """Return the ratio of two variants of a report; without a baseline, the ratio as the report has it."""
    ratios = {row["variant"]: row["ratio"] for row in rows}
    return ratios[variant] / (ratios[baseline] if baseline else 1.0)


def _rounded(times: float) -> str:
    return f"{times:.0f}" if times > 99 else f"{times:.2f}"


if __name__ == "__main__":
    print(markdown(Path(sys.argv[1])))
