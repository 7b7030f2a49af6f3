"""Which runs are warned of, and when: on the curves of runs that died and of runs that lived."""

import csv
import json
import math
import re
from functools import reduce
from operator import add

import pytest
import torch
from fairseq import options
from fairseq.logging.meters import AverageMeter

from fairseq_electra.errors import RunCollapsedError
from fairseq_electra.pretraining.diagnosis import Diagnosis, Unigram
from fairseq_electra.pretraining.interval import Interval, is_rising
from fairseq_electra.pretraining.meters import SumsOnDevice
from fairseq_electra.pretraining.metrics import SUMS
from fairseq_electra.pretraining.score_histogram import BINS
from tests.helpers.paths import ROOT
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import COMMON

# electra_small with learned positions on a GPU, 128 rows of 128, warm-up 1,075: its discriminator dies, its
# generator stays at .059 update, lr, mask_token_accuracy, replaced_rate, disc_loss, disc_recall, disc_auc
DEAD_ON_A_GPU = [
    (200, 0.000130, 0.0449, 0.1486, 0.3418, 0.1340, 0.8025),
    (400, 0.000260, 0.0536, 0.1467, 0.3974, 0.0133, 0.6380),
    (600, 0.000391, 0.0567, 0.1426, 0.4043, 0.0001, 0.5457),
    (800, 0.000521, 0.0592, 0.1386, 0.3975, 0.0, 0.5483),
    (1000, 0.000651, 0.0595, 0.1370, 0.3963, 0.0, 0.5444),
    (1200, 0.000696, 0.0592, 0.1354, 0.3966, 0.0, 0.5009),
    (1400, 0.000689, 0.0600, 0.1340, 0.3939, 0.0, 0.5036),
    (1600, 0.000682, 0.0608, 0.1326, 0.3912, 0.0, 0.5123),
    (1800, 0.000675, 0.0614, 0.1315, 0.3891, 0.0, 0.5160),
    (2000, 0.000668, 0.0620, 0.1303, 0.3867, 0.0, 0.5139),
    (2200, 0.000661, 0.0618, 0.1297, 0.3857, 0.0, 0.5123),
    (2400, 0.000655, 0.0622, 0.1291, 0.3848, 0.0, 0.5046),
]
# short runs on a CPU: updates between two figures, tokens of an update, disc_auc, and mask_token_accuracy
# (unigram: .045)
HEALTHY = {
    "tiny, corrected": (
        100,
        3600,
        [0.64, 0.56, 0.66, 0.69, 0.69, 0.67],
        [0.03, 0.045, 0.05, 0.06, 0.08, 0.09],
    ),
    "tiny, beta2 .98": (
        100,
        3600,
        [0.60, 0.56, 0.67, 0.70, 0.71, 0.73],
        [0.03, 0.045, 0.05, 0.055, 0.06, 0.065],
    ),
    "tiny, corrected, beta2 .98": (
        100,
        3600,
        [0.65, 0.55, 0.65, 0.69, 0.69, 0.70],
        [0.03, 0.045, 0.05, 0.06, 0.065, 0.071],
    ),
    "tiny, half the rate": (
        100,
        3600,
        [0.53, 0.54, 0.63, 0.68, 0.71, 0.73],
        [0.03, 0.04, 0.045, 0.05, 0.05, 0.055],
    ),
    "tiny, warm-up 200": (
        100,
        3600,
        [0.60, 0.53, 0.56, 0.56, 0.56, 0.57],
        [0.03, 0.05, 0.08, 0.1, 0.11, 0.118],
    ),
    "tiny, no clipping": (
        100,
        3600,
        [0.53, 0.54, 0.55, 0.56, 0.57, 0.58],
        [0.03, 0.05, 0.08, 0.1, 0.11, 0.117],
    ),
    "small, pre, rotary": (200, 1800, [0.77, 0.56, 0.61, 0.66, 0.62], [0.03, 0.045, 0.05, 0.057, 0.078]),
    "small, pre, rotary, corrected": (
        200,
        1800,
        [0.81, 0.74, 0.59, 0.66, 0.67, 0.66, 0.61],
        [0.03, 0.04, 0.045, 0.05, 0.051, 0.082, 0.101],
    ),
    "small, deepnorm, rotary": (200, 1800, [0.80, 0.73, 0.59, 0.63], [0.03, 0.04, 0.05, 0.072]),
    "small, pre, rotary, 3,600 updates": (
        *(200, 1800),
        [
            *[0.77, 0.53, 0.60, 0.67, 0.64, 0.64, 0.63, 0.63, 0.63, 0.63, 0.63, 0.63, 0.63, 0.63, 0.63],
            *[0.64, 0.64, 0.64],
        ],
        [
            *[0.03, 0.045, 0.05, 0.063, 0.079, 0.108, 0.108, 0.115, 0.125, 0.133, 0.138, 0.142, 0.147],
            *[0.151, 0.153, 0.155, 0.156, 0.157],
        ],
    ),
}
DEAD = {
    "tiny, as it came": (
        100,
        3600,
        [0.52, 0.50, 0.53, 0.51, 0.52, 0.51],
        [0.03, 0.045, 0.05, 0.05, 0.05, 0.053],
    ),
    "small, learned, a low rate": (
        200,
        1800,
        [0.74, 0.81, 0.80, 0.70, 0.61, 0.56, 0.54, 0.54],
        [0.03, *[0.043] * 7],
    ),
    "small, deepnorm, a high rate": (
        *(50, 960),
        [
            *[0.63, 0.73, 0.57, 0.54, 0.54, 0.554, 0.553, 0.571, 0.55, 0.55, 0.544, 0.540, 0.533, 0.537],
            *[0.515, 0.510, 0.51, 0.50],
        ],
        [
            *[0.024, 0.041, 0.043, 0.045, 0.044, 0.049, 0.043, 0.047, 0.042, 0.049, 0.049, 0.065, 0.066],
            *[0.068, 0.079, 0.089, 0.09, 0.09],
        ],
    ),
}


