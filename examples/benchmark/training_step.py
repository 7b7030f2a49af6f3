"""Measure a training step of every variant, in turn in one process."""

import contextlib
import re
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import nn

from benchmark.baselines import (
    BASELINE_TRAITS,
    Step,
    fairseq_step,
    roformer_step,
    same_as_baselines,
    transformers_step,
)
from benchmark.bound import products_alone, step_products
from benchmark.report import ratios
from fairseq_electra.electra.masking import Masking
from fairseq_electra.electra.objectives import OBJECTIVES
from fairseq_electra.electra.size_table import MODEL_SIZES
from fairseq_electra.precision import cpu_has_bf16
from fairseq_electra.pretraining.batches import MaskedRows
from fairseq_electra.pretraining.binarized import Binarized
from fairseq_electra.pretraining.rows import build_rows
from fairseq_electra.tasks._masked_share import MaskedShare

VOCABULARY = 30522
CLIP_NORM = 1.0


@dataclass(frozen=True)
class Variant:
    """One way to make a training step."""

    name: str
    make: Callable[[], Step]
    bf16: bool = False
    fast_fp32: bool = False
    compiled: bool = False

    @property
    def products(self) -> tuple[torch.dtype, bool]:
        """The number format of its matrix products, and whether float32 ones may be fast."""
        return (torch.bfloat16 if self.bf16 else torch.float32), self.fast_fp32

    @contextlib.contextmanager
    def settings(self) -> Iterator[None]:
        """Set the number formats of the variant."""
        with float32_products(self.fast_fp32), torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bf16):
            yield


@contextlib.contextmanager
def float32_products(fast: bool) -> Iterator[None]:
    """Allow or forbid fast float32 products of reduced precision."""
    torch.set_float32_matmul_precision("medium" if fast else "highest")
    yield
    torch.set_float32_matmul_precision("highest")


def variants(size: str, compiled: bool = False) -> list[Variant]:
    """Return all variants of a model size; the first is the baseline of the ratios.

    Args:
        size: The model size.
        compiled: Whether ours is also measured with ``--compile``, which takes minutes.
    """
    ours, no_dropout = "fairseq_electra", ", no dropout"
    baselines: dict[str, Callable[[], Step]] = {
        "transformers, head on all positions": lambda: transformers_step(
            size, VOCABULARY, 0.1, masked_only=False
        ),
        "transformers, head on masked positions": lambda: transformers_step(
            size, VOCABULARY, 0.1, masked_only=True
        ),
        "transformers' RoFormer, head on masked positions": lambda: roformer_step(size, VOCABULARY, 0.1),
        "fairseq's modules, head on masked positions": lambda: fairseq_step(size, VOCABULARY, 0.1),
    }
    found = [
        *(Variant(name, make) for name, make in baselines.items()),
        Variant(ours, lambda: our_step(size, 0.1)),
        Variant(f"{ours}, {BASELINE_TRAITS}", lambda: our_step(size, 0.1, positions="learned", norm="post")),
        Variant(f"{ours}, --fast-fp32", lambda: our_step(size, 0.1), fast_fp32=True),
        Variant(f"{ours}, --fast-fp32{no_dropout}", lambda: our_step(size, 0.0), fast_fp32=True),
        *(Variant(f"{name}, bf16", make, bf16=True) for name, make in baselines.items()),
        Variant(f"{ours}, --autocast bf16", lambda: our_step(size, 0.1), bf16=True),
        Variant(
            f"{ours}, --autocast bf16, {BASELINE_TRAITS}",
            lambda: our_step(size, 0.1, positions="learned", norm="post"),
            bf16=True,
        ),
        Variant(f"{ours}, --autocast bf16{no_dropout}", lambda: our_step(size, 0.0), bf16=True),
    ]
    if compiled:
        found += [
            Variant(
                f"{ours}, --fast-fp32 --compile",
                lambda: our_step(size, 0.1, True),
                fast_fp32=True,
                compiled=True,
            ),
            Variant(
                f"{ours}, --fast-fp32 --compile{no_dropout}",
                lambda: our_step(size, 0.0, True),
                fast_fp32=True,
                compiled=True,
            ),
            Variant(
                f"{ours}, --autocast bf16 --compile",
                lambda: our_step(size, 0.1, True),
                bf16=True,
                compiled=True,
            ),
            Variant(
                f"{ours}, --autocast bf16 --compile{no_dropout}",
                lambda: our_step(size, 0.0, True),
                bf16=True,
                compiled=True,
            ),
        ]
    same = same_as_baselines(size)
    return [
        variant
        for variant in found
        if not (same and BASELINE_TRAITS in variant.name) and (not variant.bf16 or cpu_has_bf16())
    ]


def toy_task() -> SimpleNamespace:
    """Make a task with all that model and criterion need, and a vocabulary of BERT's size."""
    from fairseq.data import Dictionary

    dictionary = Dictionary()
    for index in range(VOCABULARY - len(dictionary) - 1):
        dictionary.add_symbol(f"piece{index}")
    dictionary.add_symbol("<mask>")
    return SimpleNamespace(
        source_dictionary=dictionary,
        cfg=SimpleNamespace(tokens_per_sample=128),
        masked_share=MaskedShare(0.15),
        objective=OBJECTIVES["electra"],
    )


