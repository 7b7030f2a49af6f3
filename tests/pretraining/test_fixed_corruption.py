"""The yardstick: corruptions that know nothing of the run whose discriminator they measure."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from fairseq_electra.cli.corrupt import rows_by_generator
from fairseq_electra.errors import InputError
from fairseq_electra.pretraining import fixed_corruption
from fairseq_electra.pretraining.binarized import Binarized, open_binarized
from fairseq_electra.pretraining.fixed_corruption import (
    Corruption,
    corrupt_by_frequency,
    corrupt_by_rows,
    load_corruption,
    load_replacements,
    save_corruption,
    save_replacements,
)

FIRST, MASK, EOS = 4, 40, 2


def text(number=400_000):
    """Ids by Zipf's law, a line end here and there."""
    generator = np.random.default_rng(1)
    weights = 1 / np.arange(1, MASK - FIRST + 1)
    ids = generator.choice(np.arange(FIRST, MASK), number, p=weights / weights.sum()).astype(np.uint16)
    ids[generator.random(number) < 0.03] = EOS
    ids[generator.random(number) < 0.01] = MASK  # none of a real text; must never be drawn
    ids[-1] = EOS
    return ids


def test_replacements_are_drawn_as_often_as_pieces_occur():
    ids = text()
    corrupted = corrupt_by_frequency(ids, FIRST, MASK)
    drawn = np.bincount(corrupted[corrupted != ids], minlength=MASK)[FIRST:]
    counts = np.bincount(ids, minlength=MASK)[FIRST:MASK]
    # a draw of piece p changes the text unless p stands there: its share among the changes is p (1 - p)
    share = counts / counts.sum()
    expected = share * (1 - share)
    assert chisquare(drawn, expected / expected.sum() * drawn.sum()).pvalue > 1e-3
    changed = (corrupted != ids)[(ids >= FIRST) & (ids < MASK)].mean()
    assert changed == pytest.approx(0.15 * (1 - (share**2).sum()), abs=0.003)


def test_special_symbols_stay_and_are_never_drawn():
    ids = text()
    corrupted = corrupt_by_frequency(ids, FIRST, MASK)
    special = (ids < FIRST - 1) | (ids == MASK)
    assert (corrupted[special] == ids[special]).all()
    assert ((corrupted[~special] >= FIRST) & (corrupted[~special] < MASK)).all()
    assert corrupted.dtype == ids.dtype


def test_it_is_the_same_every_time_and_the_draws_do_not_depend_on_what_comes_later():
    ids = text(10_000)
    assert (corrupt_by_frequency(ids, FIRST, MASK) == corrupt_by_frequency(ids, FIRST, MASK)).all()
    twice = np.concatenate([ids, ids])  # the same frequencies
    assert (
        corrupt_by_frequency(twice, FIRST, MASK)[: len(ids)] == corrupt_by_frequency(ids, FIRST, MASK)
    ).all()


def test_rows_are_put_together_again(data_bin):
    corpus = open_binarized(data_bin / "valid", 1000)

    def add_one(tokens, rows):
        return np.where(tokens > 3, (tokens + rows[:, None]) % 900 + 4, tokens)

    corrupted = corrupt_by_rows(corpus, add_one)
    assert ((corrupted == EOS) == (corpus.ids == EOS)).all()
    assert (corrupted[corpus.ids == 3] == 3).all()
    rows = fixed_corruption.build_rows(corpus.line_sizes, fixed_corruption.ROW_LENGTH, pairs=False)
    for row in (0, 7, len(rows) - 1):
        span = slice(rows.start[row], rows.start[row] + rows.num_ids[row])
        before = corpus.ids[span].astype(int)
        assert (corrupted[span] == np.where(before > 3, (before + row) % 900 + 4, before)).all()


def test_a_generator_never_writes_what_is_no_text(make_task, make_model):
    task = make_task()
    model, mask = make_model(task).eval(), len(task.source_dictionary) - 1
    no_text = torch.tensor([*range(FIRST - 1), mask])
    with torch.no_grad():  # as if it were sure of them everywhere
        model.generator_head.bias[no_text] = 50.0
    rows = np.random.default_rng(1).integers(5, 50, (8, 128))
    corrupted = rows_by_generator(model, task.source_dictionary)(rows, np.arange(8))
    assert (corrupted != rows).any() and not np.isin(corrupted, no_text.numpy()).any()


