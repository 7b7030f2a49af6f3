"""The options of pre-training, and the combinations of them that cannot work.

The underscore keeps fairseq from importing this file as a task.
"""

import importlib.util
import logging
from dataclasses import dataclass, field
from typing import Any, Optional

import torch
from fairseq import utils
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from omegaconf import II, MISSING

from fairseq_electra.electra.fast.attention import SHORT_ROW_ON_CPU
from fairseq_electra.electra.mask_rate import MaskRate
from fairseq_electra.electra.masking import MASKERS
from fairseq_electra.electra.with_replacement import WITH_REPLACEMENT
from fairseq_electra.errors import InputError
from fairseq_electra.precision import cpu_has_bf16, cpu_multiplies_fp16
from fairseq_electra.pretraining.languages import ALPHA, check_languages

logger = logging.getLogger(__name__)
MIN_TOKENS_PER_SAMPLE, MAX_TOKENS_PER_SAMPLE = 8, 65535
SPANS_OF_A_ROW = 3  # with fewer, spans that do not fit make the mean length another than the one asked for
VARLEN_CAPABILITY = (8, 0)  # what the kernel for documents of any length asks of a GPU


@dataclass
class ElectraPretrainingConfig(FairseqDataclass):
    """Options of ``--task electra_pretraining``."""

    data: str = field(
        default=MISSING,
        metadata={
            "help": (
                "folder with dict.txt, train.bin, train.idx, valid.bin, ...; a:b:c for one folder an epoch"
            )
        },
    )
    languages: Optional[str] = field(
        default=None,
        metadata={
            "help": (
                "train on several languages, such as en,ko,zh: names of folders in the data folder, each with"
                " the text of one language; all have one vocabulary"
            )
        },
    )
    sampling_alpha: Optional[float] = field(
        default=None,
        metadata={
            "help": (
                "how often each of the --languages is drawn: its share of all rows, to this power; 1: by"
                f" size, 0: all alike; default {ALPHA}"
            )
        },
    )
    tokens_per_sample: int = field(default=128, metadata={"help": "tokens of a row, <s> and </s> counted"})
    rows: ChoiceEnum(["pairs", "blocks"]) = field(  # type: ignore[valid-type]
        default="pairs", metadata={"help": "segment pairs, as the original, or plain blocks"}
    )
    pack: bool = field(
        default=False,
        metadata={
            "help": (
                "let short rows share one, each of them seeing itself alone: for corpora of short documents,"
                " no padding"
            )
        },
    )
    across_documents: bool = field(
        default=False, metadata={"help": "let blocks run on over the end of a document"}
    )
    mask_prob: float = field(
        default=0.15, metadata={"help": "share of tokens to mask; the paper: .15, large .25"}
    )
    mask_prob_schedule: Optional[str] = field(
        default=None,
        metadata={
            "help": (
                "--mask-prob by update: linear, cosine, exponential or step, such as linear:.15@20000 to"
                " reach .15 at update 20,000; uniform: each row has a rate drawn from U(0, 1), and its masked"
                " tokens weigh one over it"
            )
        },
    )
    leave_unmasked_prob: float = field(
        default=0.15, metadata={"help": "share of masked tokens that the generator sees as they are"}
    )
    random_token_prob: float = field(
        default=0.0, metadata={"help": "share of masked tokens that it sees as a random piece"}
    )
    mask_whole_words: bool = field(default=False, metadata={"help": "mask all pieces of a word together"})
    mask_spans: float = field(
        default=0.0,
        metadata={
            "help": (
                "mask spans of this mean length, in tokens, or with --mask-whole-words in words, of "
                "which long ones come more rarely; "
                "0: single ones"
            )
        },
    )
    masker: Optional[ChoiceEnum([*MASKERS, WITH_REPLACEMENT])] = field(  # type: ignore[valid-type]
        default=None,
        metadata={
            "help": (
                "how tokens are chosen; default: tokens, words or spans, as --mask-whole-words and"
                " --mask-spans ask for. with_replacement: tokens, of which some are drawn twice, as in the"
                " original's code"
            )
        },
    )
    autocast: ChoiceEnum(["none", "bf16", "fp16"]) = field(  # type: ignore[valid-type]
        default="none",
        metadata={
            "help": (
                "bf16: the networks compute in bfloat16, their weights stay float32; on CPU and GPU. "
                "fp16: in float16, with scaled losses; for GPUs without bfloat16"
            )
        },
    )
    stop_when_collapsed: int = field(
        default=0,
        metadata={
            "help": (
                "end the run with exit status 3 once the log has warned that it collapsed (discriminator at"
                " chance, or generator no better than piece frequencies) and it has been so for this many"
                " updates in a row; checkpoints stay as they are; 0: never"
            )
        },
    )
    seed: int = II("common.seed")
    log_interval: int = II("common.log_interval")
    fp16: bool = II("common.fp16")
    bf16: bool = II("common.bf16")
    memory_efficient_fp16: bool = II("common.memory_efficient_fp16")
    memory_efficient_bf16: bool = II("common.memory_efficient_bf16")
    amp: bool = II("common.amp")
    tpu: bool = II("common.tpu")
    cpu: bool = II("common.cpu")
    update_freq: Any = II("optimization.update_freq")
    ddp_backend: Any = II("distributed_training.ddp_backend")
    train_subset: str = II("dataset.train_subset")


