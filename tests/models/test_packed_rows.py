"""Documents in packed rows are seen as they are alone."""

import itertools
from contextlib import nullcontext

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fairseq_electra.electra import encoder
from fairseq_electra.electra.fast import attention
from fairseq_electra.electra.fast.attention import DocumentBounds, LengthBuckets
from fairseq_electra.electra.packed import PackedDocuments
from fairseq_electra.errors import InputError
from fairseq_electra.tasks._pretraining_options import check_packing
from tests.helpers.components import criterion_for
from tests.helpers.packed_documents import unpacked


@pytest.fixture
def packed(make_task, paragraphs):
    def make(width):
        task = make_task(data=str(paragraphs), tokens_per_sample=width, pack=True)
        return task, task.load_dataset("train")

    return make


@pytest.mark.parametrize("positions", ["learned", "rotary"])
@pytest.mark.parametrize(
    ("width", "short"),
    [(64, 256), (64, 16), pytest.param(512, 256, marks=pytest.mark.long)],
    ids=["mask", "buckets", "buckets of 512"],
)
def test_losses_and_gradients_are_those_of_the_documents_alone(
    packed, make_model, monkeypatch, positions, width, short
):
    monkeypatch.setattr(attention, "SHORT_ROW_ON_CPU", short)
    task, dataset = packed(width)
    model = make_model(task, positions=positions, max_position_embeddings=512).double()
    criterion = criterion_for(task)
    sample = dataset.collater([len(dataset) - 1, *range(5)])
    together = model(**sample["net_input"])
    loss, masked, _ = criterion(model, sample)
    loss.backward()
    gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()

    net_input, places = unpacked(sample["net_input"], task.dictionary.pad())
    assert len(places) > 1.4 * len(sample["id"])
    alone = model(**net_input)
    for document, (row, columns) in enumerate(places):
        length = columns.stop - columns.start
        assert torch.equal(together.corrupted_tokens[row, columns], alone.corrupted_tokens[document, :length])
        assert torch.allclose(
            together.disc_logits[row, columns], alone.disc_logits[document, :length], atol=1e-9
        )
    apart, masked_apart, _ = criterion(
        model, {**sample, "net_input": net_input, "target": net_input["target"]}
    )
    assert masked_apart == masked and apart.item() == pytest.approx(loss.item(), rel=1e-9)
    apart.backward()
    for name, parameter in model.named_parameters():
        assert torch.allclose(parameter.grad, gradients[name], rtol=1e-6, atol=1e-9), name


def test_the_kernel_for_gpus_is_told_where_documents_lie(packed, make_model, monkeypatch):
    """The kernel itself needs a GPU: a loop over the documents stands in for it."""
    task, dataset = packed(64)
    model = make_model(task, max_position_embeddings=512).double().eval()
    net_input = dataset.collater(list(range(6)))["net_input"]
    expected = model(**net_input)

    def varlen_attn(query, key, value, bounds, key_bounds, longest, longest_key):
        assert (
            bounds.dtype == torch.int32 and torch.equal(bounds, key_bounds) and longest == longest_key == 64
        )
        assert (
            bounds[0] == 0
            and bounds[-1] == len(query)
            and int(bounds.diff().min()) >= 0
            and int(bounds.diff().max()) <= longest
        )
        parts = [
            tuple(x[a:b].transpose(0, 1) for x in (query, key, value))
            for a, b in itertools.pairwise(bounds.tolist())
        ]
        return torch.cat([F.scaled_dot_product_attention(*part).transpose(0, 1) for part in parts])

    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", varlen_attn)
    bounds = lambda hidden, padding_mask, documents: DocumentBounds(documents.bounds(), hidden.shape[1])  # noqa: E731
    monkeypatch.setattr(encoder, "attention_mask", bounds)
    found = model(**net_input)
    real = ~net_input["padding_mask"]
    assert torch.equal(found.corrupted_tokens, expected.corrupted_tokens)
    assert torch.allclose(found.disc_logits[real], expected.disc_logits[real], atol=1e-9)


