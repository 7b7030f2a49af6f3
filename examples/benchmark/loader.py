"""Measure the data loader and compare it with fairseq's masked_lm on the same text."""

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmark.training_step import VOCABULARY, toy_task
from fairseq_electra.electra.masking import Masking
from fairseq_electra.pretraining.batches import MaskedRows
from fairseq_electra.pretraining.binarized import Binarized, open_binarized
from fairseq_electra.pretraining.encode import write_binarized
from fairseq_electra.pretraining.rows import build_rows

LINES = 100_000
WIDTH = 128


def compare(rows: int, rounds: int) -> list[dict]:
    """Make batches with both loaders in turn.

    Args:
        rows: The number of rows of a batch.
        rounds: The number of rounds. A round has 200 batches of ours and 2 of fairseq's, after a shorter
            warm-up.

    Returns:
        For each loader its name, the median of the tokens per second of processor time, and their range over
        rounds.
    """
    with tempfile.TemporaryDirectory() as folder:
        prefix = Path(folder) / "train"
        rng = np.random.default_rng(0)
        lines = [rng.integers(4, VOCABULARY - 1, size).tolist() for size in rng.integers(5, 120, LINES)]
        write_binarized(prefix, [lines], VOCABULARY, 2)
        corpus = open_binarized(prefix, VOCABULARY)
        loaders = {
            "fairseq_electra": (our_loader(corpus), 200),
            "fairseq masked_lm": (fairseq_loader(str(prefix)), 2),
        }
        speeds: dict[str, list[float]] = {name: [] for name in loaders}
        for _ in range(rounds):
            for name, (dataset, batches) in loaders.items():
                for count in (max(1, batches // 10), batches):
                    speed = tokens_per_second(dataset, rng.integers(0, len(dataset), (count, rows)))
                speeds[name].append(speed)
    return [
        {
            "loader": name,
            "tokens_per_cpu_second": round(statistics.median(found)),
            "range": [round(min(found)), round(max(found))],
        }
        for name, found in speeds.items()
    ]


def tokens_per_second(dataset, batches: np.ndarray) -> float:
    """Return the tokens per second of processor time, for batches of row indices of shape (batches, rows)."""
    start = time.process_time()
    tokens = 0
    for batch in batches:
        items = (
            dataset.__getitems__(batch)
            if hasattr(dataset, "__getitems__")
            else [dataset[int(i)] for i in batch]
        )
        tokens += int(dataset.collater(items)["ntokens"])
    return tokens / (time.process_time() - start)


def our_loader(corpus: Binarized) -> MaskedRows:
    """Make the dataset of this package."""
    masking = Masking(0.15, 0.15, 0.0, mask_index=VOCABULARY - 1, pad_index=1, first_piece=4)
    rows = build_rows(corpus.line_sizes, WIDTH)
    return MaskedRows(corpus, rows, masking, WIDTH, vocabulary_size=VOCABULARY, seed=1)


def fairseq_loader(prefix: str):
    """Make the dataset that fairseq/tasks/masked_lm.py builds."""
    from fairseq.data import (
        IdDataset,
        MaskTokensDataset,
        NestedDictionaryDataset,
        NumelDataset,
        NumSamplesDataset,
        PrependTokenDataset,
        RightPadDataset,
        TokenBlockDataset,
        data_utils,
    )

    dictionary = toy_task().source_dictionary
    lines = data_utils.load_indexed_dataset(prefix, dictionary)
    blocks = TokenBlockDataset(lines, lines.sizes, WIDTH - 1, pad=1, eos=2, break_mode="complete")
    blocks = PrependTokenDataset(blocks, dictionary.bos())
    source, target = MaskTokensDataset.apply_mask(
        blocks,
        dictionary,
        pad_idx=1,
        mask_idx=VOCABULARY - 1,
        seed=1,
        mask_prob=0.15,
        leave_unmasked_prob=0.15,
        random_token_prob=0.0,
    )
    parts = {
        "id": IdDataset(),
        "net_input": {
            "src_tokens": RightPadDataset(source, pad_idx=1),
            "src_lengths": NumelDataset(source, reduce=False),
        },
        "target": RightPadDataset(target, pad_idx=1),
        "nsentences": NumSamplesDataset(),
        "ntokens": NumelDataset(source, reduce=True),
    }
    dataset = NestedDictionaryDataset(parts, sizes=[torch.from_numpy(np.asarray(blocks.sizes))])
    dataset.set_epoch(1)
    return dataset
