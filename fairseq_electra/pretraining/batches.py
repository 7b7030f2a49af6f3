"""The dataset that fairseq iterates over: items are row numbers, and the collater reads and masks a batch."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from fairseq.data import FairseqDataset
from torch import Tensor

from fairseq_electra.electra.flops import pairs_within
from fairseq_electra.electra.masking import Masking, columns_before
from fairseq_electra.electra.thinning import slot_ranks
from fairseq_electra.errors import InputError
from fairseq_electra.pretraining.binarized import Binarized
from fairseq_electra.pretraining.packing import Packing, gather_packed
from fairseq_electra.pretraining.rows import RowBatch, RowSpans, gather_rows
from fairseq_electra.pretraining.wordpiece import PAD_ID

# The share of masked tokens is measured on so many blocks of consecutive rows, evenly spread: about 4,000
# rows, few places to read
SAMPLED_BLOCKS, ROWS_PER_BLOCK = 64, 64


class MaskedRows(FairseqDataset):
    """Rows of a corpus, masked anew in every epoch.

    Args:
        corpus: the corpus in ids.
        rows: where its rows lie.
        masking: how rows are masked.
        row_length: length of the padded rows in tokens, T, so that all batches have one shape.
        vocabulary_size: V; a larger id in a row is an error.
        seed: random seed of the order of rows.
        packing: the packing of these rows; if given, an item is a packed row, and ``rows`` are the documents
            in it.
        fixed: corrupted copies of the corpus's ids by name
            (:mod:`fairseq_electra.pretraining.fixed_corruption`); each batch holds its rows of them too.
        can_be_thinned: whether batches hold what is needed to take masks back
            (:mod:`fairseq_electra.pretraining.thinned_batches`).

    Attributes:
        min_batch_size: a smaller batch is filled up with rows of padding; 0: it stays as it is.
        sends_ahead: whether fairseq copies batches to the GPU ahead of their updates
            (:mod:`fairseq_electra.compat.prefetch`).
    """

    def __init__(
        self,
        corpus: Binarized,
        rows: RowSpans,
        masking: Masking,
        row_length: int,
        *,
        vocabulary_size: int,
        seed: int,
        packing: Packing | None = None,
        fixed: Mapping[str, np.ndarray] | None = None,
        can_be_thinned: bool = False,
    ):
        self.corpus, self.rows, self.masking, self.row_length, self.packing = (
            corpus,
            rows,
            masking,
            row_length,
            packing,
        )
        self.fixed, self.can_be_thinned = dict(fixed or {}), can_be_thinned
        self.vocabulary_size, self.seed = vocabulary_size, seed
        self.min_batch_size = 0
        self.sends_ahead = False
        self.local_window = 0  # of the model's layers that have one
        # in shared memory, as fairseq keeps worker processes and their copies of the dataset from one epoch
        # to the next
        self._epoch = torch.ones((), dtype=torch.int64).share_memory_()

    def __getitem__(self, index: int) -> int:
        """Return the number of a row; :meth:`collater` reads the row."""
        return int(index)

    def __getitems__(self, indices: Sequence[int]) -> Sequence[int]:
        """Return the row numbers of a batch; PyTorch asks for a whole batch if this method exists."""
        return indices

    def __len__(self) -> int:
        return len(self.rows if self.packing is None else self.packing)

    def collater(self, samples: Sequence[int] | np.ndarray) -> dict:
        """Read, pad and mask rows.

        Args:
            samples: row numbers. Shape: (B,).

        Returns:
            fairseq's sample, empty for no rows: ``id`` (B,), ``nsentences``, ``ntokens`` (padding not
            counted), ``nmasked``, ``npairs`` (of tokens of one document), ``nlocal_pairs`` (of those within
            ``local_window``), ``target`` (B, K), and in ``net_input`` the model's arguments: ``src_tokens``,
            ``segment_ids``, ``padding_mask`` (B, T), ``masked_positions``, ``target``, ``sample_uniforms``
            (B, K), and for packed rows ``document_ends`` (B, D). With fixed corruptions also ``original``
            (B, T), the rows themselves, and ``fixed``: for each by name its ``tokens`` and ``is_replaced``
            (B, T). Rows that only fill up the batch have no weight.
            Where rates are drawn, ``row_weights`` (B,) and their sum over masked tokens, ``nweighted``: m
            masked ones of n that may be masked weigh n / m each. Batches that can be thinned have
            ``slot_ranks`` (B, K), and as arrays, which stay on the host, ``row_lengths`` and ``row_masked``
            (B,).
        """
        if len(samples) == 0:
            return {}
        numbers = np.asarray(samples, np.int64)
        rows = self._read(numbers)
        self._check_ids(rows.tokens, numbers)
        masked = self.masking(rows.tokens, rows.lengths, int(self._epoch), numbers)
        arrays = {
            "src_tokens": (masked.src_tokens, PAD_ID),
            "segment_ids": (rows.segments, 0),
            "padding_mask": (~columns_before(rows.lengths, self.row_length), True),
            "masked_positions": (masked.positions, 0),
            "target": (masked.target, PAD_ID),
            "sample_uniforms": (masked.sample_uniforms, 0),
        }
        document_lengths = rows.lengths
        if rows.document_ends is not None:
            arrays["document_ends"] = (rows.document_ends, self.row_length)
            ends = np.minimum(rows.document_ends, rows.lengths[:, None])
            document_lengths = np.diff(ends, axis=1, prepend=0)
        net_input = {name: self._filled_up(array, padding) for name, (array, padding) in arrays.items()}
        sample = {
            "id": torch.from_numpy(numbers),
            "nsentences": len(numbers),
            "ntokens": int(rows.lengths.sum()),
            "nmasked": int(masked.counts.sum()),
            "npairs": int((document_lengths * document_lengths).sum()),
            "nlocal_pairs": int(pairs_within(self.local_window, document_lengths).sum()),
            "target": net_input["target"],
            "net_input": net_input,
        }
        if self.masking.draw_rates:
            sizes = self.masking.candidates(rows.tokens).sum(1)
            weights = sizes / np.maximum(masked.counts, 1)
            sample |= {
                "row_weights": self._filled_up(weights[:, None], 0)[:, 0],
                "nweighted": int(sizes.sum()),
            }
        if self.can_be_thinned:
            draws = self.masking.draws(int(self._epoch), numbers, self.row_length).of_tokens()
            ranks = slot_ranks(draws, masked.positions, masked.counts)
            sample |= {
                "slot_ranks": self._filled_up(ranks, ranks.shape[1]),
                "row_lengths": rows.lengths,
                "row_masked": masked.counts,
            }
        if self.fixed:
            sample["original"] = self._filled_up(rows.tokens, PAD_ID)
            sample["fixed"] = {
                name: self._corrupted(ids, numbers, rows.tokens) for name, ids in self.fixed.items()
            }
        return sample

    def _corrupted(self, ids: np.ndarray, numbers: np.ndarray, original: np.ndarray) -> dict[str, Tensor]:
        tokens = self._read(numbers, ids).tokens
        is_replaced = self._filled_up(tokens != original, False)
        return {"tokens": self._filled_up(tokens, PAD_ID), "is_replaced": is_replaced}

    def _filled_up(self, array: np.ndarray, padding: int) -> Tensor:
        """Add rows of padding up to ``min_batch_size`` rows. Shape: (B, N) -> (max(B, min_batch_size), N)."""
        missing = max(0, self.min_batch_size - len(array))
        rows = np.full((missing, array.shape[1]), padding, array.dtype)
        # one memory layout for all batches: torch.compile makes another graph for another layout
        return torch.from_numpy(np.concatenate([array, rows]) if missing else np.ascontiguousarray(array))

    def masked_share(self) -> float:
        """Measure the share of masked tokens under the first epoch's masks, on at most about 4,000 rows.

        Where rates are drawn, it is that of tokens that may be masked.
        """
        starts = np.linspace(0, max(0, len(self) - ROWS_PER_BLOCK), SAMPLED_BLOCKS).astype(np.int64)
        sampled = np.unique(starts[:, None] + np.arange(ROWS_PER_BLOCK))
        tokens = masked = 0
        for numbers in np.array_split(sampled[sampled < len(self)], SAMPLED_BLOCKS):
            if len(numbers):
                rows = self._read(numbers)
                self._check_ids(rows.tokens, numbers)
                tokens += int(rows.lengths.sum())
                if self.masking.draw_rates:
                    masked += int(self.masking.candidates(rows.tokens).sum())
                else:
                    masked += int(self.masking(rows.tokens, rows.lengths, 1, numbers).counts.sum())
        return masked / tokens

    def _check_ids(self, tokens: np.ndarray, numbers: np.ndarray) -> None:
        if int(tokens.max()) >= self.vocabulary_size:
            raise InputError(
                f"row {int(numbers[tokens.max(1).argmax()])} holds the id {int(tokens.max())}, but the "
                "dictionary has "
                f"{self.vocabulary_size:,} entries; use the dict.txt that the data was made with"
            )

    def _read(self, numbers: np.ndarray, ids: np.ndarray | None = None) -> RowBatch:
        ids = self.corpus.ids if ids is None else ids
        if self.packing is None:
            return gather_rows(ids, self.rows, numbers, self.row_length)
        return gather_packed(ids, self.rows, self.packing, numbers, self.row_length)

    def first_ids(self, limit: int | None) -> np.ndarray:
        """Return so many ids of the text, or all of them. Shape: (number of ids,)."""
        return self.corpus.ids[:limit]

    @property
    def sizes(self) -> np.ndarray:
        """Length of each row in tokens. Shape: (number of rows,)."""
        return self.rows.lengths if self.packing is None else self.packing.lengths

    def num_tokens(self, index: int) -> int:
        """Return the length of the row in a batch, in tokens: all rows are padded to one length."""
        return self.row_length

    def num_tokens_vec(self, indices: np.ndarray) -> np.ndarray:
        """Return the lengths of many rows as :meth:`num_tokens` does. Shape: (N,)."""
        return np.full(len(indices), self.row_length, np.int64)

    def size(self, index: int) -> int:
        """Return the length of the row in tokens."""
        return int(self.sizes[index])

    def ordered_indices(self) -> np.ndarray:
        """Return all rows in random order. Shape: (number of rows,)."""
        return np.random.default_rng(self.seed).permutation(len(self))

    def filter_indices_by_size(self, indices: np.ndarray, max_sizes: object) -> tuple[np.ndarray, list]:
        """Keep all rows: they are made to fit."""
        return indices, []

    @property
    def can_reuse_epoch_itr_across_epochs(self) -> bool:
        """Tell that batches stay the same from epoch to epoch; only their order and the masks change."""
        return True

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch's masks, in the worker processes too."""
        self._epoch.fill_(epoch)
