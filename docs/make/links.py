"""Links between pages: from where a file lies in the repository to where its copy lies in the site."""

import os
import re
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[2]
PUBLISHED = (
    *("CHANGELOG.md", "CONTRIBUTING.md", "examples/**/*.md"),
    *("examples/**/*.json", "examples/**/*.csv", "examples/**/*.png", "examples/**/*.yaml"),
)
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.M | re.S)


def mended_page(markdown: str, source: str, known: set[str]) -> str:
    """Mend the links of a page as :func:`mended` does; those within blocks of code are left alone."""
    parts, end = [], 0
    for fence in FENCE.finditer(markdown):
        parts += [mended(markdown[end : fence.start()], source, known), fence[0]]
        end = fence.end()
    return "".join([*parts, mended(markdown[end:], source, known)])


def published_files() -> list[str]:
    """List the repository's files that become part of the site, as paths from its root."""
    found = {path.relative_to(ROOT).as_posix() for pattern in PUBLISHED for path in ROOT.glob(pattern)}
    return sorted(found)


def mended(text: str, source: str, known: set[str]) -> str:
    """Point the links of a text at the site's files.

    Args:
        text: Markdown.
        source: the page's path in the site.
        known: paths of the site's files.
    """

    def mend(found: re.Match) -> str:
        image, label, target = found.groups()
        if re.match(r"[a-z]+:|#", target):
            return found[0]
        path, mark, anchor = target.partition("#")
        wanted = site_path(source, path)
        if wanted not in known:
            return label if is_in_repository(source, path) else found[0]  # MkDocs reports the others
        relative = os.path.relpath(wanted, PurePosixPath(source).parent)
        return f"{image}[{label}]({relative}{mark}{anchor})"

    return LINK.sub(mend, text)


def repository_path(source: str) -> PurePosixPath:
    """Return where a page of the site lies in the repository."""
    outside = source.startswith("examples/") or source in PUBLISHED
    return PurePosixPath(source) if outside else PurePosixPath("docs") / source


def linked_path(source: str, path: str) -> str:
    """Return the repository's path that a link leads to; it may be that of a folder or of nothing."""
    return os.path.normpath(repository_path(source).parent / path)


def site_path(source: str, path: str) -> str:
    """Return the site's path that a link should lead to."""
    linked = linked_path(source, path)
    if linked == "README.md":
        return "index.md"
    return linked.removeprefix("docs/")


def is_in_repository(source: str, path: str) -> bool:
    """Tell whether a link leads to a file or folder of the repository outside ``docs/``."""
    linked = linked_path(source, path)
    return not linked.startswith(("docs/", "..")) and (ROOT / linked).exists()
