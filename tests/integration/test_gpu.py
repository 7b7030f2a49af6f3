"""What a GPU does otherwise than a CPU. Skipped where there is none."""

import argparse
import contextlib
import json
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from fairseq import utils
from fairseq.distributed import utils as distributed_utils
from fairseq.logging import metrics
from fairseq.trainer import Trainer
from torch._dynamo.utils import counters

from benchmark import updates
from benchmark.gpu import moved
from fairseq_electra.criterions.replaced_token_detection import ReplacedTokenDetection
from fairseq_electra.pretraining.metrics import log_metrics
from tests.helpers.commands import electra_process
from tests.helpers.components import criterion_for
from tests.helpers.logged_sums import MetricsAlone, sums_of
from tests.helpers.packed_documents import unpacked
from tests.helpers.sentence_tasks import PAIR, prepare_all
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import assert_same_weights, command, run_here, weights

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
NET = {"hidden_size": 128, "embedding_size": 64, "intermediate_size": 256, "num_attention_heads": 4}
RUN = ["--num-workers", "0", "--no-epoch-checkpoints", "--max-update", "12", *TINY_NET]
BARE = ["--dropout", "0", "--attention-dropout", "0"]


def train_on_gpu(data, save_dir, *arguments):
    """Run fairseq-train in this process."""
    line = [word for word in command(data, save_dir, *arguments)[3:] if word != "--cpu"]
    return run_here(line, save_dir)


@pytest.fixture
def prepared(make_task, make_model):
    """A network, its criterion and a batch with padding."""
    task = make_task(cpu=False)
    dataset = task.load_dataset("valid")
    sample = dataset.collater([*dataset.sizes.argsort()[:3], *dataset.sizes.argsort()[-5:]])
    assert sample["net_input"]["padding_mask"].any()
    return make_model(task, **NET), criterion_for(task), sample


def test_float32_is_what_a_cpu_computes(prepared):
    model, criterion, sample = prepared
    loss, _, log = criterion(model, sample)
    loss.backward()
    expected = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    model.cuda()
    found, _, own = criterion(model, moved(sample, "cuda"))
    found.backward()
    assert found.item() == pytest.approx(loss.item(), rel=1e-4)
    # a draw at the edge may fall to the other side
    assert own["replaced"].item() == pytest.approx(log["replaced"].item(), abs=1)
    for name, parameter in model.named_parameters():
        assert (parameter.grad.cpu() - expected[name]).norm() <= 2e-2 * expected[name].norm() + 1e-4, name


def test_autocast_is_near_float32(prepared):
    model, criterion, sample = prepared
    model.cuda()
    loss, _, _ = criterion(model, moved(sample, "cuda"))
    with torch.autocast("cuda", dtype=torch.bfloat16):
        near, _, _ = criterion(model, moved(sample, "cuda"))
    assert near.dtype == torch.float32 and near.item() == pytest.approx(loss.item(), rel=2e-2)


def test_packed_documents_are_those_alone(make_task, make_model, paragraphs):
    """By the kernel that takes documents of any length."""
    task = make_task(data=str(paragraphs), tokens_per_sample=128, pack=True, cpu=False)
    dataset = task.load_dataset("train")
    model, criterion = make_model(task, **NET).cuda(), criterion_for(task)
    sample = dataset.collater(list(range(8)))
    net_input, places = unpacked(sample["net_input"], task.dictionary.pad())
    apart = moved({**sample, "net_input": net_input, "target": net_input["target"]}, "cuda")
    together = moved(sample, "cuda")
    found = {}
    for name, batch in (("together", together), ("apart", apart)):
        model.zero_grad()
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss, _, _ = criterion(model, batch)
            output = model(**batch["net_input"])
        loss.backward()
        gradient = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
        found[name] = (loss.item(), gradient, output.gen_logits.float())
    assert found["together"][0] == pytest.approx(found["apart"][0], rel=1e-2)
    assert F.cosine_similarity(found["together"][1], found["apart"][1], dim=0) > 0.99
    document, (row, columns) = 0, places[0]
    slots = (sample["target"][row] != task.dictionary.pad()) & (
        sample["net_input"]["masked_positions"][row] < columns.stop
    )
    number = int(slots.sum())
    assert torch.allclose(
        found["together"][2][row][slots.cuda()], found["apart"][2][document][:number], atol=0.1, rtol=0.05
    )


def test_an_update_never_waits_for_the_gpu(prepared):
    model, criterion, sample = prepared
    model.cuda()
    sample = moved(sample, "cuda")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def update():
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss, _, _ = criterion(model, sample)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    update()
    torch.cuda.set_sync_debug_mode("error")
    try:
        update()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("options", [[], ["--compile", "--cuda-graphs"]], ids=["eager", "CUDA graphs"])
