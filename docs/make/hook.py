"""MkDocs hook: adds the pages that are made from the code and the pages that lie outside ``docs/``, and mends links between them.

A link in a page leads to the file where it lies in the repository, so that it also works where the pages are read as they are. In the
site a link to a published file leads to its copy; a link to any other file of the repository becomes plain text.
"""

import os
import re
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docs.make import api, options

ROOT = Path(__file__).parents[2]
PUBLISHED = ("CHANGELOG.md", "CONTRIBUTING.md", "examples/**/*.md", "examples/**/*.json", "examples/**/*.csv", "examples/**/*.png")
PUBLISHED += ("examples/**/*.yaml",)
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.M | re.S)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the made pages, and the files of the repository that pages link to."""
    for name, text in {**options.pages(), **api.pages()}.items():
        files.append(File.generated(config, name, content=text))
    for path in published_files():
        content = (ROOT / path).read_bytes()
        files.append(File.generated(config, path, content=content if path.endswith(".png") else content.decode("utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Mend the links of a page; those within blocks of code are left alone."""
    known = {file.src_uri for file in files}
    parts, end = [], 0
    for fence in FENCE.finditer(markdown):
        parts += [mended(markdown[end : fence.start()], page.file.src_uri, known), fence[0]]
        end = fence.end()
    return "".join([*parts, mended(markdown[end:], page.file.src_uri, known)])


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
