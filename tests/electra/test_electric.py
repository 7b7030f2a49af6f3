"""Electric: what its towers see, what its noise is, and where its loss leads."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fairseq_electra.electra import noise_model
from fairseq_electra.electra.electric import CERTAIN, Electric, log_odds
from fairseq_electra.electra.encoder import Encoder
from fairseq_electra.electra.losses import LossWeights, MaskedBatch, SpecialIds, detection_losses
from fairseq_electra.electra.masking import Masking
from fairseq_electra.electra.objectives import OBJECTIVES
from fairseq_electra.electra.packed import PackedDocuments
from fairseq_electra.electra.sizes import EncoderSizes
from tests.helpers.small_model import randomize_parameters

BOS, PAD, EOS, UNK, FIRST_PIECE, V = 0, 1, 2, 3, 4, 40
MASK = V - 1
SIZES = EncoderSizes(16, 32, 64, 2, 2, positions="rotary", dropout=0.0, attention_dropout=0.0)
MASKING = Masking(0.25, 0.15, 0.0, mask_index=MASK, pad_index=PAD, first_piece=FIRST_PIECE)
WIDTH = 12


def electric(**changes) -> Electric:
    model = Electric(SIZES, SIZES.generator(1 / 2, 1), V, **changes).double()
    randomize_parameters(model, std=0.2)
    return model


def batch_of(lengths=(12, 9, 5)):
    """Rows with ``<s>``, ``</s>`` and padding, masked."""
    rng = np.random.default_rng(1)
    tokens = np.full((len(lengths), WIDTH), PAD)
    for row, length in enumerate(lengths):
        tokens[row, :length] = [BOS, *rng.integers(UNK, MASK, length - 2), EOS]
    masked = MASKING(tokens, np.array(lengths), 1, np.arange(len(lengths)))
    src_tokens, positions, target, uniforms = (torch.from_numpy(array) for array in masked[:4])
    text = torch.from_numpy(tokens)
    return text, (src_tokens, torch.zeros_like(text), text == PAD, positions, target, uniforms)


def around(model, text, padding_mask):
    embedded = model.embeddings(text, torch.zeros_like(text))
    return model.noise_model(embedded, padding_mask)


@pytest.mark.parametrize("view", ["left", "right"])
@torch.no_grad()
def test_encoder_of_one_side_reads_each_row_up_to_each_token(view):
    """One layer against a run of a plain encoder for each prefix, or suffix, without padding."""
    sizes = replace(SIZES, num_hidden_layers=1)
    encoder = Encoder(sizes, view=view).double()
    randomize_parameters(encoder, std=0.2)
    plain = Encoder(sizes).double()
    plain.load_state_dict(encoder.state_dict())
    lengths, width = (7, 4), 7
    embedded = torch.randn(2, width, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    padding = torch.arange(width) >= torch.tensor(lengths)[:, None]
    found = encoder(embedded, padding)
    for row, length in enumerate(lengths):
        for t in range(length):
            part = embedded[row : row + 1, : t + 1] if view == "left" else embedded[row : row + 1, t:length]
            expected = plain(part, None)[0, -1 if view == "left" else 0]
            # rotary positions are relative, so a suffix that counts from 0 is the same
            assert torch.allclose(found[row, t], expected, atol=1e-12), (row, t)
    assert found.isfinite().all()


@torch.no_grad()
def test_noise_model_does_not_read_the_token_that_it_predicts():
    model = electric()
    text, (_, _, padding, *_) = batch_of()
    before = around(model, text, padding)
    half = before.shape[-1] // 2
    for t in range(1, 8):
        changed = text.clone()
        changed[:2, t] = torch.where(text[:2, t] == 7, 8, 7)
        moved = (around(model, changed, padding) - before)[:2].abs() > 1e-9  # (2, T, 2 C)
        moved &= (text[:2] > EOS).unsqueeze(-1)  # what stands around other positions is not used
        left, right = moved[..., :half].any(-1).any(0), moved[..., half:].any(-1).any(0)
        assert not left[: t + 1].any() and left[t + 1]
        assert not right[t:].any() and (t == 1 or right[t - 1])


@torch.no_grad()
def test_noise_model_reads_packed_documents_alone():
    model = electric()
    lengths = (5, 4, 3)
    rows, _ = batch_of(lengths)
    packed = torch.cat([row[:length] for row, length in zip(rows, lengths, strict=True)])[None]
    documents = PackedDocuments.of(torch.tensor([[5, 9, 12]], dtype=torch.int32), 12)
    embedded = model.embeddings(packed, torch.zeros_like(packed), documents=documents)
    together = model.noise_model(embedded, packed == PAD, documents)[0]
    alone = around(model, rows, rows == PAD)
    for row, (start, length) in enumerate(zip((0, 5, 9), lengths, strict=True)):
        # <s> and </s>, which are never predicted, stand beside another document
        found = together[start + 1 : start + length - 1]
        assert torch.allclose(found, alone[row, 1 : length - 1], atol=1e-12)


def test_predict_in_parts_is_predict_at_once(monkeypatch):
    model = electric()
    _, inputs = batch_of()
    found = []
    for at_once in (1 << 25, 2 * WIDTH * V, 1):
        monkeypatch.setattr(noise_model, "SCORES_AT_ONCE", at_once)
        model.zero_grad()
        output = model(*inputs)
        (output.noise_nll.sum() + output.disc_logits[output.can_be_noise].square().sum()).backward()
        with torch.no_grad():
            without_gradient = model(*inputs)
        for ours, others in zip(output, without_gradient, strict=True):
            assert torch.equal(ours, others)
        found.append((*output, *(parameter.grad.clone() for parameter in model.parameters())))
    for parts in found[1:]:
        for whole, part in zip(found[0], parts, strict=True):
            assert torch.allclose(whole, part, rtol=1e-12, atol=1e-14)


@torch.no_grad()
def test_forward_labels_all_noise_and_uses_the_probability_of_the_token_that_stands_there():
    model = electric()
    # all probability on one token, so that many samples are the original
    model.noise_model.head.bias[7] = 30.0
    _, inputs = batch_of((12, 11, 9))
    src_tokens, segments, padding, positions, target, uniforms = inputs
    positions[:, :2], target[:, :2] = torch.tensor([2, 3]), 7
    output = model(src_tokens, segments, padding, positions, target, uniforms)
    used = target != PAD
    slots = torch.zeros_like(padding)
    slots.scatter_(1, positions, used)
    # what stands at masked positions that a slot was taken from is no longer known
    original = src_tokens.scatter(1, positions, torch.where(used, target, src_tokens[:, :1]))
    assert torch.equal(output.original_tokens, original) and torch.equal(output.is_replaced, slots)
    assert ((output.corrupted_tokens == original) & output.is_replaced).any()
    logits = model.noise_model.head(around(model, original, padding), model.embeddings.tokens.weight)
    log_q = logits.log_softmax(-1).gather(-1, output.corrupted_tokens.unsqueeze(-1)).squeeze(-1)
    energies = model.discriminate(output.corrupted_tokens, segments, padding)
    can_be = output.can_be_noise
    assert torch.equal(can_be, (original > EOS) & (original != MASK))
    k, m = slots.sum(1, keepdim=True).double(), can_be.sum(1, keepdim=True).double()
    expected = energies + log_q + (k / (m - k)).log()
    assert torch.allclose(output.disc_logits[can_be], expected[can_be], atol=1e-12)


def test_log_odds_are_certain_where_nothing_is_to_be_learnt():
    noise = torch.tensor([[0, 1, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 0, 0]], dtype=torch.bool)
    tokens = torch.tensor([[0, 1, 1, 1, 0], [0, 1, 1, 0, 0], [0, 0, 0, 0, 0]], dtype=torch.bool)
    found = log_odds(noise, tokens, torch.float64)
    assert found[0, 1:4].tolist() == pytest.approx([np.log(1 / 2)] * 3)
    assert found[1, 1:3].tolist() == [CERTAIN] * 2
    assert (found[~tokens] == -CERTAIN).all()


def test_tokens_that_cannot_be_noise_give_no_loss_and_no_gradient():
    model = electric().float()
    # the last row has one token, which is noise
    _, inputs = batch_of((12, 9, 3))
    output = model(*(each.float() if each.is_floating_point() else each for each in inputs))
    losses = detection_losses(output, MaskedBatch(inputs[0], inputs[2], inputs[3], inputs[4]))
    silent = ~output.can_be_noise
    silent[2] = True
    assert silent.sum() > 10 and (losses[silent] == 0).all() and (losses[~silent] > 0).all()
    (gradient,) = torch.autograd.grad(losses.sum(), output.disc_logits)
    assert (gradient[silent] == 0).all() and (gradient[~silent] != 0).all()


def test_trained_energies_are_the_negative_log_probabilities_of_the_text():
    """All rows of two tokens, each as often as text and noise make it; q is fixed, and far from p.

    The other token is noise in part, so energies are those of p up to a constant for each context.
    """
    p, q = [0.5, 0.25, 0.25], [0.25, 0.25, 0.5]
    of_text, vocabulary = [3, 3, 4, 5], 7  # four tokens in the frequencies of p; <unk> is the first of three
    pairs = torch.tensor([(a, b) for a in of_text for b in of_text]).repeat_interleave(8, 0)
    text = torch.nn.functional.pad(pairs, (1, 1))
    text[:, -1] = EOS
    positions = (1 + torch.arange(len(text)) % 2)[:, None]
    uniforms = ((torch.arange(len(text)) // 2 % 4 + 0.5) / 4)[:, None]  # each quarter of q once
    target = text.gather(1, positions)
    src_tokens, padding = text.scatter(1, positions, vocabulary - 1), torch.zeros_like(text, dtype=torch.bool)
    torch.manual_seed(1)
    sizes = EncoderSizes(8, 8, 16, 1, 1, positions="rotary", dropout=0.0, attention_dropout=0.0)
    model = Electric(sizes, sizes, vocabulary)
    with torch.no_grad():
        model.noise_model.head.layer_norm.weight.zero_()
        model.noise_model.head.bias.fill_(-50.0)
        model.noise_model.head.bias[3:6] = torch.tensor(q).log()
    trained = [each for name, each in model.named_parameters() if not name.startswith("noise_model.")]
    optimizer = torch.optim.Adam(trained, lr=4e-2)
    batch, ids = MaskedBatch(src_tokens, padding, positions, target), SpecialIds(PAD, UNK, vocabulary - 1)
    for _ in range(100):
        output = model(src_tokens, torch.zeros_like(text), padding, positions, target, uniforms)
        optimizer.zero_grad()
        OBJECTIVES["electric"].sums(output, batch, ids, LossWeights(0.0, 0.01, 0.0, 0.0))["loss"].backward()
        optimizer.step()
    assert output.corrupted_tokens.gather(1, positions).flatten().bincount()[3:].tolist() == [32, 32, 64]
    with torch.no_grad():
        rows = torch.tensor([[BOS, x, other, EOS] for other in (3, 4, 5) for x in (3, 4, 5)])
        energies = model.discriminate(rows, torch.zeros_like(rows), None)[:, 1].view(3, 3)
    found = energies[:, :1] - energies  # log p(x) - log p(<unk>), in each context
    expected = torch.tensor(p).log() - np.log(p[0])
    assert torch.allclose(found, expected.expand(3, 3), atol=0.05)


@pytest.mark.long
def test_a_compiled_model_predicts_in_parts(monkeypatch):
    """One graph, without code generation, with the scores of each row computed again in the backward pass."""
    monkeypatch.setattr(noise_model, "SCORES_AT_ONCE", 1)
    model = electric()
    _, inputs = batch_of()
    compiled = torch.compile(model, fullgraph=True, dynamic=False, backend="aot_eager")
    gradients = []
    for run in (model, compiled):
        model.zero_grad()
        output = run(*inputs)
        (output.noise_nll.sum() + output.disc_logits[output.can_be_noise].sum()).backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    for plain, ours in zip(*gradients, strict=True):
        assert torch.allclose(plain, ours, rtol=1e-9, atol=1e-12)