def entropy(share: float) -> float:
    return -(share * math.log(share) + (1 - share) * math.log(1 - share))


def interval(start, end, auc, accuracy, tokens, rate=0.145, lr=1e-3, recall=0.0, disc_loss=None) -> Interval:
    """An interval with these figures; a discriminator is as good as the base rate unless told otherwise."""
    replaced, hidden, loss = rate * tokens, 0.13 * tokens, entropy(rate) if disc_loss is None else disc_loss
    return Interval(
        start,
        end,
        lr,
        hidden,
        accuracy * hidden,
        tokens,
        replaced,
        recall * replaced,
        loss * tokens,
        auc * replaced,
    )


def short_run(step, tokens, aucs, accuracies, lr=1e-3) -> list[Interval]:
    pairs = enumerate(zip(aucs, accuracies, strict=True))
    return [
        interval(i * step, (i + 1) * step, auc, accuracy, tokens * step, lr=lr)
        for i, (auc, accuracy) in pairs
    ]


def on_a_gpu() -> list[Interval]:
    return [
        interval(end - 200, end, auc, accuracy, 200 * 14500, rate, lr, recall, loss)
        for end, lr, accuracy, rate, loss, recall, auc in DEAD_ON_A_GPU
    ]


def said(run: list[Interval], unigram: float = 0.045) -> list[str]:
    diagnosis = Diagnosis({"valid": Unigram(7.0, unigram)})
    return [line for each in run for line in diagnosis.follow(each)]


@pytest.mark.parametrize("run", HEALTHY.values(), ids=HEALTHY)
def test_a_run_that_lives_is_not_warned_of(run):
    assert said(short_run(*run)) == []


def test_the_whole_healthy_run_of_the_main_page_is_not_warned_of():
    with open(ROOT / "examples/pretraining/curves.csv") as stream:
        rows = [row for row in csv.DictReader(stream) if row["subset"] == "train_inner"]
    names = ("disc_auc", "mask_token_accuracy", "wpb", "replaced_rate", "lr", "disc_recall", "disc_loss")
    run = []
    for row in rows:
        auc, accuracy, tokens, rate, lr, recall, loss = (float(row[name]) for name in names)
        end = int(float(row["num_updates"]))
        run.append(interval(end - 100, end, auc, accuracy / 100, 100 * tokens, rate, lr, recall / 100, loss))
    assert len(run) == 280 and said(run, 0.051) == []


@pytest.mark.parametrize("run", DEAD.values(), ids=DEAD)
def test_a_run_that_dies_is_warned_of(run):
    assert [line for line in said(short_run(*run)) if "the discriminator has been at chance" in line]


def test_the_dead_run_on_a_gpu_is_warned_of_by_update_800_and_its_generator_once_the_rate_has_peaked():
    first, again, generator, once_more = said(on_a_gpu(), 0.059)
    assert first.startswith(
        "update 800: the discriminator has been at chance since update 400 (disc_auc 0.548, disc_recall"
        " 0.0%, "
    )
    assert f"disc_loss 0.398, where always predicting the base rate gives {entropy(0.1386):.3f})" in first
    assert again.startswith("update 1200: the discriminator") and once_more.startswith(
        "update 2000: the discriminator"
    )
    assert generator.startswith(
        "update 1400: the generator has been no better than piece frequencies since update 0 "
    )
    assert "(mask_token_accuracy 6.00%, always guessing the most frequent piece 5.90%)" in generator


