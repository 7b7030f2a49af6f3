"""The task of pre-training: from a folder of binarized text to masked batches."""

import contextlib
import functools
import logging
from typing import Any

import torch
from fairseq.distributed.utils import get_global_rank, get_global_world_size
from fairseq.logging import metrics
from fairseq.tasks import FairseqTask, register_task

from fairseq_electra.compat.same_run import digests
from fairseq_electra.electra.configuration import objective_of
from fairseq_electra.electra.flops import Flops, peak_flops
from fairseq_electra.electra.objectives import OBJECTIVES
from fairseq_electra.errors import InputError, RunCollapsedError
from fairseq_electra.models.electra import compile_options
from fairseq_electra.optim.electra_adam import ElectraAdam
from fairseq_electra.precision import autocast, matmul_dtype
from fairseq_electra.pretraining.batches import MaskedRows
from fairseq_electra.pretraining.binarized import load_dictionary
from fairseq_electra.pretraining.diagnosis import Diagnosis, unigram_baseline
from fairseq_electra.pretraining.interval import GENERATORS_SUMS, Interval
from fairseq_electra.pretraining.languages import vocabulary_folder
from fairseq_electra.pretraining.metrics import SUMS, auc_of, fixed_sums, logged_by_validation
from fairseq_electra.pretraining.thinned_batches import thinned
from fairseq_electra.pretraining.unread_options import refuse_unread_options
from fairseq_electra.tasks._masked_share import MaskedShare
from fairseq_electra.tasks._partners import check_criterion, check_model
from fairseq_electra.tasks._pretraining_data import PretrainingData, refuse_parts
from fairseq_electra.tasks._pretraining_options import (
    ElectraPretrainingConfig,
    check_duplicates,
    check_options,
    check_packing,
    check_recurrence,
)

logger = logging.getLogger(__name__)
# of the training text, where it has to serve: enough to know how frequent its most frequent piece is
UNIGRAM_IDS = 1 << 22


