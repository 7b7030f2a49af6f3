"""Templates: the package's own fit GLUE's tasks, and files that do not fit a task are refused."""

import pytest

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.sentences import PREDICTION, RANKING
from fairseq_electra.finetuning.sentences.glue import GLUE, NLI
from fairseq_electra.probes.templates import FOLDER, Part, Template, template_of

SINGLE = TaskInfo("movies", PREDICTION, 1, ("0", "1"), ("accuracy",), 64)
PAIR = TaskInfo("pairs", PREDICTION, 2, ("no", "yes"), ("accuracy",), 64)


def written(folder, text):
    path = folder / "template.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_template_of_reads_the_packages_own_for_their_tasks(path):
    task = GLUE.get(path.stem)
    inputs, labels = (2, NLI) if task is None else (len(task.texts), task.labels)
    found = template_of(TaskInfo(path.stem, PREDICTION, inputs, labels, (), 64))
    assert tuple(found.verbalizers) == labels
    texts = {"text"} if inputs == 1 else {"text1", "text2"}
    assert {part.field for part in found.parts} - {None} == {"label", *texts}


def test_there_are_templates_for_the_tasks_of_the_papers():
    assert {path.stem for path in FOLDER.glob("*.yaml")} == {
        *("CoLA", "MNLI", "MRPC", "QNLI", "QQP", "RTE", "SNLI", "SST-2")
    }


def test_template_of_orders_verbalizers_as_the_labels_and_reads_numbers_as_labels(tmp_path):
    path = written(tmp_path, 'template: "{label}: {text}"\nverbalizers: {1: great, 0: "No"}\n')
    assert template_of(SINGLE, path) == Template("{label}: {text}", {"0": "No", "1": "great"})


def test_parts_are_literal_text_with_the_field_behind_it():
    parts = Template("{{so}} {text1}? {label}, {text2}.", {}).parts
    assert parts == [
        *(Part("{", None), Part("so}", None)),
        *(Part(" ", "text1"), Part("? ", "label"), Part(", ", "text2"), Part(".", None)),
    ]


GOOD = 'verbalizers: {0: bad, 1: good}\ntemplate: "{text} is {label}."\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            GOOD.replace("{label}", "label"),
            "template '{text} is label.' lacks {label}, the verbalizer's place",
        ),
        (GOOD.replace("{text}", "It"), "template 'It is {label}.' has no text of the example; write {text}"),
        (GOOD.replace("{text}", "{sentence}"), "unknown field {sentence}; movies has {text}, {label}"),
        (GOOD.replace("{text}", "{text1}"), "unknown field {text1}; movies has {text}, {label}"),
        (GOOD.replace("{text}", "{}"), "unknown field {}; movies has {text}, {label}"),
        (GOOD.replace("{text}", "{text!r}"), "unknown field {text!r}; movies has"),
        (GOOD.replace("{text}", "{text:>9}"), "unknown field {text:>9}; movies has"),
        (GOOD.replace("{text}", "{text} {text}"), "{text} stands there twice; name each field once"),
        (GOOD.replace("is {", "is {{label} {"), "; write {{ and }} for braces in the text"),
        (GOOD.replace(", 1: good", ""), "the label '1' of movies has no verbalizer; add one"),
        (GOOD.replace("1: good", "2: good"), "movies has no label '2'; it has 0, 1"),
        (GOOD.replace("good", "Yes"), "that of 1 is True, not a text; write it in quotes"),
        (GOOD.replace("0: bad", "no: bad"), "the label False is not a text; write it in quotes"),
        (GOOD.replace("{0: bad, 1: good}", "good"), "verbalizers has a line for each label"),
        (GOOD.replace('"', ""), "texts with braces need quotes"),
        (GOOD.replace('"{text} is {label}."', "7"), "template is 7; write a text, in quotes"),
        (GOOD + "seed: 1\n", "has the entries template and verbalizers, and no others"),
        ("template: x\n", "has the entries template and verbalizers, and no others"),
        ("- x\n", "has the entries template and verbalizers, and no others"),
    ],
)
def test_template_of_refuses_files_that_do_not_fit(tmp_path, text, said):
    path = written(tmp_path, text)
    with pytest.raises(InputError) as refused:
        template_of(SINGLE, path)
    assert said in str(refused.value) and str(path) in str(refused.value)


def test_a_template_that_is_no_text_is_not_said_to_have_braces(tmp_path):
    path = tmp_path / "template.yaml"
    path.write_bytes(b"template: \xff")
    with pytest.raises(InputError, match=r"cannot read the template .* 0xff in position") as refused:
        template_of(SINGLE, path)
    assert "braces" not in str(refused.value)


def test_a_template_that_contains_itself_is_refused(tmp_path):
    with pytest.raises(InputError, match="entries are in each other without end"):
        template_of(SINGLE, written(tmp_path, "template: &a {b: *a}"))


def test_template_of_refuses_tasks_without_a_template_or_without_classes():
    with pytest.raises(InputError, match="no template for the task 'pairs', only for CoLA, MNLI"):
        template_of(PAIR)
    for kind, labels in ((PREDICTION, ()), (RANKING, ())):
        with pytest.raises(InputError, match="STS-B has no classes to choose from"):
            template_of(TaskInfo("STS-B", kind, 2, labels, (), 64))
