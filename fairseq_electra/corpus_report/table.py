"""The report as Markdown."""

from typing import Any

from fairseq_electra.corpus_report.filtering import BOILERPLATE, NEAR_DUPLICATE, OTHER_LANGUAGE
from fairseq_electra.corpus_report.findings import UNCLEAR

MAX_LANGUAGES, MAX_LANGUAGES_SHOWN = 10, 3  # in the table, and with examples
SPREAD = ("mean", "10 %", "median", "90 %", "largest")


def table(found: dict[str, Any]) -> str:
    """Return the tables of a report and its examples.

    Args:
        found: the report, as :func:`fairseq_electra.corpus_report.report.report_on` gives it.
    """
    parts = [_lengths(found["text"]), _shares(found), _languages(found)]
    if found["personal"]:
        parts.append(_personal(found["personal"]))
    parts += _examples(found)
    return "\n\n".join("\n".join(part) for part in parts)


def removed_table(found: dict[str, Any]) -> str:
    """Return the table of what the steps of the filter removed, and what is left."""
    rows = [("before", found["text"])]
    rows += [(step, each) for step, each in found["steps"].items() if _applies(step, found)]
    rows.append(("left", found["kept"]))
    lines = ["| removed by the filter | documents | lines | characters |", "|---|---:|---:|---:|"]
    lines += [
        f"| {name} | {each['documents']:,} | {each['lines']:,} | {each['characters']:,} |"
        for name, each in rows
    ]
    return "\n".join(lines)


def _applies(step: str, found: dict[str, Any]) -> bool:
    return step != OTHER_LANGUAGE or bool(found["settings"]["languages"])


def _lengths(text: dict[str, Any]) -> list[str]:
    return [
        f"| {text['words']:,} words | number | {' | '.join(SPREAD)} |",
        "|---|---:|" + "---:|" * len(SPREAD),
        *(
            f"| words of a {one} | {text[many]:,} | "
            + " | ".join(f"{text[f'words_per_{one}'][each]:,.0f}" for each in SPREAD)
            + " |"
            for one, many in (("document", "documents"), ("line", "lines"))
        ),
    ]


def _shares(found: dict[str, Any]) -> list[str]:
    names = {
        BOILERPLATE: f"boilerplate: in lines that occur more than {found['settings']['repeats']} times",
        OTHER_LANGUAGE: f"in other languages than {','.join(found['settings']['languages'])}",
        NEAR_DUPLICATE: "near duplicates of an earlier line",
    }
    characters = found["text"]["characters"]
    lines = ["| found | lines | share of the characters |", "|---|---:|---:|"]
    for step, name in names.items():
        if _applies(step, found):
            each = found["steps"][step]
            lines.append(f"| {name} | {each['lines']:,} | {each['characters'] / characters:.2%} |")
    if vocabulary := found.get("vocabulary"):
        tokens = f"{vocabulary['tokens']:,} tokens, {vocabulary['tokens_per_word']:.2f} per word"
        lines.append(f"| lost to `<unk>` ({tokens}) | | {vocabulary['lost_characters']:.2%} |")
    return lines


def _languages(found: dict[str, Any]) -> list[str]:
    characters, languages = found["text"]["characters"], list(found["languages"].items())
    lines = ["| language | lines | share of the characters |", "|---|---:|---:|"]
    lines += [
        f"| {code} | {each['lines']:,} | {each['characters'] / characters:.2%} |"
        for code, each in languages[:MAX_LANGUAGES]
    ]
    if others := languages[MAX_LANGUAGES:]:
        number, size = (sum(each[name] for _, each in others) for name in ("lines", "characters"))
        lines.append(f"| {len(others)} more | {number:,} | {size / characters:.2%} |")
    return lines


def _personal(personal: dict[str, Any]) -> list[str]:
    lines = ["| personal data | number | lines, for example |", "|---|---:|---|"]
    return lines + [
        f"| {kind} | {each['number']:,} | {', '.join(each['examples'])} |" for kind, each in personal.items()
    ]


def _examples(found: dict[str, Any]) -> list[list[str]]:
    """Return the examples of each step, and of each language but the largest."""
    kinds = {step: each["examples"] for step, each in found["steps"].items()}
    codes = [code for code in found["languages"] if code != UNCLEAR]
    main = found["settings"]["languages"] or codes[:1]
    others = [code for code in codes if code not in main][:MAX_LANGUAGES_SHOWN]
    kinds |= {code: found["languages"][code]["examples"] for code in others}
    return [[f"{kind}:", *(f"- {each}" for each in lines)] for kind, lines in kinds.items() if lines]