def our_step(
    size: str, dropout: float, compiled: bool = False, width: int = 128, cuda_graphs: bool = False, **net: str
) -> Step:
    """Make a step from this package: the model of ``--arch``, except for the options in ``net``."""
    from fairseq_electra.criterions.replaced_token_detection import (
        ReplacedTokenDetection,
        ReplacedTokenDetectionConfig,
    )
    from fairseq_electra.models.electra import ElectraConfig, ElectraModel, compile_options

    task = toy_task()
    traits = {**MODEL_SIZES[size].arch_traits, **net}
    changes: dict = {"model_size": size, "dropout": dropout, "attention_dropout": dropout, **traits}
    changes |= {"compile": compiled, "cuda_graphs": cuda_graphs, "max_position_embeddings": max(512, width)}
    model = ElectraModel.build_model(OmegaConf.merge(OmegaConf.structured(ElectraConfig), changes), task)
    criterion = ReplacedTokenDetection(OmegaConf.structured(ReplacedTokenDetectionConfig), task)
    if compiled:
        criterion.compile_loss(**compile_options(cuda_graphs))

    def step(sample: dict) -> torch.Tensor:
        loss, masked, _ = criterion(model, sample)
        return loss / masked

    return model, step


def random_batch(rows: int, width: int = 128) -> dict:
    """Make a batch of full rows of random ids with the data loader of this package."""
    rng = np.random.default_rng(0)
    ids = rng.integers(4, VOCABULARY - 1, rows * width * 2).astype(np.uint16)
    ids[-1] = 2
    line_sizes = np.array([len(ids)], np.int32)
    cut = build_rows(line_sizes, width)
    masking = Masking(0.15, 0.15, 0.0, mask_index=VOCABULARY - 1, pad_index=1, first_piece=4)
    dataset = MaskedRows(Binarized(ids, line_sizes), cut, masking, width, vocabulary_size=VOCABULARY, seed=1)
    full = np.flatnonzero((cut.lengths == width) & (cut.second_length > 0))[:rows]
    return dataset.collater(full)


def run_step(
    variant: Variant, network: nn.Module, step: Callable, optimizer: torch.optim.Optimizer, sample: dict
) -> None:
    """Make a step: forward and backward pass, clipping, update."""
    optimizer.zero_grad()
    with variant.settings():
        loss = step(sample)
    with variant.settings() if variant.fast_fp32 else contextlib.nullcontext():
        loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP_NORM, foreach=True)
    optimizer.step()


def compare(size: str, rows: int, rounds: int, compiled: bool = False, pattern: str = "") -> list[dict]:
    """Measure a step of each variant in every round, and the matrix products of a step alone.

    Args:
        size: The model size.
        rows: The number of rows of a batch, of 128 tokens each.
        rounds: The number of rounds.
        compiled: Whether ours is also measured with ``--compile``.
        pattern: A regular expression that the names of the variants must match, except that of the first.

    Returns:
        For each variant: its name; the median milliseconds of a step in processor time and in wall time; the
        tokens per second of processor time; the median and the range of the ratios to the first variant; and
        ``of_products``, the share of the processor time that the matrix products of ELECTRA's step would take
        alone in its number format.
    """
    torch._dynamo.reset()  # else graphs of all sizes share the limit of eight recompilations
    sample = random_batch(rows)
    first, *others = variants(size, compiled)
    chosen = [first, *(variant for variant in others if re.search(pattern, variant.name))]
    made = []
    for variant in chosen:
        torch.manual_seed(1)
        network, step = variant.make()
        network.train()
        made.append((variant, network, step, torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)))
        run_step(*made[-1], sample)
    sizes = MODEL_SIZES[size].encoder
    generator, slots = MODEL_SIZES[size].generator, sample["target"].shape[1]
    products = step_products(
        sizes, generator, VOCABULARY, rows, sample["net_input"]["src_tokens"].shape[1], slots
    )
    bounds = {
        kind: products_alone(products, kind[0])
        for kind in dict.fromkeys(variant.products for variant in chosen)
    }
    cpu: list[list[float]] = [[] for _ in made]
    wall: list[list[float]] = [[] for _ in made]
    bound: dict[tuple[torch.dtype, bool], list[float]] = {kind: [] for kind in bounds}
    for _ in range(rounds):
        for index, parts in enumerate(made):
            start_cpu, start = time.process_time(), time.perf_counter()
            run_step(*parts, sample)
            cpu[index].append(time.process_time() - start_cpu)
            wall[index].append(time.perf_counter() - start)
        for kind, run in bounds.items():
            with float32_products(kind[1]):
                start_cpu = time.process_time()
                run()
                bound[kind].append(time.process_time() - start_cpu)
    tokens = sample["ntokens"]
    results = []
    for index, variant in enumerate(chosen):
        shares = [alone / own for alone, own in zip(bound[variant.products], cpu[index], strict=True)]
        results.append(
            {
                "variant": variant.name,
                "cpu_ms": round(1000 * statistics.median(cpu[index]), 1),
                "wall_ms": round(1000 * statistics.median(wall[index]), 1),
                "tokens_per_cpu_second": round(tokens / statistics.median(cpu[index])),
                **ratios(cpu[0], cpu[index]),
                "of_products": round(statistics.median(shares), 2),
            }
        )
    return results
