"""What the documentation is made from: tables of options, costs, figures, links."""

import argparse
import re

import pytest

from docs.make import api, check, costs, figures, options, picture
from fairseq_electra.electra.size_table import MODEL_SIZES
from fairseq_electra.models.electra import ElectraConfig
from fairseq_electra.tasks._pretraining_options import ElectraPretrainingConfig
from tests.helpers.paths import ROOT


def test_dataclass_options_lists_default_and_choices_and_leaves_out_links():
    rows = {row.name: row for row in options.dataclass_options(ElectraPretrainingConfig)}
    assert (
        rows["`DATA`"].default == ""
        and rows["`--mask-prob`"].default == "`0.15`"
        and rows["`--pack`"].default == "off"
    )
    assert (
        rows["`--rows`"].help.endswith("one of `pairs`, `blocks`")
        and "&lt;s>" in rows["`--tokens-per-sample`"].help
    )
    assert not {"`--seed`", "`--bf16`", "`---name`"} & set(rows)
    assert (
        "one of " + ", ".join(f"`{size}`" for size in MODEL_SIZES)
        in {row.name: row for row in options.dataclass_options(ElectraConfig)}["`--model-size`"].help
    )


def test_parser_options_lists_positional_and_named_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("data", metavar="DATA", help="a folder")
    parser.add_argument("-n", "--number", type=int, default=3, help="how many | (default %(default)s)")
    parser.add_argument("--kind", choices=["a", "b"], help="which")
    found = options.parser_options(parser)[1:]  # behind --help
    assert found[0] == ("`DATA`", "", "a folder") and found[1] == (
        "`-n`, `--number`",
        "`3`",
        "how many \\| (default 3)",
    )
    assert found[2] == ("`--kind`", "", "which; one of a, b")


def test_escaped_writes_options_as_code_and_keeps_signs():
    given = "a <s> | of ``--pack x`` or --mask-prob, --no-* and -- ARGS"
    assert options.escaped(given) == "a &lt;s> \\| of `--pack x` or `--mask-prob`, `--no-`\\* and -- ARGS"


def test_command_modules_finds_every_command():
    from fairseq_electra.cli import commands

    assert {name for name, _ in options.command_modules()} == set(commands())


@pytest.mark.parametrize(
    ("block", "code"),
    [
        ("fairseq-electra plot train.log --output curves.png", True),
        ('echo "a" | fairseq-electra detect checkpoints', True),
        ("    fairseq-electra quickstart", True),
        ("slurm             srun fairseq-electra launch", True),
        ("fairseq-train itself imports this package only where --user-dir names its folder.", False),
        ("Text is one paragraph a line.", False),
    ],
)
def test_is_code_tells_commands_from_sentences(block, code):
    assert options.is_code(block) == code


def test_api_pages_have_every_public_module_and_no_private_one():
    found = set(re.findall(r"^::: (\S+)", "".join(api.pages().values()), re.M))
    assert {"fairseq_electra.electra.masking", "fairseq_electra.models.electra"} < found
    assert not any("._" in name for name in found)


def test_the_page_on_memory_and_hours_has_the_tables_that_are_computed():
    page = (ROOT / "docs" / "how-to" / "memory-and-hours.md").read_text(encoding="utf-8")
    for table in (costs.size_table(), costs.hours_table(), costs.measured_lines()):
        assert table in page


def test_as_paper_gives_the_published_flops():
    """Clark et al. 2020, tables 1 and 2, by their script: 1.29e18, 6.42e19 and 7.12e20."""
    assert [f"{costs.as_paper(training):.2e}" for training in costs.TRAININGS] == [
        "1.29e+18",
        "6.42e+19",
        "7.12e+20",
    ]


def test_networks_are_those_of_the_archs():
    discriminator, generator = costs.networks("base")
    assert discriminator == MODEL_SIZES["base"].arch_encoder and generator.hidden_size == 256


@pytest.mark.parametrize("name", figures.FIGURES)
def test_figures_are_those_that_are_drawn(name):
    assert (figures.FOLDER / f"{name}.svg").read_text(encoding="utf-8") == figures.FIGURES[name]()


@pytest.mark.parametrize("size", MODEL_SIZES)
def test_compute_shares_add_up_to_one(size):
    assert sum(figures.compute_shares(size)) == pytest.approx(1) and min(figures.compute_shares(size)) > 0


def test_readme_shows_all_sentences_that_were_tried_with_the_scores_of_both_words():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"```\n{picture.picture()}\n```" in readme
    caption = " ".join(readme[: readme.index("## Install")].split()).lower()
    for original, score, instead in picture.exchanged():
        assert f"{score} ({original})" in caption and instead in caption


def write(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_faults_finds_lost_files_and_anchors_and_what_is_fetched(tmp_path):
    write(
        tmp_path,
        "index.html",
        '<a href="other/">x</a><a href="other/#here">x</a><a href="https://arxiv.org">x</a><img'
        ' src="data:x">',
    )
    write(tmp_path, "other/index.html", '<h2 id="here">x</h2><a href="../">x</a>')
    assert check.faults(tmp_path) == []
    write(
        tmp_path,
        "bad.html",
        '<a href="absent/">x</a><a href="other/#lost">x</a><script src="https://cdn.example/x.js"></script>',
    )
    assert check.faults(tmp_path) == [
        "bad.html: no file for absent/",
        "bad.html: no anchor for other/#lost",
        "bad.html: fetches https://cdn.example/x.js",
    ]
    assert check.main([str(tmp_path)]) == 1


def anchors(page) -> set[str]:
    """What a page's headings can be linked by."""
    headings = re.findall(r"^#+ (.*)", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


def test_every_link_between_pages_leads_to_a_file_of_the_repository():
    """As the pages are read without the site: README, docs, examples."""
    pages = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "examples").rglob("README.md"),
    ]
    made = {
        "reference/training-options.md",
        "reference/fairseq-options.md",
        "reference/commands.md",
        "reference/api/index.md",
    }
    links = 0
    for page in pages:
        text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            path = target.partition("#")[0]
            if not path or re.match(r"[a-z]+:", path):
                continue
            wanted = (page.parent / path).resolve()
            links += 1
            assert wanted.exists() or wanted.relative_to(ROOT / "docs").as_posix() in made, (
                f"{page}: {target}"
            )
            anchor = target.partition("#")[2]
            assert not anchor or anchor in anchors(wanted), f"{page}: {target}"
    assert links > 100
