import numpy as np
import pytest
import torch

from fairseq_electra.pretraining import batches
from tests.helpers.components import criterion_for
from tests.reference import paper


def paper_losses(sample, model, heads, gen_heads, layers, pad):
    """Both summed losses and labels of a batch, by the transcription, in float64."""
    p = {
        name: tensor.double().numpy()
        for name, tensor in model.state_dict().items()
        if tensor.is_floating_point()
    }
    rotary = model.discriminator.sizes.positions == "rotary"
    net = {name: tensor.numpy() for name, tensor in sample["net_input"].items()}
    mlm = rtd = 0.0
    labels = np.zeros(net["src_tokens"].shape, bool)
    for row in range(len(net["src_tokens"])):
        real = ~net["padding_mask"][row]
        length = int(real.sum())
        tokens, segments, real = (
            net["src_tokens"][row][:length],
            net["segment_ids"][row][:length],
            real[:length],
        )
        slots = [k for k, t in enumerate(net["target"][row]) if t != pad]
        at, originals = net["masked_positions"][row][slots], net["target"][row][slots]
        scores = paper.generator_logits(tokens, segments, real, p, gen_heads, layers, rotary)[at]
        mlm += paper.masked_lm_loss(scores, originals)
        corrupted = tokens.copy()
        for k, position, original, score in zip(slots, at, originals, scores, strict=True):
            corrupted[position] = paper.draw(score, net["sample_uniforms"][row][k])
            labels[row, position] = corrupted[position] != original
        judged = paper.discriminator_logits(corrupted, segments, real, p, heads, layers, rotary)
        rtd += paper.discriminator_loss(judged, labels[row, :length])
    return mlm, rtd, labels


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_losses_and_labels_are_those_of_the_paper(make_task, make_model, positions):
    task = make_task()
    task.masked_share.value = 0.13
    dataset = task.load_dataset("valid")
    sample = dataset.collater([*dataset.sizes.argsort()[:3], *dataset.sizes.argsort()[-2:]])
    assert sample["net_input"]["padding_mask"].any()
    assert sample["net_input"]["segment_ids"].any()
    model = make_model(task, positions=positions).double()
    criterion = criterion_for(task, gen_weight=1.5, disc_weight=20.0)
    loss, sample_size, log = criterion(model, sample)
    mlm, rtd, labels = paper_losses(sample, model, heads=2, gen_heads=1, layers=2, pad=1)
    assert log["masked_lm_sum"].item() == pytest.approx(mlm, rel=1e-9)
    assert log["disc_sum"].item() == pytest.approx(rtd, rel=1e-9)
    assert loss.item() == pytest.approx(1.5 * mlm + 20.0 * 0.13 * rtd, rel=1e-9)
    assert sample_size == (sample["target"] != 1).sum()
    assert log["replaced"].item() == labels.sum()
    output = model(**sample["net_input"])
    assert np.array_equal(output.is_replaced.numpy(), labels)


def test_logged_counts_are_those_of_a_loop_over_tokens(make_task, make_model):
    task = make_task()
    sample = task.load_dataset("valid").collater(list(range(8)))
    sample["target"][:, ::3] = torch.where(sample["target"][:, ::3] == 1, 1, 3)
    model = make_model(task).eval()
    _, sample_size, log = criterion_for(task).eval()(model, sample)
    output = model(**sample["net_input"])
    unknown = right = shown = shown_right = drawn = hit = flagged = 0
    mask = len(task.dictionary) - 1
    for row in range(8):
        for k, target in enumerate(sample["target"][row].tolist()):
            if target in (1, 3):
                unknown += target == 3
                continue
            position = sample["net_input"]["masked_positions"][row, k]
            best = output.gen_logits[row, k].argmax().item() == target
            right += best
            if sample["net_input"]["src_tokens"][row, position] == mask:
                shown, shown_right = shown + 1, shown_right + best
            drawn += output.corrupted_tokens[row, position].item() == target
        for t in range(64):
            if not sample["net_input"]["padding_mask"][row, t] and output.disc_logits[row, t] > 0:
                flagged += 1
                hit += output.is_replaced[row, t].item()
    assert 0 < log["masked_unknown"].item() == unknown < sample_size == (sample["target"] != 1).sum()
    assert log["masked_lm_correct"].item() == right
    assert (log["mask_token_count"].item(), log["mask_token_correct"].item()) == (shown, shown_right)
    assert log["sampled_correct"].item() == drawn
    assert (log["flagged"].item(), log["flagged_replaced"].item()) == (flagged, hit)
    entropy = torch.distributions.Categorical(logits=output.gen_logits).entropy()
    assert log["gen_entropy_sum"].item() == pytest.approx(
        entropy[sample["target"] != 1].sum().item(), rel=1e-5
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"tokens_per_sample": 128},
        {"tokens_per_sample": 12},
        {"tokens_per_sample": 16, "mask_prob": 0.02},
        {"tokens_per_sample": 32, "mask_whole_words": True},
        {"pack": True, "rows": "blocks"},
    ],
)
def test_loss_weights_the_two_means_as_asked(make_task, make_model, changes):
    task = make_task(**changes)
    criterion = criterion_for(task, gen_weight=0.0)  # as fairseq does, before the text is loaded
    dataset = task.load_dataset("train")
    dataset.set_epoch(2)  # other masks than those of the measurement
    sample = dataset.collater(range(len(dataset)))
    loss, masked, log = criterion(make_model(task), sample)
    assert loss.item() / masked == pytest.approx(50.0 * log["disc_sum"].item() / sample["ntokens"], rel=0.01)


