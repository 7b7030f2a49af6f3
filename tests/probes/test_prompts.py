"""Rows of prompts: the ids of the whole text, what gives way where it is too long, and what is refused."""

import pytest

from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.finetuning.sentences import PREDICTION
from fairseq_electra.hub.interface import ElectraHubInterface
from fairseq_electra.probes.prompts import make_prompts
from fairseq_electra.probes.templates import Template

SINGLE = TaskInfo("single", PREDICTION, 1, ("0", "1"), ("accuracy",), 64)
PAIR = TaskInfo("pair", PREDICTION, 2, ("0", "1"), ("accuracy",), 64)
WORDS = {"0": "The statement returned nothing", "1": "name"}
TEXTS = [
    ("The name of a class is looked up.", "A class has a name!"),
    ("Why (really)?!", "It is: so"),
    ("a", "..."),
]


@pytest.fixture
def net(pretrained) -> ElectraHubInterface:
    return ElectraHubInterface(pretrained())


def ids(net, *texts) -> list[list[int]]:
    return [net.tokenizer.encode(text, add_special_tokens=False).ids for text in texts]


def rows(prompts) -> list[list[list[int]]]:
    return [
        [[*before, *verbalizer, *after] for verbalizer in prompts.verbalizers]
        for before, after in prompts.prompts
    ]


@pytest.mark.parametrize(
    "text", ["{text} It was {label}.", "{label} : {text}", "Is {text} {label} or not?", "{text} {label}"]
)
def test_make_prompts_gives_the_ids_of_the_whole_text_for_each_label(net, text):
    found = make_prompts(net, Template(text, WORDS), SINGLE, [ids(net, one) for one, _ in TEXTS])
    assert rows(found) == [
        [net.encode(text.format(text=one, label=word)).tolist() for word in WORDS.values()]
        for one, _ in TEXTS
    ]
    assert found.shortened == 0 and found.mask == net.mask and len(found.verbalizers[0]) > 1
    assert found.sizes() == [max(map(len, each)) for each in rows(found)]
    assert rows(found.take([2, 0])) == [rows(found)[2], rows(found)[0]]


def test_make_prompts_leaves_out_punctuation_that_the_template_goes_on_with(net):
    template = Template("{text1}? {label}, {text2}.", WORDS)
    found = make_prompts(net, template, PAIR, [ids(net, *each) for each in TEXTS])
    stripped = [tuple(text.rstrip(".?!,;:'") for text in each) for each in TEXTS]
    assert stripped[1:] == [("Why (really)", "It is: so"), ("a", "")]
    assert rows(found) == [
        [
            net.encode(template.text.format(text1=one, text2=two, label=word)).tolist()
            for word in WORDS.values()
        ]
        for one, two in stripped
    ]


def test_make_prompts_cuts_the_longest_text_and_never_the_template(net):
    net.max_length = 40
    template = Template("{text1} so {label}, and {text2}", WORDS)
    long, short = " ".join(f"name {i}" for i in range(40)), "A class has a name"
    examples = [ids(net, long, short), ids(net, short, long), ids(net, long, long), ids(net, short, short)]
    found = make_prompts(net, template, PAIR, examples)
    assert found.shortened == 3 and found.sizes()[:3] == [40, 40, 40]
    so, _, comma = (ids(net, part)[0] for part in ("so", "", ", and"))
    for (first, second), (before, after) in zip(examples, found.prompts, strict=True):
        kept = before[1 : -len(so)], after[len(comma) : -1]
        assert before[-len(so) :] == tuple(so) and after[: len(comma)] == tuple(comma)
        assert kept == (tuple(first[: len(kept[0])]), tuple(second[: len(kept[1])]))
    kept_short = ids(net, short)[0]
    assert found.prompts[0].after[len(comma) : -1] == tuple(kept_short)
    assert found.prompts[1].before[1 : -len(so)] == tuple(kept_short)
    net.max_length = 8
    with pytest.raises(InputError, match="leaves no place for a text in rows of 8 tokens; shorten it"):
        make_prompts(net, template, PAIR, examples)


@pytest.mark.parametrize(
    ("text", "verbalizers", "said"),
    [
        ("{text} {label}", {"0": "bad", "1": "good 叫"}, "know '叫' of the verbalizer of the label '1'"),
        ("{text} 叫 {label}", {"0": "bad", "1": "good"}, "does not know '叫' of the template"),
        (
            "{text} <foo> {label}",
            {"0": "bad", "1": "good"},
            "'<foo>' of the template is no symbol in a prompt",
        ),
        ("{text} {label}", {"0": "<mask>", "1": "good"}, "'<mask>' of the verbalizer of the label '0' is no"),
        (
            "{text} {label}",
            {"0": "name", "1": "Name"},
            "labels '0' and '1' have verbalizers of the same tokens",
        ),
        ("{text} {label}", {"0": "name", "1": " "}, "label '1', ' ', has no token; write a word"),
    ],
)
def test_make_prompts_refuses_words_that_cannot_be_told_apart(net, text, verbalizers, said):
    with pytest.raises(InputError) as refused:
        make_prompts(net, Template(text, verbalizers), SINGLE, [])
    assert said in str(refused.value)