def test_a_failure_is_said_again_after_twice_the_time_and_its_end_once():
    run = short_run(100, 3600, [0.7, *[0.51] * 15, 0.56, 0.56, 0.6, 0.6, 0.6], [0.09] * 21)
    found = [line.split(" (")[0] for line in said(run)]
    chance = "the discriminator has been at chance since update 100"
    assert found == [
        *(f"update 400: {chance}", f"update 700: {chance}", f"update 1300: {chance}"),
        "update 1900: the discriminator is no longer at chance",
    ]


def test_a_generator_that_is_ahead_is_warned_of_only_where_disc_auc_does_not_rise():
    flat = said(short_run(100, 3600, [0.66, 0.62, *[0.58] * 14], [0.05, *[0.15] * 15]))
    assert len(flat) == 1 and flat[0].startswith(
        "update 1200: the generator has been ahead of the discriminator since update 200"
    )
    assert "--generator-hidden-size" in flat[0]
    fallen = said(short_run(100, 3600, [0.78, 0.78, *[0.66] * 14], [0.15] * 16))
    assert len(fallen) == 1 and "best 0.780" in fallen[0]
    assert (
        said(short_run(100, 3600, [0.66, 0.56, *[0.56 + 0.003 * i for i in range(14)]], [0.05, *[0.15] * 15]))
        == []
    )


def test_disc_auc_before_the_generator_knows_anything_is_no_best():
    assert (
        said(short_run(100, 3600, [0.80, 0.82, 0.80, *[0.64] * 20], [0.01, 0.02, 0.05, *[0.12] * 20])) == []
    )


def test_interval_of_electric_has_no_figures_of_a_discriminator():
    total = {"updates": 5, "replaced": 100.0, "flagged_replaced": 0.0, "ntokens": 700.0, "disc_sum": 400.0}
    interval = Interval.of(total, 0.45, 10, 0.1)
    assert interval.replaced == 100 and interval.auc == pytest.approx(0.45)
    assert Interval.of(total | {"noise_sum": 4000.0}, 0.45, 10, 0.1) == Interval(5, 10, 0.1, 0.0, 0.0)


def test_a_slow_warm_up_is_no_failure_of_the_generator():
    run = [interval(i * 100, i * 100 + 100, 0.85, 0.045, 360_000, lr=1e-7 * (i + 1)) for i in range(30)]
    assert said(run) == []
    steady = interval(3000, 3100, 0.85, 0.045, 360_000, lr=30e-7)
    assert [line.split(" (")[0] for line in said([*run, steady])] == [
        "update 3100: the generator has been no better than piece frequencies since update 0"
    ]


def test_a_generator_alone_is_judged_by_its_guesses_alone():
    run = [Interval(i * 100, i * 100 + 100, 1e-3, 5000, 225) for i in range(12)]
    assert [line.split(" (")[0] for line in said(run)] == [
        "update 1000: the generator has been no better than piece frequencies since update 0"
    ]


def joined(run: list[Interval], step: int) -> list[Interval]:
    """The same run with a longer --log-interval."""
    return [
        reduce(add, [each for each in run if end - step < each.end <= end])
        for end in range(step, run[-1].end + 1, step)
    ]


@pytest.mark.parametrize("step", [300, 400, 600])
def test_a_long_interval_of_the_log_warns_of_no_other_runs(step):
    for run in HEALTHY.values():
        intervals = short_run(*run)
        if step % intervals[0].end == 0:
            assert said(joined(intervals, step)) == []
    assert (
        "at chance since update"
        in said(joined(short_run(100, 3600, [0.7, *[0.51] * 23], [0.09] * 24), step))[0]
    )


@pytest.mark.parametrize("step", [200, 1000, 2000])
def test_a_generator_at_unigram_is_warned_of_at_any_interval_of_the_log(step):
    run = [Interval(i * 100, i * 100 + 100, 1e-3, 5000, 225) for i in range(60)]
    first = said(joined(run, step))[0]
    assert first.startswith(
        f"update {max(1000, 2 * step)}: the generator has been no better than piece frequencies since"
        " update 0 "
    )


@pytest.mark.parametrize(("first", "second"), [(1000, 1050), (50, 1050), (300, 600)])
def test_of_two_stretches_of_any_length_the_second_is_compared_with_the_first(first, second):
    for rise in (0.005, 0.015, -0.1):
        run = [interval(0, first, 0.5, 0.05, 9000), interval(first, second, 0.5 + rise, 0.05, 9000)]
        assert is_rising(run, 300, 0.01) == (rise > 0.01)


def test_few_tokens_are_gathered_until_they_mean_something():
    """Single updates of a small batch swing widely around a mean that is well above chance."""
    swinging = [interval(i, i + 1, 0.62 + 0.2 * math.sin(i), 0.05, 300) for i in range(1500)]
    assert said(swinging) == []
    dead = [interval(i, i + 1, 0.50 + 0.2 * math.sin(i), 0.05, 300) for i in range(600)]
    assert "at chance" in said(dead)[0]