def test_an_update_of_the_trainer_never_waits_for_the_gpu(tmp_path, data_bin, monkeypatch, options):
    """Check updates after the first few, when all is compiled and recorded, but not those that write the log.

    Those read their figures from the GPU.
    """
    plain = Trainer.train_step

    def train_step(self, *args, **kwargs):
        torch.cuda.set_sync_debug_mode("error" if self.get_num_updates() > 4 else "default")
        try:
            return plain(self, *args, **kwargs)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(Trainer, "train_step", train_step)
    torch._dynamo.reset()
    log = train_on_gpu(
        data_bin, tmp_path / "save", *RUN, *BARE, "--autocast", "bf16", "--log-interval", "100", *options
    )
    assert log.updates == 12


def test_looking_later_changes_nothing(tmp_path, data_bin, monkeypatch):
    options = [*RUN, "--dropout", "0.1", "--save-interval-updates", "5"]
    later = train_on_gpu(data_bin, tmp_path / "later", *options)
    monkeypatch.setattr("fairseq_electra.compat.gradient_checks.would_wait", lambda trainer: False)
    plain = train_on_gpu(data_bin, tmp_path / "plain", *options)
    assert later.losses == plain.losses
    assert_same_weights(weights(tmp_path / "later"), weights(tmp_path / "plain"))


def test_a_gradient_that_is_not_finite_ends_the_run_and_names_its_rows(tmp_path, data_bin, monkeypatch):
    plain, rows = ReplacedTokenDetection.forward, []

    def forward(self, model, sample, reduce=True):
        ids = sample["id"].tolist()
        rows.append(ids)
        loss, sample_size, log = plain(self, model, sample, reduce)
        return (loss * float("nan") if ids == rows[2] else loss), sample_size, log

    rows.extend([[-1], [-1]])
    monkeypatch.setattr(ReplacedTokenDetection, "forward", forward)
    with pytest.raises(FloatingPointError, match="gradients are Nan/Inf"):
        train_on_gpu(data_bin, tmp_path / "save", *RUN, "--disable-validation")
    report = json.loads((tmp_path / "save" / "nonfinite_rows.json").read_text())
    assert report == {"update": 0, "epoch": 1, "rows": rows[2]}
    assert not list((tmp_path / "save").glob("checkpoint*.pt"))


@pytest.mark.parametrize("of_all_processes", [False, True])
def test_metrics_never_wait_for_the_gpu_between_two_logs(make_task, monkeypatch, of_all_processes):
    """The sums of several processes are added up before; here their sum is that of one."""
    monkeypatch.setattr(distributed_utils, "all_reduce", lambda buffer, group: None)
    task, trainer = make_task(cpu=False, log_interval=100), Trainer.__new__(Trainer)
    task.peak, trainer.task, trainer._criterion, trainer.tpu = 1e12, task, MetricsAlone(), False
    logs = [utils.move_to_cuda(sums_of(update)) for update in range(3)]
    metrics.reset()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for update, log in enumerate(logs):
            summed = (
                distributed_utils.all_reduce_dict(log, torch.device("cuda"), None)
                if of_all_processes
                else log
            )
            with metrics.aggregate("train_inner"):
                metrics.log_scalar("num_updates", update + 1, weight=0)
                trainer._reduce_and_log_stats([summed], 7)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    found = metrics.get_smoothed_values("train_inner")
    metrics.reset()
    with metrics.aggregate("train_inner"):
        log_metrics([sums_of(update) for update in range(3)])
    for name, value in metrics.get_smoothed_values("train_inner").items():
        assert found[name] == pytest.approx(value, abs=2e-4), name


@pytest.mark.parametrize(
    "options",
    [
        ["--autocast", "bf16"],
        ["--autocast", "fp16"],
        ["--bf16"],
        ["--fp16", "--fp16-no-flatten-grads", "--fp16-init-scale", "4"],
        ["--checkpoint-activations", "--autocast", "bf16"],
    ],
    ids=["autocast bf16", "autocast fp16", "bf16", "fp16", "checkpoints of activations"],
)
def test_number_formats_train_alike(tmp_path, data_bin, options):
    plain = train_on_gpu(data_bin, tmp_path / "plain", *RUN, *BARE)
    found = train_on_gpu(data_bin, tmp_path / "found", *RUN, *BARE, *options)
    assert found.updates == plain.updates == 12
    assert found.losses == pytest.approx(plain.losses, rel=0.03)