def test_the_share_is_measured_once_and_goes_along_with_the_run(make_task, data_bin, tmp_path, caplog):
    other = tmp_path / "other"
    other.mkdir()
    for ending in ("bin", "idx"):
        (other / f"train.{ending}").write_bytes((data_bin / f"valid.{ending}").read_bytes())
    (other / "dict.txt").write_bytes((data_bin / "dict.txt").read_bytes())
    caplog.set_level("INFO")

    def loaded(epoch, state=None, **changes):
        task = make_task(**{"data": f"{data_bin}:{other}", "tokens_per_sample": 24, **changes})
        if state is not None:
            task.load_state_dict(state)
        task.load_dataset("train", epoch=epoch)
        return task

    task, by_itself = loaded(1), loaded(2).masked_share.value
    share = task.masked_share.value
    assert f"{share:.4f} of the tokens are masked" in caplog.text and 0.1 < share != by_itself
    task.load_dataset("train", epoch=2)
    assert task.masked_share.value == loaded(2, task.state_dict()).masked_share.value == share
    # of a run that began without
    assert loaded(1, {"diagnosis": task.state_dict()["diagnosis"]}).masked_share.value == 0.15
    assert (
        loaded(1, task.state_dict(), mask_prob=0.3).masked_share.value
        == loaded(1, mask_prob=0.3).masked_share.value
        > 0.25
    )


def test_the_share_is_measured_anew_where_a_run_goes_on_with_another_text(make_task, data_bin, tmp_path):
    for name in ("dict.txt", "valid.bin", "valid.idx"):
        (tmp_path / name.replace("valid", "train")).write_bytes((data_bin / name).read_bytes())

    def share(data, state=None):
        task = make_task(data=str(data), tokens_per_sample=24)
        if state is not None:
            task.load_state_dict(state)
        task.load_dataset("train")
        return task.masked_share.value, task.state_dict()

    (here, state), (there, _) = share(data_bin), share(tmp_path)
    assert here != there
    assert share(tmp_path, state)[0] == there
    assert share(f"{tmp_path}:{data_bin}", state)[0] == here, "a folder that was added"
    assert share(tmp_path, {**state, "masked_share": {**state["masked_share"], "texts": []}})[0] == here, (
        "an older checkpoint"
    )


def test_the_share_of_many_rows_is_that_of_stretches_over_all_of_them(make_task, monkeypatch):
    dataset = make_task(tokens_per_sample=16).load_dataset("train")
    dataset.set_epoch(1)
    whole = dataset.collater(range(len(dataset)))
    assert dataset.masked_share() == whole["nmasked"] / whole["ntokens"]  # few rows: all are read
    monkeypatch.setattr(batches, "SAMPLED_BLOCKS", 3)
    monkeypatch.setattr(batches, "ROWS_PER_BLOCK", 3)
    step = (len(dataset) - 3) / 2
    part = dataset.collater([int(begin) + i for begin in (0, step, 2 * step) for i in range(3)])
    assert dataset.masked_share() == part["nmasked"] / part["ntokens"]


def test_all_batches_have_one_memory_layout_of_which_torch_compile_makes_one_graph(make_task):
    dataset = make_task(tokens_per_sample=16).load_dataset("train")
    dataset.set_epoch(1)
    for rows in (range(8), range(3)):
        assert all(tensor.is_contiguous() for tensor in dataset.collater(rows)["net_input"].values())


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_gradient_of_a_batch_is_that_of_its_halves(make_task, make_model, dtype, tolerance):
    task = make_task()
    dataset = task.load_dataset("valid")
    criterion = criterion_for(task)
    rows = list(range(32))
    gradients = []
    for halves in ([rows], [rows[:16], rows[16:]]):
        model = make_model(task).to(dtype)
        masked = 0
        for batch in halves:
            loss, sample_size, _ = criterion(model, dataset.collater(batch))
            loss.backward()
            masked += sample_size
        gradients.append(torch.cat([p.grad.flatten() / masked for p in model.parameters()]))
    assert (gradients[0] - gradients[1]).norm() / gradients[0].norm() < tolerance


def test_no_gradient_flows_from_the_discriminator_into_the_generator(make_task, make_model):
    task = make_task()
    model = make_model(task, tie_embeddings="none")
    loss, _, _ = criterion_for(task, gen_weight=0.0)(model, task.load_dataset("valid").collater([0, 1]))
    loss.backward()
    for name, p in model.named_parameters():
        if name.startswith("generator"):
            assert p.grad is None or not p.grad.any(), name
        else:
            assert p.grad is not None, name
