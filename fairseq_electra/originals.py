"""What ELECTRA's code and its paper choose, as options of ``fairseq-train``; ``--as`` stands for them.

The tables hold what is the same for all sizes. What belongs to a size (shapes, length of rows, share of
masked tokens, batch, peak rate, number of updates, layer-wise decay of the rate) is in the recipes.

Sources: google-research/electra, by file and function; Clark et al. 2020, by section and table. Tables 6
and 7 of the paper are the hyperparameters of pre-training and of fine-tuning. The paper takes what it does
not name from BERT ("mostly", its appendix A), whose code is google-research/bert.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, get_args

from fairseq_electra.errors import InputError

Original = Literal["google", "paper"]
OPTION, ORIGINALS = "--as", get_args(Original)
OF_COMMAND_LINES = (
    "as is not an entry of a YAML file; fairseq-electra config -- fairseq-train ... --as google writes a file"
    " with the options that it stands for"
)
FLAG = ""  # the value of an option that has none
OTHER_UNITS = ("--mask-whole-words", "--mask-spans")  # options by which other things than tokens are masked


# objectives whose loss is that of the samples as they were drawn
OWN_SAMPLES = ("--objective=electric", "--objective=adversarial")
# objectives that draw no samples, and those whose networks do not read the masked text
NO_SAMPLES = ("--objective=mlm", "--generator-only")
NO_MASKED_TEXT = ("--objective=electric", "--objective=uniform", "--objective=unigram")
SCHEDULE = "--mask-prob-schedule"  # takes masks back, which is undefined for a position with two slots


class Choice(NamedTuple):
    """One choice of the original's.

    Attributes:
        option: the option that makes it.
        google: its value in the code; None: the code has nothing of the kind.
        paper: its value by the paper; None: the default here is the paper's too, or it says nothing.
        source: where the code and the paper say so.
        component: the option that names the component which has this option; where the command line names
            another component, the choice is left out.
        unless: options, or ``OPTION=VALUE``, that exclude this one; where the command line has one of them,
            the choice is left out.
    """

    option: str
    google: str | None
    paper: str | None
    source: str
    component: str = ""
    unless: tuple[str, ...] = ()

    def value(self, original: str) -> str | None:
        """Return the value that an original has chosen."""
        return self.google if original == "google" else self.paper


NETWORK = (
    Choice(
        "--positions", "learned", "learned", "model/modeling.py::embedding_postprocessor; section 3.1: BERT"
    ),
    Choice("--norm", "post", "post", "model/modeling.py::transformer_model; section 3.1: BERT"),
)
MASKING = (
    Choice(
        "--masker",
        "with_replacement",
        "tokens",
        "pretrain/pretrain_helpers.py::mask; section 2: a set of positions",
        unless=(*OTHER_UNITS, SCHEDULE),
    ),
    Choice(
        "--duplicate-samples",
        "mean",
        None,
        "pretrain/pretrain_helpers.py::scatter_update",
        component="--masker",
        unless=(*OTHER_UNITS, SCHEDULE, *OWN_SAMPLES, *NO_SAMPLES),
    ),
    Choice(
        "--leave-unmasked-prob",
        "0.15",
        "0",
        "pretrain/pretrain_helpers.py::mask; section 2: masked tokens are replaced by [MASK]",
        unless=NO_MASKED_TEXT,
    ),
    Choice("--random-token-prob", "0", "0", "the same", unless=NO_MASKED_TEXT),
)
ADAM = (
    Choice("--optimizer", "electra_adam", "electra_adam", "model/optimization.py; tables 6 and 7: Adam"),
    Choice(
        "--adam-betas",
        "(0.9, 0.999)",
        "(0.9, 0.999)",
        "model/optimization.py::create_optimizer; tables 6 and 7",
        component="--optimizer",
    ),
    Choice("--adam-eps", "1e-6", "1e-6", "the same", component="--optimizer"),
    Choice(
        "--bias-correction",
        "off",
        "on",
        "model/optimization.py::AdamWeightDecayOptimizer; Adam is Kingma and Ba 2015, algorithm 1",
        component="--optimizer",
    ),
    Choice("--clip-norm", "1.0", "1.0", "model/optimization.py::create_optimizer; BERT's optimization.py"),
)
PRETRAINING = (
    *MASKING,
    *ADAM,
    Choice(
        "--weight-decay",
        "0.01",
        "0.01",
        "configure_pretraining.py; table 6",
        component="--optimizer",
    ),
    Choice(
        "--lr-scheduler",
        "warmup_times_decay",
        "polynomial_decay",
        "model/optimization.py::create_optimizer; table 6: linear decay, warm-up steps",
    ),
    Choice(
        "--warmup-updates",
        "10000",
        "10000",
        "configure_pretraining.py; table 6",
        component="--lr-scheduler",
    ),
)
FINETUNING = (
    *ADAM,
    Choice("--weight-decay", "0.01", "0", "configure_finetuning.py; table 7", component="--optimizer"),
    Choice(
        "--layer-decay-once-more",
        FLAG,
        None,
        "model/optimization.py::_get_layer_lrs; table 7 names the decay alone",
        component="--optimizer",
    ),
    Choice(
        "--loss-reduction",
        "sum",
        "mean",
        "run_finetuning.py::FinetuningModel; the paper does not say, BERT's run_classifier.py: mean",
        component="--optimizer",
    ),
    Choice(
        "--lr-scheduler",
        "warmup_times_decay",
        "polynomial_decay",
        "model/optimization.py::create_optimizer; table 7: linear decay",
    ),
    # polynomial_decay takes a number of updates, which a command line of epochs does not have
    Choice(
        "--warmup-updates",
        "0.1",
        None,
        "configure_finetuning.py: warmup_proportion",
        component="--lr-scheduler",
    ),
)


def take_as(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """Take ``--as`` out of a command line.

    Returns:
        its value, None if it is not there, and all other words.

    Raises:
        InputError: there is no such original.
    """
    others, original, rest = list[str](), None, iter(words)
    for word in rest:
        option, has_value, value = word.partition("=")
        if option != OPTION:
            others.append(word)
            continue
        original = value if has_value else next(rest, "")
        if original not in ORIGINALS:
            raise InputError(
                f"{OPTION} {original}: there is no such name; choose from {', '.join(ORIGINALS)}"
            )
    return original, others


def options_of(original: str, choices: Iterable[Choice], given: Sequence[str]) -> list[str]:
    """Return the options that an original has chosen, without those that a command line decides itself.

    Args:
        original: a member of :data:`ORIGINALS`.
        choices: rows of the tables above.
        given: the command line.

    Returns:
        words to put before those of the command line.
    """
    choices = list(choices)
    components = {choice.option: choice.value(original) for choice in choices}
    words = list[str]()
    for choice in choices:
        value, component = choice.value(original), value_of(choice.component, given)
        if (
            value is None
            or is_given(choice.option, given)
            or any(excludes(option, given) for option in choice.unless)
            or (component is not None and component != components[choice.component])
        ):
            continue
        words += [choice.option, value] if value != FLAG else [choice.option]
    return words


def excludes(option: str, words: Sequence[str]) -> bool:
    """Tell whether a command line has an option, or of ``OPTION=VALUE`` this value."""
    name, has_value, value = option.partition("=")
    return value_of(name, words) == value if has_value else is_given(name, words)


def is_given(option: str, words: Sequence[str]) -> bool:
    """Tell whether an option is among the words of a command line."""
    return any(word == option or word.startswith(f"{option}=") for word in words)


def value_of(option: str, words: Sequence[str]) -> str | None:
    """Return the last value of an option in a command line; None if it is not there."""
    found = None
    for i, word in enumerate(words):
        name, has_value, value = word.partition("=")
        if name == option and option:
            found = value if has_value else next(iter(words[i + 1 :]), None)
    return found
