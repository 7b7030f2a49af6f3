"""An encoder with heads: what fine-tuning trains, and what a fine-tuned checkpoint holds."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fairseq_electra.electra.configuration import Options, encoder_sizes
from fairseq_electra.electra.embeddings import Embeddings
from fairseq_electra.electra.encoder import Encoder
from fairseq_electra.electra.fast.unpadded import BFLOAT16_MULTIPLE, Unpadded
from fairseq_electra.electra.initialization import draw_parameters
from fairseq_electra.electra.sizes import EncoderSizes
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.head import TaskHead
from fairseq_electra.precision import autocast

HEADS_PREFIX = "classification_heads."  # start of the names of the heads' tensors


class EncoderWithHeads(nn.Module):
    """A text encoder, and the heads of the tasks that it is trained for.

    Args:
        sizes: sizes of the encoder.
        num_tokens: size of the vocabulary, V.
        eos: id of ``</s>``, which ends the first segment of a row.
        pad: id of padding.
        head_dropout: dropout before a head for sentences, probability.
        pooling: what a head for sentences reads: ``first``, the state of ``<s>``, or ``mean``, the mean over
            the row.
        autocast: ``none``, or ``bf16``: the encoder computes in bfloat16.
        checkpoint_activations: keep only each layer's input for the backward pass, which computes the rest
            again.
    """

    classification_heads: nn.ModuleDict

    def __init__(
        self,
        sizes: EncoderSizes,
        num_tokens: int,
        eos: int = 2,
        pad: int = 1,
        head_dropout: float = 0.1,
        pooling: str = "first",
        autocast: str = "none",
        checkpoint_activations: bool = False,
    ):
        super().__init__()
        if not 0 <= head_dropout < 1:
            raise InputError(f"--head-dropout must lie in [0, 1), got {head_dropout}")
        self.sizes, self.eos, self.pad = sizes, eos, pad
        self.head_dropout, self.pooling, self.autocast = head_dropout, pooling, autocast
        self.embeddings = Embeddings(sizes, num_tokens, pad)
        self.encoder = Encoder(sizes, checkpoint_activations)
        self.classification_heads = nn.ModuleDict()
        draw_parameters(self, [self.encoder.projection])

    def register_head(self, name: str, head: nn.Module) -> None:
        """Add a head, which gets the transform of all heads of an encoder with ``--normed-head``.

        The head reads the last hidden states, (B, T, C), and the padding, (B, T), or other inputs.
        """
        if self.sizes.normed_head and isinstance(head, TaskHead):
            head.add_transform(self.sizes)
        self.classification_heads[name] = head

    def forward(
        self,
        src_tokens: Tensor,
        segment_ids: Tensor | None = None,
        classification_head_name: str | None = None,
        head_inputs: Mapping[str, Tensor] | None = None,
        **unused: Any,
    ) -> tuple[Any, dict]:
        """Encode rows ``<s> A </s>`` or ``<s> A </s> B </s>``, and score them with a head.

        The arguments are fairseq's.

        Args:
            src_tokens: ids, padded on the right. Shape: (B, T).
            segment_ids: segment of each token, 0 or 1; by default those of :func:`segments_of`. Shape:
                (B, T).
            classification_head_name: name of the head; None: the hidden states are wanted.
            head_inputs: arguments of the head behind the hidden states, where they are not the padding,
                (B, T), alone.
            unused: further arguments that fairseq gives.

        Returns:
            the head's scores: of a sentence (B, number of classes), of tokens (B, T, number of tags), of
            answers :class:`fairseq_electra.finetuning.questions.heads.AnswerScores`; or the last hidden
            states, (B, T, C). And an empty dict.
        """
        padding_mask = src_tokens == self.pad
        if segment_ids is None:
            segment_ids = segments_of(src_tokens, self.eos).masked_fill(padding_mask, 0)
        with autocast(self.autocast, src_tokens.device.type):
            hidden = self._last_states(src_tokens, segment_ids, padding_mask)
        # heads compute as precisely as the weights are
        hidden = hidden.to(self.embeddings.layer_norm.weight.dtype)
        if classification_head_name is None:
            return hidden, {}
        inputs = {"padding_mask": padding_mask} if head_inputs is None else head_inputs
        return self.classification_heads[classification_head_name](hidden, **inputs), {}

    def _last_states(self, tokens: Tensor, segment_ids: Tensor, padding_mask: Tensor) -> Tensor:
        """Encode rows without their padding, where that is quicker. Shape: (B, T, C)."""
        in_bfloat16 = self.autocast == "bf16" or self.embeddings.layer_norm.weight.dtype == torch.bfloat16
        multiple = BFLOAT16_MULTIPLE if in_bfloat16 else 1
        # parts of a row are counted in it
        unpadded = None if self.sizes.recurrence else Unpadded.of(padding_mask, multiple)
        if unpadded is None:
            return self.extract_features(tokens, segment_ids, padding_mask)
        documents = unpadded.documents
        embedded = self.embeddings(unpadded.take(tokens), unpadded.take(segment_ids), documents=documents)
        return unpadded.put_back(self.encoder(embedded, None, documents=documents))

    def extract_features(
        self,
        tokens: Tensor,
        segment_ids: Tensor,
        padding_mask: Tensor | None,
        all_layers: list[Tensor] | None = None,
    ) -> Tensor:
        """Encode rows.

        Arguments and result are those of
        :meth:`fairseq_electra.electra.model.Electra.extract_features`.
        """
        return self.encoder(self.embeddings(tokens, segment_ids), padding_mask, all_layers)


def segments_of(tokens: Tensor, eos: int) -> Tensor:
    """Return the segment of each token: 0 up to the first ``</s>`` of a row and there, 1 behind it.

    Shape kept: (B, T).
    """
    ends = (tokens == eos).long()
    return (ends.cumsum(1) - ends).clamp(max=1)


def encoder_arguments(options: Options, num_tokens: int, eos: int = 2, pad: int = 1) -> dict[str, Any]:
    """Return the arguments of :class:`EncoderWithHeads` for a model's options.

    The options are as command lines give them and checkpoints keep them.
    """
    return {
        "sizes": encoder_sizes(options),
        "num_tokens": num_tokens,
        "eos": eos,
        "pad": pad,
        "head_dropout": options.get("head_dropout", 0.1),
        "pooling": str(options.get("pooling") or "first"),
        "autocast": str(options.get("autocast") or "none"),
        "checkpoint_activations": options.get("checkpoint_activations", False),
    }
