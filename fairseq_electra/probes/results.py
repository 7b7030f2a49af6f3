"""The results of BLiMP: what a JSON file holds, and the table."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fairseq_electra.checkpoints import sha256_of
from fairseq_electra.electra.configuration import objective_of
from fairseq_electra.finetuning.results import versions
from fairseq_electra.hub.load import Pretrained
from fairseq_electra.probes.blimp import Paradigm, by_term, mean_accuracy, standard_error
from fairseq_electra.probes.pairs import Pair, digest_of


def results(paradigms: Sequence[Paradigm], pairs: Sequence[Pair], net: dict[str, Any]) -> dict[str, Any]:
    """Put together what a JSON file says; accuracies and their errors are in per cent.

    Args:
        paradigms: result of :func:`fairseq_electra.probes.blimp.probe`.
        pairs: the pairs that were scored.
        net: result of :func:`fairseq_electra.probes.results.described`.
    """
    scores = list(paradigms[0].points)
    return {
        "probe": "BLiMP",
        "net": net,
        "data": {
            "pairs": len(pairs),
            "same_tokens": sum(int(paradigm.same.sum()) for paradigm in paradigms),
            "sha256": digest_of(pairs),
        },
        "summary": summary_of(paradigms),
        "paradigms": [
            {
                "UID": paradigm.name,
                "linguistics_term": paradigm.term,
                "pairs": len(paradigm.same),
                "same_tokens": int(paradigm.same.sum()),
                "accuracy": {score: paradigm.accuracy(score) for score in scores},
                "ties": {score: paradigm.ties(score) for score in scores},
            }
            for paradigm in paradigms
        ],
        "versions": versions(),
    }


def summary_of(paradigms: Sequence[Paradigm]) -> dict[str, dict[str, Any]]:
    """Sum up all pairs, for each score by its name; accuracies and their errors are in per cent."""
    return {
        score: {
            "mean": mean_accuracy(paradigms, score),
            "standard_error": standard_error(paradigms, score),
            "ties": sum(paradigm.ties(score) for paradigm in paradigms),
            "linguistics_terms": {
                term: mean_accuracy(group, score) for term, group in by_term(paradigms).items()
            },
        }
        for score in paradigms[0].points
    }


def described(pretrained: Pretrained, checkpoint: str | Path) -> dict[str, Any]:
    """Say which model it is: the SHA-256 of its checkpoint, size, objective and number of updates.

    To be called before the model is used: a training that goes on replaces its checkpoints.

    Args:
        pretrained: the model, as :func:`fairseq_electra.hub.load.load_checkpoint` has loaded it.
        checkpoint: the path that it was loaded from.
    """
    assert pretrained.cfg is not None  # of a checkpoint it is there
    options = pretrained.cfg["model"]
    return {
        "size": str(options["model_size"]),
        "objective": objective_of(options),
        "updates": pretrained.updates,
        "sha256": sha256_of(checkpoint),
    }


def table(found: dict[str, Any]) -> str:
    """Return a Markdown table of :func:`results`: a row for each phenomenon, and the mean over paradigms."""
    summary = found["summary"]
    number_of = Counter(paradigm["linguistics_term"] for paradigm in found["paradigms"])
    lines = [
        f"| accuracy, % | paradigms | {' | '.join(summary)} |",
        "|---|---:|" + "---:|" * len(summary),
    ]
    for term, number in sorted(number_of.items()):
        cells = [f"{each['linguistics_terms'][term]:.1f}" for each in summary.values()]
        lines.append(f"| {term} | {number} | {' | '.join(cells)} |")
    cells = [_mean(each) for each in summary.values()]
    lines.append(f"| mean over paradigms | {len(found['paradigms'])} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _mean(of_score: dict[str, Any]) -> str:
    error = of_score["standard_error"]
    return f"{of_score['mean']:.1f}" + ("" if error is None else f" ± {error:.1f}")


def ties_in_words(found: dict[str, Any]) -> str:
    """Say how many pairs there are, and how many of them count one half."""
    data = found["data"]
    ties = ", ".join(f"{score} {each['ties']:,}" for score, each in found["summary"].items())
    return (
        f"{data['pairs']:,} pairs, {data['same_tokens']:,} of them with the same tokens in both sentences;"
        f" ties, which count one half: {ties}"
    )
