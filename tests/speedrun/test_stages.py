"""A speedrun resumes after a kill at any stage, and reports bad input first. Slow functions are replaced."""

import contextlib
import io
import json
import shutil

import pytest

from fairseq_electra import cli
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning import nets
from fairseq_electra.finetuning import study as finetuning
from fairseq_electra.speedrun import glue, machine, report, stages
from fairseq_electra.speedrun.plan import Pace
from fairseq_electra.speedrun.stages import Stages
from fairseq_electra.speedrun.state import State


class Killed(BaseException):
    """Stands for a kill of the process."""


@pytest.fixture
def text(tmp_path, corpus_lines):
    path = tmp_path / "text.txt"
    path.write_text("".join(f"{line}\n" for line in corpus_lines))
    return path


@pytest.fixture
def glue_folder(tmp_path):
    """CoLA and RTE, a few lines each."""
    (tmp_path / "GLUE" / "CoLA").mkdir(parents=True)
    (tmp_path / "GLUE" / "RTE").mkdir()
    for split in ("train", "dev"):
        (tmp_path / "GLUE" / "CoLA" / f"{split}.tsv").write_text(
            "".join(f"x\t{i % 2}\t\tA sentence, number {i}.\n" for i in range(40))
        )
        lines = "".join(
            f"{i}\tA man.\tA man {i}.\t{['entailment', 'not_entailment'][i % 2]}\n" for i in range(40)
        )
        (tmp_path / "GLUE" / "RTE" / f"{split}.tsv").write_text(
            "index\tsentence1\tsentence2\tlabel\n" + lines
        )
    return tmp_path / "GLUE"


TRAINED = {
    "device_seconds": 290.0,
    "tokens": 2_000_000,
    "rows": 22_000,
    "valid": {"mask_token_accuracy": 10.0, "disc_auc": 0.6, "num_updates": 1000.0},
}
SCORES = {"median": 50.0, "mean": 50.0, "standard_deviation": 1.0, "values": [49, 51], "ensemble": 50.0}


# functions that are fast are called as they are, and counted
KEPT = {
    "survey": stages,
    "learn_vocabulary": stages,
    "encode_to_binary": stages,
    "write_task_folder": glue,
    "write": report,
}


@pytest.fixture
def speedrun(tmp_path, text, glue_folder, monkeypatch):
    """Run the stages in this process with replaced functions.

    ``calls`` lists the functions that were called, ``killed_at`` the functions at which the run is killed.
    """
    calls = []

    def stand_in(name, result):
        def do(*args, **kwargs):
            calls.append(name)
            if name in run.killed_at:
                run.killed_at.remove(name)
                raise Killed
            return result(*args, **kwargs)

        return do

    def study(checkpoint, folders, *args):
        assert all((folder / "task.json").is_file() for folder in folders)
        lines = [
            {
                "task": folder.name,
                "seeds": [1, 2],
                "degenerate_seeds": {},
                "metrics": {"valid": {"x": SCORES}},
            }
            for folder in folders
        ]
        return {"summary": lines, "device_seconds": 9.0}

    def pretrained(data, folder, plan, *args):
        assert (data / "train.bin").is_file() and (data / "valid.bin").is_file()
        return TRAINED | {"plan": plan.__dict__}

    monkeypatch.setattr(stages, "this_machine", lambda: machine.Machine("cpu", "a laptop", True, 2))

    def run(**changes):
        settings = {
            "TEXT": {str(text): text.stat().st_size},
            "--minutes": 5.0,
            "--glue": str(glue_folder),
            "--tasks": ["CoLA", "RTE"],
        }
        settings |= {"--size": None, "--batch-size": None, "--lr": None, "--seeds": 2}
        for module, name, what in (
            (stages, "survey", None),
            (stages, "learn_vocabulary", None),
            (stages, "encode_to_binary", None),
            (stages, "measure", lambda *args: Pace(8, 0.2, 2)),
            (stages, "pretrain", pretrained),
            (glue, "write_task_folder", None),
            (glue, "finetune", study),
            (report, "export", lambda folder, results: ["exported"]),
            (report, "write", None),
        ):
            monkeypatch.setattr(module, name, stand_in(name, what or originals[name]))
        return Stages(tmp_path / "run", settings | changes, run.said.append).run()

    originals = {name: getattr(module, name) for name, module in KEPT.items()}
    run.calls, run.killed_at, run.said, run.folder = calls, [], [], tmp_path / "run"
    return run


