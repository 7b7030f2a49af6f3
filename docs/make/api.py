"""Pages of the API: one for each folder listed here, its public modules included."""

from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "fairseq_electra"
# what each folder holds; folders that are not here get no page
FOLDERS = {
    "hub": "Use a trained model: detect replaced tokens, fill masks, predict, extract features.",
    "probes": "What a pre-trained model knows before it is fine-tuned: BLiMP, prompts, CrowS-Pairs.",
    "generation": "Text from a masked language model: methods, distributions, prompts, plain text.",
    "electra": "The paper: sizes, masking, sampling, encoder, heads, FLOPs. PyTorch and NumPy alone.",
    "pretraining": "Text to masked batches: documents, WordPiece, rows, packing, metrics, diagnosis.",
    "corpus_report": "What a text holds before a model is trained on it, and a filter.",
    "finetuning": "What all kinds of tasks share: folders, recipes, studies, predictions.",
    "interchange": "Other formats, above all the folders of transformers, in both directions.",
    "files": "Reading text and records, with mistakes named; files that are written whole or not at all.",
    "tasks": "fairseq tasks.",
    "models": "fairseq models.",
    "criterions": "fairseq criterions.",
    "optim": "fairseq optimizer and schedule.",
}


def pages() -> dict[str, str]:
    """Make the pages, by their path in the site."""
    made = {f"reference/api/{name}.md": page(name, what) for name, what in FOLDERS.items()}
    listed = "\n".join(
        f"- [`fairseq_electra.{Path(path).stem}`]({Path(path).name}): {FOLDERS[Path(path).stem]}"
        for path in made
    )
    return made | {
        "reference/api/index.md": "# Python API\n\nThe docstrings of the public modules of these folders.\n\n"
        f"{listed}\n"
    }


def page(folder: str, what: str) -> str:
    """Write the page of a folder, its subfolders included."""
    names = sorted(module_name(path) for path in (PACKAGE / folder).rglob("*.py") if is_public(path))
    return "\n\n".join([f"# fairseq_electra.{folder}", what, *(f"::: {name}" for name in names)]) + "\n"


def is_public(path: Path) -> bool:
    """Tell whether a module has a name without an underscore, which those of packages have not."""
    return not path.name.startswith("_")


def module_name(path: Path) -> str:
    """Return a module's dotted name."""
    return ".".join(["fairseq_electra", *path.relative_to(PACKAGE).with_suffix("").parts])
