"""A training on several languages: what its batches hold, and how it resumes."""

import shutil
from collections import Counter

import numpy as np
import pytest
import torch

from fairseq_electra.errors import InputError
from fairseq_electra.pretraining.batches import MaskedRows
from fairseq_electra.pretraining.diagnosis import token_counts
from tests.helpers.language_folder import IDS, language_of, write_languages

OPTIONS = [{}, {"pack": True, "tokens_per_sample": 128}, {"rows": "blocks"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, vocabulary):
    return write_languages(tmp_path_factory.mktemp("languages") / "data-bin", vocabulary)


@pytest.fixture(scope="module")
def make_mixture(folder, make_task):
    """Build the task of three languages, with changes."""
    return lambda **changes: make_task(
        **{"data": str(folder), "languages": "en,ko,zh", "sampling_alpha": 0.5} | changes
    )


def originals(sample: dict) -> np.ndarray:
    """Return the rows of a batch as they were before they were masked."""
    inputs = sample["net_input"]
    rows, slots = (inputs["target"] != 1).nonzero(as_tuple=True)
    tokens = inputs["src_tokens"].clone()
    tokens[rows, inputs["masked_positions"][rows, slots].long()] = inputs["target"][rows, slots].to(
        tokens.dtype
    )
    return tokens.numpy()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_load_dataset_gives_rows_of_one_language_in_smoothed_shares(make_mixture, make_task, folder, options):
    dataset = make_mixture(**options).load_dataset("train")
    sizes = [
        len(make_task(data=f"{folder}/{name}", **options).load_dataset("train"))
        for name in ("en", "ko", "zh")
    ]
    roots = [size**0.5 for size in sizes]
    assert len(dataset) == sum(sizes)
    for epoch in (1, 2):
        dataset.set_epoch(epoch)
        tokens = originals(dataset.collater(np.arange(len(dataset))))
        counts = Counter(language_of(row) for row in tokens)
        for name, root in zip(IDS, roots, strict=True):
            assert abs(counts[name] - sum(sizes) * root / sum(roots)) < 1


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_collater_gives_each_language_the_rows_that_it_has_alone(make_mixture, make_task, folder, options):
    dataset = make_mixture(**options).load_dataset("train")
    alone = [
        make_task(data=f"{folder}/{name}", **options).load_dataset("train") for name in ("en", "ko", "zh")
    ]
    dataset.set_epoch(3)
    drawn = dataset.sampling.rows_of(3)
    numbers = np.random.default_rng(1).permutation(len(dataset))[:40]
    sample = dataset.collater(numbers)
    for row, number in enumerate(numbers):
        language = int(np.searchsorted(dataset.sampling.bounds, number, side="right")) - 1
        one = alone[language].collater(drawn[number : number + 1])
        assert (originals(sample)[row] == originals(one)[0]).all()
        for name in ("segment_ids", "padding_mask"):
            assert torch.equal(sample["net_input"][name][row], one["net_input"][name][0])
        if "document_ends" in sample["net_input"]:
            ends = [each["net_input"]["document_ends"][i] for each, i in ((sample, row), (one, 0))]
            assert ends[0].unique().tolist() == ends[1].unique().tolist()


def test_collater_masks_a_repeated_row_in_two_ways(make_mixture):
    dataset = make_mixture().load_dataset("train")
    rows, start = dataset.sampling.rows_of(1), dataset.sampling.bounds[2]
    repeated = start + np.flatnonzero(rows[start:] == rows[start])
    assert len(repeated) > 2
    sample = dataset.collater(repeated)
    tokens = originals(sample)
    assert (tokens == tokens[0]).all()
    masks = {tuple(row) for row in sample["net_input"]["masked_positions"].tolist()}
    assert len(masks) == len(repeated)


def read(task, workers=0, batches=None, processes=1, state=None, epoch=1):
    """Read so many batches of an epoch by each process; returns their tensors, and the state then."""
    found, state_then = [], None
    for rank in range(processes):
        task.dataset_to_epoch_iter = {}
        dataset = task.load_dataset("train")
        itr = task.get_batch_iterator(
            dataset,
            max_sentences=8,
            num_workers=workers,
            num_shards=processes,
            shard_id=rank,
            seed=1,
            epoch=state["epoch"] if state else epoch,
        )
        if state:
            itr.load_state_dict(state)
        found.append([])
        for number, sample in enumerate(itr.next_epoch_itr(), start=1):
            if sample and (batches is None or number <= batches):
                found[-1].append({"id": sample["id"], **sample["net_input"]})
            if number == batches:
                state_then = itr.state_dict()
        if workers:  # which garbage collection would wait for, ten seconds
            itr.dataloader._iterator._shutdown_workers()
    return found, state_then


@pytest.mark.parametrize(("workers", "processes"), [(0, 1), (0, 2), (2, 1)])
@pytest.mark.parametrize("options", OPTIONS[:2], ids=str)
def test_an_epoch_that_is_resumed_is_the_undisturbed_one(make_mixture, options, workers, processes):
    whole, _ = read(make_mixture(**options), processes=processes, epoch=2)
    before, state = read(make_mixture(**options), workers, 2, processes, epoch=2)
    after, _ = read(make_mixture(**options), workers, None, processes, state)
    assert state["epoch"] == 2
    for expected, first, rest in zip(whole, before, after, strict=True):
        assert len(first) == 2 and len(rest) > 0 and len(first + rest) == len(expected)
        for one, other in zip(expected, first + rest, strict=True):
            assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_an_epoch_that_other_processes_resume_reads_the_rows_that_are_left(make_mixture):
    task = make_mixture()
    before, state = read(task, 0, 2, epoch=2)
    after, _ = read(make_mixture(), 0, None, 2, state)
    ids = [number for batches in before + after for batch in batches for number in batch["id"].tolist()]
    assert sorted(ids) == list(range(len(task.datasets["train"])))


def test_first_ids_have_the_languages_in_the_shares_of_an_epoch(make_mixture):
    task = make_mixture()
    dataset = task.load_dataset("train")
    ids = dataset.first_ids(6000)
    assert abs(len(ids) - 6000) <= 2
    counts = token_counts(ids, task.dictionary)
    shares = [counts[first:end].sum() / counts.sum() for first, end in IDS.values()]
    expected = [count / len(dataset) for count in dataset.sampling.counts]
    assert shares == pytest.approx(expected, abs=0.01)


def test_token_probs_are_those_of_the_smoothed_mixture(make_mixture):
    probs = make_mixture().data.token_probs("unigram")
    corpora = [len(part.corpus.ids) for part in make_mixture().load_dataset("train").languages]
    roots = [size**0.5 for size in corpora]
    shares = [float(probs[first:end].sum()) for first, end in IDS.values()]
    assert shares == pytest.approx([root / sum(roots) for root in roots], abs=0.01)
    assert float(probs.sum()) == pytest.approx(1)


def test_the_mixture_is_judged_by_its_own_unigram_baseline(make_mixture):
    task = make_mixture()
    for split in ("en/valid", "zh/valid", "train"):
        dataset = task.load_dataset(split)
    counts = token_counts(dataset.first_ids(None), task.dictionary)
    assert task.diagnosis.unigram.keys() == {"train"}
    assert task.diagnosis.unigram["train"].accuracy == pytest.approx(counts.max() / counts.sum())


def test_one_language_is_the_run_on_its_folder(make_mixture, make_task, folder):
    plain = make_task(data=f"{folder}/en")
    ours = make_mixture(languages="en")
    for split in ("train", "valid"):
        one, other = plain.load_dataset(split), ours.load_dataset(split)
        assert type(other) is MaskedRows
        assert len(one) == len(other)
        samples = [dataset.collater(range(len(one))) for dataset in (one, other)]
        assert samples[0].keys() == samples[1].keys()
        for left, right in zip(*(sample.values() for sample in samples), strict=True):
            torch.testing.assert_close(left, right, rtol=0, atol=0)
    assert ours.masked_share.value == plain.masked_share.value
    assert ours.diagnosis.unigram == plain.diagnosis.unigram


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"languages": "en,fr"}, "no such data folder: "),
        ({"sampling_alpha": 1.5}, "--sampling-alpha must lie between 0 and 1, got 1.5"),
        ({"languages": None}, "--sampling-alpha needs --languages"),
        ({"languages": "en,k/o"}, "'k/o' cannot name a language"),
        ({"data": "a:b"}, "--languages are folders in one data folder, got a:b"),
    ],
)
def test_languages_that_cannot_be_read_are_refused(make_mixture, changes, part):
    with pytest.raises(InputError, match="^" + part):
        make_mixture(**changes).load_dataset("train")


def test_a_validation_of_no_language_is_refused_with_the_option_to_give(make_mixture):
    with pytest.raises(InputError, match="give --valid-subset en/valid,ko/valid,zh/valid, or"):
        make_mixture().load_dataset("valid")
    with pytest.raises(InputError, match=r"fr/valid: .* give --valid-subset en/valid,ko/valid,zh/valid, or"):
        make_mixture().load_dataset("fr/valid")
    with pytest.raises(InputError, match=r"no .*/ko/test\.idx, the folder holds train, valid; .* --testpref"):
        make_mixture().load_dataset("ko/test")
    assert len(make_mixture().load_dataset("ko/valid")) > 0


def test_a_language_without_text_or_of_another_vocabulary_is_refused(tmp_path, folder, make_mixture):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "ko" / "dict.txt").write_text("other 1\n")
    with pytest.raises(InputError, match=r"/ko has another dict.txt than .*/en; encode both with one"):
        make_mixture(data=str(copy)).load_dataset("train")
    for end in ("bin", "idx"):
        (copy / "zh" / f"train.{end}").unlink()
    with pytest.raises(InputError, match=r"no .*zh/train\.idx; make the data again"):
        make_mixture(data=str(copy), languages="en,zh").load_dataset("train")