ALL_CALLS = [
    *("survey", "learn_vocabulary", "encode_to_binary", "encode_to_binary", "measure", "pretrain"),
    *("write_task_folder", "write_task_folder", "finetune", "export", "write"),
]


def test_all_stages_run_and_write_their_files(speedrun):
    shown = speedrun()
    assert speedrun.calls == ALL_CALLS
    found = json.loads((speedrun.folder / "results.json").read_text())
    assert (
        found["size"] == "tiny"
        and found["seconds"] == {"pretraining": 290.0, "finetuning": 9.0}
        and found["vocabulary"] <= 4096
    )
    assert found["flops"]["paper"] > found["flops"]["products"] > 1e12
    assert "| CoLA, x | 50.0 (50.0 ± 1.0) | 56.8 |" in shown and shown.strip().splitlines()[0].startswith(
        "electra_tiny, pre-trained for 5"
    )
    readme = (speedrun.folder / "README.md").read_text()
    assert "| CoLA, x | 50.0 (50.0 ± 1.0) | 56.8 |" in readme and "- exported" in readme
    assert any(
        line.startswith("5/6 fine-tuning on CoLA, RTE with 2 seeds: 4 runs, about ") for line in speedrun.said
    )


@pytest.mark.parametrize("name", dict.fromkeys(ALL_CALLS))
def test_a_run_killed_at_any_stage_resumes_there(speedrun, name):
    speedrun.killed_at = [name]
    with pytest.raises(Killed):
        speedrun()
    before = list(speedrun.calls)
    assert before[-1] == name
    del speedrun.calls[:]
    interrupted = speedrun()
    again = speedrun.calls
    # no finished stage is repeated, and none is left out
    done = set(before) - {name}
    assert not set(again) & done and set(again) | done == set(ALL_CALLS)
    shutil.rmtree(speedrun.folder)
    assert speedrun() == interrupted


def test_the_device_is_the_one_that_trained_though_another_ends_the_run(speedrun, monkeypatch):
    speedrun.killed_at = ["finetune"]
    with pytest.raises(Killed):
        speedrun()
    monkeypatch.setattr(stages, "this_machine", lambda: machine.Machine("cpu", "another one", True, 2))
    assert " on a laptop" in speedrun()


