"""Check a built site: every link of every page has a target in it, and nothing is fetched from elsewhere.

python -m docs.make.check site
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

FETCHED = {
    ("script", "src"),
    ("link", "href"),
    ("img", "src"),
    ("iframe", "src"),
    ("source", "src"),
    ("object", "data"),
}
LINKED = FETCHED | {("a", "href")}


class References(HTMLParser):
    """What a page refers to, and the anchors it has."""

    def __init__(self, text: str):
        super().__init__()
        self.found: list[tuple[str, str, str]] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take a tag's references and anchors."""
        for name, value in attrs:
            if value and (tag, name) in LINKED:
                self.found.append((tag, name, value))
            if value and name in ("id", "name"):
                self.anchors.add(value)


def faults(site: Path) -> list[str]:
    """List what is wrong with a site, a line for each fault."""
    pages = {path: References(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    return [
        f"{path.relative_to(site)}: {fault}" for path in pages for fault in page_faults(path, site, pages)
    ]


def page_faults(path: Path, site: Path, pages: dict[Path, References]) -> list[str]:
    """List what is wrong with a page."""
    found = []
    for tag, name, value in pages[path].found:
        parts = urlsplit(value)
        if parts.scheme or parts.netloc:
            if (tag, name) in FETCHED and parts.scheme != "data":
                found.append(f"fetches {value}")
            continue
        target = path.parent / unquote(parts.path) if parts.path else path
        if parts.path.startswith("/"):
            target = site / unquote(parts.path[1:])
        target = target.resolve()
        target = target / "index.html" if target.is_dir() else target
        if not target.is_file():
            found.append(f"no file for {value}")
        elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
            found.append(f"no anchor for {value}")
    return found


def main(arguments: list[str]) -> int:
    """Check the site in a folder; returns the exit status."""
    found = faults(Path(arguments[0]).resolve())
    for line in found:
        print(line, file=sys.stderr)
    if not found:
        print(f"{arguments[0]}: every link has a target, and nothing is fetched from elsewhere")
    return min(1, len(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
