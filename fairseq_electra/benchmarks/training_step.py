"""Time one training step of every variant, in turn, in one process."""

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import nn

from fairseq_electra.benchmarks.baselines import Step, fairseq_step, transformers_step
from fairseq_electra.data.binarized import Binarized
from fairseq_electra.data.masked_rows import MaskedRows
from fairseq_electra.data.masking import Masking
from fairseq_electra.data.rows import build_rows

VOCABULARY = 30522
CLIP_NORM = 1.0


@dataclass(frozen=True)
class Variant:
    """One way to do the step."""

    name: str
    make: Callable[[], Step]
    bf16: bool = False
    fast_fp32: bool = False

    @contextlib.contextmanager
    def settings(self) -> Iterator[None]:
        """Number formats of the variant."""
        torch.set_float32_matmul_precision("medium" if self.fast_fp32 else "highest")
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bf16):
            yield
        torch.set_float32_matmul_precision("highest")


def variants(size: str) -> list[Variant]:
    """All that is compared at one size; the first is what the others are measured against."""
    return [
        Variant("transformers, head on all positions", lambda: transformers_step(size, VOCABULARY, 0.1, masked_only=False)),
        Variant("transformers, head on masked positions", lambda: transformers_step(size, VOCABULARY, 0.1, masked_only=True)),
        Variant("fairseq's modules, head on masked positions", lambda: fairseq_step(size, VOCABULARY, 0.1)),
        Variant("fairseq_electra", lambda: our_step(size, 0.1)),
        Variant("fairseq_electra, --fast-fp32", lambda: our_step(size, 0.1), fast_fp32=True),
        Variant("fairseq_electra, --fast-fp32, no dropout", lambda: our_step(size, 0.0), fast_fp32=True),
        Variant(
            "transformers, head on all positions, bf16",
            lambda: transformers_step(size, VOCABULARY, 0.1, masked_only=False),
            bf16=True,
        ),
        Variant("fairseq_electra, --autocast bf16", lambda: our_step(size, 0.1), bf16=True),
        Variant("fairseq_electra, --autocast bf16, no dropout", lambda: our_step(size, 0.0), bf16=True),
    ]


def toy_task() -> SimpleNamespace:
    """What model and criterion want of a task, with a vocabulary of BERT's size."""
    from fairseq.data import Dictionary

    dictionary = Dictionary()
    for index in range(VOCABULARY - len(dictionary) - 1):
        dictionary.add_symbol(f"piece{index}")
    dictionary.add_symbol("<mask>")
    return SimpleNamespace(source_dictionary=dictionary, cfg=SimpleNamespace(tokens_per_sample=128, mask_prob=0.15))


def our_step(size: str, dropout: float) -> Step:
    """This package's model and criterion. Learned positions at every size, as all others here have them."""
    from fairseq_electra.criterions.replaced_token_detection import ReplacedTokenDetection, ReplacedTokenDetectionConfig
    from fairseq_electra.models.electra import ElectraConfig, ElectraModel

    task = toy_task()
    changes = {"model_size": size, "positions": "learned", "dropout": dropout, "attention_dropout": dropout}
    model = ElectraModel.build_model(OmegaConf.merge(OmegaConf.structured(ElectraConfig), changes), task)
    criterion = ReplacedTokenDetection(OmegaConf.structured(ReplacedTokenDetectionConfig), task)

    def step(sample: dict) -> torch.Tensor:
        loss, masked, _ = criterion(model, sample)
        return loss / masked

    return model, step


def random_batch(rows: int, width: int = 128) -> dict:
    """A batch of full rows of random ids, through the package's own loader."""
    rng = np.random.default_rng(0)
    ids = rng.integers(4, VOCABULARY - 1, rows * width * 2).astype(np.uint16)
    ids[-1] = 2
    line_sizes = np.array([len(ids)], np.int32)
    cut = build_rows(line_sizes, width)
    masking = Masking(0.15, 0.15, 0.0, mask_index=VOCABULARY - 1, pad_index=1, first_piece=4)
    dataset = MaskedRows(Binarized(ids, line_sizes), cut, masking, width, bos=0, pad=1, eos=2, vocabulary_size=VOCABULARY, seed=1)
    full = np.flatnonzero((cut.sizes == width) & (cut.second > 0))[:rows]
    return dataset.collater(full)


def run_step(variant: Variant, network: nn.Module, step: Callable, optimizer: torch.optim.Optimizer, sample: dict) -> None:
    """Forward, backward, clip, update."""
    optimizer.zero_grad()
    with variant.settings():
        loss = step(sample)
    with variant.settings() if variant.fast_fp32 else contextlib.nullcontext():
        loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP_NORM, foreach=True)
    optimizer.step()


def compare(size: str, rows: int, rounds: int) -> list[dict]:
    """Time all variants, one step of each in every round.

    Returns:
        for each variant its name, milliseconds of processor time and of wall time a step (median over rounds), tokens per second
        of both, and the ratio to the first variant round by round (median, smallest, largest).
    """
    sample = random_batch(rows)
    chosen = variants(size)
    made = []
    for variant in chosen:
        torch.manual_seed(1)
        network, step = variant.make()
        network.train()
        made.append((variant, network, step, torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)))
        run_step(*made[-1], sample)
    cpu: list[list[float]] = [[] for _ in made]
    wall: list[list[float]] = [[] for _ in made]
    for _ in range(rounds):
        for index, parts in enumerate(made):
            start_cpu, start = time.process_time(), time.perf_counter()
            run_step(*parts, sample)
            cpu[index].append(time.process_time() - start_cpu)
            wall[index].append(time.perf_counter() - start)
    tokens = sample["ntokens"]
    results = []
    for index, variant in enumerate(chosen):
        ratios = [first / own for first, own in zip(cpu[0], cpu[index], strict=True)]
        results.append(
            {
                "variant": variant.name,
                "cpu_ms": round(1000 * statistics.median(cpu[index]), 1),
                "wall_ms": round(1000 * statistics.median(wall[index]), 1),
                "tokens_per_cpu_second": round(tokens / statistics.median(cpu[index])),
                "ratio": round(statistics.median(ratios), 2),
                "ratio_range": [round(min(ratios), 2), round(max(ratios), 2)],
            }
        )
    return results