def test_the_seconds_of_fine_tuning_are_those_of_all_starts(tmp_path, monkeypatch):
    """The study is killed four seconds into the fourth of five runs, each of which takes ten seconds."""
    now = [0.0]
    monkeypatch.setattr(glue.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(nets, "read_net", lambda text: text)
    done = []

    def study(*args, say, **kwargs):
        for number in range(len(done), 5):
            now[0] += 4
            if number == 3 and now[0] < 100:
                raise Killed
            now[0] += 6
            done.append(number)
            say(f"{number}")
        return {"summary": []}

    monkeypatch.setattr(finetuning, "study", study)
    state = State(tmp_path, {})
    given = [tmp_path / "x.pt", [], tmp_path, "tiny", 5, machine.Machine("cpu", "a laptop", True, 2)]
    with pytest.raises(Killed):
        glue.finetune(*given, state, str)
    state.close()
    now[0], state = 1000.0, State(tmp_path, {})
    assert glue.finetune(*given, state, str) == {"summary": [], "device_seconds": 50.0}


def test_a_finished_folder_shows_its_table_again_and_does_nothing(speedrun):
    shown = speedrun()
    del speedrun.calls[:]
    assert speedrun() == shown and not speedrun.calls


def test_another_command_line_on_the_same_folder_is_refused(speedrun):
    speedrun()
    with pytest.raises(InputError, match="was started with a different --minutes; repeat that command line"):
        speedrun(**{"--minutes": 6.0})


def test_without_glue_nothing_is_fine_tuned(speedrun):
    shown = speedrun(**{"--glue": None, "--tasks": None, "--seeds": None})
    assert "finetune" not in speedrun.calls and "GLUE, dev" not in shown


def test_too_few_minutes_are_refused_and_the_folder_can_be_reused(speedrun):
    with pytest.raises(
        InputError, match=r"--minutes 0.15 leaves time for only 0 updates after a start of 8 s; give 0.[34]"
    ):
        speedrun(**{"--minutes": 0.15})
    assert "pretrain" not in speedrun.calls
    speedrun()


def test_a_small_disk_ends_it_before_anything_is_written(speedrun, monkeypatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda place: usage._replace(free=10_000_000))
    with pytest.raises(
        InputError, match=r"needs [0-9]+ MB for checkpoints and data, but its disk has only 10 MB free"
    ):
        speedrun()
    assert not speedrun.folder.exists()


def command(*arguments):
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        try:
            status = cli.main(["speedrun", *map(str, arguments)])
        except SystemExit as error:
            status = error.code
    return status, said.getvalue()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--minutes", "0", "TEXT"], "--minutes must be above 0, got 0"),
        (["--minutes", "-3", "TEXT"], "--minutes must be above 0, got -3"),
        (["--minutes", "nan", "TEXT"], "--minutes must be above 0, got nan"),
        (["--minutes", "1", "absent.txt"], "cannot read absent.txt: No such file or directory"),
        (["--minutes", "1", "BINARY"], "not UTF-8"),
        (["--minutes", "1", "SHORT"], "too few to hold out a validation set"),
        (["--minutes", "1", "--batch-size", "0", "TEXT"], "--batch-size must be 1 or more, got 0"),
        (["--minutes", "1", "--lr", "0", "TEXT"], "--lr must be above 0, got 0"),
        (
            ["--minutes", "1", "TEXT", "--tasks", "RTE"],
            "--tasks is for fine-tuning; give --glue DIR beside it",
        ),
        (["--minutes", "1", "TEXT", "--seeds", "3"], "--seeds is for fine-tuning"),
        (
            ["--minutes", "1", "TEXT", "--glue", "absent"],
            "absent/CoLA; give the folder that holds GLUE's folders",
        ),
        (["--minutes", "1", "TEXT", "--glue", "GLUE", "--tasks", "CoLA", "MRPC"], "GLUE/MRPC"),
        (["--minutes", "1", "TEXT", "--glue", "GLUE", "--tasks", "RTE"], "RTE has no dev.tsv; add it"),
    ],
)
def test_bad_input_ends_in_one_sentence(tmp_path, text, glue_folder, arguments, sentence, monkeypatch):
    (tmp_path / "binary").write_bytes(b"\x80\x81" * 100_000)
    (tmp_path / "short").write_text("Too short.\n")
    (glue_folder / "RTE" / "dev.tsv").unlink()
    monkeypatch.chdir(tmp_path)
    known = {"TEXT": text, "BINARY": tmp_path / "binary", "SHORT": tmp_path / "short"}
    status, said = command(*[known.get(word, word) for word in arguments], "--output", tmp_path / "run")
    assert status == 1 and len(said.strip().splitlines()) == 1 and sentence in said, said
    assert not (tmp_path / "run").exists()


def test_ctrl_c_says_how_to_resume(tmp_path, text, monkeypatch):
    monkeypatch.setattr(stages.Stages, "run", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    status, said = command("--minutes", "1", text, "--output", tmp_path / "run")
    assert (
        status == 130
        and said == "fairseq-electra speedrun: stopped by Ctrl-C; the same line can be given again\n"
    )
