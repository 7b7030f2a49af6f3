"""Padded rows without their padding, one behind the other: for CPUs, where no layer then computes padding."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fairseq_electra.electra.packed import PackedDocuments

LEAST_PADDING = 0.1  # share of a batch; with less, moving the tokens takes as long as the padding
LONGEST_ROW = 512  # attention in longer packed rows costs more time and memory than that of padded rows
# oneDNN compiles a kernel for each number of rows of a bfloat16 product, and keeps a thousand kernels
BFLOAT16_MULTIPLE = 32


class Unpadded(NamedTuple):
    """Where the N tokens of padded rows are, and the one packed row that they make, a document for each row.

    Fine-tuning has rows of very different lengths in a batch, because it shuffles them: of GLUE's tasks 33 to
    64 % of the positions are filled (``examples/benchmark/padding.py``).
    """

    kept: Tensor  # (N,), index into the flattened batch
    shape: tuple[int, int]  # (B, T)
    spare: int  # ids behind the tokens, S, which are a document of their own
    documents: PackedDocuments  # of the packed row, (1, N + S)

    @classmethod
    def of(cls, padding_mask: Tensor, multiple: int = 1) -> "Unpadded | None":
        """Find the tokens of a batch; None: it is quicker as it is.

        The number of tokens depends on the data, which rules out torch.compile and tracing, and would make a
        GPU wait. Rows with padding that is not on the right stay as they are: their tokens have other
        positions than in the packed row.

        Args:
            padding_mask: True at padding. Shape: (B, T).
            multiple: of which the length of the packed row is one, unless that needs more than T spare ids.
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
        spare = -len(kept) % multiple
        if spare > length:  # there may be no embeddings of such positions
            spare = 0
        ends = F.pad(is_token.sum(1).cumsum(0), (0, 1), value=len(kept) + spare).unsqueeze(0)
        return cls(kept, (rows, length), spare, PackedDocuments.of(ends, len(kept) + spare))

    def take(self, values: Tensor) -> Tensor:
        """Leave padding out; spare ids are 0. Shapes: (B, T) -> (1, N + S)."""
        return F.pad(values.flatten().index_select(0, self.kept), (0, self.spare)).unsqueeze(0)

    def put_back(self, hidden: Tensor) -> Tensor:
        """Put each token back into its row, with zeros as padding. Shapes: (1, N + S, C) -> (B, T, C)."""
        rows, length = self.shape
        tokens = hidden[0, : len(self.kept)]
        padded = hidden.new_zeros(rows * length, hidden.shape[-1]).index_copy(0, self.kept, tokens)
        return padded.view(rows, length, -1)
