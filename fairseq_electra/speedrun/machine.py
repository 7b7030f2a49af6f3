"""The machine a speedrun works on: its device, the options that suit it, and room on its disk."""

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

READERS = 4  # processes that make batches for a GPU
SIDE_BY_SIDE = 4  # fine-tunings on a GPU, which one alone would not keep busy
BYTES, WITH_MOMENTS = 4, 3  # of a parameter, and of its copies in a checkpoint: itself and Adam's two
CHECKPOINTS, TUNED_CHECKPOINTS = (
    4,
    3,
)  # at most at one time: last, best, of an interval, and the next one being written


@dataclass(frozen=True)
class Machine:
    """One device.

    Args:
        kind: ``cpu`` or ``cuda``.
        name: of the processor or GPU.
        bf16: whether it multiplies bfloat16 matrices fast.
        threads: of the CPU.
    """

    kind: str
    name: str
    bf16: bool
    threads: int

    @property
    def description(self) -> str:
        """What results say of it."""
        return (
            self.name
            if self.kind == "cuda"
            else f"{self.name}, {self.threads} thread{'s' * (self.threads > 1)}"
        )

    @property
    def sizes(self) -> tuple[str, ...]:
        """Sizes that are worth its time, the smallest first."""
        return tuple(size for size, recipe in SHORT_RUNS.items() if recipe.device == self.kind)

    @property
    def processes(self) -> int:
        """Fine-tunings side by side."""
        return min(SIDE_BY_SIDE, os.cpu_count() or 1) if self.kind == "cuda" else self.threads

    @property
    def options(self) -> list[str]:
        """Options of ``fairseq-train`` for any training: the number format, and one device where there are several."""
        precision = ["--autocast", "bf16"] if self.bf16 else [] if self.kind == "cuda" else ["--fast-fp32"]
        return [*precision, *(["--distributed-world-size", "1"] if self.kind == "cuda" else [])]

    @property
    def pretraining_options(self) -> list[str]:
        """Options of ``fairseq-train`` for pre-training."""
        if self.kind == "cpu":
            return ["--cpu", "--num-workers", "0", *self.options]
        return [
            "--compile",
            "--cuda-graphs",
            "--num-workers",
            str(min(READERS, os.cpu_count() or 1)),
            *self.options,
        ]


def processor() -> str:
    """Name the processor; family and model tell what ``AMD EPYC`` alone does not."""
    with contextlib.suppress(OSError, KeyError):
        first = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
        says = {
            key.strip(): value.strip()
            for key, _, value in (line.partition(":") for line in first.splitlines())
        }
        return f"{says['model name']}, family {says['cpu family']}, model {says['model']}"
    return platform.processor()


def this_machine() -> Machine:
    """Look at the machine."""
    if torch.cuda.is_available():
        bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return Machine("cuda", torch.cuda.get_device_name(), bf16, torch.get_num_threads())
    return this_cpu()


def this_cpu() -> Machine:
    """Look at the processor alone, whether or not there is a GPU."""
    return Machine("cpu", processor(), cpu_has_bf16(), torch.get_num_threads())


def bytes_needed(
    discriminator: EncoderSizes, generator: EncoderSizes, num_tokens: int, characters: int, finetunings: int
) -> int:
    """Estimate what a speedrun writes at most at one time.

    Args:
        discriminator: its sizes.
        generator: its sizes.
        num_tokens: V.
        characters: of the text, whose ids take two bytes each, and no more of them than it has characters.
        finetunings: side by side.
    """
    checkpoints = (
        CHECKPOINTS * WITH_MOMENTS * BYTES * pretraining_parameters(discriminator, generator, num_tokens)
    )
    exported = 2 * BYTES * pretraining_parameters(discriminator, generator, num_tokens)
    tuned = (
        finetunings
        * TUNED_CHECKPOINTS
        * WITH_MOMENTS
        * BYTES
        * discriminator_parameters(discriminator, num_tokens)
    )
    return 2 * characters + checkpoints + max(exported, tuned)


def check_disk(folder: Path, needed: int) -> None:
    """Refuse to begin where the disk has no room.

    Raises:
        InputError: says how much is needed and how much is free.
    """
    there = next(each for each in (folder, *folder.absolute().parents) if each.is_dir())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise InputError(
            f"{folder} needs {needed / 1e6:,.0f} MB for checkpoints and data, and its disk has {free / 1e6:,.0f} MB free; make room, or "
            "give an --output on another disk"
        )
