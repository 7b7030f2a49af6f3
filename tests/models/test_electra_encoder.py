"""Fine-tuning with fairseq's own sentence_prediction."""

import shutil

import pytest
import torch
from omegaconf import OmegaConf

from fairseq_electra import precision
from fairseq_electra.finetuning.encoder import segments_of
from fairseq_electra.finetuning.questions.heads import AnswerScores, IndependentAnswerHead
from fairseq_electra.finetuning.sentences.head import SentenceHead
from fairseq_electra.finetuning.words.head import TokenHead
from fairseq_electra.models._config import with_defaults
from fairseq_electra.models.electra_encoder import ElectraEncoder, ElectraEncoderConfig
from fairseq_electra.optim.depths import layers_below_head
from fairseq_electra.pretraining.encode import encode_to_binary, write_binarized
from fairseq_electra.pretraining.wordpiece import load_wordpiece
from tests.helpers.commands import fairseq
from tests.helpers.paths import USER_DIR
from tests.helpers.small_model import NET, TINY_NET, randomize_parameters
from tests.helpers.training import refusal, refusal_here, run_here, train_here, weights

HEADS = [SentenceHead(32, 3, 0.0), TokenHead(32, 5, 0.0), IndependentAnswerHead(32)]


@pytest.fixture(scope="module")
def task_bin(tmp_path_factory, corpus_lines, vocabulary):
    """Is it the first or the second sentence of two that begins with a capital? Any label will do here."""
    folder = tmp_path_factory.mktemp("task")
    lines = [line[:80] for line in corpus_lines if len(line) > 80][:48]
    tokenizer = load_wordpiece(vocabulary)
    for split in ("train", "valid"):
        encode_to_binary(tokenizer, lines, folder / "input0" / split, vocabulary)
        encode_to_binary(tokenizer, lines[::-1], folder / "input1" / split, vocabulary)
        write_binarized(folder / "label" / split, [[[4 + (len(line.split()) % 2)] for line in lines]], 6, 2)
    (folder / "label" / "dict.txt").write_text("0 1\n1 1\n")
    return folder


def arguments(data, save_dir, *more):
    return [
        *[data, "--save-dir", save_dir, "--task", "sentence_prediction"],
        *["--criterion", "sentence_prediction"],
        *"--arch electra_encoder --num-classes 2 --init-token 0 --max-positions 128 --batch-size 8".split(),
        *"--max-update 6 --cpu".split(),
        *"--optimizer electra_adam --lr 1e-4 --clip-norm 1.0 --log-format json".split(),
        *"--log-interval 1 --num-workers 0".split(),
        *more,
    ]


def tune(data, save_dir, *more, check=True):
    return fairseq("train", *arguments(data, save_dir, *more), check=check)


def test_sizes_and_weights_come_from_the_checkpoint_and_the_result_stands_alone(
    tmp_path, task_bin, checkpoint
):
    source = shutil.copy(checkpoint, tmp_path / "source.pt")
    done = tune(task_bin, tmp_path / "save", "--finetune-from-model", source)
    output = done.stdout + done.stderr
    assert (
        "tensors kept" in output
        and "initialised (classification_heads.sentence_classification_head)" in output
    )
    assert "generator_head" in output
    tuned = weights(tmp_path / "save")
    assert tuned["embeddings.tokens.weight"].shape == (1000, 16)
    assert not any(key.startswith(("generator", "discriminator")) for key in tuned)
    config = torch.load(tmp_path / "save" / "checkpoint_last.pt", weights_only=True)["cfg"]["model"]
    assert (config["hidden_size"], config["num_hidden_layers"], config["positions"]) == (32, 2, "rotary")
    (tmp_path / "source.pt").unlink()
    moved = shutil.move(tmp_path / "save", tmp_path / "elsewhere")
    options = (
        "--task sentence_prediction --criterion sentence_prediction --num-classes 2 --batch-size 8 --cpu"
    )
    options += " --valid-subset valid"
    done = fairseq("validate", task_bin, "--path", f"{moved}/checkpoint_last.pt", *options.split())
    assert "valid on 'valid' subset | loss" in done.stdout


