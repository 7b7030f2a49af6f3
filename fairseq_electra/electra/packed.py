"""Documents that share a packed row: where each token stands in its own, and which tokens it sees."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class PackedDocuments(NamedTuple):
    """Documents of packed rows; padding at the end of a row is one as well."""

    ends: Tensor  # (B, D), column behind each document, T in spare places; the last is T
    numbers: Tensor  # (B, T), which of its row's documents a token belongs to
    positions: Tensor  # (B, T), from 0 in each document

    @classmethod
    def of(cls, ends: Tensor, width: int) -> "PackedDocuments":
        """Find numbers and positions. Shape of ``ends``: (B, D), ascending in each row; ``width``: T."""
        columns = torch.arange(width, device=ends.device, dtype=ends.dtype).expand(len(ends), width).contiguous()
        numbers = torch.searchsorted(ends, columns, right=True)
        return cls(ends, numbers, columns - F.pad(ends, (1, 0)).gather(1, numbers))

    def apart(self) -> Tensor:
        """Tell which tokens do not see each other. Shape: (B, 1, T, T), True for tokens of different documents."""
        return (self.numbers[:, :, None] != self.numbers[:, None, :]).unsqueeze(1)

    def bounds(self) -> Tensor:
        """Where each document of the batch begins when its rows lie end to end, and the end. Shape: (B * D + 1,), int32."""
        rows, width = self.numbers.shape
        starts = torch.arange(0, rows * width, width, device=self.ends.device, dtype=torch.int32)
        return F.pad((self.ends.to(torch.int32) + starts[:, None]).flatten(), (1, 0))


class Buckets(NamedTuple):
    """Documents of like length side by side, each padded to the longest of its bucket: attention by plain matrix products."""

    order: Tensor  # (P,), which token of the flattened batch stands in each place; padding repeats the first of its document
    places: Tensor  # (B * T,), the place of each token
    documents: list[int]  # of each bucket
    sizes: list[int]  # places of each bucket
    biases: list[Tensor]  # of each bucket, added to the scores of padding: (documents, 1, 1, longest)

    @classmethod
    def of(cls, documents: PackedDocuments, unseen: float, multiple: int = 32) -> "Buckets":
        """Sort documents by length, rounded up to a multiple. Shapes depend on the data: nothing for a compiled graph, or a GPU."""
        bounds = documents.bounds().long()
        starts, lengths = bounds[:-1], bounds.diff()
        starts, lengths = starts[lengths > 0], lengths[lengths > 0]
        widths = (lengths + multiple - 1) // multiple * multiple
        places = torch.empty(int(bounds[-1]), dtype=torch.long)
        order: list[Tensor] = []
        numbers: list[int] = []
        sizes: list[int] = []
        biases: list[Tensor] = []
        for width in widths.unique().tolist():
            chosen = widths == width
            first, real = starts[chosen, None], torch.arange(width) < lengths[chosen, None]
            token = torch.where(real, first + torch.arange(width), first)
            places[token[real]] = sum(sizes) + torch.arange(token.numel()).view_as(token)[real]
            order.append(token.flatten())
            numbers.append(len(token))
            sizes.append(token.numel())
            biases.append((~real)[:, None, None, :] * unseen)
        return cls(torch.cat(order), places, numbers, sizes, biases)


class Spans(NamedTuple):
    """Documents of a batch whose rows lie end to end, for kernels that take any lengths."""

    bounds: Tensor  # (number of documents + 1,), int32
    longest: int  # no document is longer