def check_masker(cfg: ElectraPretrainingConfig) -> None:
    """Refuse a masker that is named without the option it needs, or with one that it does not read."""
    masker = str(cfg.masker or "")
    needed = {"words": "mask_whole_words", "spans": "mask_spans"}.get(masker)
    if needed and not getattr(cfg, needed):
        raise InputError(f"--masker {masker} needs --{needed.replace('_', '-')}; give it")
    single = ("mask_whole_words", "mask_spans")
    for option in {"tokens": single, WITH_REPLACEMENT: single, "words": ("mask_spans",)}.get(masker, ()):
        if getattr(cfg, option):
            raise InputError(
                f"--masker {masker} does not read --{option.replace('_', '-')}; leave out one of the two"
            )


def check_duplicates(cfg: ElectraPretrainingConfig, model_cfg: Any) -> None:
    """Refuse ``--duplicate-samples mean`` of the model's options where no position is drawn twice."""
    averages = str(model_cfg.get("duplicate_samples") or "first") == "mean"
    if averages and str(cfg.masker) != WITH_REPLACEMENT:
        raise InputError(
            f"--duplicate-samples mean needs --masker {WITH_REPLACEMENT}: no other masker draws a position"
            " twice; give both, or leave it out"
        )


def check_mask_rate(cfg: ElectraPretrainingConfig) -> None:
    """Refuse a masking rate that cannot be, or whose changes the masker cannot follow."""
    if not 0 < cfg.mask_prob < 1:
        raise InputError(
            f"--mask-prob must lie between 0 and 1, got {cfg.mask_prob}; ELECTRA uses 0.15 (small, base) or"
            " 0.25 (large)"
        )
    rate = MaskRate.parse(cfg.mask_prob, cfg.mask_prob_schedule)
    changes = rate.schedule is not None or rate.is_drawn
    if changes and (cfg.mask_whole_words or cfg.mask_spans or str(cfg.masker or "tokens") != "tokens"):
        # fewer words or spans are not a part of more: which are chosen depends on their number
        raise InputError(
            f"--mask-prob-schedule {cfg.mask_prob_schedule} needs masks of single tokens; leave out"
            " --mask-whole-words, --mask-spans and --masker, or the schedule"
        )
    if rate.schedule is not None:
        logger.info(f"masking rate: {rate.schedule}; in validation {rate.validated:g}")


def check_options(cfg: ElectraPretrainingConfig) -> None:
    """Refuse options that cannot work, before anything is loaded."""
    check_languages(cfg.languages, cfg.sampling_alpha, utils.split_paths(cfg.data))
    check_mask_rate(cfg)
    shares = (cfg.leave_unmasked_prob, cfg.random_token_prob)
    if min(shares) < 0 or sum(shares) > 1:
        raise InputError(
            f"--leave-unmasked-prob and --random-token-prob are shares of the masked tokens, got {shares[0]} "
            f"and {shares[1]}; "
            "give two that add up to at most 1"
        )
    if not MIN_TOKENS_PER_SAMPLE <= cfg.tokens_per_sample <= MAX_TOKENS_PER_SAMPLE:
        raise InputError(
            f"--tokens-per-sample must lie between {MIN_TOKENS_PER_SAMPLE} and {MAX_TOKENS_PER_SAMPLE}, got "
            f"{cfg.tokens_per_sample}; ELECTRA uses 128 or 512"
        )
    check_spans(cfg)
    check_masker(cfg)
    if cfg.across_documents and cfg.rows == "pairs":
        raise InputError(
            "--across-documents is for --rows blocks: a segment pair comes from one document; drop one of"
            " the two"
        )
    if cfg.stop_when_collapsed < 0:
        raise InputError(
            f"--stop-when-collapsed must not be negative, got {cfg.stop_when_collapsed}; 0 lets the run go on"
        )
    on_cpu = cfg.cpu or not torch.cuda.is_available()
    if cfg.fp16 and on_cpu:  # fairseq would crash
        raise InputError("--fp16 needs a GPU; on a CPU use --autocast bf16")
    if cfg.amp:  # it would scale losses, and yet train in float32
        raise InputError(
            "--amp is not offered; use --autocast bf16, which needs no scaled losses, or --fp16 on a GPU"
        )
    if cfg.bf16 and on_cpu:
        cpu_has_bf16()
    for name in ("fp16", "bf16"):
        if cfg[f"memory_efficient_{name}"] and not cfg[name]:
            raise InputError(
                f"common.memory_efficient_{name}=true does nothing by itself; give common.{name}=true too"
            )
    if str(cfg.autocast) != "none" and (cfg.fp16 or cfg.bf16):
        raise InputError(
            "--autocast and --fp16 or --bf16 are two ways to the same end; give one of them (--autocast bf16)"
        )
    if str(cfg.autocast) == "fp16" and on_cpu and not cpu_multiplies_fp16():
        raise InputError(
            f"--autocast fp16 needs a GPU: PyTorch {torch.__version__} multiplies no float16 matrices here;"
            " use --autocast bf16"
        )
    if cfg.tpu:
        raise InputError("--tpu has not been tried with ELECTRA; leave it out to train on GPUs or CPUs")
    if str(cfg.ddp_backend) == "fully_sharded":
        raise InputError(
            "--ddp-backend fully_sharded needs fairscale, which no longer follows PyTorch; use pytorch_ddp"
        )


