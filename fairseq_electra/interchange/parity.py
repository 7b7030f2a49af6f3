"""Do two networks say the same? Hidden states of every layer and scores, on text with padding and pairs.

They are compared in float64, where networks that are the same function differ by some 1e-13 of their largest
value on every machine, and others by much more. In float32 large LayerNorm gains let rounding errors grow to
1e-4 and above, so no bound tells the two apart.
"""

import copy
import itertools
from dataclasses import replace
from typing import Any, cast

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from fairseq_electra.electra.embeddings import DisentangledTokens
from fairseq_electra.electra.encoder import Encoder, EncoderLayer
from fairseq_electra.electra.model import Discriminator, Generator
from fairseq_electra.electra.sizes import EncoderSizes
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.encoder import EncoderWithHeads, segments_of
from fairseq_electra.finetuning.head import TaskHead
from fairseq_electra.hub.network_files import are_sines, sines
from fairseq_electra.interchange.norms import round_as_folded
from fairseq_electra.interchange.rotary_halves import rotating_in_double
from fairseq_electra.pretraining.corpus import builtin_paragraphs
from fairseq_electra.pretraining.wordpiece import BOS_ID, EOS_ID, LEADING, PAD_ID

Model = Generator | Discriminator | EncoderWithHeads
TOLERANCE = 1e-6  # of the largest value, or of 1
ROWS_OF_TEXT = 8
MAX_ROW_LENGTH = 96


