"""The training step of a ``fairseq-train`` command line without the trainer, on one batch.

fairseq builds the task, networks and losses from the command line, so that the step is the same as in the
trainer for all options.
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
from fairseq_electra.precision import matmul_dtype

PARTS = ("networks", "gradients", "optimizer")


class StepAlone:
    """A training step, called without arguments.

    Args:
        line: The arguments of ``fairseq-train`` for the task ``electra_pretraining``. The batch consists of
            the first full rows of the data.
        device: ``cpu`` or ``cuda``.

    Attributes:
        sizes: The sizes of the discriminator (None under ``--generator-only``) and of the generator.
        batch: B, T and K.
        flops: The FLOPs of the matrix products of a step.
    """

    def __init__(self, line: list[str], device: str):
        from fairseq import options, tasks
        from fairseq.dataclass.utils import convert_namespace_to_omegaconf

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # from hydra, about how fairseq calls it
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
        count = self.model.flops(len(self.task.dictionary))
        self.flops = count.of_step(sample["ntokens"], sample["npairs"], sample["nmasked"])
        self.sample = moved(sample, device)

    def __call__(self) -> None:
        """Make a step."""
        self._optimizer.zero_grad()
        self.networks()
        self.gradients()
        self.optimizer()

    def networks(self) -> None:
        """Run the forward and the backward pass."""
        torch.compiler.cudagraph_mark_step_begin()
        with self.task.autocast(self.sample):
            loss, masked, _ = self.criterion(self.model, self.sample)
        (loss / masked).backward()

    def gradients(self) -> None:
        """Clip the gradients."""
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm, foreach=True)

    def optimizer(self) -> None:
        """Update the weights."""
        self._optimizer.step()

    def measure(self, steps: int) -> dict:
        """Make some steps.

        Returns:
            ``wall``: the seconds of a step; ``processor``: its processor seconds, summed over threads;
            ``parts``: the milliseconds of each part, in processor time on a CPU and in the wall time of the
            host on a GPU.
        """
        watch = Clock(time.process_time if self.device == "cpu" else time.perf_counter)
        for part in PARTS:
            watch.watch(self, part, part)
        clock(self.device)  # waits until the GPU is idle
        start, start_processor = time.perf_counter(), time.process_time()
        watch.charge()
        watch.spent.clear()
        for _ in range(steps):
            self()
        watch.charge()
        clock(self.device)
        wall, taken = time.perf_counter() - start, time.process_time() - start_processor
        for part in PARTS:
            delattr(self, part)  # restores the original methods
        parts = {part: 1e3 * seconds / steps for part, seconds in watch.spent.items()}
        return {"wall": wall / steps, "processor": taken / steps, "parts": parts}

    def launch_seconds(self, steps: int = 20) -> float:
        """Return the median seconds until the host has launched a step, with an idle GPU at its start."""
        taken = []
        for _ in range(steps):
            clock(self.device)
            start = time.perf_counter()
            self()
            taken.append(time.perf_counter() - start)
        return statistics.median(taken)

    def products(self) -> Callable[[], None]:
        """Return a function that computes only the matrix products of a step, in its number format."""
        kind = matmul_dtype(str(self.task.cfg.autocast), self.device)
        return products_alone(
            step_products(*self.sizes, len(self.task.dictionary), *self.batch), kind, self.device
        )

    def traffic_seconds(self) -> float:
        """Estimate the seconds of memory traffic on a GPU; 0 on a CPU, whose caches hold much of the data."""
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