def test_the_error_of_the_auc_is_that_of_scores_at_chance():
    from sklearn.metrics import roc_auc_score

    torch.manual_seed(0)
    labels = torch.arange(2000) < 260
    drawn = [roc_auc_score(labels, torch.rand(2000)) for _ in range(400)]
    expected = float(torch.tensor(drawn).std())
    assert interval(0, 100, 0.5, 0.05, 2000, rate=0.13).auc_error == pytest.approx(expected, rel=0.1)


def test_a_resumed_run_says_what_the_undisturbed_one_does():
    run = [*on_a_gpu(), *(interval(2400 + i, 2401 + i, 0.70, 0.2, 500) for i in range(120))]
    expected = said(run, 0.059)
    assert len(expected) > 3
    for stop in range(0, len(run), 7):
        before, after = (Diagnosis({"valid": Unigram(7.0, 0.059)}) for _ in range(2))
        lines = [line for each in run[:stop] for line in before.follow(each)]
        after.load_state_dict(json.loads(json.dumps(before.state_dict())))
        assert lines + [line for each in run[stop:] for line in after.follow(each)] == expected


def test_a_collapse_counts_only_once_it_was_said():
    diagnosis = Diagnosis()
    found = []
    for each in short_run(100, 3600, [0.7, *[0.51] * 6], [0.09] * 7):
        diagnosis.follow(each)
        found.append((bool(diagnosis.collapse(1)), bool(diagnosis.collapse(500))))
    assert found == [(False, False)] * 3 + [(True, False)] * 2 + [(True, True)] * 2


def at_chance(update: int) -> dict:
    """The meters of the log after a hundred updates at chance."""
    sums, numbers = SumsOnDevice(), {"num_updates": AverageMeter(), "lr": AverageMeter()}
    sums.total = {
        "updates": 100,
        "mask_token_count": 46_000,
        "mask_token_correct": 4600,
        "ntokens": 360_000,
        "replaced": 52_200,
    }
    sums.total |= {
        "flagged_replaced": 0,
        "disc_sum": entropy(0.145) * 360_000,
        "disc_histogram": torch.ones(2 * BINS, dtype=torch.int64),
    }
    for name, value in (("num_updates", update), ("lr", 1e-3)):
        numbers[name].update(value, 0)
    return {SUMS: sums, **numbers}


@pytest.mark.parametrize("rank", [0, 1])
def test_every_process_ends_and_the_first_alone_speaks(make_task, monkeypatch, caplog, rank):
    monkeypatch.setattr("fairseq_electra.tasks.electra_pretraining.get_global_rank", lambda: rank)
    task = make_task(stop_when_collapsed=400)
    for update in (100, 200, 300):
        task._diagnose(at_chance(update))
    spoken = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(spoken) == 1 - rank and all(
        line.startswith("update 300: the discriminator has been at chance") for line in spoken
    )
    with pytest.raises(
        RunCollapsedError,
        match=r"^update 400: .* since update 0 .*; ended by --stop-when-collapsed 400, checkpoints are",
    ):
        task._diagnose(at_chance(400))


def test_without_a_validation_text_the_training_text_gives_the_piece_frequencies(make_task, caplog):
    alone, both = make_task(), make_task()
    alone.load_dataset("train")
    both.load_dataset("valid")
    both.load_dataset("train")
    assert [*alone.diagnosis.unigram] == ["train"] and [*both.diagnosis.unigram] == ["valid"]
    assert 0.02 < alone.diagnosis.unigram["train"].accuracy < 0.2


def test_a_negative_limit_is_refused(make_task):
    with pytest.raises(
        ValueError, match="--stop-when-collapsed must not be negative, got -1; 0 lets the run go on"
    ):
        make_task(stop_when_collapsed=-1)


def test_the_advice_names_options_that_exist():
    line = ["data", *COMMON, *TINY_NET]
    diagnosis = Diagnosis({"valid": Unigram(7.0, 0.045)})
    advised = {
        option
        for failure in diagnosis.failures
        for option in re.findall(r"--[a-z-]+", failure.report(interval(0, 9, 0.5, 0.04, 9000), 0.045))
    }
    assert len(advised) == 7 and advised <= known_options(line)


def known_options(line: list[str]) -> set[str]:
    """All options that fairseq-train takes on such a line."""
    parser, found = options.get_training_parser(), set()
    plain = parser.parse_args

    def parse_args(*args, **kwargs):
        found.update(parser._option_string_actions)
        return plain(*args, **kwargs)

    parser.parse_args = parse_args
    options.parse_args_and_arch(parser, input_args=line)
    return found