def rows_of_text(tokenizer: Tokenizer, max_positions: int) -> Tensor:
    """Make rows of real English, half of them pairs, of unequal length, and two of random ids.

    Shape: (ROWS_OF_TEXT + 2, at most MAX_ROW_LENGTH).
    """
    row_length = min(MAX_ROW_LENGTH, max_positions)
    paragraphs = (text for text in builtin_paragraphs() if len(text) > 4 * row_length)
    texts = [
        tokenizer.encode(text, add_special_tokens=False).ids
        for text in itertools.islice(paragraphs, 2 * ROWS_OF_TEXT)
    ]
    rows = torch.full((ROWS_OF_TEXT + 2, row_length), PAD_ID)
    for i in range(ROWS_OF_TEXT):
        length = row_length - i * row_length // (
            2 * ROWS_OF_TEXT
        )  # the first row is full, the last half empty
        first, second = texts[2 * i : 2 * i + 2]
        ids = [BOS_ID, *first[: length - 2], EOS_ID]
        if i % 2:
            ids = [
                BOS_ID,
                *first[: length // 3],
                EOS_ID,
                *second[: length - length // 3 - 3],
                EOS_ID,
            ]
        rows[i, : len(ids)] = torch.tensor(ids)
    draws = torch.Generator().manual_seed(1)
    rows[ROWS_OF_TEXT:] = torch.randint(
        len(LEADING), tokenizer.get_vocab_size(), (2, row_length), generator=draws
    )
    rows[ROWS_OF_TEXT:, 0], rows[ROWS_OF_TEXT:, -1] = BOS_ID, EOS_ID
    return rows


def in_double(model: Model) -> Model:
    """Copy one of our models into float64, rounded as a folder of transformers holds it.

    The rounding comes from folding a residual scale, from shifting a head, and from adding the two parts of a
    disentangled token table.
    """
    exact = copy.deepcopy(model).double()
    for module in exact.modules():
        if isinstance(module, Encoder):
            round_as_folded(module)
        elif isinstance(module, DisentangledTokens):
            module.round_as_saved()
    if isinstance(exact, EncoderWithHeads):
        for head in exact.classification_heads.values():
            last = cast(EncoderLayer, exact.encoder.layers[-1])
            cast(TaskHead, head).round_as_exported(cast(nn.LayerNorm, last.output_layer_norm))
    return exact


def difference(
    model: Model, role: str, theirs: Any, rows: Tensor, order: Tensor | None = None
) -> dict[str, float]:
    """Compare one of our networks with transformers' on the same rows.

    Args:
        model: ours, of :func:`in_double`.
        role: discriminator, generator, or the name of a head.
        theirs: a model of transformers; turned into float64.
        rows: of :func:`rows_of_text`. Shape: (B, T).
        order: for each of our ids theirs; None: the same. Shape: (V,).

    Returns:
        the largest difference over all tokens that are not padding, of ``hidden states`` and, where there is
        a head, of ``scores``, each as a share of the largest value in the same layer, or of 1.
    """
    theirs.double()
    generator = model if role == "generator" and isinstance(model, Generator) else None
    _widen_sines(theirs, model.sizes if generator is None else generator.generator.sizes)
    padding = rows == PAD_ID
    segments = segments_of(rows, EOS_ID).masked_fill(padding, 0)
    of_tokens = role in ("discriminator", "generator")
    order = torch.arange(int(rows.max()) + 1) if order is None else order
    states: list[Tensor] = []
    with torch.no_grad(), rotating_in_double(theirs):
        encoder = cast(Discriminator | EncoderWithHeads, model)
        encode = encoder.extract_features if generator is None else generator.extract_generator_features
        hidden = encode(rows, segments, padding, states)
        states[-1] = hidden  # of a last layer with a norm behind it: as transformers gives it
        inputs = {"input_ids": order[rows], "attention_mask": (~padding).long()}
        if not model.sizes.no_segments:
            inputs["token_type_ids"] = segments
        if type(theirs).__name__.endswith("ForMultipleChoice"):  # of a single choice
            inputs = {name: tensor.unsqueeze(1) for name, tensor in inputs.items()}
        their_output = theirs(**inputs, output_hidden_states=True, return_dict=True)
        if role == "discriminator" and isinstance(model, Discriminator):
            if model.discriminator_head is not None:
                scores = model.discriminator_head(hidden)[~padding]
        elif generator is not None:
            scores = generator.generator_head(hidden, generator.generator_tokens.weight)[~padding]
        elif isinstance(model, EncoderWithHeads) and role in model.classification_heads:
            head = cast(TaskHead, model.classification_heads[role])
            of_tokens = head.of_tokens
            scores = (
                cast(nn.Linear, head.prediction)(head.transformed(hidden))[~padding]
                if of_tokens
                else head(hidden, padding)
            )
    pairs = zip(states, their_output.hidden_states, strict=True)
    largest = {
        "hidden states": float(
            torch.stack([_share(us[~padding], them[~padding]) for us, them in pairs]).max()
        )
    }
    if "start_logits" in their_output:
        their_output["logits"] = torch.stack([their_output.start_logits, their_output.end_logits], -1)
    if "logits" in their_output:
        their_scores = their_output.logits[~padding] if of_tokens else their_output.logits
        if role == "discriminator":
            their_scores = their_scores.reshape(scores.shape)  # of a class for tokens: one label
        if role == "generator":
            their_scores = their_scores[:, order] if len(order) == their_scores.shape[1] else their_scores
        largest["scores"] = float(_share(scores, their_scores))
    return largest


def _share(ours: Tensor, theirs: Tensor) -> Tensor:
    # of numbers that are not finite: not a number, which is refused
    return (ours - theirs).abs().max() / ours.abs().max().clamp(min=1)


@torch.no_grad()
def _widen_sines(theirs: Any, sizes: EncoderSizes) -> None:
    """Replace RoFormer's rounded table of sines, of any number of rows, by one computed in float64.

    A table with other values stays as it is.
    """
    for name, table in theirs.named_parameters():
        if name.endswith("encoder.embed_positions.weight"):
            of_table = replace(sizes, max_position_embeddings=len(table))
            if are_sines(table, of_table):
                table.copy_(sines(of_table, torch.float64))


def check(differences: dict[str, dict[str, float]]) -> str:
    """Return the largest differences as one line.

    Raises:
        InputError: one is larger than TOLERANCE.
    """
    for role, values_of_network in differences.items():
        for what, value in values_of_network.items():
            if not value <= TOLERANCE:
                raise InputError(
                    f"the {role}'s {what} differ from transformers' by {value:.1e} of their size, "
                    f"more than {TOLERANCE:.0e}; nothing was written"
                )
    parts = [
        f"{role} " + ", ".join(f"{what} {value:.1e}" for what, value in values_of_network.items())
        for role, values_of_network in differences.items()
    ]
    return "largest difference from transformers, in float64: " + "; ".join(parts)