def test_the_encoder_is_the_pretrained_discriminator(tmp_path, task_bin, checkpoint):
    tune(task_bin, tmp_path / "save", "--finetune-from-model", checkpoint, "--lr", "0.0")
    source, tuned = weights(checkpoint.parent), weights(tmp_path / "save")
    for key, tensor in tuned.items():
        if not key.startswith("classification_heads"):
            assert torch.equal(tensor, source[key.replace("encoder.", "discriminator.", 1)]), key


def test_validation_says_where_the_net_has_one_answer_to_everything(
    tmp_path, task_bin, checkpoint, monkeypatch
):
    plain = ElectraEncoder.register_head

    def register_head(self, name, head):
        torch.nn.init.zeros_(head.prediction.weight)
        head.prediction.bias.data = torch.tensor([0.0, 1.0])
        plain(self, name, head)

    monkeypatch.setattr(ElectraEncoder, "register_head", register_head)
    given = arguments(
        task_bin, tmp_path / "save", "--user-dir", USER_DIR, "--finetune-from-model", checkpoint
    )
    log = run_here([*given, "--max-update", "1", "--lr", "0.0"], tmp_path / "save")
    assert (
        "the net answers '1' for all 48 examples of this validation set: it has learnt nothing yet"
        in log.text
    )


def test_a_net_that_was_fine_tuned_before_keeps_its_head_if_that_reads_the_same(
    tmp_path, task_bin, checkpoint
):
    def given(save, source, *more):
        options = [
            *["--user-dir", USER_DIR, "--finetune-from-model", source, "--max-update", "1"],
            "--disable-validation",
            *more,
        ]
        return arguments(task_bin, tmp_path / save, *options)

    first = run_here(given("first", checkpoint, "--pooling", "mean"), tmp_path / "first")
    assert "trained before" not in first.text
    tuned, name = tmp_path / "first" / "checkpoint_last.pt", "sentence_classification_head"
    assert (
        f"the checkpoint's head {name} was trained with --pooling mean, this run has first: give --pooling"
        " mean" in refusal_here(given("second", tuned))
    )
    log = run_here(given("second", tuned, "--pooling", "mean", "--lr", "0.0"), tmp_path / "second")
    assert f"the head {name} is the checkpoint's, trained before" in log.text
    key = f"classification_heads.{name}.prediction.weight"
    assert torch.equal(weights(tmp_path / "second")[key], weights(tmp_path / "first")[key])
    log = run_here(given("third", tuned, "--classification-head-name", "new"), tmp_path / "third")
    assert "initialised (classification_heads.new)" in log.text and "trained before" not in log.text


@pytest.mark.parametrize(
    ("norm", "network", "wrong"), [("deepnorm", "generator", "post"), ("pre", "discriminator", "deepnorm")]
)
def test_the_norm_comes_from_the_checkpoint_and_another_is_refused(
    tmp_path, data_bin, task_bin, norm, network, wrong
):
    options = [
        *TINY_NET,
        *["--norm", norm, "--generator-layers", "0.5", "--max-update", "2", "--disable-validation"],
    ]
    train_here(data_bin, tmp_path / "source", *options)
    start = [
        *["--user-dir", USER_DIR, "--finetune-from-model", tmp_path / "source" / "checkpoint_last.pt"],
        *["--network", network],
    ]
    given = arguments(task_bin, tmp_path / "save", *start, "--max-update", "2", "--disable-validation")
    run_here([*given, "--lr", "0.0"], tmp_path / "save")
    state = torch.load(tmp_path / "save" / "checkpoint_last.pt", weights_only=True)
    assert state["cfg"]["model"]["norm"] == norm
    source = weights(tmp_path / "source")
    encoder = {key: tensor for key, tensor in state["model"].items() if key.startswith("encoder.")}
    assert encoder.keys() == {
        key.replace(network, "encoder", 1) for key in source if key.startswith(f"{network}.")
    }
    for key, tensor in encoder.items():
        assert torch.equal(tensor, source[key.replace("encoder", network, 1)]), key
    tensor = {
        "deepnorm": "residual_scale that this model does not have",
        "pre": "no tensor encoder.residual_scale",
    }[norm]
    assert tensor in refusal_here([*given, "--norm", wrong, "--save-dir", tmp_path / "refused"])