@pytest.mark.parametrize("packed", [[], ["--pack"]], ids=["rows", "packed"])
@pytest.mark.parametrize("graphs", [[], ["--cuda-graphs"]], ids=["compiled", "CUDA graphs"])
def test_compiled_runs_are_the_plain_one(tmp_path, data_bin, packed, graphs):
    options = [*RUN, *BARE, "--autocast", "bf16", *packed]
    plain = train_on_gpu(data_bin, tmp_path / "plain", *options)
    torch._dynamo.reset()
    counters.clear()
    compiled = train_on_gpu(data_bin, tmp_path / "compiled", *options, "--compile", *graphs)
    assert compiled.losses[:6] == pytest.approx(plain.losses[:6], rel=0.01)
    assert compiled.losses == pytest.approx(plain.losses, rel=0.1)
    assert not counters["graph_break"] and counters["stats"]["unique_graphs"] == 4
    assert weights(tmp_path / "compiled").keys() == weights(tmp_path / "plain").keys()


@pytest.mark.parametrize(
    "options",
    [
        ["--dropout", "0.1"],
        ["--autocast", "bf16", "--pack", *BARE],
        ["--autocast", "fp16", "--disc-weight", "5000"],
    ],
    ids=["dropout", "packed", "scaled losses"],
)
def test_a_run_resumes(tmp_path, data_bin, options):
    train_on_gpu(data_bin, tmp_path / "whole", *RUN, *options)
    train_on_gpu(data_bin, tmp_path / "parts", *RUN, *options, "--max-update", "5")
    parts = train_on_gpu(data_bin, tmp_path / "parts", *RUN, *options)
    assert parts.updates == 12
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    for name, tensor in whole.items():
        assert torch.equal(tensor, resumed[name]), (
            name,
            (tensor.float() - resumed[name].float()).abs().max().item(),
        )


@pytest.mark.parametrize(
    "options", ["--autocast bf16", "--autocast bf16 --compile --cuda-graphs"], ids=["eager", "CUDA graphs"]
)
def test_step_and_trainer_are_measured(tmp_path, monkeypatch, options):
    monkeypatch.setattr(updates, "machine_lock", contextlib.nullcontext)
    plain = {
        "device": "cuda",
        "threads": 1,
        "rounds": 1,
        "updates": 28,
        "steps": 5,
        "options": options,
        "minutes": 5.0,
    }
    args = argparse.Namespace(**plain, points=[("small", 32, 128)], output=str(tmp_path / "updates.json"))
    assert updates.measure_all(args) == []
    (point,) = json.loads((tmp_path / "updates.json").read_text())["points"]
    for each in (point["step"], point["trainer"]):
        assert (
            0 < each["device_ms"] < 1000 / each["updates_per_second"] * 1.5
            and each["host_ms"] > 0
            and 0 < each["of_bound"] < 1.5
        )
    assert point["trainer"]["mfu_logged"] == pytest.approx(point["trainer"]["mfu"], rel=0.05)
    assert len(point["top"]) == 5


def test_fine_tuned_and_asked(tmp_path, vocabulary, corpus_lines):
    data = prepare_all(tmp_path, vocabulary, corpus_lines) / PAIR
    sizes = [
        *["--net", "scratch=scratch:tiny", "--seeds", "1", "--epochs", "2", "--lr", "1e-3"],
        *["--processes", "1", "--keep-checkpoints"],
    ]
    electra_process("finetune", "--data", data, *sizes, "--output", tmp_path / "runs", "--", *TINY_NET)
    checkpoint = next((tmp_path / "runs").rglob("*.pt"))
    done = electra_process("predict", checkpoint, input="one sentence\tand another\n")
    assert json.loads(done.stdout.splitlines()[0])


@pytest.mark.long
def test_a_speedrun_trains_a_compiled_small_in_its_minutes(tmp_path, corpus_lines):
    (tmp_path / "text.txt").write_text("".join(f"{line}\n" for line in corpus_lines))
    program = "import sys; from fairseq_electra.cli import main; sys.exit(main())"
    given = ["speedrun", "--minutes", "4", str(tmp_path / "text.txt"), "--output", str(tmp_path / "run")]
    done = subprocess.run(
        [sys.executable, "-c", program, *given], capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "run" / "results.json").read_text())
    assert found["size"] == "small" and found["device"] == torch.cuda.get_device_name()
    assert "--compile --cuda-graphs" in done.stdout and 150 < found["seconds"]["pretraining"] < 250
    assert found["valid"]["num_updates"] == found["updates"] and found["valid"]["mask_token_accuracy"] > 5
