"""Schedules and stages in fairseq-train: resumed exactly on and around each boundary."""

import shutil

import pytest
from torch._dynamo.utils import counters

from tests.helpers.small_model import TINY_NET
from tests.helpers.training import assert_same_weights, refusal, train_here, weights

RUN = [
    *[*TINY_NET, "--num-hidden-layers", "1", "--dropout", "0.1", "--num-workers", "0"],
    *["--disable-validation", "--no-epoch-checkpoints"],
]
# the masking rate falls up to update 3, the temperature jumps at updates 2 and 3
SCHEDULES = [
    *["--mask-prob", "0.3", "--mask-prob-schedule", "linear:.1@3"],
    *["--temperature", "2", "--temperature-schedule", "step:1.5@2,.8@3"],
]
UPDATES = 5
WHOLE = [*RUN, *SCHEDULES, "--update-freq", 2, "--max-update", UPDATES]


def checkpoint_of(folder, update):
    (path,) = folder.glob(f"checkpoint_*_{update}.pt")
    return path


def stopped(folder, source, update):
    """A folder as a process leaves it that was killed behind this update."""
    folder.mkdir()
    shutil.copy(checkpoint_of(source, update), folder / "checkpoint_last.pt")
    return folder


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, data_bin):
    """The log and the folder of a run that nobody breaks off, in updates of two batches."""
    folder, saved = tmp_path_factory.mktemp("undisturbed") / "save", ["--save-interval-updates", 1]
    return train_here(data_bin, folder, *WHOLE, *saved), folder


@pytest.mark.parametrize("update", [2, 3, 4], ids=["before the boundary", "on it", "behind it"])
def test_a_run_with_schedules_resumed_around_a_boundary_is_the_undisturbed_one(
    tmp_path, data_bin, undisturbed, update
):
    whole, folder = undisturbed
    save_dir = stopped(tmp_path / "save", folder, update)
    log = train_here(data_bin, save_dir, *WHOLE)
    assert log.losses == whole.losses[update:]
    assert_same_weights(weights(save_dir), weights(folder))


def test_schedules_set_rate_and_temperature_of_each_update(tmp_path, data_bin, monkeypatch):
    from fairseq_electra.electra import model
    from fairseq_electra.tasks import electra_pretraining as task

    rates, temperatures = [], []
    thinned, probabilities = task.thinned, model.sampling_probabilities

    def thin(sample, rate, pad):
        rates.append(rate)
        return thinned(sample, rate, pad)

    def sample(logits, temperature, disallow):
        temperatures.append(float(temperature))
        return probabilities(logits, temperature, disallow)

    monkeypatch.setattr(task, "thinned", thin)
    monkeypatch.setattr(model, "sampling_probabilities", sample)
    log = train_here(data_bin, tmp_path / "save", *RUN, *SCHEDULES, "--update-freq", 2, "--max-update", 4)
    assert rates == pytest.approx([0.3, 0.3, 0.7 / 3, 0.7 / 3, 0.5 / 3, 0.5 / 3, 0.1, 0.1])
    assert temperatures == [2, 2, 2, 2, 1.5, 1.5, 0.8, 0.8]
    assert "masking rate: 0.3 at first, 0.1 from update 3 on (linear); in validation 0.1" in log.text
    assert "sampling temperature: 2 at first, 1.5 from update 2 on, 0.8 from update 3 on (step)" in log.text


def test_worker_processes_change_nothing(tmp_path, data_bin, undisturbed):
    _, folder = undisturbed
    train_here(data_bin, tmp_path / "save", *WHOLE, "--num-workers", 2)
    assert_same_weights(weights(tmp_path / "save"), weights(folder))


def test_schedules_that_stay_at_one_value_are_the_plain_run(tmp_path, data_bin):
    plain = train_here(data_bin, tmp_path / "plain", *RUN, "--mask-prob", 0.2, "--max-update", 2)
    constant = ["--mask-prob", 0.2, "--mask-prob-schedule", "step:.2@1", "--temperature-schedule", "step:1@1"]
    found = train_here(data_bin, tmp_path / "found", *RUN, *constant, "--max-update", 2)
    assert found.losses == pytest.approx(plain.losses, rel=1e-5)