@register_task("electra_pretraining", dataclass=ElectraPretrainingConfig)
class ElectraPretrainingTask(FairseqTask):
    """Replaced-token detection on raw text.

    Args:
        cfg: options of the task.
        dictionary: fairseq's dictionary, with ``<mask>`` as its last entry.
    """

    def __init__(self, cfg: ElectraPretrainingConfig, dictionary):
        super().__init__(cfg)
        self.dictionary, self.data = dictionary, PretrainingData(cfg, dictionary)
        self.diagnosis = Diagnosis()
        deciding = ["mask_whole_words", "tokens_per_sample", "rows", "pack", "across_documents"]
        # older checkpoints do not have these
        deciding += [name for name in ("mask_spans", "masker") if cfg.get(name)]
        deciding += [name for name in ("languages", "sampling_alpha") if cfg.get(name) is not None]
        texts = functools.partial(digests, cfg.data, cfg.train_subset, cfg.get("languages"))
        self.mask_rate = self.data.mask_rate
        self.masked_share = MaskedShare(
            self.mask_rate.highest,
            texts,
            self.mask_rate.schedule,
            **{name: str(getattr(cfg, name)) for name in deciding},
        )
        self.loads_weights = False  # whether the model that is built next gets a checkpoint's weights
        self.flops: Flops | None = None  # operations of the model, once it is built
        self.local_window = 0  # of the model
        self.peak = 0.0  # FLOP/s of a device, known from the first step on
        self.compiled = self.cuda_graphs = False  # options that the model was built with
        self.objective = OBJECTIVES["electra"]  # until the model is built

    @classmethod
    def setup_task(cls, cfg: ElectraPretrainingConfig, **kwargs: Any) -> "ElectraPretrainingTask":
        """Check the options and load the dictionary of the first data folder."""
        check_options(cfg)
        dictionary = load_dictionary(vocabulary_folder(cfg.data, cfg.languages))
        logger.info(f"dictionary: {len(dictionary):,} entries")
        return cls(cfg, dictionary)

    def build_model(self, cfg, from_checkpoint: bool = False):
        """Build the model, and count its operations."""
        check_model(cfg)
        check_duplicates(self.cfg, cfg)
        self.loads_weights = from_checkpoint
        model = super().build_model(cfg, from_checkpoint)
        self.compiled, self.cuda_graphs = bool(cfg.get("compile", False)), bool(cfg.get("cuda_graphs", False))
        if self.cuda_graphs and max(self.cfg.update_freq) > 1:
            raise InputError(
                "--cuda-graphs and --update-freq cannot be had together: a graph's gradients do not outlive"
                " it; drop one"
            )
        if self.cfg.pack:
            on_gpu = torch.cuda.is_available() and not self.cfg.cpu
            check_packing(self.cfg, self.compiled, model.sizes.attention_dropout, on_gpu)
        check_recurrence(self.cfg, model.sizes.recurrence, objective_of(cfg))
        self.objective = OBJECTIVES[objective_of(cfg)]
        if not from_checkpoint:
            refuse_unread_options(self.objective, self.cfg, ElectraPretrainingConfig)
        if self.objective.random_tokens is not None and not from_checkpoint:
            model.token_probs.copy_(self.data.token_probs(self.objective.random_tokens))
        self.flops, self.local_window = model.flops(len(self.dictionary)), model.sizes.local_window
        return model

    def build_criterion(self, cfg, *args: Any, **kwargs: Any):
        """Build the criterion, compiled if the model is; arguments and result as FairseqTask's."""
        check_criterion(cfg)
        criterion = super().build_criterion(cfg, *args, **kwargs)
        if self.compiled:
            criterion.compile_loss(**compile_options(self.cuda_graphs))
        return criterion

    def load_dataset(self, split: str, epoch: int = 1, combine: bool = False, **kwargs: Any) -> MaskedRows:
        """Open a split and make its rows.

        Args:
            split: file name without its ending: train, valid, ...
            epoch: number of the epoch; with several data folders, each epoch reads the next one in turn.
            combine: put the parts of a split together, as fairseq asks for the training text and, with
                ``--combine-valid-subsets``, for validation; here a split has one part.

        Raises:
            InputError: a split that is to be put together has more parts.
        """
        prefixes = self.data.locate(split, epoch, is_loaded=split in self.datasets)
        if combine:
            refuse_parts(prefixes, is_train=split == self.cfg.train_subset)
        name = ", ".join(map(str, prefixes))
        dataset = self.datasets[split] = self.data.load(split, prefixes)
        self._log_unigram_baseline(split, name, dataset)
        if split == self.cfg.train_subset:
            self.masked_share.measure(dataset, name)
        return dataset

    def _log_unigram_baseline(self, split: str, name: str, dataset: MaskedRows) -> None:
        """Compute the baseline of the diagnosis; for the training text once only."""
        is_train = split == self.cfg.train_subset
        if is_train and self.diagnosis.unigram:
            return
        ids = dataset.first_ids(UNIGRAM_IDS if is_train else None)
        baseline = unigram_baseline(ids, self.dictionary)
        if is_train or len(self.data.languages) < 2:  # a mixture is not judged by one of its languages
            self.diagnosis.unigram[split] = baseline
        logger.info(
            f"{name}: a unigram generator has, where <mask> is shown, a loss of {baseline.loss:.3f} "
            f"and mask_token_accuracy {baseline.accuracy:.2%}"
        )

    def get_batch_iterator(self, dataset: MaskedRows, *args: Any, **kwargs: Any):
        """Send batches to a GPU ahead of their updates.

        The last batch has the shape of the others where a graph is compiled for it. Arguments and result as
        FairseqTask's.
        """
        dataset.local_window = self.local_window
        dataset.sends_ahead = torch.cuda.is_available() and not self.cfg.cpu
        iterator = super().get_batch_iterator(dataset, *args, **kwargs)
        if self.compiled:
            dataset.min_batch_size = max(map(len, iterator.frozen_batches), default=0)
        return iterator

    def train_step(self, sample, model, criterion, optimizer, update_num, ignore_grad=False):
        """Forward and backward, under ``--autocast``; arguments and result as FairseqTask's."""
        model.train()
        model.set_num_updates(update_num)
        if str(self.cfg.autocast) == "fp16":
            scale_losses(optimizer)
        self._begin_step()
        if self.mask_rate.schedule is not None:
            self.masked_share.set_update(update_num, sample["id"].device)
            # where the batches do not divide evenly, a process fills up with a batch of the validation set,
            # whose gradient counts nothing
            if "slot_ranks" in sample:
                sample = thinned(sample, self.mask_rate.schedule.at(update_num), self.dictionary.pad())
        with torch.autograd.profiler.record_function("forward"), self.autocast(sample):
            loss, sample_size, log = criterion(model, sample)
        if ignore_grad:
            loss = loss * 0
        with torch.autograd.profiler.record_function("backward"):
            optimizer.backward(loss)
        if self.flops is not None:
            self._find_peak(sample["id"].device.type)
            log["flops"] = (
                0.0
                if ignore_grad
                else self.flops.of_step(
                    sample["ntokens"], sample["npairs"], sample["nmasked"], sample["nlocal_pairs"]
                )
            )
        return loss, sample_size, log

    def _begin_step(self) -> None:
        if self.compiled:  # a CUDA graph may use the memory of the last step's again
            torch.compiler.cudagraph_mark_step_begin()

    def _find_peak(self, device: str) -> None:
        if self.peak:
            return
        dtype = matmul_dtype(str(self.cfg.autocast), device)
        if self.cfg.bf16 or self.cfg.fp16:
            dtype = torch.bfloat16 if self.cfg.bf16 else torch.float16
        self.peak = peak_flops(device, dtype)
        kind, devices = str(dtype).removeprefix("torch."), get_global_world_size()
        logger.info(f"mfu: share of {self.peak / 1e12:.3g} TFLOP/s in {kind} on each of {devices} devices")

    def reduce_metrics(self, logging_outputs: list[dict], criterion) -> None:
        """Log the criterion's metrics, in training also ``tflops`` and ``mfu`` of useful products."""
        super().reduce_metrics(logging_outputs, criterion)
        if not any("flops" in log for log in logging_outputs):  # no training step
            return
        if self.peak:
            # of several processes it is a tensor on the device, which must not be read here
            flops = sum(log["flops"] for log in logging_outputs)
            metrics.log_speed("tflops", flops / 1e12, priority=91, round=4)
            metrics.log_speed("mfu", flops / (self.peak * get_global_world_size()), priority=92, round=4)

        meters = metrics.get_meters("train_inner")
        update = meters["num_updates"].val if meters and "num_updates" in meters else None
        if update is not None and update % self.cfg.log_interval == 0:
            self._diagnose(meters)

    def _diagnose(self, meters) -> None:
        """Warn of a failing run, at the updates that are logged; all processes agree."""
        total, update = meters[SUMS].read(), meters["num_updates"].val
        if not self.objective.trains_generator:  # what it predicts is no sign of this run's training
            total = {name: value for name, value in total.items() if name not in GENERATORS_SUMS}
        lines = self.diagnosis.follow(
            Interval.of(total, auc_of(total), update, meters["lr"].val if "lr" in meters else 0.0)
        )
        limit = self.cfg.stop_when_collapsed
        collapse = self.diagnosis.collapse(limit) if limit else ""
        if collapse:
            raise RunCollapsedError(
                f"update {update}: {collapse}; ended by --stop-when-collapsed {limit}, checkpoints are as"
                " they were"
            )
        if get_global_rank() == 0:
            for line in lines:
                logger.warning(line)

    def state_dict(self) -> dict:
        """Return what a resumed run needs, for the checkpoint."""
        return {"diagnosis": self.diagnosis.state_dict(), "masked_share": self.masked_share.state_dict()}

    def load_state_dict(self, state_dict: dict) -> None:
        """Continue from a checkpoint's state; that of an older version is empty."""
        if "diagnosis" in state_dict:
            self.diagnosis.load_state_dict(state_dict["diagnosis"])
        self.masked_share.load_state_dict(state_dict.get("masked_share"))

    def valid_step(self, sample, model, criterion):
        """Forward only, under ``--autocast``; arguments and result as FairseqTask's."""
        model.eval()
        self._begin_step()
        if "slot_ranks" in sample:  # of --valid-subset train, which has the highest rate
            sample = thinned(sample, self.mask_rate.validated, self.dictionary.pad())
        with torch.no_grad(), self.autocast(sample):
            loss, sample_size, log = criterion(model, sample)
            if self.objective.has_discriminator:
                log |= fixed_sums(model, sample, self.objective.predicts_originals)
        # fairseq-validate keeps the logs of all batches, and a graph writes over its own
        if self.cuda_graphs:
            log = {
                name: value.clone() if isinstance(value, torch.Tensor) else value
                for name, value in log.items()
            }
        return loss, sample_size, log

    def logged_metrics(self, model, splits: list[str]) -> tuple[str, ...]:
        """Return the names of the metrics that validation logs on each of these splits, which are loaded."""
        corruptions = [set(self.datasets[split].fixed) for split in splits if split in self.datasets]
        return logged_by_validation(
            self.objective, sorted(set.intersection(*corruptions)) if corruptions else ()
        )

    def autocast(self, sample: dict) -> contextlib.AbstractContextManager:
        """Return the context to run the model in on a batch."""
        return autocast(str(self.cfg.autocast), sample["id"].device.type)

    def max_positions(self) -> None:
        """No limit: rows are made to fit."""
        return

    @property
    def source_dictionary(self):
        """The dictionary."""
        return self.dictionary

    @property
    def target_dictionary(self):
        """The dictionary."""
        return self.dictionary


def scale_losses(optimizer) -> None:
    """Let the optimizer scale losses, or refuse one that cannot."""
    if not isinstance(optimizer, ElectraAdam):
        raise InputError(
            "--autocast fp16 needs --optimizer electra_adam, which scales losses and leaves out updates that"
            " overflow"
        )
    optimizer.scale_losses()