def check_spans(cfg: ElectraPretrainingConfig) -> None:
    """Refuse ``--mask-spans`` that are too long for the rows."""
    masked = cfg.mask_prob * cfg.tokens_per_sample
    max_mean = round(masked / SPANS_OF_A_ROW, 2)
    if cfg.mask_spans and not 1 <= cfg.mask_spans <= max_mean:
        remedy = (
            f"give a mean length from 1 to {max_mean:g}, or 0" if max_mean >= 1 else "give longer rows, or 0"
        )
        raise InputError(
            f"--mask-spans {cfg.mask_spans:g} does not fit rows of {cfg.tokens_per_sample} tokens, of which "
            f"{masked:.3g} are masked in "
            f"{SPANS_OF_A_ROW} spans or more; {remedy}"
        )


def check_recurrence(cfg: ElectraPretrainingConfig, recurrence: int, objective: str) -> None:
    """Refuse ``--recurrence`` where rows are no longer than a part, or are not read as one text."""
    if not recurrence:
        return
    if cfg.pack or objective == "electric":
        raise InputError(
            f"--recurrence {recurrence} goes neither with --pack nor with --objective electric, whose tokens"
            " see a document, or one side of it; leave it out"
        )
    if recurrence >= cfg.tokens_per_sample:
        raise InputError(
            f"--recurrence {recurrence} is the length of a part of the row, and rows have"
            f" {cfg.tokens_per_sample} tokens; give a smaller number, or a larger --tokens-per-sample"
        )


def check_packing(
    cfg: ElectraPretrainingConfig, compiled: bool, attention_dropout: float, on_gpu: bool
) -> None:
    """Refuse ``--pack`` where attention would need a T x T mask for long rows, or could not drop out."""
    length = cfg.tokens_per_sample
    if not on_gpu:
        if compiled and length > SHORT_ROW_ON_CPU:
            raise InputError(
                f"--compile and --pack go together on a CPU up to --tokens-per-sample {SHORT_ROW_ON_CPU}, "
                f"got {length}: the shapes of "
                "longer packed rows differ from batch to batch; leave out one of the two"
            )
        return
    if str(cfg.autocast) == "none":
        if length > SHORT_ROW_ON_CPU:
            raise InputError(
                f"--pack with --tokens-per-sample {length} needs --autocast bf16 on a GPU, whose kernel takes"
                " half precision only"
            )
        return
    if importlib.util.find_spec("torch.nn.attention.varlen") is None:
        raise InputError(
            f"--pack with --autocast {cfg.autocast} needs torch 2.10 or newer on a GPU, this is"
            f" {torch.__version__}"
        )
    if torch.cuda.get_device_capability() < VARLEN_CAPABILITY:
        raise InputError(
            f"--pack with --autocast {cfg.autocast} needs a GPU of compute capability 8.0 (A100) or newer, "
            "this is a "
            f"{torch.cuda.get_device_name()}; leave out one of the two"
        )
    if attention_dropout > 0:
        raise InputError(
            f"--attention-dropout {attention_dropout} cannot be had with --pack --autocast {cfg.autocast} on"
            " a GPU; give 0"
        )