def test_a_corruption_with_other_lines_than_the_text_is_refused(tmp_path):
    ids = text(2000)
    corpus = Binarized(ids, np.array([2000]))
    for place, token in ((np.flatnonzero(ids != EOS)[7], EOS), (np.flatnonzero(ids == EOS)[7], FIRST)):
        corrupted = ids.copy()
        corrupted[place] = token
        save_corruption(tmp_path / "valid", corpus, corrupted, "a generator")
        save_replacements(tmp_path / "judge.npz", corpus, Corruption(corrupted, "a generator"))
        for load in (
            partial(load_corruption, tmp_path / "valid"),
            partial(load_replacements, tmp_path / "judge.npz", vocabulary_size=1000),
        ):
            with pytest.raises(InputError, match=r"npz has other lines than the text \(.* added: 1\)"):
                load(corpus=corpus)


def test_replacements_corrupt_the_same_text_again_and_no_other(tmp_path):
    ids = text(2000)
    corpus = Binarized(ids, np.array([2000]))
    corruption = Corruption(corrupt_by_frequency(ids, FIRST, MASK), "a generator")
    path = tmp_path / "judge.npz"
    save_replacements(path, corpus, corruption)
    found = load_replacements(path, corpus, 1000)
    assert (found.ids == corruption.ids).all() and found.ids.dtype == ids.dtype
    assert found.generator == "a generator"
    with np.load(path) as file:  # nothing of the text is in it
        assert len(file["replacements"]) == len(file["gaps"]) == (corruption.ids != ids).sum() > 100
    one = save_corruption(tmp_path / "a", corpus, *corruption).read_bytes()
    assert save_corruption(tmp_path / "b", corpus, *found).read_bytes() == one
    with pytest.raises(InputError, match="belongs to another text"):
        load_replacements(path, Binarized(ids[::-1].copy(), np.array([2000])), 1000)
    with np.load(path) as file:
        saved = dict(file)
    gaps, replacements = saved["gaps"].astype(np.int64), saved["replacements"].astype(np.int64)
    for wrong in (
        {"replacements": replacements[1:]},
        {"replacements": np.where(replacements == replacements[0], 1000, replacements)},
        {"replacements": -replacements},
        {"gaps": np.append(gaps[:-1], 2000)},
        {"gaps": np.append(gaps[:-1], 0)},
        {"gaps": gaps + 0.5},
        {"gaps": np.append(-gaps[:1], gaps[1:])},
    ):
        np.savez(tmp_path / "wrong.npz", **{**saved, **wrong})
        with pytest.raises(InputError, match=r"wrong.npz is damaged: it has other places or ids"):
            load_replacements(tmp_path / "wrong.npz", corpus, 1000)
    for damaged in (path.read_bytes()[:200], one):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="is no file of replacements, or is damaged"):
            load_replacements(path, corpus, 1000)


def test_a_saved_corruption_comes_back_and_one_of_another_text_is_refused(tmp_path):
    ids = text(2000)
    corpus, corrupted = Binarized(ids, np.array([2000])), corrupt_by_frequency(ids, FIRST, MASK)
    assert load_corruption(tmp_path / "valid", corpus) is None
    path = save_corruption(tmp_path / "valid", corpus, corrupted, "a generator")
    found, name = load_corruption(tmp_path / "valid", corpus)
    assert (found == corrupted).all() and found.dtype == ids.dtype and name == "a generator"
    with pytest.raises(InputError, match="another text"):
        load_corruption(tmp_path / "valid", Binarized(ids[::-1].copy(), np.array([2000])))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="is damaged"):
        load_corruption(tmp_path / "valid", corpus)


@pytest.mark.parametrize("kind", ["corruption", "replacements"])
def test_a_file_with_one_wrong_byte_is_refused_or_says_the_same(tmp_path, kind):
    ids = text(2000)
    corpus = Binarized(ids, np.array([2000]))
    corruption = Corruption(corrupt_by_frequency(ids, FIRST, MASK), "a generator")
    if kind == "corruption":
        path = save_corruption(tmp_path / "valid", corpus, *corruption)
        load = partial(load_corruption, tmp_path / "valid", corpus)
    else:
        path = tmp_path / "judge.npz"
        load = partial(load_replacements, path, corpus, 1000)
        save_replacements(path, corpus, corruption)
    whole, refused = path.read_bytes(), 0
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            found = load()
        except InputError:
            refused += 1
        else:
            assert (found.ids == corruption.ids).all()
    assert refused > 20