def test_every_parameter_of_a_pre_norm_net_has_a_depth_and_the_final_norm_that_of_the_last_layer(make_task):
    cfg = OmegaConf.create({**NET, "model_size": "tiny", "norm": "pre"})
    model = ElectraEncoder(with_defaults(cfg, ElectraEncoderConfig), make_task().dictionary)
    model.register_classification_head("head", 2)
    expected = {
        "classification_heads": 0,
        "encoder.layer_norm": 1,
        "encoder.layers.1": 1,
        "encoder.layers.0": 2,
        "embeddings": 3,
    }
    expected["encoder.projection"] = 3
    found = {name: layers_below_head(parameter) for name, parameter in model.named_parameters()}
    assert sum(name.startswith("encoder.layer_norm.") for name in found) == 2
    for name, depth in found.items():
        (wanted,) = {depth for start, depth in expected.items() if name.startswith(f"{start}.")}
        assert depth == wanted, name


def test_segments_follow_the_first_separator():
    tokens = torch.tensor([[0, 5, 2, 6, 7, 2, 1], [0, 5, 6, 7, 8, 9, 2]])
    assert segments_of(tokens, 2).tolist() == [[0, 0, 0, 1, 1, 1, 1], [0] * 7]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "model size unknown"),
        (["--model-size", "tiny", "--separator-token", "2"], "drop --separator-token"),
    ],
)
def test_refusals(tmp_path, task_bin, more, message):
    done = tune(task_bin, tmp_path / "save", *more, check=False)
    assert done.returncode != 0 and message in done.stderr.splitlines()[-1]


def test_a_generator_that_an_import_has_drawn_at_random_is_refused(tmp_path, task_bin, checkpoint):
    state = torch.load(checkpoint, weights_only=True)
    state["extra_state"]["initialised"] = [name for name in state["model"] if name.startswith("generator")]
    torch.save(state, tmp_path / "imported.pt")
    start = ["--finetune-from-model", tmp_path / "imported.pt", "--save-dir", tmp_path / "save"]
    said = refusal_here([*arguments(task_bin, tmp_path / "save", *start, "--network", "generator")])
    assert "imported.pt has no trained generator: it was imported from a folder without one" in said


def test_a_folder_of_pretraining_is_not_fine_tuned_in(task_bin, checkpoint):
    before = checkpoint.read_bytes()
    said = refusal_here(
        arguments(task_bin, checkpoint.parent, "--user-dir", USER_DIR, "--finetune-from-model", checkpoint)
    )
    assert (
        f"{checkpoint} is of a run with --task electra_pretraining, and this one has sentence_prediction:"
        " give another --save-dir" in said
    )
    assert "reset" not in said and checkpoint.read_bytes() == before


def test_a_missing_init_token_is_refused(tmp_path, task_bin):
    given = list(arguments(task_bin, tmp_path / "save", "--model-size", "tiny"))
    at = given.index("--init-token")
    done = fairseq("train", *given[:at], *given[at + 2 :], check=False)
    assert done.returncode != 0 and "add --init-token 0" in done.stderr.splitlines()[-1]
    assert not list((tmp_path / "save").glob("*.pt")), "fairseq saves a crash.pt"


def test_another_dictionary_is_refused(tmp_path, task_bin, checkpoint):
    data = shutil.copytree(task_bin, tmp_path / "data")
    path = data / "input0" / "dict.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[1:-1], lines[0], lines[-1]]) + "\n")
    done = tune(data, tmp_path / "save", "--finetune-from-model", checkpoint, check=False)
    assert done.returncode != 0 and "trained with another dictionary" in done.stderr.splitlines()[-1]


def test_a_checkpoint_without_electra_is_refused(tmp_path, task_bin, checkpoint):
    state = torch.load(checkpoint, weights_only=True)
    state["cfg"]["model"] = {"_name": "roberta"}
    torch.save(state, tmp_path / "other.pt")
    done = tune(task_bin, tmp_path / "save", "--finetune-from-model", tmp_path / "other.pt", check=False)
    assert done.returncode != 0 and "is not an ELECTRA checkpoint" in done.stderr.splitlines()[-1]


def test_refusal_helper_notices_when_nothing_is_refused(tmp_path, data_bin):
    with pytest.raises(AssertionError, match="nothing was refused"):
        refusal(
            data_bin, tmp_path / "save", *TINY_NET, "--max-update", "1", "--disable-validation", "--no-save"
        )


