"""``--autocast fp16`` on a CPU, by PyTorch's own slow loops: scaled losses, overflows, and refusals."""

from itertools import pairwise

import pytest
import torch

from fairseq_electra import precision
from fairseq_electra.electra.scaled_dot_product import BLOCKED
from fairseq_electra.electra.sizes import LAYER_NORM_EPS
from fairseq_electra.optim import loss_scale
from fairseq_electra.precision import autocast
from fairseq_electra.tasks import _pretraining_options, electra_pretraining
from tests.helpers.components import criterion_for
from tests.helpers.ranks import train_on_two_ranks
from tests.helpers.small_model import TINY_NET
from tests.helpers.training import assert_same_weights, refusal, train, train_here, weights

pytestmark = pytest.mark.skipif(
    not precision.cpu_multiplies_fp16(), reason="this CPU multiplies no float16 matrices"
)
RUN = [
    *TINY_NET,
    *["--num-workers", "0", "--no-epoch-checkpoints", "--disable-validation", "--batch-size", "4"],
    *["--rows", "blocks"],
]
FLOAT16 = [*RUN, "--autocast", "fp16"]


@pytest.fixture(autouse=True)
def peak(monkeypatch):
    """Measuring it takes ten seconds here."""
    monkeypatch.setattr(electra_pretraining, "peak_flops", lambda device, dtype: 1e9)


def of(log, name):
    return [record[name] for record in log.records if record["subset"] == "train_inner"]


def saved_scale(save_dir):
    return torch.load(save_dir / "checkpoint_last.pt", weights_only=True)["last_optimizer_state"][
        "scaled_losses"
    ]


def test_it_trains_like_float32_with_weights_in_float32(tmp_path, data_bin):
    plain = train_here(data_bin, tmp_path / "plain", *RUN, "--max-update", 5)
    half = train_here(data_bin, tmp_path / "half", *FLOAT16, "--max-update", 5)
    assert half.losses != plain.losses and half.losses == pytest.approx(plain.losses, rel=0.01)
    for name in ("gnorm", "gen_gnorm", "disc_gnorm"):
        assert of(half, name) == pytest.approx(of(plain, name), rel=0.05)
    assert of(half, "loss_scale") == 5 * [loss_scale.INITIAL] and saved_scale(tmp_path / "half") == {
        "scale": loss_scale.INITIAL,
        "since": 5,
    }
    own = weights(tmp_path / "half")["discriminator_head.dense.weight"]
    assert own.dtype == torch.float32 and not torch.equal(own, own.half().float())


@pytest.mark.long
def test_it_overflows_at_the_start_recovers_and_resumes_to_the_last_bit(tmp_path, data_bin, monkeypatch):
    monkeypatch.setattr(loss_scale, "INITIAL", 2.0**11)
    monkeypatch.setattr(loss_scale, "INTERVAL", 2)
    options = [*FLOAT16, "--dropout", "0.1", "--clip-norm", "5", "--update-freq", "2"]
    train_here(data_bin, tmp_path / "start", *options, "--max-update", 2)
    start = weights(tmp_path / "start")
    whole = train_here(data_bin, tmp_path / "whole", *options, "--max-update", 11)
    scales = of(whole, "loss_scale")
    assert scales[:2] == [2.0**10, 2.0**9]  # neither update was done
    assert any(later > earlier for earlier, later in pairwise(scales))
    assert max(of(whole, "gnorm")) < 100 and of(whole, "gnorm")[0] == 0 and of(whole, "gnorm")[-1] > 0
    train_here(data_bin, tmp_path / "parts", *options, "--max-update", 8)
    parts = train_here(data_bin, tmp_path / "parts", *options, "--max-update", 11)
    assert parts.losses == whole.losses[8:] and of(parts, "loss_scale") == scales[8:]
    assert_same_weights(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    assert saved_scale(tmp_path / "whole") == saved_scale(tmp_path / "parts")
    untouched = train_here(data_bin, tmp_path / "none", *options, "--max-update", 1)
    assert len(untouched.losses) == 1
    assert_same_weights(weights(tmp_path / "none"), start)
    assert any(not torch.equal(tensor, start[name]) for name, tensor in weights(tmp_path / "whole").items())


@pytest.mark.long
def test_two_ranks_leave_out_the_updates_that_one_process_does(tmp_path, rows32):
    """A weight that lets sums over 32 rows overflow in float16, and so those over 16 of some rank."""
    options = [*FLOAT16, "--max-update", "8", "--disc-weight", "20000"]
    one = train(rows32, tmp_path / "one", *options, "--batch-size", 32)
    ranks = train_on_two_ranks(rows32, tmp_path / "ranks", *options, "--batch-size", 16)
    assert of(one, "loss_scale")[-1] < loss_scale.INITIAL / 8 and of(one, "gnorm")[-1] > 0
    assert saved_scale(tmp_path / "ranks")["since"] > 0  # it has found a scale
    first, other = (of(log, "gnorm").count(0) for log in (ranks, one))
    assert 0 < first <= other < 8
    assert ranks.losses[: first + 1] == pytest.approx(one.losses[: first + 1], rel=1e-3)


def test_losses_that_no_scale_can_help_end_the_run_with_a_sentence(tmp_path, data_bin, monkeypatch):
    monkeypatch.setattr(loss_scale, "INITIAL", loss_scale.SMALLEST * 2)
    monkeypatch.setattr(
        electra_pretraining.ElectraAdam, "backward", lambda self, loss: (loss * float("inf")).backward()
    )
    said = refusal(data_bin, tmp_path / "save", *FLOAT16, "--max-update", 9, "--save-interval-updates", 1)
    assert said.startswith("--autocast fp16: losses overflow even when scaled by less than 6.10352e-05; use")
    assert sorted(path.name for path in (tmp_path / "save").glob("*.pt")) == [
        "checkpoint_1_1.pt",
        "checkpoint_last.pt",
    ]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--optimizer", "sgd"], "--autocast fp16 needs --optimizer electra_adam, which scales losses"),
        (["--bf16"], "two ways to the same end"),
        (["--amp"], "--amp is not offered"),
    ],
)
def test_refused(tmp_path, data_bin, options, sentence):
    assert sentence in refusal(data_bin, tmp_path / "save", *FLOAT16, "--max-update", 1, *options)


