"""The machine that a speedrun uses: its device, suitable training options, and free disk space."""

import contextlib
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from fairseq_electra.electra.parameters import discriminator_parameters, pretraining_parameters
from fairseq_electra.electra.sizes import EncoderSizes
from fairseq_electra.errors import InputError
from fairseq_electra.precision import cpu_has_bf16
from fairseq_electra.pretraining.recipes import SHORT_RUNS

LOADER_PROCESSES = 4  # processes that make batches for a GPU
PARALLEL_RUNS = 4  # fine-tuning runs at the same time on a GPU, because one alone would not keep it busy
BYTES_PER_NUMBER = 4
NUMBERS_PER_PARAMETER = 3  # in a checkpoint: the parameter and Adam's two moments
# the largest number of checkpoints on disk at one time: last, best, one of an interval, and the one being
# written
MAX_CHECKPOINTS, MAX_FINETUNING_CHECKPOINTS = 4, 3


@dataclass(frozen=True)
class Machine:
    """The device of a run.

    Args:
        kind: ``cpu`` or ``cuda``.
        name: The name of the processor or GPU.
        bf16: Whether the device multiplies bfloat16 matrices fast.
        threads: The number of CPU threads.
    """

    kind: str
    name: str
    bf16: bool
    threads: int

    @property
    def description(self) -> str:
        """The description of the device in the results."""
        if self.kind == "cuda":
            return self.name
        return f"{self.name}, {self.threads} thread{'s' * (self.threads > 1)}"

    @property
    def sizes(self) -> tuple[str, ...]:
        """The model sizes that this kind of device can train in a short run, smallest first."""
        return tuple(size for size, recipe in SHORT_RUNS.items() if recipe.device == self.kind)

    @property
    def processes(self) -> int:
        """The number of parallel fine-tuning runs."""
        return min(PARALLEL_RUNS, os.cpu_count() or 1) if self.kind == "cuda" else self.threads

    @property
    def options(self) -> list[str]:
        """Options of ``fairseq-train`` for any training: the number format, and the use of one GPU only."""
        precision = ["--autocast", "bf16"] if self.bf16 else [] if self.kind == "cuda" else ["--fast-fp32"]
        return [*precision, *(["--distributed-world-size", "1"] if self.kind == "cuda" else [])]

    @property
    def pretraining_options(self) -> list[str]:
        """Options of ``fairseq-train`` for pre-training."""
        if self.kind == "cpu":
            return ["--cpu", "--num-workers", "0", *self.options]
        workers = str(min(LOADER_PROCESSES, os.cpu_count() or 1))
        return ["--compile", "--cuda-graphs", "--num-workers", workers, *self.options]


def processor() -> str:
    """Return the processor's name, family and model; a name such as ``AMD EPYC`` alone is ambiguous."""
    with contextlib.suppress(OSError, KeyError):
        first = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
        pairs = (line.partition(":") for line in first.splitlines())
        fields = {key.strip(): value.strip() for key, _, value in pairs}
        return f"{fields['model name']}, family {fields['cpu family']}, model {fields['model']}"
    return platform.processor()


def this_machine() -> Machine:
    """Describe the GPU if there is one, else the processor."""
    if torch.cuda.is_available():
        bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return Machine("cuda", torch.cuda.get_device_name(), bf16, torch.get_num_threads())
    return this_cpu()


def this_cpu() -> Machine:
    """Describe the processor, whether or not there is a GPU."""
    return Machine("cpu", processor(), cpu_has_bf16(), torch.get_num_threads())


def bytes_needed(
    discriminator: EncoderSizes, generator: EncoderSizes, num_tokens: int, characters: int, finetunings: int
) -> int:
    """Estimate the largest disk space in bytes that a speedrun uses at any time.

    Args:
        discriminator: The sizes of the discriminator.
        generator: The sizes of the generator.
        num_tokens: V, the size of the vocabulary.
        characters: The number of characters of the text. There are at most as many ids, of two bytes each.
        finetunings: The number of parallel fine-tuning runs.
    """
    pretrained = BYTES_PER_NUMBER * pretraining_parameters(discriminator, generator, num_tokens)
    finetuned = BYTES_PER_NUMBER * discriminator_parameters(discriminator, num_tokens)
    checkpoints = MAX_CHECKPOINTS * NUMBERS_PER_PARAMETER * pretrained
    exported = 2 * pretrained
    runs = finetunings * MAX_FINETUNING_CHECKPOINTS * NUMBERS_PER_PARAMETER * finetuned
    return 2 * characters + checkpoints + max(exported, runs)


def check_disk(folder: Path, needed: int) -> None:
    """Check that the disk has enough free space.

    Raises:
        InputError: The disk has too little free space.
    """
    existing = next(each for each in (folder, *folder.absolute().parents) if each.is_dir())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise InputError(
            f"{folder} needs {needed / 1e6:,.0f} MB for checkpoints and data, but its disk has only "
            f"{free / 1e6:,.0f} MB free; free some space, or give an --output on another disk"
        )
