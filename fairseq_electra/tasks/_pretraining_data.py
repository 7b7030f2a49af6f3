"""The data folders of pre-training: where a split lies, and its rows."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from fairseq import utils
from fairseq.distributed.utils import get_global_rank

from fairseq_electra.electra.mask_rate import MaskRate
from fairseq_electra.electra.masking import Masking
from fairseq_electra.errors import InputError
from fairseq_electra.pretraining.batches import MaskedRows
from fairseq_electra.pretraining.binarized import (
    Binarized,
    check_binarized,
    load_dictionary,
    open_binarized,
    word_starts,
)
from fairseq_electra.pretraining.diagnosis import token_counts
from fairseq_electra.pretraining.dictionary import dictionary_digest
from fairseq_electra.pretraining.fixed_corruption import (
    BY_FREQUENCY,
    BY_GENERATOR,
    SEED,
    corrupt_by_frequency,
    load_corruption,
)
from fairseq_electra.pretraining.languages import (
    ALPHA,
    LanguageSampling,
    language_folders,
    parse_languages,
    smoothed_shares,
    vocabulary_folder,
)
from fairseq_electra.pretraining.mixed_rows import MixedRows
from fairseq_electra.pretraining.packing import Packing, pack
from fairseq_electra.pretraining.rows import RowSpans, build_rows, last_lines
from fairseq_electra.pretraining.unknown import unknown_warning

logger = logging.getLogger(__name__)


class PretrainingData:
    """The folders of binarized text that a run reads.

    Args:
        cfg: options of the task.
        dictionary: fairseq's dictionary, with ``<mask>`` as its last entry.
    """

    def __init__(self, cfg, dictionary):
        self.cfg, self.dictionary = cfg, dictionary
        self.mask_rate = MaskRate.parse(cfg.mask_prob, cfg.get("mask_prob_schedule"))
        # older checkpoints do not have these
        names, alpha = cfg.get("languages"), cfg.get("sampling_alpha")
        self.languages, self.alpha = parse_languages(names), ALPHA if alpha is None else alpha
        self.folders = language_folders(cfg.data, names) if names else utils.split_paths(cfg.data)

    def load(self, split: str, prefixes: list[Path]) -> MaskedRows:
        """Make the rows of a split.

        Args:
            split: its name.
            prefixes: the paths of its files without their ending, one for each language.
        """
        parts = [self._load_part(split, prefix) for prefix in prefixes]
        if len(parts) == 1:
            return parts[0]
        sampling = LanguageSampling.smoothed(list(map(len, parts)), self.alpha, self.cfg.seed)
        for prefix, size, count in zip(prefixes, sampling.sizes, sampling.counts, strict=True):
            logger.info(
                f"{prefix}: {count:,} of its {size:,} rows in an epoch, each {count / size:.3g} times, which"
                f" are {count / sum(sampling.counts):.1%} of the epoch"
            )
        return MixedRows(parts, sampling)

    def _load_part(self, split: str, prefix: Path) -> MaskedRows:
        cfg, is_train = self.cfg, split == self.cfg.train_subset
        corpus = open_binarized(prefix, len(self.dictionary))
        seed = cfg.seed if is_train else SEED  # all runs are validated on the same rows, masked alike
        rows = build_rows(
            corpus.line_sizes,
            cfg.tokens_per_sample,
            pairs=cfg.rows == "pairs",
            across_documents=cfg.across_documents,
            seed=seed,
        )
        packing = pack(rows.lengths, cfg.tokens_per_sample, seed) if cfg.pack else None
        self._log_rows(prefix, corpus, rows, packing)
        return MaskedRows(
            corpus,
            rows,
            self._masking(self.mask_rate.highest if is_train else self.mask_rate.validated, seed),
            cfg.tokens_per_sample,
            vocabulary_size=len(self.dictionary),
            seed=seed,
            packing=packing,
            fixed=None if is_train else self._fixed_corruptions(prefix, corpus),
            can_be_thinned=is_train and self.mask_rate.schedule is not None,
        )

    def locate(self, split: str, epoch: int, is_loaded: bool = False) -> list[Path]:
        """Return the paths of a split's files without their ending, after checking the folders.

        There is one for each language that is trained on; else there is one.

        Args:
            split: its name.
            epoch: number of the epoch.
            is_loaded: whether the split was loaded before; then the folder of this epoch alone is checked.
        """
        folders = list(map(str, self.folders))
        if split == self.cfg.train_subset:
            read = folders if self.languages else [folders[(epoch - 1) % len(folders)]]
            self._check_folders(read if is_loaded else folders, split)
            return [Path(folder) / split for folder in read]
        prefix = self._prefix_of_valid(split)
        if not Path(f"{prefix}.idx").is_file():
            there = ", ".join(sorted(path.stem for path in prefix.parent.glob("*.idx"))) or "nothing"
            raise InputError(
                f"no {prefix}.idx, the folder holds {there}; name one of these, make it with fairseq-electra "
                "encode "
                f"--{prefix.name}pref, or train with --disable-validation"
            )
        return [prefix]

    def _prefix_of_valid(self, split: str) -> Path:
        """Return the path of a split to validate on; that of one language among several is ``en/valid``."""
        whole = Path(utils.split_paths(self.cfg.data)[0]) / split
        if not self.languages or Path(split).parent.name in self.languages:
            return whole
        if len(self.languages) == 1:
            return Path(self.folders[0]) / split
        subsets = ",".join(f"{language}/{Path(split).name}" for language in self.languages)
        raise InputError(
            f"--valid-subset {split}: languages are validated one by one; give --valid-subset {subsets}, or"
            " --disable-validation"
        )

    def token_probs(self, distribution: str) -> torch.Tensor:
        """Return the distribution of random tokens, from the first folder's training text. Shape: (V,).

        Of several languages it is that of what is drawn, by the sizes of their texts in tokens.
        """
        corpora = [
            open_binarized(prefix, len(self.dictionary)) for prefix in self.locate(self.cfg.train_subset, 1)
        ]
        counts = [token_counts(corpus.ids, self.dictionary) for corpus in corpora]
        total = counts[0]
        if len(counts) > 1:
            sizes = [int(each.sum()) for each in counts]
            shares = smoothed_shares(sizes, self.alpha)
            total = np.sum(
                [share * each / size for share, each, size in zip(shares, counts, sizes, strict=True)], axis=0
            )
        if distribution == "uniform":
            total = (total > 0).astype(np.int64)
        return torch.from_numpy(total / total.sum())

    def _masking(self, rate: float, seed: int) -> Masking:
        cfg, dictionary = self.cfg, self.dictionary
        return Masking(
            rate,
            cfg.leave_unmasked_prob,
            cfg.random_token_prob,
            mask_index=len(dictionary) - 1,
            pad_index=dictionary.pad(),
            first_piece=dictionary.nspecial,
            word_starts=word_starts(dictionary) if cfg.mask_whole_words else None,
            mean_span=cfg.mask_spans,
            masker=str(cfg.masker or ""),
            seed=seed,
            draw_rates=self.mask_rate.is_drawn,
        )

    def _log_rows(self, prefix: Path, corpus: Binarized, rows: RowSpans, packing: Packing | None) -> None:
        length = self.cfg.tokens_per_sample
        logger.info(
            f"{prefix}: {len(corpus.line_sizes):,} lines in {len(last_lines(corpus.line_sizes)):,} documents,"
            f" {len(rows):,} rows of up to {length} tokens, {rows.lengths.mean() / length:.0%} filled,"
            f" {(rows.second_length > 0).mean():.0%} with two segments"
        )
        if packing is not None:
            logger.info(
                f"{prefix}: packed into {len(packing):,}, {packing.lengths.mean() / length:.1%} filled"
            )
        warning = unknown_warning(str(prefix), corpus.ids, corpus.line_sizes)
        if warning and get_global_rank() == 0:
            logger.warning(warning)

    def _check_folders(self, folders: list[str], split: str) -> None:
        """Refuse folders that cannot be trained on: before the first epoch all of them."""
        first = str(vocabulary_folder(self.cfg.data, self.cfg.get("languages")))
        digest = dictionary_digest(self.dictionary.symbols)
        for folder in dict.fromkeys(folders):
            if folder != first and dictionary_digest(load_dictionary(folder).symbols) != digest:
                raise InputError(
                    f"{folder} has another dict.txt than {first}; encode both with one vocabulary"
                )
            check_binarized(Path(folder) / split)

    def _fixed_corruptions(self, prefix: Path, corpus: Binarized) -> dict[str, np.ndarray]:
        dictionary = self.dictionary
        corruptions = {
            BY_FREQUENCY: corrupt_by_frequency(corpus.ids, dictionary.nspecial, len(dictionary) - 1)
        }
        of_generator = load_corruption(prefix, corpus)
        if of_generator is not None:
            corruptions[BY_GENERATOR], name = of_generator
            logger.info(f"{prefix}: {BY_GENERATOR}_auc is that of replacements by {name}")
        return corruptions


def refuse_parts(prefixes: Sequence[Path], is_train: bool) -> None:
    """Refuse a split of several parts, such as ``train`` and ``train1``, of which one would be read.

    Args:
        prefixes: folder and split of each file that is read.
        is_train: whether it is the training text.

    Raises:
        InputError: there are more parts.
    """
    for prefix in prefixes:
        if not Path(f"{prefix}1.idx").is_file():
            continue
        name = Path(prefix).name
        remedy = f"name all parts with --valid-subset {name},{name}1, and leave --combine-valid-subsets out"
        if is_train:
            remedy = f"encode all files together, or move {name}1 elsewhere"
        raise InputError(f"{prefix}1 stands beside {prefix}, and the two are not put together: {remedy}")
