"""How many updates of an objective use a number of FLOPs."""

import itertools
import math
import shlex
from dataclasses import dataclass

import numpy as np

from fairseq_electra.comparison.plan import Plan
from fairseq_electra.electra.flops import pairs_within
from fairseq_electra.electra.schedules import Schedule
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.runs import USER_DIR
from fairseq_electra.originals import value_of


@dataclass(frozen=True)
class Cost:
    """What an update costs, by the average row of training text.

    Args:
        rows: rows of an update: the last of an epoch may have fewer than the batch size.
        tokens: tokens of a row, padding left out.
        flops: of a training step for a row, by the model's own count
            (:meth:`fairseq_electra.electra.flops.Flops.of_step`); at the highest masking rate.
        has_discriminator: whether fine-tuning starts from the discriminator, else from the generator.
        masked_flops: the part of ``flops`` that follows the masking rate.
        schedule: the masking rate by update; None: it is constant.
        before: operations that were used before the run.
    """

    rows: float
    tokens: float
    flops: float
    has_discriminator: bool
    masked_flops: float = 0.0
    schedule: Schedule | None = None
    before: float = 0.0

    def at(self, updates: int) -> float:
        """Return the operations of a row in the update that follows ``updates`` finished ones."""
        if self.schedule is None:
            return self.flops
        return self.flops - self.masked_flops * (1 - self.schedule.at(updates) / self.schedule.highest)

    def of_run(self, updates: int) -> float:
        """Return the operations of ``updates`` updates, and of what was before them."""
        if self.schedule is None:
            return self.before + updates * self.rows * self.flops
        return self.before + self.rows * sum(self.at(update) for update in range(updates))


SCHEDULE = "warmup_stable_decay"


def has_own_schedule(plan: Plan, objective: str) -> bool:
    """Tell whether an objective has another learning-rate schedule: no two budgets share a part of it."""
    given = [*plan.options, *plan.objectives[objective]]
    return value_of("--lr-scheduler", given) not in (None, SCHEDULE)


def pretraining_options(plan: Plan, objective: str) -> list[str]:
    """Return the options of ``fairseq-train`` that all runs of an objective have."""
    options = shlex.split(f"""
        --task electra_pretraining --arch {plan.arch} --criterion replaced_token_detection
        --tokens-per-sample {plan.tokens_per_sample} --batch-size {plan.batch_size}
        --optimizer electra_adam --clip-norm 1.0
        --lr-scheduler {SCHEDULE} --warmup-updates {plan.warmup_updates}
        --no-epoch-checkpoints --log-format json
    """)
    return [str(plan.data), *options, *plan.options, *plan.objectives[objective]]


def cost_of(plan: Plan, objective: str) -> Cost:
    """Build the model and read the rows, and count; no update is made."""
    from fairseq import options, tasks
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf

    line = [
        *pretraining_options(plan, objective),
        "--lr",
        "1e-3",
        "--max-update",
        "1",
        "--user-dir",
        USER_DIR,
    ]
    cfg = convert_namespace_to_omegaconf(options.parse_args_and_arch(options.get_training_parser(), line))
    task = tasks.setup_task(cfg.task)
    model = task.build_model(cfg.model)
    dataset = task.load_dataset(cfg.dataset.train_subset)
    lengths = dataset.sizes.astype(np.float64)
    tokens = float(lengths.mean())
    count = model.flops(len(task.source_dictionary))
    # packed rows hold several documents, which see themselves alone
    documents = dataset.rows.lengths.astype(np.float64)
    pairs = float((documents * documents).sum()) / len(lengths)
    local_pairs = float(pairs_within(model.sizes.local_window, documents).sum()) / len(lengths)
    masked, rate = task.masked_share.value * tokens, task.mask_rate
    if rate.is_drawn:  # of so many tokens a number from 1 on is masked
        masked = (masked + 1) / 2
    flops = count.of_step(tokens, pairs, masked, local_pairs)
    of_masked = flops - count.of_step(tokens, pairs, 0.0, local_pairs)
    before = plan.flops_before.get(objective, 0.0)
    rows = len(lengths) / math.ceil(len(lengths) / plan.batch_size)
    return Cost(rows, tokens, flops, task.objective.has_discriminator, of_masked, rate.schedule, before)


def updates_for(budget: float, cost: Cost, reference: Cost) -> int:
    """Return the number of updates that use as many FLOPs as the reference uses for ``budget`` tokens.

    Raises:
        InputError: what was before the run has used them all.
    """
    flops = budget / reference.tokens * reference.flops - cost.before
    if flops <= 0:
        raise InputError(
            f"flops_before {cost.before:.3g} leaves nothing of a budget of {budget:g} tokens,"
            f" {flops + cost.before:.3g} FLOPs; take the objective out of that budget by the"
            " entry only; where its learning rate is chosen, by a larger rates_at"
        )
    if cost.schedule is None:
        return max(1, round(flops / (cost.flops * cost.rows)))
    used = itertools.accumulate(cost.rows * cost.at(update) for update in itertools.count())
    return 1 + sum(1 for _ in itertools.takewhile(lambda total: total < flops, used))
