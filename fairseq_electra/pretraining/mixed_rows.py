"""Rows of several languages in one training, drawn anew in every epoch."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fairseq_electra.pretraining.batches import MaskedRows
from fairseq_electra.pretraining.languages import LanguageSampling
from fairseq_electra.pretraining.rows import RowBatch


class MixedRows(MaskedRows):
    """The rows of an epoch; row i is of the same language in every epoch, but of another text.

    Masks depend on the number of the row in the epoch, so a row of text that an epoch has twice is masked in
    two ways.

    Args:
        languages: the rows of each language; they differ in nothing but their text. No row has text of two.
        sampling: which of them an epoch has.
    """

    def __init__(self, languages: Sequence[MaskedRows], sampling: LanguageSampling):
        first = languages[0]
        super().__init__(
            first.corpus,
            first.rows,
            first.masking,
            first.row_length,
            vocabulary_size=first.vocabulary_size,
            seed=first.seed,
            packing=first.packing,
            can_be_thinned=first.can_be_thinned,
        )
        self.languages, self.sampling = tuple(languages), sampling
        slots = max(0 if each.packing is None else each.packing.document_slots for each in languages)
        for each in languages:
            if each.packing is not None:  # all batches have one shape
                each.packing = replace(each.packing, document_slots=slots)
        self._drawn: tuple[int, np.ndarray] = (1, sampling.rows_of(1))  # an epoch, and its rows
        self._sizes = np.concatenate(
            [each.sizes[rows] for each, rows in zip(languages, self._by_language(), strict=True)]
        )

    def __len__(self) -> int:
        return sum(self.sampling.counts)

    @property
    def sizes(self) -> np.ndarray:
        """Length of each row of the first epoch in tokens: later epochs have others. Shape: (rows,).

        All rows are padded to one length, so batches do not depend on it. A checkpoint tells by it whether
        the data are still the same, in whatever epoch.
        """
        return self._sizes

    def first_ids(self, limit: int | None) -> np.ndarray:
        """Return about so many ids, or as many as all texts have, of each language its share of an epoch."""
        total = sum(len(each.corpus.ids) for each in self.languages)
        total = total if limit is None else min(limit, total)
        lengths = [round(total * count / len(self)) for count in self.sampling.counts]
        return np.concatenate(
            [
                np.resize(each.corpus.ids[:length], length)  # which repeats a text that is too short
                for each, length in zip(self.languages, lengths, strict=True)
            ]
        )

    def _read(self, numbers: np.ndarray, ids: np.ndarray | None = None) -> RowBatch:
        assert ids is None  # only a validation has other ids, and it has one language
        epoch = int(self._epoch)
        if self._drawn[0] != epoch:
            self._drawn = epoch, self.sampling.rows_of(epoch)
        language = np.searchsorted(self.sampling.bounds, numbers, side="right") - 1
        rows = self._drawn[1][numbers]
        parts = [self.languages[i]._read(rows[language == i]) for i in np.unique(language)]
        place = np.argsort(np.argsort(language, kind="stable"))  # of each row in the parts
        ends = [part.document_ends for part in parts if part.document_ends is not None]
        return RowBatch(
            tokens=np.concatenate([part.tokens for part in parts])[place],
            segments=np.concatenate([part.segments for part in parts])[place],
            lengths=np.concatenate([part.lengths for part in parts])[place],
            document_ends=np.concatenate(ends)[place] if ends else None,
        )

    def _by_language(self) -> list[np.ndarray]:
        return np.split(self._drawn[1], self.sampling.bounds[1:-1])
