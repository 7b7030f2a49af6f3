"""The training step of a ``fairseq-train`` command line without its trainer: networks, losses, clipping and optimizer on one batch.

Task, networks and losses are built by fairseq from the command line, so that the step is that of the trainer, whatever the options.
"""

import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch

from benchmark.bookkeeping import Clock
from benchmark.bound import clock, products_alone, step_products
from benchmark.gpu import moved, seconds_of_traffic
from fairseq_electra.electra.objectives import flops_of
from fairseq_electra.precision import product_type

PARTS = ("networks", "gradients", "optimizer")


class StepAlone:
    """A training step, called without arguments.

    Args:
        line: arguments of ``fairseq-train`` for the task ``electra_pretraining``. The first of its rows that are full are the batch.
        device: ``cpu`` or ``cuda``.

    Attributes:
        sizes: of discriminator, None under ``--generator-only``, and generator.
        batch: B, T and K.
        flops: of the matrix products of a step.
    """

    def __init__(self, line: list[str], device: str):
        from fairseq import options, tasks
        from fairseq.dataclass.utils import convert_namespace_to_omegaconf

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # hydra's, on how fairseq calls it
            cfg = convert_namespace_to_omegaconf(
                options.parse_args_and_arch(options.get_training_parser(), input_args=line)
            )
        torch.manual_seed(cfg.common.seed)
        self.task = tasks.setup_task(cfg.task)
        self.model = self.task.build_model(cfg.model).to(device).train()
        self.criterion = self.task.build_criterion(cfg.criterion)
        self.device, self.clip_norm = device, cfg.optimization.clip_norm
        self._optimizer = torch.optim.AdamW(self.model.parameters(), lr=cfg.optimization.lr[0], fused=True)
        dataset = self.task.load_dataset(cfg.dataset.train_subset)
        full = np.flatnonzero(dataset.sizes == cfg.task.tokens_per_sample)[: cfg.dataset.batch_size]
        sample = dataset.collater(full)
        discriminator = self.model.sizes if self.task.objective.has_discriminator else None
        self.sizes = discriminator, self.model.generator.sizes
        rows, width = sample["net_input"]["src_tokens"].shape
        self.batch = rows, width, sample["target"].shape[1]
        count = flops_of(self.model, len(self.task.dictionary))
        self.flops = count.of_step(sample["ntokens"], sample["npairs"], sample["nmasked"])
        self.sample = moved(sample, device)

    def __call__(self) -> None:
        """Do a step."""
        self._optimizer.zero_grad()
        self.networks()
        self.gradients()
        self.optimizer()

    def networks(self) -> None:
        """Forward and backward pass."""
        torch.compiler.cudagraph_mark_step_begin()
        with self.task.autocast(self.sample):
            loss, masked, _ = self.criterion(self.model, self.sample)
        (loss / masked).backward()

    def gradients(self) -> None:
        """Clip them."""
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm, foreach=True)

    def optimizer(self) -> None:
        """Update the weights."""
        self._optimizer.step()

    def measure(self, steps: int) -> dict:
        """Do some steps, one after the other.

        Returns:
            ``wall`` and ``processor`` seconds of a step, the latter of all threads; ``parts``: the milliseconds of each part of it, of
            processor time, on a GPU of the host's.
        """
        watch = Clock(time.process_time if self.device == "cpu" else time.perf_counter)
        for part in PARTS:
            watch.watch(self, part, part)
        clock(self.device)  # waits for what a GPU has still to do
        start, start_processor = time.perf_counter(), time.process_time()
        watch.charge()
        watch.spent.clear()
        for _ in range(steps):
            self()
        watch.charge()
        clock(self.device)
        wall, taken = time.perf_counter() - start, time.process_time() - start_processor
        for part in PARTS:
            delattr(self, part)  # the plain methods again
        parts = {part: 1e3 * seconds / steps for part, seconds in watch.spent.items()}
        return {"wall": wall / steps, "processor": taken / steps, "parts": parts}

    def launch_seconds(self, steps: int = 20) -> float:
        """Seconds until the host has given a GPU all of a step, the GPU idle at its start: the median of some steps."""
        taken = []
        for _ in range(steps):
            clock(self.device)
            start = time.perf_counter()
            self()
            taken.append(time.perf_counter() - start)
        return statistics.median(taken)

    def products(self) -> Callable[[], None]:
        """Make a function that does the matrix products of a step alone, in its number format."""
        kind = product_type(str(self.task.cfg.autocast), self.device)
        return products_alone(
            step_products(*self.sizes, len(self.task.dictionary), *self.batch), kind, self.device
        )

    def traffic_seconds(self) -> float:
        """Seconds that a GPU needs to move what fused kernels must move, an estimate; on a CPU, whose caches hold much of it, 0."""
        if self.device == "cpu":
            return 0.0
        rows, width, slots = self.batch
        return seconds_of_traffic(
            [each for each in self.sizes if each is not None],
            rows,
            width,
            slots,
            len(self.task.dictionary),
            self.device,
        )
