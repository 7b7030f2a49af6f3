"""One unit for losses and one for accuracies, whichever task is logged: nats, and per cent."""

import inspect
import json

import numpy as np
import pytest
import torch
from fairseq.criterions import sentence_prediction, sentence_ranking
from fairseq.logging import metrics

from fairseq_electra.criterions.question_answering import QuestionAnsweringLoss
from fairseq_electra.criterions.replaced_token_detection import ReplacedTokenDetection
from fairseq_electra.criterions.token_classification import TokenClassificationLoss
from fairseq_electra.finetuning.questions.metrics import score_answers
from fairseq_electra.finetuning.sentences.metrics import score
from fairseq_electra.finetuning.words.metrics import score_tags
from fairseq_electra.pretraining.log import read_log

SENTENCES = (sentence_prediction.SentencePredictionCriterion, sentence_ranking.SentenceRankingCriterion)
# four units of loss 1.5 nats, of which three are right
LOG = {
    "loss": torch.tensor(6.0),
    "sample_size": 4,
    "nsentences": 4,
    "ntokens": 40,
    "ncorrect": torch.tensor(3),
}
SUMS = {
    **dict.fromkeys(("masked_lm_sum", "disc_sum", "gen_entropy_sum"), torch.tensor(6.0)),
    **dict.fromkeys(("masked_lm_correct", "mask_token_correct", "sampled_correct"), torch.tensor(3)),
    **{
        "mask_token_count": torch.tensor(4),
        "replaced": torch.tensor(4),
        "flagged": torch.tensor(4),
        "flagged_replaced": torch.tensor(3),
    },
}


def logged(criterion, log) -> dict:
    with metrics.aggregate(new_root=True) as found:
        criterion.reduce_metrics([log])
    return dict(found.get_smoothed_values())


@pytest.mark.parametrize("criterion", [*SENTENCES, TokenClassificationLoss, QuestionAnsweringLoss])
def test_the_loss_of_every_fine_tuning_is_logged_in_nats(criterion):
    assert logged(criterion, LOG)["loss"] == pytest.approx(1.5, abs=1e-3)


@pytest.mark.parametrize("criterion", SENTENCES)
def test_fairseqs_criteria_for_sentences_still_log_bits_and_per_cent(criterion):
    source = inspect.getsource(criterion.reduce_metrics)
    assert "loss_sum / sample_size / math.log(2)" in source and "100.0 * ncorrect / nsentences" in source
    found = logged(criterion, LOG)
    assert found["accuracy"] == 75.0
    # the loss of sentences by the tokens of their texts
    assert found["nll_loss"] == pytest.approx(0.15, abs=1e-3)


def test_pre_training_logs_nats_and_per_cent():
    found = logged(ReplacedTokenDetection, {**LOG, **SUMS})
    assert (
        found["masked_lm_loss"] == found["gen_entropy"] == found["loss"] == 1.5 and found["disc_loss"] == 0.15
    )
    accuracies = (
        *["masked_lm_accuracy", "mask_token_accuracy", "sampled_masked_lm_accuracy", "disc_precision"],
        "disc_recall",
    )
    assert [found[name] for name in accuracies] == [75.0] * 5
    assert found["disc_accuracy"] == 100 * 38 / 40  # one token missed, one flagged in vain


def test_scores_of_all_tasks_are_per_cent():
    target = np.array([0, 1, 0, 1])
    assert score(["accuracy"], np.eye(2)[[0, 1, 0, 0]], target) == {"accuracy": 75.0}
    found = score_tags(np.array([1, 0, 1, 0]), np.array([1, 0, 1, 1]), np.array([0, 1, 2, 3]), ("O", "B-X"))
    assert found["accuracy"] == 75.0 and found["entity_precision"] == 100.0
    assert score_answers(["a b", "c", "d", "e"], [["a b"], ["c"], ["d"], ["f"]]) == {
        "f1": 75.0,
        "exact_match": 75.0,
    }


def line_of(accuracy, recall, **more):
    values = {
        "valid_disc_accuracy": str(accuracy),
        "valid_disc_recall": str(recall),
        "valid_disc_auc": "0.7",
        **more,
    }
    return f"now | INFO | valid | {json.dumps(values)}"


IN_PER_CENT = {"subset": "valid", "disc_accuracy": 85.0, "disc_recall": 20.0, "disc_auc": 0.7}


def test_read_log_reads_shares_of_earlier_versions_as_per_cent(tmp_path):
    """A run of an earlier release may have been gone on with."""
    path = tmp_path / "train.log"
    for lines in ([(0.85, 0.2)], [(85, 20)], [(0.85, 0.2), (85, 20)], [(85, 20), (0.85, 0.2), (0.85, 0.2)]):
        path.write_text("".join(f"{line_of(*each)}\n" for each in lines))
        assert read_log(path) == [IN_PER_CENT] * len(lines)


def test_read_log_leaves_per_cent_of_a_generator_alone_as_it_is(tmp_path):
    """Early in a run .4 per cent is usual, and later logs of shares look the same."""
    (tmp_path / "train.log").write_text('now | INFO | train_inner | {"masked_lm_accuracy": "0.4"}\n')
    assert read_log(tmp_path / "train.log") == [{"subset": "train_inner", "masked_lm_accuracy": 0.4}]


def test_read_log_leaves_out_a_truncated_record_and_reads_the_one_after_it(tmp_path):
    whole = line_of(85, 20)
    for at in range(1, len(whole)):
        (tmp_path / "train.log").write_text(f"{whole[:at]}{whole}\n{whole}\n{whole[:at]}")
        assert read_log(tmp_path / "train.log") == [IN_PER_CENT] * 2
    (tmp_path / "train.log").write_text(whole.replace("85", '"') + "\n")
    assert read_log(tmp_path / "train.log") == []
