"""The section of a model card on the text that a model was trained on."""

from pathlib import Path
from typing import Any

from fairseq_electra.corpus_report.filtering import STEPS
from fairseq_electra.errors import InputError
from fairseq_electra.files.json_values import parsed

MAX_LANGUAGES = 5


def card_section(path: str | Path) -> str:
    """Return Markdown with the main figures of a report; it has no examples and no paths of folders.

    Args:
        path: the file that ``fairseq-electra report --output`` wrote.

    Raises:
        InputError: the file is not such a report.
    """
    try:
        return _section(parsed(Path(path).read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise InputError(
            f"{path} is not a report on a text ({type(error).__name__}: {error}); write one with:"
            " fairseq-electra report --output FILE TEXT..."
        ) from error


def _section(found: dict[str, Any]) -> str:
    text = found["text"]
    names = ", ".join(f"`{Path(file).name}`" for file in found["files"])
    filtered = found.get("filtered", False)
    before = " before the filter" if filtered else ""
    rows = [(name, f"{text[name]:,}") for name in ("documents", "lines", "words")]
    languages = list(found["languages"].items())[:MAX_LANGUAGES]
    rows.append(("languages", ", ".join(f"{code} {_share(each, text)}" for code, each in languages)))
    rows += [(step, _share(found["steps"][step], text)) for step in STEPS if found["steps"][step]["lines"]]
    replaced = " (replaced)" if filtered and found["settings"]["mask_personal"] else ""
    rows += [(f"{kind}{replaced}", f"{each['number']:,}") for kind, each in found["personal"].items()]
    if filtered:
        kept = found["kept"]
        left = f"{kept['documents']:,} documents, {kept['lines']:,} lines, {kept['words']:,} words"
        rows.append(("left by the filter", left))
    if vocabulary := found.get("vocabulary"):
        rows.append((f"tokens{' of it' * filtered}", f"{vocabulary['tokens']:,}"))
        rows.append(("characters lost to `<unk>`", f"{vocabulary['lost_characters']:.2%}"))
    return "\n".join(
        [
            "## Text",
            "",
            f"Report of `fairseq-electra report` on {names}{before}; shares are of its characters. That the"
            f" model was trained on this text{', as filtered,' * filtered} is the word of who exported it.",
            "",
            "| | |",
            "|---|---|",
            *(f"| {name} | {value} |" for name, value in rows),
            "",
        ]
    )


def _share(part: dict[str, Any], text: dict[str, Any]) -> str:
    return f"{part['characters'] / text['characters']:.2%}"
