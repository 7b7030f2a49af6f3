"""The results of pairs about groups of people: what a JSON file holds, the table, and what to beware of."""

from collections.abc import Sequence
from typing import Any

from fairseq_electra.finetuning.results import versions
from fairseq_electra.probes.bias import Group, Outcome
from fairseq_electra.probes.bias_pairs import BiasPair
from fairseq_electra.probes.pairs import digest_of

CAUTION = (
    (
        "These figures are to be watched between versions of a model, scored on the same pairs. They are no"
        " verdict on it. 50 does not mean unbiased: a model that prefers at random has 50 too, and so has one"
        " with strong but opposite preferences in two halves of the pairs."
    ),
    (
        "Pairs of this kind have known faults. Blodgett et al. 2021 (Stereotyping Norwegian Salmon,"
        " https://aclanthology.org/2021.acl-long.81/) audited CrowS-Pairs and three other sets. They often do"
        " not state clearly what is measured, and there are pairs that lack a meaningful stereotype, contrast"
        " groups that cannot be compared, change more than the group, use names in place of groups, or have"
        " errors of language. CrowS-Pairs' authors themselves now warn that it may not be a good indicator of"
        " social biases."
    ),
    (
        "A score also depends on how frequent the exchanged words are, and into how many tokens they are cut."
        " This moves the sum over all tokens directly. The sum over the shared tokens leaves the exchanged"
        " words out, but the scores of the other words still depend on them."
    ),
    (
        "The intervals say how far a share would vary with other pairs of the same kind. They cover neither"
        " another run of the pre-training nor faults that many pairs have in common."
    ),
)
SPANS = (
    "shared: the sum over the tokens that both sentences have in common; generator_shared is CrowS-Pairs' own"
    " score. whole: the sum over all tokens; generator_whole is the pseudo-log-likelihood"
)


def results(outcome: Outcome, pairs: Sequence[BiasPair], net: dict[str, Any]) -> dict[str, Any]:
    """Put together what a JSON file says; shares and their intervals are in per cent.

    Args:
        outcome: result of :func:`fairseq_electra.probes.bias.probe_bias`.
        pairs: the pairs that were scored.
        net: result of :func:`fairseq_electra.probes.results.described`.
    """
    return {
        "probe": "bias",
        "net": net,
        "data": {
            "pairs": len(pairs),
            "same_tokens": int(outcome.everything.same.sum()),
            "repeated": len(pairs) - len(set(pairs)),
            "sha256": digest_of(pairs),
        },
        "interval": "Wilson, 95 %",
        "summary": _measures(outcome.everything),
        "categories": [{"category": group.name} | _of_group(group) for group in outcome.categories],
        "directions": [{"direction": group.name} | _of_group(group) for group in outcome.directions],
        "caution": list(CAUTION),
        "versions": versions(),
    }


def _of_group(group: Group) -> dict[str, Any]:
    return {
        "pairs": len(group.same),
        "same_tokens": int(group.same.sum()),
        "measures": _measures(group),
    }


def _measures(group: Group) -> dict[str, dict[str, Any]]:
    return {
        measure: {
            "share": group.share(measure),
            "interval": group.interval(measure),
            "ties": group.ties(measure),
        }
        for measure in group.points
    }


def table(found: dict[str, Any]) -> str:
    """Return a Markdown table of :func:`results`: a row for each category, all pairs, and each direction."""
    summary = found["summary"]
    rows = [
        *((each["category"], each["pairs"], each["measures"]) for each in found["categories"]),
        ("all pairs", found["data"]["pairs"], summary),
        *(
            (f"all pairs of direction {each['direction']}", each["pairs"], each["measures"])
            for each in found["directions"]
        ),
    ]
    return "\n".join(
        [
            f"| sentence scored above its counterpart, % | pairs | {' | '.join(summary)} |",
            "|---|---:|" + "---:|" * len(summary),
            *(
                f"| {_escaped(name)} | {number:,} | {' | '.join(_cell(of[measure]) for measure in summary)} |"
                for name, number, of in rows
            ),
        ]
    )


def _escaped(name: str) -> str:
    """Write a category so that it fits a cell of a Markdown table."""
    return " ".join(name.split()).replace("|", "\\|")


def _cell(measure: dict[str, Any]) -> str:
    low, high = measure["interval"]
    ties = measure["ties"]
    said = f", {ties:,} tie{'s' if ties > 1 else ''}" if ties else ""
    return f"{measure['share']:.1f} [{low:.1f}, {high:.1f}]{said}"


def in_words(found: dict[str, Any]) -> str:
    """Say what the columns are, how many pairs there are, and what to beware of."""
    data = found["data"]
    return "\n".join(
        [
            f"{SPANS}.",
            (
                "In brackets: 95 % interval over pairs (Wilson's). A tie, two scores that are equal to three"
                " decimals, counts one half."
            ),
            (
                f"{data['pairs']:,} pairs: {data['same_tokens']:,} with the same tokens in both sentences,"
                f" {data['repeated']:,} that came before."
            ),
            "",
            *(f"- {sentences}" for sentences in found["caution"]),
        ]
    )
