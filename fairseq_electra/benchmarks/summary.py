"""``python -m fairseq_electra.benchmarks.summary FOLDER``: one table of what the reports in a folder have found, a line a comparison."""

import json
import sys
from pathlib import Path

from fairseq_electra.benchmarks import gpu, packing, text, trainer

SIZES = ("tiny", "small")
OURS, NAIVE = "fairseq_electra", "transformers, head on all positions"
BASELINES = {
    NAIVE: "transformers as most wire it",
    "transformers, head on masked positions": "transformers, head on masked positions",
    "fairseq's modules, head on masked positions": "ELECTRA of fairseq's modules",
}
SORTED = "transformers, sorted by length, its best batch"


def markdown(folder: Path) -> str:
    """Read a folder's reports; returns a table of how many times as fast ours is, for tiny and small where that makes a difference."""
    steps, steps_bf16, on_gpu, line, between, packed, ids, hub, predict, questions = (
        json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("avx2", "benchmark", "gpu", "trainer", "updates", "packing", "text", "inference", "prediction", "questions")
    )
    rows: list[tuple[str, str, list[float]]] = []
    for variant, against in BASELINES.items():
        rows.append(("pre-training step, float32", against, [_faster(steps[size], OURS, variant) for size in SIZES]))
    bf16 = [_faster(steps_bf16[size], f"{OURS}, --autocast bf16", f"{NAIVE}, bf16") for size in SIZES]
    rows.append(("pre-training step, bfloat16", f"{BASELINES[NAIVE]}, bfloat16", bf16))
    for point in on_gpu["points"]:
        ms = {row["variant"]: row["ms"] for row in point["variants"]}
        step = f"pre-training step of {point['size']} on a GPU, `--compile --cuda-graphs`"
        rows += [(step, theirs, [ms[theirs] / ms[gpu.OURS_GRAPHED]]) for theirs in ms if theirs.startswith(gpu.THEIRS)]
    alike = [_faster(line[size], trainer.OURS, trainer.THEIRS) for size in SIZES]
    best = [_faster(line[size], trainer.OURS + trainer.BEST, trainer.THEIRS + trainer.BEST) for size in SIZES]
    rows.append(("`fairseq-train`, two networks, float32", "its `masked_lm`, one network, float32", alike))
    rows.append(("`fairseq-train`, two networks, best settings", "its `masked_lm`, one network, best settings", best))
    of_step = {point["size"]: point["host"]["ratio"] for point in between["points"]}
    rows.append(("`fairseq-train`, processor time", "its training step alone", [of_step[size] for size in SIZES]))
    for width in (128, 512):
        ratios = [_faster(found["rows"], packing.PACKED, packing.PADDED) for found in packed["found"] if found["width"] == width]
        rows.append((f"text with `--pack`, paragraphs, rows of {width}", "padded rows", ratios))
    ours, theirs = (row["tokens_per_cpu_second"] for row in steps["loader"])
    rows.append(("masked batches", "fairseq's `masked_lm`", [ours / theirs]))
    rows.append(("raw text to ids, a core", text.CHAIN, [row["cpu"]["ratio"] for row in ids["found"]["rows"] if row["way"] == text.OURS]))
    for name, found in hub["nets"]["small"].items():
        rows.append((f"`{name}` of small", SORTED, [_faster(found["rows"], OURS)]))
    answers = [_faster(predict["sizes"][size]["rows"], "fairseq-electra predict") for size in SIZES]
    rows.append(("`fairseq-electra predict`", "transformers' pipeline, its best batch", answers))
    found = questions["sizes"]
    windows = _faster(found["tiny"]["features"], "fairseq-electra prepare")
    rows.append(("questions to windows", "transformers' tokenizer", [windows]))
    rows.append(("questions to answers", SORTED, [_faster(found[s]["answers"], "fairseq-electra predict") for s in SIZES]))
    lines = ["| | against | times as fast (tiny, small) |", "|---|---|---|"]
    return "\n".join(lines + [f"| {what} | {against} | {', '.join(map(_rounded, times))} |" for what, against, times in rows])


def _faster(rows: list[dict], variant: str, baseline: str = "") -> float:
    """Ratio of two variants of a report; without a baseline, to the one that the report's ratios are to."""
    ratios = {row["variant"]: row["ratio"] for row in rows}
    return ratios[variant] / (ratios[baseline] if baseline else 1.0)


def _rounded(times: float) -> str:
    return f"{times:.0f}" if times > 99 else f"{times:.2f}"


if __name__ == "__main__":
    print(markdown(Path(sys.argv[1])))
