"""The dataset that fairseq iterates over: items are row numbers, and a batch is read and masked in one go."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from fairseq.data import FairseqDataset

from fairseq_electra.electra.masking import Masking, columns_before
from fairseq_electra.errors import InputError
from fairseq_electra.pretraining.binarized import Binarized
from fairseq_electra.pretraining.packing import Packing, gather_packed
from fairseq_electra.pretraining.rows import Rows, gather_rows

SAMPLED = 64  # stretches of rows, and rows of a stretch, that a share is measured on: few places to read from, some 4,000 rows


class MaskedRows(FairseqDataset):
    """Rows of a corpus, masked anew in every epoch.

    Args:
        corpus: the ids.
        rows: where its rows lie.
        masking: how to mask them.
        width: tokens of every batch, T; shorter rows are padded to it, so that all batches have one shape.
        bos, pad, eos: ids of the special symbols.
        vocabulary_size: V; a larger id in a row is an error.
        seed: of the order of the rows.
        packing: of these rows: where given, an item is a packed row, and these rows are the documents in it.
        fixed: corrupted copies of the corpus's ids by name (:mod:`fairseq_electra.pretraining.fixed_corruption`), which are read beside it.
    """

    def __init__(
        self,
        corpus: Binarized,
        rows: Rows,
        masking: Masking,
        width: int,
        *,
        bos: int,
        pad: int,
        eos: int,
        vocabulary_size: int,
        seed: int,
        packing: Packing | None = None,
        fixed: Mapping[str, np.ndarray] | None = None,
    ):
        self.corpus, self.rows, self.masking, self.width, self.packing = corpus, rows, masking, width, packing
        self.fixed = dict(fixed or {})
        self.rows_of_batch = 0
        self.sends_ahead = False
        self.bos, self.pad, self.eos, self.vocabulary_size, self.seed = bos, pad, eos, vocabulary_size, seed
        # shared memory: fairseq keeps worker processes, and the copies of the dataset in them, from one epoch to the next
        self._epoch = torch.ones((), dtype=torch.int64).share_memory_()

    def __getitem__(self, index: int) -> int:
        """Return the row's number; :meth:`collater` reads the row."""
        return int(index)

    def __getitems__(self, indices: Sequence[int]) -> Sequence[int]:
        """Return a batch's row numbers (PyTorch asks for a whole batch where this exists)."""
        return indices

    def __len__(self) -> int:
        return len(self.rows if self.packing is None else self.packing)

    def collater(self, samples: Sequence[int] | np.ndarray) -> dict:
        """Read, pad and mask rows.

        Args:
            samples: row numbers, B of them.

        Returns:
            fairseq's sample: ``id`` (B,), ``nsentences``, ``ntokens`` (no padding), ``nmasked``, ``npairs`` (of tokens
            of which one sees the other), ``target`` (B, K), and in ``net_input`` ``src_tokens``, ``segment_ids``, ``padding_mask`` (B, T),
            ``masked_positions``, ``target``, ``sample_uniforms`` (B, K), and of packed rows ``document_ends`` (B, D). Empty for no rows.
            And where there are fixed corruptions, ``fixed``: of each by its name ``tokens`` and ``is_replaced`` (B, T).
            A batch of fewer than ``rows_of_batch`` rows is filled up with rows of padding, which weigh nothing.
        """
        if len(samples) == 0:
            return {}
        index = np.asarray(samples, np.int64)
        tokens, segments, lengths, ends = self._read(index)
        self._check(tokens, index)
        copies = {name: self._read(index, ids)[0] for name, ids in self.fixed.items()}
        fixed = {name: (copy, copy != tokens) for name, copy in copies.items()}
        masked = self.masking(tokens, lengths, int(self._epoch), index)
        arrays = {
            "src_tokens": (masked.src_tokens, self.pad),
            "segment_ids": (segments, 0),
            "padding_mask": (~columns_before(lengths, self.width), True),
            "masked_positions": (masked.positions, 0),
            "target": (masked.target, self.pad),
            "sample_uniforms": (masked.sample_uniforms, 0),
        }
        documents = lengths
        if ends is not None:
            arrays["document_ends"] = (ends, self.width)
            documents = np.diff(np.minimum(ends, lengths[:, None]), axis=1, prepend=0)
        missing = max(0, self.rows_of_batch - len(index))
        net_input = {
            name: torch.from_numpy(_filled_up(array, missing, value))
            for name, (array, value) in arrays.items()
        }
        sample = {
            "id": torch.from_numpy(index),
            "nsentences": len(index),
            "ntokens": int(lengths.sum()),
            "nmasked": int(masked.counts.sum()),
            "npairs": int((documents * documents).sum()),
            "target": net_input["target"],
            "net_input": net_input,
        }
        if fixed:
            sample["fixed"] = {
                name: {
                    "tokens": torch.from_numpy(_filled_up(copy, missing, self.pad)),
                    "is_replaced": torch.from_numpy(_filled_up(replaced, missing, False)),
                }
                for name, (copy, replaced) in fixed.items()
            }
        return sample

    def masked_share(self) -> float:
        """Measure masked tokens by all tokens under the first epoch's masks, of all rows or of 64 stretches of 64, evenly spread."""
        begins = np.linspace(0, max(0, len(self) - SAMPLED), SAMPLED).astype(np.int64)
        rows = np.unique(begins[:, None] + np.arange(SAMPLED))
        tokens = masked = 0
        for index in np.array_split(rows[rows < len(self)], SAMPLED):
            if len(index):
                ids, _, lengths, _ = self._read(index)
                self._check(ids, index)
                tokens += int(lengths.sum())
                masked += int(self.masking(ids, lengths, 1, index).counts.sum())
        return masked / tokens

    def _check(self, tokens: np.ndarray, index: np.ndarray) -> None:
        if int(tokens.max()) >= self.vocabulary_size:
            raise InputError(
                f"row {int(index[tokens.max(1).argmax()])} holds the id {int(tokens.max())}, but the dictionary has "
                f"{self.vocabulary_size:,} entries; use the dict.txt the data was made with"
            )

    def _read(
        self, index: np.ndarray, ids: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
        special, ids = (
            {"bos": self.bos, "pad": self.pad, "eos": self.eos},
            self.corpus.ids if ids is None else ids,
        )
        if self.packing is None:
            return *gather_rows(ids, self.rows, index, self.width, **special), None
        return gather_packed(ids, self.rows, self.packing, index, self.width, **special)

    @property
    def sizes(self) -> np.ndarray:
        """Tokens of each row. Shape: (number of rows,)."""
        return self.rows.sizes if self.packing is None else self.packing.sizes

    def num_tokens(self, index: int) -> int:
        """Tokens that the row takes in a batch: all rows are padded to one width."""
        return self.width

    def num_tokens_vec(self, indices: np.ndarray) -> np.ndarray:
        """Like :meth:`num_tokens`, for many rows. Shape: (N,)."""
        return np.full(len(indices), self.width, np.int64)

    def size(self, index: int) -> int:
        """Tokens of the row."""
        return int(self.sizes[index])

    def ordered_indices(self) -> np.ndarray:
        """Return all rows in random order. Shape: (number of rows,)."""
        return np.random.default_rng(self.seed).permutation(len(self))

    def filter_indices_by_size(self, indices: np.ndarray, max_sizes: object) -> tuple[np.ndarray, list]:
        """Keep all: rows are made to fit."""
        return indices, []

    @property
    def can_reuse_epoch_itr_across_epochs(self) -> bool:
        """The batches stay, only their order and the masks change."""
        return True

    def set_epoch(self, epoch: int) -> None:
        """Choose the masks; reaches the worker processes too."""
        self._epoch.fill_(epoch)


def _filled_up(array: np.ndarray, missing: int, value: int) -> np.ndarray:
    return (
        np.concatenate([array, np.full((missing, array.shape[1]), value, array.dtype)]) if missing else array
    )
