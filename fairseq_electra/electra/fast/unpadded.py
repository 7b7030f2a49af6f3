"""Padded rows without their padding, one behind the other: for CPUs, where no layer then computes padding."""

from typing import NamedTuple

import torch
from torch import Tensor

from fairseq_electra.electra.packed import PackedDocuments

LEAST_PADDING = 0.1  # share of a batch; with less, moving the tokens takes as long as the padding
LONGEST_ROW = 512  # attention in longer packed rows costs more time and memory than that of padded rows


class Unpadded(NamedTuple):
    """Where the N tokens of padded rows are, and the one packed row that they make, a document for each row.

    Fine-tuning has rows of very different lengths in a batch, because it shuffles them: of GLUE's tasks 33 to
    64 % of the positions are filled (``examples/benchmark/padding.py``).
    """

    kept: Tensor  # (N,), index into the flattened batch
    shape: tuple[int, int]  # (B, T)
    documents: PackedDocuments  # of the packed row, (1, N)

    @classmethod
    def of(cls, padding_mask: Tensor) -> "Unpadded | None":
        """Find the tokens of a batch; None: it is quicker as it is.

        The number of tokens depends on the data, which rules out torch.compile and tracing, and would make a
        GPU wait. Rows with padding that is not on the right stay as they are: their tokens have other
        positions than in the packed row.

        Args:
            padding_mask: True at padding. Shape: (B, T).
        """
        in_graph = torch.compiler.is_compiling() or torch.jit.is_tracing()
        rows, length = padding_mask.shape
        if padding_mask.device.type != "cpu" or in_graph or length > LONGEST_ROW:
            return None
        is_token = ~padding_mask
        if (is_token[:, 1:] & padding_mask[:, :-1]).any():
            return None
        kept = is_token.flatten().nonzero().squeeze(1)
        if len(kept) > (1 - LEAST_PADDING) * rows * length or not len(kept):
            return None
        ends = is_token.sum(1).cumsum(0).unsqueeze(0)
        return cls(kept, (rows, length), PackedDocuments.of(ends, len(kept)))

    def take(self, values: Tensor) -> Tensor:
        """Leave padding out. Shapes: (B, T) -> (1, N)."""
        return values.flatten().index_select(0, self.kept).unsqueeze(0)

    def put_back(self, hidden: Tensor) -> Tensor:
        """Put each token back into its row, with zeros as padding. Shapes: (1, N, C) -> (B, T, C)."""
        rows, length = self.shape
        padded = hidden.new_zeros(rows * length, hidden.shape[-1]).index_copy(0, self.kept, hidden[0])
        return padded.view(rows, length, -1)
