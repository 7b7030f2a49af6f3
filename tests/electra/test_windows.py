"""Layers whose tokens attend within a window: fast forms against the mask, padded and packed rows, counts."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fairseq_electra.electra.encoder import Encoder
from fairseq_electra.electra.fast import attention
from fairseq_electra.electra.fast.attention import DocumentBounds, attend, local_attention_mask
from fairseq_electra.electra.fast.windows import WindowBlocks
from fairseq_electra.electra.flops import Flops, encoder_flops, pairs_within
from fairseq_electra.electra.packed import PackedDocuments
from fairseq_electra.electra.scaled_dot_product import attend as attend_by_formula
from fairseq_electra.electra.scaled_dot_product import mask_to_add
from fairseq_electra.electra.sizes import EncoderSizes
from tests.helpers.small_model import randomize_parameters
from tests.reference import paper

SIZES = EncoderSizes(
    *(8, 16, 24, 3, 2), positions="rotary", dropout=0.0, attention_dropout=0.0, local_window=8, global_every=3
)


def made(sizes, view="row"):
    encoder = Encoder(sizes, view=view).double()
    randomize_parameters(encoder, std=0.3)
    return encoder


def vectors(rows, length):
    return [torch.randn(rows, length, 2, 4, dtype=torch.float64, requires_grad=True) for _ in range(3)]


@pytest.mark.parametrize("window", [2, 8, 64, 100])
@pytest.mark.parametrize("length", [131, 192, 290])
@pytest.mark.parametrize("rows", ["padded", "packed", "full"])
def test_blocks_are_the_mask_forward_and_backward(window, length, rows):
    padding = documents = None
    real = torch.ones(2, length, dtype=torch.bool)
    if rows == "padded":
        padding = torch.arange(length) >= torch.tensor([[length], [length // 2]])
        real = ~padding
    if rows == "packed":
        ends = torch.tensor([[40, 43, 128, length], [1, 100, length, length]], dtype=torch.int32)
        documents = PackedDocuments.of(ends, length)
    tensors, hidden = vectors(2, length), torch.zeros(2, length, 1, dtype=torch.float64)
    weight = torch.randn(2, length, 2, 4, dtype=torch.float64) * real[..., None, None]
    found = WindowBlocks.of(hidden, window, padding, documents).attend(*tensors, 0.0)
    expected = attend_by_formula(*tensors, mask_to_add(hidden, "row", padding, documents, window), 0.0)
    assert (found - expected)[real].abs().max() < 1e-12
    gradients = [torch.autograd.grad((each * weight).sum(), tensors) for each in (found, expected)]
    for one, other in zip(*gradients, strict=True):
        assert (one - other).abs().max() < 1e-12


def test_blocks_hold_scores_that_grow_with_the_length():
    counts = [WindowBlocks.of(torch.zeros(1, length, 1), 128).mask.numel() for length in (1024, 8192)]
    assert counts == [1024 * 192, 8192 * 192]


@pytest.mark.parametrize(
    ("length", "window", "form"), [(256, 128, torch.Tensor), (257, 128, WindowBlocks), (128, 8, torch.Tensor)]
)
def test_short_rows_have_a_mask_and_long_ones_blocks(length, window, form):
    assert isinstance(local_attention_mask(torch.zeros(1, length, 1), None, None, window), form)


def test_a_window_that_covers_the_row_is_full_attention_to_the_bit():
    embedded, padding = torch.randn(2, 12, 8), torch.arange(12)[None] >= torch.tensor([[12], [9]])
    local, whole = (Encoder(replace(SIZES, **changes)) for changes in ({"local_window": 22}, WHOLE))
    whole.load_state_dict(local.state_dict())
    assert torch.equal(local(embedded, padding), whole(embedded, padding))
    narrower = Encoder(replace(SIZES, local_window=20))
    narrower.load_state_dict(local.state_dict())
    assert not torch.equal(narrower(embedded, padding), whole(embedded, padding))


WHOLE = {"local_window": 0}


@pytest.mark.parametrize("long", [False, True], ids=["mask", "blocks"])
def test_padding_changes_nothing(monkeypatch, long):
    monkeypatch.setattr(attention, "BLOCKS_THAT_PAY", 0 if long else 4)
    encoder, embedded = made(SIZES), torch.randn(1, 40, 8, dtype=torch.float64)
    alone = encoder(embedded, torch.zeros(1, 40, dtype=torch.bool))
    padded = encoder(F.pad(embedded, (0, 0, 0, 30)), torch.arange(70)[None] >= 40)
    assert (padded[:, :40] - alone).abs().max() < 1e-12


@pytest.mark.parametrize(
    ("short", "blocks"), [(256, False), (256, True), (16, True)], ids=["mask", "blocks", "buckets, blocks"]
)
def test_packed_documents_are_as_they_are_alone(monkeypatch, short, blocks):
    monkeypatch.setattr(attention, "BLOCKS_THAT_PAY", 0 if blocks else 4)
    monkeypatch.setattr(attention, "SHORT_ROW_ON_CPU", short)
    encoder = made(replace(SIZES, local_rotary_base=100.0))
    embedded, bounds = torch.randn(1, 60, 8, dtype=torch.float64), [0, 5, 6, 47, 60]
    documents = PackedDocuments.of(torch.tensor([bounds[1:]], dtype=torch.int32), 60)
    together = encoder(embedded, None, documents=documents)
    for begin, end in itertools.pairwise(bounds):
        assert (together[:, begin:end] - encoder(embedded[:, begin:end], None)).abs().max() < 1e-12


@pytest.mark.parametrize("view", ["left", "right"])
def test_a_tower_sees_its_side_of_the_window(view):
    encoder, embedded = made(SIZES, view), torch.randn(1, 10, 8, dtype=torch.float64)
    p = {f"e.{name}": tensor.numpy() for name, tensor in encoder.state_dict().items()}
    seen = np.tril(np.ones((10, 10), bool))
    expected = paper.encoder(
        embedded[0].numpy(), seen if view == "left" else seen.T, p, "e", 2, 3, True, local=(8, 3)
    )
    assert np.abs(encoder(embedded, None)[0].detach().numpy() - expected).max() < 1e-9


def test_the_kernel_for_gpus_is_told_the_window(monkeypatch):
    """The kernel itself needs a GPU: a loop over documents and a mask stand in for it."""
    ends = torch.tensor([[7, 30], [30, 30]], dtype=torch.int32)
    documents, tensors = PackedDocuments.of(ends, 30), vectors(2, 30)

    def varlen_attn(query, key, value, bounds, key_bounds, longest, longest_key, window_size=(-1, -1)):
        parts = []
        for begin, end in itertools.pairwise(bounds.tolist()):
            place = torch.arange(end - begin)
            distance = place[:, None] - place
            seen = (distance <= window_size[0]) & (-distance <= window_size[1])
            own = (x[begin:end].transpose(0, 1) for x in (query, key, value))
            parts.append(F.scaled_dot_product_attention(*own, attn_mask=seen).transpose(0, 1))
        return torch.cat(parts)

    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", varlen_attn)
    found = attend(*tensors, DocumentBounds(documents.bounds(), 30, 4), 0.0)
    mask = mask_to_add(torch.zeros(2, 30, 1, dtype=torch.float64), "row", None, documents, 8)
    assert (found.view(2, 30, 2, 4) - attend_by_formula(*tensors, mask, 0.0)).abs().max() < 1e-12


def test_pairs_within_is_a_count_of_pairs():
    lengths = np.arange(1, 24)
    for window in (0, 2, 8, 40):
        counted = [
            sum(1 for i in range(n) for j in range(n) if not window or abs(i - j) <= window // 2)
            for n in lengths
        ]
        assert pairs_within(window, lengths).tolist() == counted


def test_of_step_counts_local_pairs_in_local_layers():
    count = encoder_flops(SIZES)
    whole = encoder_flops(replace(SIZES, local_window=0))
    assert count.per_pair == whole.per_pair / 3 and count.per_local_pair == 2 * count.per_pair
    assert count.of_step(10, 100, 0, 100) == whole.of_step(10, 100, 0)
    assert count.of_step(10, 100, 0, 60) == 3 * (count.per_token * 10 + count.per_pair * (100 + 2 * 60))
    with pytest.raises(ValueError, match="give the number of pairs within it"):
        count.of_step(10, 100, 0)
    assert count + Flops(1.0, 0.0, 0.0) == count._replace(per_token=count.per_token + 1)


def test_a_run_counts_the_pairs_of_its_documents(make_task, make_model, paragraphs):
    task = make_task(data=str(paragraphs), tokens_per_sample=64, pack=True)
    model = make_model(task, local_window=16, global_every=2)
    dataset = task.load_dataset("train")
    task.get_batch_iterator(dataset, max_sentences=4)
    sample = dataset.collater([0, 1, 2])
    documents = dataset.packing.documents[: dataset.packing.bounds[3]]
    lengths = dataset.rows.lengths[documents].astype(int)
    assert task.local_window == model.sizes.local_window == 16
    assert sample["nlocal_pairs"] == pairs_within(16, lengths).sum() < sample["npairs"]
