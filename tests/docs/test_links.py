"""Links in the site lead where they lead in the repository."""

import pytest

from docs.make import links

KNOWN = {"index.md", "sizes.md", "how-to/text.md", "examples/glue/README.md", "CONTRIBUTING.md"}


@pytest.mark.parametrize(
    ("source", "text", "expected"),
    [
        ("how-to/text.md", "[x](../sizes.md#a)", "[x](../sizes.md#a)"),
        ("how-to/text.md", "[x](../../examples/glue/README.md#b)", "[x](../examples/glue/README.md#b)"),
        ("examples/glue/README.md", "[x](../../docs/how-to/text.md)", "[x](../../how-to/text.md)"),
        ("examples/glue/README.md", "[x](../../README.md)", "[x](../../index.md)"),
        ("CONTRIBUTING.md", "[x](docs/sizes.md)", "[x](sizes.md)"),
        ("sizes.md", "![x](../examples/glue/README.md)", "![x](examples/glue/README.md)"),
        ("sizes.md", "[the script](../scripts/tables.sh)", "the script"),
        (
            "sizes.md",
            "[x](https://arxiv.org/abs/2003.10555) [y](#z) [w](absent.md)",
            "[x](https://arxiv.org/abs/2003.10555) [y](#z) [w](absent.md)",
        ),
    ],
)
def test_mended_points_links_at_the_sites_files(source, text, expected):
    assert links.mended(text, source, KNOWN) == expected


def test_published_files_has_pages_and_their_data():
    found = set(links.published_files())
    assert {
        "CHANGELOG.md",
        "examples/glue/README.md",
        "examples/glue/results.json",
        "examples/pretraining/curves.png",
    } <= found
    assert not any(path.endswith(".py") for path in found)


def test_mended_page_leaves_blocks_of_code_alone():
    text = "[x](../sizes.md)\n```python\na[0](../../examples/glue/README.md)\n```\n[x](../../README.md)\n"
    assert links.mended_page(text, "how-to/text.md", KNOWN) == text.replace("../../README.md", "../index.md")
