"""MkDocs hook: adds pages from the code and from outside ``docs/``, and corrects the links between pages.

A link in a page leads to the file where it lies in the repository, so that it also works where the pages are
read as they are. In the site a link to a published file leads to its copy; a link to any other file of the
repository becomes plain text.
"""

import json
import re
import subprocess
import sys
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docs.make import api, links


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List in the navigation the pages of the folders that it names."""
    assert config.nav is not None
    config.nav = with_pages(config.nav, {*api.pages(), *links.published_files()})
    return config


def with_pages(nav: list[Any], paths: set[str]) -> list[Any]:
    """Replace each folder in a navigation (a path that ends with a slash) by its pages, its index first."""
    found: list[Any] = []
    for entry in nav:
        title, value = next(iter(entry.items())) if isinstance(entry, dict) else ("", entry)
        if isinstance(value, list):
            found.append({title: with_pages(value, paths)})
        elif value.endswith("/"):
            pages = sorted(
                path
                for path in paths
                if path.startswith(value) and path.endswith(".md") and "model_card" not in path
            )
            found.append(
                {title: sorted(pages, key=lambda path: path not in (f"{value}index.md", f"{value}README.md"))}
            )
        else:
            found.append(entry)
    return found


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the made pages, and the files of the repository that pages link to."""
    # in a process of its own: fairseq changes how a process logs
    listed = subprocess.run(
        [sys.executable, "-m", "docs.make.options"], cwd=links.ROOT, stdout=subprocess.PIPE, check=True
    ).stdout
    for name, text in {**json.loads(listed), **api.pages()}.items():
        files.append(File.generated(config, name, content=text))
    for path in links.published_files():
        content = (links.ROOT / path).read_bytes()
        files.append(
            File.generated(
                config, path, content=content if path.endswith(".png") else content.decode("utf-8")
            )
        )
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Mend the links of a page."""
    return links.mended_page(markdown, page.file.src_uri, {file.src_uri for file in files})


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Leave out the roles that docstrings put before names, such as ``:func:``."""
    return re.sub(r":(?:func|class|data|meth|mod|attr|const):(?=<code>)", "", html)