def test_in_float32_the_loss_differs_by_less_than_1e_5(packed, make_model):
    task, dataset = packed(128)
    model, criterion = make_model(task, randomize=False), criterion_for(task)
    sample = dataset.collater(list(range(len(dataset))))
    net_input, _ = unpacked(sample["net_input"], task.dictionary.pad())
    with torch.no_grad():
        loss, masked, _ = criterion(model, sample)
        apart, _, _ = criterion(model, {**sample, "net_input": net_input, "target": net_input["target"]})
    assert (apart / masked).item() == pytest.approx((loss / masked).item(), rel=1e-5)


def test_a_token_sees_its_own_document_alone():
    documents = PackedDocuments.of(torch.tensor([[3, 8, 8], [2, 4, 8]], dtype=torch.int32), 8)
    assert documents.numbers.tolist() == [[0, 0, 0, 1, 1, 1, 1, 1], [0, 0, 1, 1, 2, 2, 2, 2]]
    assert documents.positions.tolist() == [[0, 1, 2, 0, 1, 2, 3, 4], [0, 1, 0, 1, 0, 1, 2, 3]]
    expected = np.kron(np.eye(3, dtype=bool), np.ones((8, 8), bool))[:8, :8]
    expected[:3, 3:] = expected[3:, :3] = False
    expected[:3, :3] = expected[3:, 3:] = True
    assert np.array_equal(~documents.different_documents()[0, 0].numpy(), expected)
    assert documents.bounds().tolist() == [0, 3, 8, 8, 10, 12, 16]


def test_buckets_hold_every_token_once():
    ends = torch.tensor([[5, 40, 41, 64], [64, 64, 64, 64]], dtype=torch.int32)
    buckets = LengthBuckets.of(PackedDocuments.of(ends, 64), multiple=16)
    assert buckets.num_documents == [2, 1, 1, 1] and buckets.num_slots == [32, 32, 48, 64]
    assert torch.equal(buckets.token_of_slot[buckets.slot_of_token], torch.arange(128))
    real = torch.cat([(bias == 0).flatten() for bias in buckets.masks])
    assert sorted(buckets.token_of_slot[real].tolist()) == list(range(128))


def test_operations_are_counted_within_documents(packed):
    _, dataset = packed(64)
    sample = dataset.collater([0, 1, 2])
    inside = [
        dataset.packing.documents[dataset.packing.bounds[row] : dataset.packing.bounds[row + 1]]
        for row in range(3)
    ]
    assert sample["npairs"] == sum(
        int((dataset.rows.lengths[documents].astype(int) ** 2).sum()) for documents in inside
    )


@pytest.mark.parametrize(
    ("options", "compiled", "dropout", "capability", "message"),
    [
        ({"tokens_per_sample": 512}, True, 0.1, None, "up to --tokens-per-sample 256, got 512"),
        ({"tokens_per_sample": 512}, False, 0.0, 9, "--tokens-per-sample 512 needs --autocast bf16 on a GPU"),
        (
            {"tokens_per_sample": 128, "autocast": "bf16"},
            False,
            0.1,
            9,
            "--attention-dropout 0.1 cannot be had with --pack",
        ),
        (
            {"tokens_per_sample": 128, "autocast": "fp16"},
            False,
            0.0,
            7,
            "needs a GPU of compute capability 8.0",
        ),
        ({"tokens_per_sample": 512}, False, 0.1, None, None),
        ({"tokens_per_sample": 128}, True, 0.1, 9, None),
        ({"tokens_per_sample": 512, "autocast": "bf16"}, True, 0.0, 9, None),
    ],
)
def test_what_packed_rows_cannot_do_is_refused(
    make_task, monkeypatch, options, compiled, dropout, capability, message
):
    """``capability``: the first number of a GPU's, or None for a CPU."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (capability, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    cfg = make_task(pack=True, **options).cfg
    with nullcontext() if message is None else pytest.raises(InputError, match=message):
        check_packing(cfg, compiled, dropout, capability is not None)