def test_drawn_rates_are_trained_validated_and_resumed(tmp_path, data_bin):
    options = [word for word in RUN if word != "--disable-validation"]
    options += ["--objective", "mlm", "--mask-prob-schedule", "uniform", "--leave-unmasked-prob", 0]
    whole = train_here(data_bin, tmp_path / "whole", *options, "--max-update", 2)
    (last,) = [record for record in whole.records if record["subset"] == "valid"]
    assert last["loss"] == last["masked_lm_loss"] > 3 and 0 <= last["masked_lm_accuracy"] < 100
    for updates in (1, 2):
        train_here(data_bin, tmp_path / "parts", *options, "--max-update", updates)
    assert_same_weights(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--mask-prob-schedule", "linear:.15"], "--mask-prob-schedule 'linear:.15' is no schedule"),
        (["--mask-prob-schedule", "uniform", "--mask-whole-words"], "uniform needs masks of single tokens"),
        (
            ["--mask-prob-schedule", "step:.1@5", "--mask-spans", "2"],
            "step:.1@5 needs masks of single tokens",
        ),
        (["--temperature-schedule", "step:0@5"], "its values must lie above 0, got 0"),
        (
            ["--temperature-schedule", "step:1@5", "--objective", "mlm"],
            "--objective mlm does not use --temperature-schedule",
        ),
        (
            ["--temperature-schedule", "step:1@5", "--objective", "unigram"],
            "--objective unigram does not use --temperature-schedule",
        ),
    ],
)
def test_a_schedule_that_cannot_be_followed_is_refused(tmp_path, data_bin, options, sentence):
    assert sentence in refusal(data_bin, tmp_path / "save", *RUN, *options)


def test_a_compiled_run_follows_schedules_in_one_graph_for_each_network_and_loss(
    tmp_path, data_bin, without_code_generation
):
    run = [*RUN, *SCHEDULES, "--max-update", UPDATES]  # before the batch of a single row, which is filled up
    counters.clear()
    train_here(data_bin, tmp_path / "save", *run, "--compile")
    assert not counters["graph_break"] and counters["stats"]["unique_graphs"] == 2
    train_here(data_bin, tmp_path / "plain", *run)
    assert_same_weights(weights(tmp_path / "save"), weights(tmp_path / "plain"))


# two command lines of one run: short rows, then long rows in other batches
STAGES = {
    "sequence length, rotary": (
        [],
        ["--tokens-per-sample", 32, "--batch-size", 8],
        ["--tokens-per-sample", 64, "--batch-size", 4],
    ),
    "sequence length, learned": (
        ["--positions", "learned", "--max-position-embeddings", 64],
        ["--tokens-per-sample", 32, "--batch-size", 8],
        ["--tokens-per-sample", 64, "--batch-size", 4],
    ),
    "batch ramp": ([], ["--batch-size", 4], ["--batch-size", 8, "--update-freq", 2]),
}
BOUNDARY, END = 3, 5


@pytest.mark.parametrize(
    "stages",
    [
        pytest.param(stages, id=name, marks=[] if name == "sequence length, learned" else [pytest.mark.long])
        for name, stages in STAGES.items()
    ],
)
def test_two_stages_of_a_run_are_exact_around_their_boundary(tmp_path, data_bin, stages):
    common, *lines = stages

    def run(save_dir, stage, updates):
        return train_here(data_bin, save_dir, *RUN, *common, *lines[stage], "--max-update", updates)

    first, second = run(tmp_path / "whole", 0, BOUNDARY), run(tmp_path / "whole", 1, END)
    for stage, updates in ((0, BOUNDARY - 1), (0, BOUNDARY), (1, BOUNDARY + 1), (1, END)):
        log = run(tmp_path / "parts", stage, updates)
        assert log.losses == (first.losses + second.losses)[updates - len(log.losses) : updates]
    rates = [r["lr"] for log in (first, second) for r in log.records if r["subset"] == "train_inner"]
    # one schedule over both: a warm-up of two updates, then a line to 0 at update 100
    assert rates == pytest.approx([5e-4, 1e-3, 1e-3 * 97 / 98, 1e-3 * 96 / 98, 1e-3 * 95 / 98], rel=1e-3)
    assert_same_weights(weights(tmp_path / "parts"), weights(tmp_path / "whole"))
    # the first line, given again, does nothing: both can stand in one script
    again = run(tmp_path / "parts", 0, BOUNDARY)
    assert again.losses == [] and "already at 5 of 3 updates" in again.text
    assert_same_weights(weights(tmp_path / "parts"), weights(tmp_path / "whole"))


def test_a_checkpoint_samples_at_the_last_temperature(undisturbed):
    from fairseq_electra.hub.load import load_checkpoint

    _, folder = undisturbed
    model = load_checkpoint(folder / "checkpoint_last.pt").model
    assert model.temperature == 0.8 and not model.training
