"""A folder's checkpoints are gone on from by their own run alone."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import fairseq.trainer
import pytest
import torch
from omegaconf import OmegaConf

from fairseq_electra.compat import same_run
from fairseq_electra.errors import InputError
from fairseq_electra.pretraining.dictionary import dictionary_digest, read_vocabulary
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import refusal, train_here

TWO = [*TINY_NET, "--disable-validation", "--num-workers", "0", "--max-update", "2"]


def test_fairseq_still_advises_to_reset_the_optimizer_and_knows_nothing_of_the_data():
    text = Path(fairseq.trainer.__file__).read_text(encoding="utf-8")
    assert "Criterion does not match; please reset the optimizer (--reset-optimizer)" in text
    assert "Optimizer does not match; please reset the optimizer (--reset-optimizer)" in text


def configuration(
    save_dir="save",
    task="electra_pretraining",
    criterion="rtd",
    optimizer="electra_adam",
    reset=False,
    data="data-bin",
):
    return OmegaConf.create(
        {
            "checkpoint": {"save_dir": str(save_dir), "reset_dataloader": reset},
            "task": {"_name": task, "data": str(data)},
            "criterion": {"_name": criterion},
            "optimizer": {"_name": optimizer},
            "dataset": {"train_subset": "train"},
        }
    )


def state(data=("a",), **changes):
    return {"cfg": configuration(**changes), "extra_state": {same_run.KEY: [*data]}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"task": "other"},
            (
                "--task other, and this one has electra_pretraining: give another --save-dir, and"
                " --finetune-from-model {}"
            ),
        ),
        (
            {"criterion": "other"},
            "--criterion other, and this one has rtd: give another --save-dir, and --finetune-from-model {}",
        ),
        (
            {"optimizer": "other"},
            "--optimizer other, and this one has electra_adam: give --optimizer other to resume, or another",
        ),
        ({"data": ["b"]}, "other data than data-bin: give another --save-dir, with --finetune-from-model {}"),
    ],
)
def test_another_run_in_the_own_folder_is_refused(changes, said):
    path = "save/checkpoint_last.pt"
    with pytest.raises(InputError) as refused:
        same_run.check(configuration(), ["a"], state(**changes), path)
    assert said.format(path) in str(refused.value) and "reset" not in str(refused.value)


def test_check_tells_another_vocabulary_from_other_text(tmp_path, vocabulary):
    digest = dictionary_digest(read_vocabulary(vocabulary))
    for version, words in ((digest, "other data than"), (digest[::-1], "another vocabulary than")):
        saved = state(["b"]) | {
            "model": {"dictionary_version": torch.tensor(list(version), dtype=torch.uint8)}
        }
        cfg = configuration()
        cfg.task.data = str(vocabulary)
        with pytest.raises(InputError, match=f"{words} {vocabulary}: ") as refused:
            same_run.check(cfg, ["a"], saved, "save/checkpoint_last.pt")
        assert ("--finetune-from-model" in str(refused.value)) == (version == digest)


def test_a_checkpoint_of_another_folder_that_is_named_may_be_of_other_data_but_not_of_another_task():
    path = "elsewhere/checkpoint_last.pt"
    same_run.check(configuration(), ["a"], state(["b"]), path)
    with pytest.raises(
        InputError,
        match=f"--task x, and this one has electra_pretraining: give --finetune-from-model {path}, which",
    ):
        same_run.check(configuration(), ["a"], state(task="x"), path)


PRETRAINING, FINETUNING = {"generator_layers": None}, {"network": "discriminator"}


@pytest.mark.parametrize(
    ("name", "before", "now", "stage"),
    [
        *[("num_attention_heads", 2, 8, stage) for stage in (PRETRAINING, FINETUNING)],
        *[("rotary_base", None, 500.0, stage) for stage in (PRETRAINING, FINETUNING)],
        ("local_window", None, 32, PRETRAINING),
        ("pooling", "mean", "first", FINETUNING),
    ],
)
def test_a_run_does_not_resume_as_a_model_that_computes_something_else(name, before, now, stage, caplog):
    def with_model(**options):
        model = {"model_size": "tiny", "positions": "rotary", **stage, **options}
        return OmegaConf.merge(configuration(), {"model": model})

    option = name.replace("_", "-")
    saved = {"cfg": with_model(**{name: before}), "extra_state": {same_run.KEY: ["a"]}}
    with pytest.raises(InputError, match=f"--{option} .*, and this one has {now}: give --{option}"):
        same_run.check(with_model(**{name: now}), ["a"], saved, "save/checkpoint_last.pt")
    same_run.check(with_model(**{name: before, "dropout": 0.3}), ["a"], saved, "save/checkpoint_last.pt")
    assert not caplog.records
    same_run.check(with_model(**{name: now}), ["a"], saved, "elsewhere/checkpoint_last.pt")
    same_run.check_weights(with_model(**{name: now}), saved, "elsewhere/checkpoint_last.pt")
    said = f"elsewhere/checkpoint_last.pt was trained with --{option} {before or 0}, and this run has {now}"
    warned = [record.getMessage() for record in caplog.records]
    assert len(warned) == (0 if name in ("rotary_base", "pooling") else 2)
    assert all(each.startswith(said) for each in warned)


def test_a_generator_that_is_still_random_is_not_fine_tuned():
    imported = {"extra_state": {"initialised": ["generator.layers.0.output.bias", "generator_head.bias"]}}
    cfg = OmegaConf.merge(configuration(), {"model": {"network": "generator"}})
    with pytest.raises(InputError, match=r"in/checkpoint.pt has no trained generator"):
        same_run.check_weights(cfg, imported, "in/checkpoint.pt")
    cfg.model.network = "discriminator"
    same_run.check_weights(cfg, imported, "in/checkpoint.pt")


def test_an_average_in_the_own_folder_is_not_resumed_from_the_start():
    average = state() | {"optimizer_history": [{"num_updates": 9}]}
    with pytest.raises(InputError, match="has no state of the optimizer"):
        same_run.check(configuration(), ["a"], average, "save/checkpoint_last.pt")
    same_run.check(configuration(), ["a"], average, "elsewhere/checkpoint_last.pt")
    same_run.check(configuration(), ["a"], average | {"last_optimizer_state": {}}, "save/checkpoint_last.pt")


def test_what_goes_on(tmp_path):
    path = "save/checkpoint_last.pt"
    for found in (state(["a"]), state(["b", "a"]), state([]), {"cfg": None, "extra_state": {}}):
        same_run.check(configuration(), ["a", "c"], found, path)
    same_run.check(configuration(), [], state(["b"]), path)
    same_run.check(configuration(reset=True), ["a"], state(["b"]), path)


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_bytes(content)
    return folder


def test_the_digest_is_of_the_training_data_wherever_they_lie(tmp_path):
    long = bytes(range(256)) * 8192
    one = write(tmp_path / "one", train_bin=long, train_idx=b"12", valid_bin=b"a")
    write(one / "label", train_label=b"1\n2\n")
    same = shutil.copytree(one, tmp_path / "same")
    (same / "valid.bin").write_bytes(b"other")
    found = same_run.digest(one, "train")
    assert found and found == same_run.digest(same, "train") and same_run.digest(one, "absent") == ""
    for place, content in (
        ("train.idx", b"13"),
        ("label/train.label", b"1\n3\n"),
        ("train.bin", long[:-1] + b"x"),
        ("train.bin", long[1:]),
    ):
        changed = shutil.copytree(one, tmp_path / "changed")
        (changed / place).write_bytes(content)
        assert same_run.digest(changed, "train") != found, place
        shutil.rmtree(changed)
    cfg = configuration(data=f"{one}:{same}:{tmp_path / 'absent'}")
    assert len(same_run.training_data(cfg)) == 2
    assert same_run.training_data(OmegaConf.create({"task": {}, "dataset": {"train_subset": "train"}})) == []


def test_the_validation_text_is_the_first_split_of_the_first_folder(tmp_path):
    def found(data, subset, metric="loss"):
        cfg = configuration(data=data)
        cfg.dataset.valid_subset, cfg.checkpoint.best_checkpoint_metric = subset, metric
        return same_run.validation_data_of(SimpleNamespace(cfg=cfg))

    for name in ("a/valid", "b/valid", "languages/en/valid", "languages/ko/valid"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        for ending in ("bin", "idx"):
            (tmp_path / f"{name}.{ending}").write_text(name)
    a, b, languages = tmp_path / "a", tmp_path / "b", tmp_path / "languages"
    assert found(a, "valid") == found(f"{a}:{b}", "valid,test") != found(f"{b}:{a}", "valid") != ""
    assert found(languages, "en/valid,ko/valid") != found(languages, "ko/valid,en/valid") != ""
    before = [found(a, "valid", metric) for metric in ("loss", "fixed_generator_auc")]
    (a / "valid.fixed_generator.npz").write_text("a corruption")
    after = [found(a, "valid", metric) for metric in ("loss", "fixed_generator_auc")]
    assert before[0] == after[0] and before[1] != after[1]


def test_heads_that_follow_from_the_width_may_be_named(tmp_path):
    pretraining = {"model_size": "tiny", "generator_layers": None, "generator_num_attention_heads": None}
    saved = {"cfg": OmegaConf.merge(configuration(), {"model": pretraining})}
    for heads, number in ((1, 0), (2, 1)):
        named = {"model": pretraining | {"generator_num_attention_heads": heads}}
        assert len(same_run.other_function(OmegaConf.merge(configuration(), named), saved)) == number


def test_new_text_with_the_old_folder_is_refused_and_the_old_text_goes_on_from_another_place(
    tmp_path, data_bin
):
    train_here(data_bin, tmp_path / "save", *TWO)
    before = (tmp_path / "save" / "checkpoint_last.pt").read_bytes()
    noted = torch.load(tmp_path / "save" / "checkpoint_last.pt", weights_only=True)["extra_state"][
        same_run.KEY
    ]
    assert noted == [same_run.digest(data_bin, "train")]
    new = shutil.copytree(data_bin, tmp_path / "new")
    for ending in ("bin", "idx"):
        shutil.copy(data_bin / f"valid.{ending}", new / f"train.{ending}")
    three = [*TWO, "--max-update", "3"]
    assert f"is of a run on other data than {new}: give another --save-dir" in refusal(
        new, tmp_path / "save", *three
    )
    assert (tmp_path / "save" / "checkpoint_last.pt").read_bytes() == before
    started = train_here(
        new, tmp_path / "other", *three, "--continue-once", tmp_path / "save" / "checkpoint_last.pt"
    )
    assert started.updates == 3
    moved = shutil.copytree(data_bin, tmp_path / "moved")
    assert train_here(moved, tmp_path / "save", *three).updates == 3
