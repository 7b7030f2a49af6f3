"""How often each language is drawn, and which of its rows an epoch has."""

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from fairseq_electra.errors import InputError
from fairseq_electra.pretraining.languages import (
    LanguageSampling,
    check_alpha,
    language_folders,
    parse_languages,
    smoothed_shares,
    vocabulary_folder,
)
from tests.helpers.paths import ROOT

SIZES = (1000, 90, 7)


@pytest.mark.parametrize("alpha", [0, 0.3, 0.7, 1])
def test_smoothed_shares_are_those_of_the_formula(alpha):
    powers = [(size / 1097) ** alpha for size in SIZES]
    expected = [power / sum(powers) for power in powers]
    assert smoothed_shares(SIZES, alpha) == pytest.approx(expected, rel=1e-12)


def test_smoothed_shares_are_those_of_fairseq():
    from types import SimpleNamespace

    from fairseq.tasks.multilingual_masked_lm import MultiLingualMaskedLMTask

    task = SimpleNamespace(args=SimpleNamespace(multilang_sampling_alpha=0.4))
    theirs = MultiLingualMaskedLMTask._get_sample_prob(task, np.array(SIZES))
    assert smoothed_shares(SIZES, 0.4) == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize("sizes", [SIZES, (1,), (1, 1, 1), (1, 10**6), (5, 5, 5, 6)])
@pytest.mark.parametrize("alpha", [0, 0.3, 0.7, 1])
def test_smoothed_counts_fill_the_epoch_and_are_rounded_shares(sizes, alpha):
    counts = LanguageSampling.smoothed(sizes, alpha, seed=1).counts
    assert sum(counts) == sum(sizes)
    assert all(
        count > 0 and abs(count - share * sum(sizes)) < 1
        for count, share in zip(counts, smoothed_shares(sizes, alpha), strict=True)
    )
    if alpha == 1:
        assert counts == sizes


@pytest.mark.parametrize("alpha", [0, 0.5, 1])
def test_rows_of_any_number_of_epochs_are_drawn_equally_often(alpha):
    sampling = LanguageSampling.smoothed(SIZES, alpha, seed=3)
    seen = [Counter(dict.fromkeys(range(size), 0)) for size in SIZES]
    for epoch in range(1, 8):
        parts = np.split(sampling.rows_of(epoch), sampling.bounds[1:-1])
        assert tuple(map(len, parts)) == sampling.counts
        for language, (rows, size, count) in enumerate(zip(parts, SIZES, sampling.counts, strict=True)):
            seen[language].update(rows.tolist())
            times = seen[language].values()
            assert len(times) == size and sum(times) == epoch * count
            assert max(times) - min(times) <= 1


def test_rows_of_a_large_language_differ_from_epoch_to_epoch_until_it_is_read():
    sampling = LanguageSampling((10, 1000), (700, 310), seed=1)
    epochs = [set(sampling.rows_of(epoch)[700:].tolist()) for epoch in (1, 2, 3)]
    assert all(len(rows) == 310 for rows in epochs)
    assert not any(one & other for one, other in itertools.combinations(epochs, 2))


def test_rows_of_an_epoch_depend_on_the_seed_and_nothing_else():
    first, again, other = (LanguageSampling(SIZES, (500, 400, 197), seed=seed) for seed in (1, 1, 2))
    assert (first.rows_of(5) == again.rows_of(5)).all()
    assert (first.rows_of(5) != other.rows_of(5)).mean() > 0.9
    # two languages of one size have orders of their own
    rows = LanguageSampling((500, 500), (500, 500), seed=1).rows_of(1)
    assert (rows[:500] != rows[500:]).mean() > 0.9


def test_the_table_of_the_page_is_what_is_drawn():
    page = (ROOT / "docs" / "how-to" / "languages.md").read_text(encoding="utf-8")
    for alpha in (0.7, 0.5, 0):
        counts = LanguageSampling.smoothed((800_000, 150_000, 50_000), alpha, seed=1).counts
        assert f"| at {alpha} | {' | '.join(f'{count:,}' for count in counts)} |\n" in page


def test_parse_languages_reads_names_between_commas():
    assert parse_languages("en,zh-Hans,pt_BR") == ("en", "zh-Hans", "pt_BR") and parse_languages(None) == ()


@pytest.mark.parametrize(
    ("names", "part"),
    [
        ("en,", "'' cannot name a language"),
        ("", "'' cannot name a language"),
        ("en, ko", "' ko' cannot name a language"),
        ("en/us", "'en/us' cannot name a language, since it names a folder too; use letters, digits"),
        ("en,..", "'..' cannot name a language"),
        ("en,ko,en", "--languages en,ko,en: en stands there twice"),
    ],
)
def test_parse_languages_refuses_what_is_no_folder(names, part):
    with pytest.raises(InputError, match="^" + part.replace("..", r"\.\.")):
        parse_languages(names)


@pytest.mark.parametrize("alpha", [-0.1, 1.01, float("nan")])
def test_check_alpha_refuses_other_exponents(alpha):
    with pytest.raises(InputError, match=f"--sampling-alpha must lie between 0 and 1, got {alpha:g}"):
        check_alpha(alpha)


def test_folders_are_those_of_the_languages(tmp_path):
    data = str(tmp_path)
    assert language_folders("a:b", None) == [Path("a"), Path("b")]
    assert language_folders(data, "en,ko") == [tmp_path / "en", tmp_path / "ko"]
    assert vocabulary_folder(data, None) == tmp_path and vocabulary_folder(data, "en,ko") == tmp_path / "en"
    (tmp_path / "dict.txt").write_text("")
    assert vocabulary_folder(data, "en,ko") == tmp_path
