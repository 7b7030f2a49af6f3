"""What the encoder reads: token, segment and learned position vectors, normalized."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairseq_electra.electra.fast.cross_entropy import loss_dtype
from fairseq_electra.electra.fast.dropout import Dropout
from fairseq_electra.electra.norms import norm_of
from fairseq_electra.electra.packed import PackedDocuments
from fairseq_electra.electra.sizes import NUM_SEGMENTS, EncoderSizes

# in checkpoints of both networks, the difference of DisentangledTokens
DIFFERENCE = "embeddings.tokens.difference.weight"


class Embedding(nn.Embedding):
    """A table whose gradients are summed in float32 where its weights have 16 bits, on a CPU too.

    There PyTorch sums them in 16 bits: of a token that occurs often, most of the gradient is lost.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Look ids up. Shapes: (...,) -> (..., E)."""
        exact = loss_dtype(self.weight.dtype)
        if self.weight.device.type != "cpu" or self.weight.dtype == exact:
            return super().forward(input)
        return F.embedding(input, self.weight.to(exact), self.padding_idx).to(self.weight.dtype)


class DisentangledTokens(nn.Module):
    """The discriminator's token table as a sum: E_D = stop_gradient(E_G) + E_delta, with E_G the generator's.

    The discriminator profits from what the generator learns of tokens, but its loss does not pull at the
    generator's table: only the difference, which starts at 0, gets its gradient.

    A checkpoint holds the sum as ``weight`` too, as a table of its own would be named, for all that reads the
    discriminator alone.

    Args:
        generator_tokens: the generator's token table, which stays the generator's.

    Source: He et al. 2021 (DeBERTaV3, arXiv 2111.09543), section 3.2.2.
    """

    def __init__(self, generator_tokens: nn.Embedding):
        super().__init__()
        num_tokens, size = generator_tokens.weight.shape
        self.difference = Embedding(num_tokens, size, padding_idx=generator_tokens.padding_idx)
        self._generator_tokens = (generator_tokens,)  # in a tuple, so that it is no module of this one

    @property
    def weight(self) -> Tensor:
        """The whole table. Shape: (V, E)."""
        return self._generator_tokens[0].weight.detach() + self.difference.weight

    def forward(self, tokens: Tensor) -> Tensor:
        """Look tokens up. Shapes: (...,) -> (..., E)."""
        return F.embedding(tokens, self._generator_tokens[0].weight.detach()) + self.difference(tokens)

    @torch.no_grad()
    def round_as_saved(self) -> None:
        """Round the sum of a float64 table to float32, as a checkpoint of a float32 model holds it."""
        generator_tokens, difference = self._generator_tokens[0].weight, self.difference.weight
        difference.copy_((generator_tokens.float() + difference.float()).double() - generator_tokens)

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "weight"] = self.weight.detach()

    def _load_from_state_dict(self, state_dict, prefix, *args):
        state_dict.pop(prefix + "weight", None)
        super()._load_from_state_dict(state_dict, prefix, *args)


class Embeddings(nn.Module):
    """Sum of token, segment (if there are any) and (if learned) position vectors, LayerNorm, dropout.

    Args:
        sizes: sizes of the encoder that reads the embeddings.
        num_tokens: size of the vocabulary, V; 0: no token table of its own, each call names one.
        pad: id of padding, whose vector starts at 0 and gets no gradient where the text is read.

    Source: google-research/electra model/modeling.py::embedding_lookup, embedding_postprocessor. Positions
    count from 0.
    """

    def __init__(self, sizes: EncoderSizes, num_tokens: int, pad: int):
        super().__init__()
        self.tokens: nn.Embedding | DisentangledTokens | None = None
        if num_tokens:
            self.tokens = Embedding(num_tokens, sizes.embedding_size, padding_idx=pad)
        self.segments = None if sizes.no_segments else Embedding(NUM_SEGMENTS, sizes.embedding_size)
        learned = sizes.positions == "learned"
        self.positions = Embedding(sizes.max_position_embeddings, sizes.embedding_size) if learned else None
        self.layer_norm = norm_of(sizes, sizes.embedding_size)
        self.dropout = Dropout(sizes.dropout_elsewhere)

    def forward(
        self,
        tokens: Tensor,
        segment_ids: Tensor,
        table: nn.Embedding | None = None,
        documents: PackedDocuments | None = None,
    ) -> Tensor:
        """Embed tokens. Shapes: (B, T), (B, T) -> (B, T, E).

        Args:
            tokens: ids.
            segment_ids: segment of each token, 0 or 1; not read where there are no segment vectors.
            table: token table to use instead of its own.
            documents: the documents of packed rows; the positions of each count from 0.
        """
        vectors = (table or self.tokens)(tokens)  # type: ignore[misc]
        if self.segments is not None:
            vectors = vectors + self.segments(segment_ids)
        if self.positions is not None:
            positions = (
                torch.arange(tokens.shape[1], device=tokens.device)
                if documents is None
                else documents.positions
            )
            vectors = vectors + self.positions(positions)
        return self.dropout(self.layer_norm(vectors))
