import math

import pytest
import torch

from fairseq_electra.benchmarks import __main__ as program
from fairseq_electra.benchmarks import questions, training_step
from fairseq_electra.benchmarks.baselines import DISC_WEIGHT

SAMPLE_ROWS = 2


@pytest.mark.parametrize("variant", training_step.variants("tiny"), ids=lambda variant: variant.name)
def test_every_variant_computes_the_two_losses_of_an_untrained_net(variant):
    torch.manual_seed(1)
    network, step = variant.make()
    with variant.settings():
        loss = step(training_step.random_batch(SAMPLE_ROWS))
    loss.backward()
    untrained = math.log(training_step.VOCABULARY) + DISC_WEIGHT * math.log(2)
    assert loss.item() == pytest.approx(untrained, rel=0.25)
    assert all(parameter.grad is not None for parameter in network.parameters() if parameter.requires_grad)


def test_the_report_becomes_a_table():
    report = {
        "loader": [{"loader": "a loader", "tokens_per_cpu_second": 1_000_000, "range": [900_000, 1_100_000]}],
        "tiny": [{"variant": "a net", "cpu_ms": 10.0, "tokens_per_cpu_second": 5000, "ratio": 2.0, "ratio_range": [1.9, 2.1]}],
        "machine": {"processor": "a processor", "cores": 2, "threads": 1, "torch": "2.6", "load_before": 0.1, "load_after": 1.0},
        "batch": [8, 128],
    }
    table = program.markdown(report)
    assert "| a loader | 1,000,000 | 900,000 to 1,100,000 |" in table
    assert "| a net | 10 | 5,000 | 2.00 | 1.9 to 2.1 |" in table


@pytest.mark.long
def test_both_ways_from_questions_to_answers_find_the_same():
    """Of questions with one window each; those of several are weighed in another way there."""
    squad = questions.made_up(10)
    assert all(squad.contexts[each.context][each.answers[0][0] :].startswith(each.answers[0][1]) for each in squad.questions)
    found = questions.compare("tiny", squad, rounds=1)
    assert found["same_answers"] > 0.8 and len(set(found["windows"].values())) == 1
    assert {row["variant"] for row in found["answers"]} >= {"fairseq-electra predict"}
    report = {"machine": {"processor": "", "threads": 1, "torch": "", "transformers": ""}, "sizes": {"tiny": found}}
    assert "| tiny: answers: fairseq-electra predict |" in questions.markdown(report)
