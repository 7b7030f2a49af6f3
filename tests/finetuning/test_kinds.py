"""The table of the kinds of tasks, and what fairseq and transformers have of each."""

import pytest
from fairseq.criterions import CRITERION_REGISTRY
from fairseq.tasks import TASK_REGISTRY

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning import kinds, prepare
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.kinds import KINDS, PACKAGES, kind_of
from fairseq_electra.interchange.names import HEADS


def test_kinds_lists_every_package_with_a_kind():
    folder = kinds.Path(kinds.__file__).parent
    assert sorted(path.parent.name for path in folder.glob("*/kind.py")) == sorted(PACKAGES)
    assert all(name == kind.name for name, kind in KINDS.items())


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_a_task_and_a_criterion_of_fairseqs_trainer(name):
    assert name in TASK_REGISTRY and name in CRITERION_REGISTRY
    is_ours = TASK_REGISTRY[name].__module__.startswith("fairseq_electra.")
    assert is_ours != KINDS[name].of_fairseq


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_has_a_head_in_transformers(name):
    counterpart = KINDS[name].counterpart
    for family, class_name in counterpart.classes.items():
        assert HEADS[counterpart.head, family].class_name == class_name
    assert {"electra", "roformer"} <= set(counterpart.classes)


def test_kind_of_refuses_a_task_that_there_is_not(tmp_path):
    info = TaskInfo("x", "summarization", 1, (), (), 16)
    with pytest.raises(
        InputError, match=r"a.task\.json names the task 'summarization', and there are sentence_prediction, "
    ):
        kind_of(info, "a")


def test_prepare_refuses_the_option_of_another_source(tmp_path):
    with pytest.raises(
        InputError, match=r"^--max-question is an option of --squad, not of --multi-label; leave it out$"
    ):
        prepare.prepare("multi_label", tmp_path, tmp_path, max_question=3)
    with pytest.raises(
        InputError, match=r"^--train is an option of --text, --conll, --squad, --multi-label, not of --glue"
    ):
        prepare.prepare("glue", tmp_path, tmp_path, train="x")