@pytest.mark.parametrize("pooling", ["first", "mean"])
def test_heads_read_what_they_should(pooling):
    from fairseq_electra.finetuning.sentences.head import SentenceHead

    head = SentenceHead(4, 3, 0.0, pooling)
    hidden = torch.randn(2, 5, 4)
    mask = torch.tensor([[False] * 5, [False, False, True, True, True]])
    pooled = hidden[:, 0] if pooling == "first" else torch.stack([hidden[0].mean(0), hidden[1, :2].mean(0)])
    assert torch.allclose(head(hidden, mask), head.prediction(pooled), atol=1e-6)


@pytest.mark.parametrize("head", HEADS, ids=lambda head: type(head).__name__)
def test_under_autocast_heads_compute_in_float32(make_task, monkeypatch, head):
    """On every machine: where products of bfloat16 are slow, autocast is off unless it is told otherwise."""
    dictionary = make_task().dictionary
    cfg = OmegaConf.create({**NET, "model_size": "tiny", "autocast": "bf16"})
    model = ElectraEncoder(with_defaults(cfg, ElectraEncoderConfig), dictionary).eval()
    model.register_head("head", head)
    randomize_parameters(model)
    rows = torch.tensor([[0, 7, 8, 9, 2, 10, 11, 2], [0, 7, 2, 8, 2, 1, 1, 1]])
    given = {"classification_head_name": "head"}
    if isinstance(head, IndependentAnswerHead):
        given["head_inputs"] = {"allowed": rows > 3}
    found = []
    for bf16 in (False, True):
        monkeypatch.setattr(precision, "cpu_has_bf16", lambda bf16=bf16: bf16)
        scores, _ = model(rows, **given)
        scores = scores.first if isinstance(scores, AnswerScores) else scores
        assert scores.dtype == torch.float32
        found.append(scores)
    assert not torch.equal(*found) and torch.allclose(*found, atol=0.1, rtol=0.05)


@pytest.mark.long
def test_a_resumed_run_does_not_need_what_it_started_from(tmp_path, task_bin, checkpoint):
    """Check this with NumPy's numbers among the best scores, and bf16 for heads behind a projection."""
    source = shutil.copy(checkpoint, tmp_path / "source.pt")
    scored = [
        *["--report-acc-and-f1", "--best-checkpoint-metric", "acc_and_f1"],
        *["--maximize-best-checkpoint-metric", "--autocast", "bf16"],
    ]
    tune(task_bin, tmp_path / "save", "--finetune-from-model", source, "--max-update", "2", *scored)
    (tmp_path / "source.pt").unlink()
    done = tune(task_bin, tmp_path / "save", "--finetune-from-model", source, "--max-update", "3", *scored)
    assert "Loaded checkpoint" in done.stdout + done.stderr
    other = [*scored, "--pooling", "mean"]
    more = ["--finetune-from-model", source, "--max-update", "4", *other]
    done = tune(task_bin, tmp_path / "save", *more, check=False)
    last = done.stderr.splitlines()[-1]
    assert "of a run with --pooling first, and this one has mean: give --pooling first to resume" in last


@pytest.mark.long
@pytest.mark.long
def test_an_absent_source_and_a_head_of_other_classes_are_refused(tmp_path, task_bin, checkpoint):
    done = tune(task_bin, tmp_path / "save", "--finetune-from-model", tmp_path / "absent.pt", check=False)
    assert "no such checkpoint" in done.stderr.splitlines()[-1]
    tune(task_bin, tmp_path / "two", "--finetune-from-model", checkpoint, "--max-update", "1")
    more = ["--finetune-from-model", tmp_path / "two" / "checkpoint_last.pt", "--num-classes", "3"]
    shutil.copytree(task_bin, tmp_path / "bin")
    with open(tmp_path / "bin" / "label" / "dict.txt", "a") as stream:
        stream.write("third 1\n")
    done = tune(tmp_path / "bin", tmp_path / "three", *more, check=False)
    assert done.returncode != 0 and "another --classification-head-name" in done.stderr.splitlines()[-1]
    tune(
        tmp_path / "bin",
        tmp_path / "three",
        *more,
        "--classification-head-name",
        "three",
        "--max-update",
        "1",
    )
