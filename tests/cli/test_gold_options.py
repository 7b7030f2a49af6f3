"""What of `predict --gold` is read by a net of which kind, and what it prints."""

import argparse
import json

import pytest

from fairseq_electra.cli.predict import add_arguments, request_of
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.kinds import KINDS
from fairseq_electra.finetuning.multilabel import MULTI_LABEL
from fairseq_electra.finetuning.predictions import metrics_line
from fairseq_electra.finetuning.questions import ANSWERING
from fairseq_electra.finetuning.sentences import PREDICTION, RANKING
from fairseq_electra.finetuning.words import TAGGING

GIVEN = {"--text": ["a"], "--label": ["b"], "--header": ["a", "b"], "--quoted": [], "--scheme": ["BIO"]}
READ = {PREDICTION: {"--text", "--label", "--header", "--quoted"}, TAGGING: {"--scheme"}, ANSWERING: set()}
READ[RANKING] = READ[MULTI_LABEL] = READ[PREDICTION]


def asked(*words):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return request_of(parser.parse_args(["net.pt", *words]))


@pytest.mark.parametrize("kind", KINDS)
def test_check_gold_options_refuses_options_that_a_kind_does_not_read(kind):
    KINDS[kind].check_gold_options(asked("--gold", "x"))
    for option, values in GIVEN.items():
        given = asked("--gold", "x", option, *values)
        if option in READ[kind]:
            KINDS[kind].check_gold_options(given)
        else:
            with pytest.raises(
                InputError, match=rf"^--gold of a net for {kind} is a file of .*; leave out {option}$"
            ):
                KINDS[kind].check_gold_options(given)


def test_check_gold_options_names_all_unread_options():
    with pytest.raises(
        InputError, match=r"is a file of SQuAD's form; leave out --text and --quoted and --scheme$"
    ):
        KINDS[ANSWERING].check_gold_options(
            asked("--gold", "x", "--scheme", "BIO", "--quoted", "--text", "a")
        )
    KINDS[TAGGING].check_gold_options(asked("--text", "a"))


def test_metrics_line_writes_an_infinite_threshold_as_null():
    for infinite in (float("inf"), float("-inf"), float("nan")):
        line = metrics_line({"f1": 50.1234567, "threshold": infinite})
        assert json.loads(line, parse_constant=pytest.fail) == {"f1": 50.123457, "threshold": None}