def test_a_cpu_that_multiplies_no_float16_matrices_is_refused(tmp_path, data_bin, monkeypatch):
    monkeypatch.setattr(_pretraining_options, "cpu_multiplies_fp16", lambda: False)
    assert "--autocast fp16 needs a GPU" in refusal(data_bin, tmp_path / "save", *FLOAT16, "--max-update", 1)


@pytest.mark.parametrize(
    ("capability", "dropout", "sentence"),
    [((7, 5), 0.0, "compute capability 8.0"), ((8, 0), 0.1, "--pack --autocast fp16"), ((8, 0), 0.0, "")],
)
def test_packed_rows_need_a_gpu_that_has_a_kernel_for_them(
    make_task, monkeypatch, capability, dropout, sentence
):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")
    task = make_task(autocast="fp16", pack=True)
    if not sentence:
        _pretraining_options.check_packing(task.cfg, False, dropout, on_gpu=True)
        return
    with pytest.raises(_pretraining_options.InputError, match=sentence):
        _pretraining_options.check_packing(task.cfg, False, dropout, on_gpu=True)


def test_float16_holds_what_the_networks_add_and_divide_by():
    """Check that blocked scores stay finite and get weight 0, and that LayerNorm adds its epsilon in float32.

    In float16 the epsilon is 0.
    """
    scores = torch.zeros(1, 4, dtype=torch.float16) + torch.tensor(
        [0.0, 0.0, BLOCKED, BLOCKED], dtype=torch.float16
    )
    assert torch.isfinite(scores).all() and scores.softmax(-1).tolist() == [[0.5, 0.5, 0.0, 0.0]]
    assert torch.tensor(LAYER_NORM_EPS, dtype=torch.float16) == 0
    norm = torch.nn.LayerNorm(4, eps=LAYER_NORM_EPS)
    with autocast("fp16", "cpu"):
        assert torch.equal(norm(torch.full((2, 4), 3.0, dtype=torch.float16)), torch.zeros(2, 4))
        near = torch.tensor([[1.0, 1.001, 1.002, 1.003]], dtype=torch.float16)
        found = norm(near)
    expected = torch.nn.functional.layer_norm(near.double(), (4,), eps=LAYER_NORM_EPS)
    assert torch.allclose(found.double(), expected, atol=2e-3)


def test_every_state_is_finite_and_near_that_of_float32(make_task, make_model):
    task = make_task()
    dataset = task.load_dataset("valid")
    sample, model, criterion = (
        dataset.collater([*dataset.sizes.argsort()[:2], *dataset.sizes.argsort()[-2:]]),
        make_model(task),
        criterion_for(task),
    )
    assert sample["net_input"]["padding_mask"].any()
    plain, _, _ = criterion(model, sample)
    with autocast("fp16", "cpu"):
        half, _, _ = criterion(model, sample)
    half.backward()
    assert (
        half.dtype == torch.float32
        and half.item() == pytest.approx(plain.item(), rel=1e-2)
        and half.item() != plain.item()
    )
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())
