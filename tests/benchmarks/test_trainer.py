"""The baseline of fairseq-train: stock masked_lm with the same encoder."""

import pytest
from fairseq import options, tasks
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmark import trainer
from fairseq_electra.electra.flops import electra_flops, masked_lm_flops
from fairseq_electra.electra.size_table import MODEL_SIZES
from fairseq_electra.pretraining.binarized import load_dictionary

ROWS = 3


def parsed(data, line):
    shared = trainer.shared(ROWS, 14)
    return options.parse_args_and_arch(
        options.get_training_parser(), input_args=[str(data), *line, *shared, "--cpu"]
    )


@pytest.mark.parametrize("size", ["tiny", "small"])
def test_both_have_the_same_encoder(data_bin, size):
    lines = {name: parsed(data_bin, line) for name, line in trainer.command_lines(size).items()}
    theirs = lines[trainer.THEIRS]
    for name in (name for name in lines if name.startswith(trainer.OURS)):
        ours, net = lines[name], MODEL_SIZES[size].arch_encoder
        assert ours.model_size == size and ours.embedding_size == net.hidden_size == theirs.encoder_embed_dim
        assert (theirs.encoder_layers, theirs.encoder_ffn_embed_dim) == (
            net.num_hidden_layers,
            net.intermediate_size,
        )
        assert theirs.encoder_attention_heads == net.num_attention_heads
        dropped = (0.0, 0.0) if trainer.BEST in name else (theirs.dropout, theirs.attention_dropout)
        assert (ours.dropout, ours.attention_dropout) == dropped
    changed = [name for name in lines if trainer.ALIKE in name]
    assert bool(changed) == ((net.positions, net.norm) != ("learned", "post"))
    assert all((lines[name].positions, lines[name].norm) == ("learned", "post") for name in changed)


def test_the_count_of_masked_lm_is_that_of_pytorch(data_bin):
    cfg = convert_namespace_to_omegaconf(parsed(data_bin, trainer.command_lines("tiny")[trainer.THEIRS]))
    task = tasks.setup_task(cfg.task)
    model, criterion = task.build_model(cfg.model), task.build_criterion(cfg.criterion)
    task.load_dataset("train")
    dataset = task.dataset("train")
    sample = dataset.collater([dataset[index] for index in range(ROWS)])
    masked = int((sample["target"] != task.source_dictionary.pad()).sum())
    assert sample["net_input"]["src_tokens"].shape == (ROWS, trainer.TOKENS) and masked > 0
    # the counter knows this kernel only
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        loss, _, _ = criterion(model, sample)
        loss.backward()
    (_, net), _ = trainer.networks("tiny")
    count = masked_lm_flops(net, len(load_dictionary(data_bin)))
    tokens = ROWS * trainer.TOKENS
    assert count.of_step(tokens, tokens * trainer.TOKENS, masked) == pytest.approx(
        counter.get_total_flops(), rel=1e-6
    )


def test_the_products_that_are_timed_are_those_that_are_counted():
    products = [trainer.step_products(*both, 1000, ROWS, 128, 19) for both in trainer.networks("small")]
    (_, net), (_, generator) = trainer.networks("small")
    flops = (masked_lm_flops(net, 1000), electra_flops(net, generator, 1000))
    counts = [each.of_step(ROWS * 128, ROWS * 128**2, ROWS * 19) for each in flops]
    assert [sum(each.flops for each in found) for found in products] == pytest.approx(counts)
    for run in trainer.products_of_both("tiny", 100, 1, "cpu"):
        assert trainer.wall_seconds(run, "cpu", repeats=1) > 0


def test_the_report_says_how_the_products_compare():
    found = trainer.summarize({trainer.THEIRS: [1000.0], trainer.OURS: [800.0]})
    products = trainer.summarize_products("tiny", 30522, [[0.5, 0.6], [0.7, 0.9], [0.6, 0.8]], update=1.0)
    ours, theirs = products["flops_per_token"][1], products["flops_per_token"][0]
    assert products["times"] == pytest.approx(ours / theirs, abs=1e-3) and products["times"] > 1.1
    assert (products["their_share"], products["our_share"]) == (0.6, 0.8)
    report = {
        "processor": "",
        "torch": "",
        "threads": 2,
        "batch": [16, 128],
        "vocabulary": 30522,
        "tiny": found,
        "products": {"tiny": products | {"times": 1.2}},
    }
    table = trainer.markdown({**report, "nets": {"tiny": {"positions": "rotary", "norm": "post"}}})
    assert (
        "16 x 128, 2 threads, 30,522 pieces |" in table
        and "| tiny: electra_pretraining | 800 | 0.80 | 0.8 to 0.8 | 0.96 |" in table
    )
    assert "1.20 times the matrix products of masked_lm in 1.25 times the time" in table
