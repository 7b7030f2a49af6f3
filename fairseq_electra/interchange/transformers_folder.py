"""A folder of transformers as one of our models: its networks, its vocabulary, and what they share."""

from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from fairseq_electra.electra.configuration import build
from fairseq_electra.electra.size_table import MODEL_SIZES
from fairseq_electra.electra.sizes import NUMBERS, EncoderSizes
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.counterpart import KEPT_LISTS, KEPT_NUMBERS, KEPT_OPTIONS, KEPT_TEXTS
from fairseq_electra.finetuning.encoder import HEADS_PREFIX, EncoderWithHeads, encoder_arguments
from fairseq_electra.finetuning.info import TaskInfo
from fairseq_electra.hub.load import Pretrained
from fairseq_electra.hub.network_files import Network, is_transformers_folder, read_network
from fairseq_electra.interchange.head_config import kind_of_head
from fairseq_electra.interchange.modernbert_config import read_pooling
from fairseq_electra.interchange.names import (
    HEADS,
    SETTINGS,
    TASK_HEADS,
    Part,
    head_names,
    pairs,
)
from fairseq_electra.interchange.sentence_transformers import find_network
from fairseq_electra.interchange.tokenizer_files import read_max_length, read_tokenizer
from fairseq_electra.pretraining.wordpiece import symbols_of

GENERATOR = "generator"  # subfolder
OTHER_GENERATOR = "another generator is given"
WITH_MASKED_LM = ("bert", "modernbert")  # published as masked language models, which become discriminators
TWICE = (
    "{}'s encoder is the discriminator, and with its masked-LM head the generator, which is as large: for"
    ' a small one, initialised, name {} under "architectures" in config.json'
)
ALONE = (
    "the folder has a generator alone: a masked language model (--objective mlm); for an ELECTRA, give"
    " the discriminator's folder, and this one with --generator"
)
SENTENCE_HEAD = "sentence_classification_head"  # fairseq's default --classification-head-name


@dataclass
class Imported:
    """What a folder gave, and what became of it.

    Args:
        pretrained: the network with our ids.
        model_cfg: fields of its configuration.
        order: for each of our ids theirs. Shape: (V,).
        networks: by role: discriminator, generator, or the name of a head.
        unused: tensors that were not used, each with the reason.
        unnamed: our names for the rows of the token table that no piece belongs to.
        notes: sentences on what became of the folder.
    """

    pretrained: Pretrained
    model_cfg: dict
    order: Tensor
    networks: dict[str, Network]
    unused: dict[str, str] = field(default_factory=dict)
    unnamed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """Where the first network lies, and its tokenizer."""
        return next(iter(self.networks.values())).folder


def read_folder(
    folder: str | Path, generator: str | Path | None = None, seed: int = 1, head: str = SENTENCE_HEAD
) -> Imported:
    """Read a folder of transformers: a model for pre-training, or an encoder with a task's head.

    A BERT or ModernBERT is read as the discriminator; one with a masked-LM head is the generator as well. A
    generator alone is a masked language model, ``--objective mlm``.

    Args:
        folder: of the discriminator.
        generator: folder of the generator; by default the folder's subfolder ``generator``, if there is one.
        seed: of what the folder does not have.
        head: name for the head of a task.
    """
    folder, not_read = find_network(Path(folder))
    main = read_network(folder)
    vocabulary = read_tokenizer(folder, main.vocabulary_size)
    tokenizer, order = vocabulary.tokenizer, torch.tensor(vocabulary.order)
    if main.head in TASK_HEADS:
        if generator is not None:
            raise InputError(
                f"{folder} holds a net that was fine-tuned, which has no generator; leave {generator} out"
            )
        imported = _read_classifier(main, tokenizer, order, head)
        return replace(imported, unnamed=vocabulary.unnamed, unused=imported.unused | not_read)
    if main.head == "masked_lm" and main.family not in WITH_MASKED_LM:
        if generator is not None:
            raise InputError(
                f"{folder} holds a generator itself; give the discriminator's folder, and this one with"
                " --generator"
            )
        imported = _read_masked_lm(main, tokenizer, order)
        return replace(imported, unnamed=vocabulary.unnamed, unused=imported.unused | not_read)
    other = (
        folder / GENERATOR if generator is None and is_transformers_folder(folder / GENERATOR) else generator
    )
    main, second = _split(main, with_generator=other is None)
    notes = []
    if second is not None:
        class_name = str(HEADS["none", main.family].class_name)
        notes = [TWICE.format(class_name.removesuffix("Model").replace("Bert", "BERT"), class_name)]
    if other is not None:
        second = read_network(Path(other))
        second = replace(second, sizes=_with_windows_of(main.sizes, second.sizes))
        _check_generator(main, second, tokenizer, Path(other))
    model_cfg = {"model_size": nearest(main.sizes), **asdict(main.sizes)}
    networks = {"discriminator": main}
    prefixes = {"embeddings.": "embeddings.", "encoder.": "discriminator.", "head.": "discriminator_head."}
    tensors = _renamed(main, prefixes, order)
    if second is not None:
        networks[GENERATOR] = second
        theirs = _renamed(
            second,
            {"embeddings.": "generator_embeddings.", "encoder.": "generator.", "head.": "generator_head."},
            order,
        )
        tie = _tie(tensors, theirs)
        if tie == "all":
            theirs = {
                name: tensor
                for name, tensor in theirs.items()
                if not name.startswith("generator_embeddings.")
            }
        elif tie == "tokens":
            del theirs["generator_embeddings.tokens.weight"]
        tensors |= theirs
        model_cfg |= {
            "generator_hidden_size": second.sizes.hidden_size / main.sizes.hidden_size,
            "generator_layers": second.sizes.num_hidden_layers / main.sizes.num_hidden_layers,
            "generator_num_attention_heads": second.sizes.num_attention_heads,
            "generator_intermediate_size": second.sizes.intermediate_size,
            "tie_embeddings": tie,
            "untie_lm_head": "generator_head.table.weight" in tensors,
        }
    symbols = symbols_of(tokenizer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build(model_cfg, len(symbols))
    state = model.state_dict()
    initialised = [name for name in state if name not in tensors]
    model.load_state_dict({**state, **tensors})
    unused = {
        f"{role}: {name}": reason
        for role, network in networks.items()
        for name, reason in network.unused.items()
    } | not_read
    cut_to = read_max_length(folder, main.sizes.max_position_embeddings)
    pretrained = Pretrained(model.eval(), tokenizer, symbols, initialised=initialised, cut_to=cut_to)
    return Imported(pretrained, model_cfg, order, networks, unused, vocabulary.unnamed, notes)


def _read_masked_lm(main: Network, tokenizer: Tokenizer, order: Tensor) -> Imported:
    """Make a masked language model of a generator without a discriminator."""
    sizes = main.sizes
    prefixes = {"embeddings.": "embeddings.", "encoder.": "generator.", "head.": "generator_head."}
    tensors = _renamed(main, prefixes, order)
    model_cfg = {
        "model_size": nearest(sizes),
        **asdict(sizes),
        "objective": "mlm",
        "generator_hidden_size": 1.0,
        "generator_layers": 1.0,
        "generator_num_attention_heads": sizes.num_attention_heads,
        "generator_intermediate_size": sizes.intermediate_size,
        "untie_lm_head": "generator_head.table.weight" in tensors,
    }
    symbols = symbols_of(tokenizer)
    model = build(model_cfg, len(symbols))
    model.load_state_dict(tensors)
    cut_to = read_max_length(main.folder, sizes.max_position_embeddings)
    pretrained = Pretrained(model.eval(), tokenizer, symbols, cut_to=cut_to)
    unused = {f"{GENERATOR}: {name}": reason for name, reason in main.unused.items()}
    return Imported(pretrained, model_cfg, order, {GENERATOR: main}, unused, notes=[ALONE])


def _split(main: Network, with_generator: bool) -> tuple[Network, Network | None]:
    """Split a BERT with a masked-LM head: its encoder is the discriminator, all of it the generator.

    Other models are returned as they are.

    Args:
        main: as it was read.
        with_generator: whether its head is wanted.
    """
    if main.head != "masked_lm":
        return main, None
    without_head = {name: tensor for name, tensor in main.tensors.items() if not name.startswith("head.")}
    if with_generator:
        return replace(main, head="none", tensors=without_head), replace(main, unused={})
    head = Part("head.", "", head_names("masked_lm", main.family, main.sizes))
    of_head = {name: OTHER_GENERATOR for _, theirs in pairs([head]) for name in theirs if name in main.theirs}
    return replace(main, head="none", tensors=without_head, unused=main.unused | of_head), None


def nearest(sizes: EncoderSizes) -> str:
    """Name the row of the size table with the same positions, as modern, and the nearest hidden size."""
    encoders = {name: row.encoder for name, row in MODEL_SIZES.items()}
    alike = {
        name: encoder
        for name, encoder in encoders.items()
        if (encoder.positions, encoder.no_segments) == (sizes.positions, sizes.no_segments)
    }
    return min(alike, key=lambda name: abs(alike[name].hidden_size - sizes.hidden_size))


def _renamed(network: Network, prefixes: dict[str, str], order: Tensor) -> dict[str, Tensor]:
    """Give a network's tensors the model's names, and rows of the vocabulary our order."""
    renamed = {}
    for name, tensor in network.tensors.items():
        theirs = next(prefix for prefix in prefixes if name.startswith(prefix))
        of_vocabulary = name in ("embeddings.tokens.weight", "head.table.weight", "head.bias")
        renamed[prefixes[theirs] + name.removeprefix(theirs)] = tensor[order] if of_vocabulary else tensor
    return renamed


def _tie(discriminator: dict[str, Tensor], generator: dict[str, Tensor]) -> str:
    """Tell what the two networks share: the names of ``--tie-embeddings``."""
    prefix = "generator_embeddings."
    pairs = [
        (name.removeprefix(prefix), tensor) for name, tensor in generator.items() if name.startswith(prefix)
    ]
    same = {name: torch.equal(tensor, discriminator[f"embeddings.{name}"]) for name, tensor in pairs}
    return "all" if all(same.values()) else "tokens" if same["tokens.weight"] else "none"


def _with_windows_of(main: EncoderSizes, second: EncoderSizes) -> EncoderSizes:
    """Give the generator the discriminator's windows, if its own layers do not tell them apart from these.

    A generator of one layer has no window in any case.
    """
    windows = ("local_window", "local_rotary_base", "global_every")
    given = replace(second, **{name: getattr(main, name) for name in windows})
    layers = range(second.num_hidden_layers)
    if [given.is_local(i) for i in layers] != [second.is_local(i) for i in layers]:
        return second
    same = all(getattr(given, name) == getattr(second, name) for name in windows[:2])
    return given if same or not second.num_local_layers else second


def _check_generator(main: Network, second: Network, tokenizer: Tokenizer, folder: Path) -> None:
    if second.head != "masked_lm":
        raise InputError(
            f"{folder} holds no generator: its config.json names {second.config.get('architectures')}, not a"
            " ForMaskedLM"
        )
    traits = [each.name for each in fields(main.sizes) if each.name not in NUMBERS]
    for name in (*traits, "embedding_size", "max_position_embeddings"):
        mine, its = getattr(main.sizes, name), getattr(second.sizes, name)
        if mine != its:
            raise InputError(
                f"generator and discriminator must have the same {name}, and have {its} and {mine}; leave the"
                " generator out"
            )
    if any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt")):
        its_tokenizer = read_tokenizer(folder, second.vocabulary_size).tokenizer
        if symbols_of(its_tokenizer) != symbols_of(tokenizer):
            raise InputError(
                f"{folder} has another vocabulary than the discriminator's; leave the generator out"
            )
    elif second.vocabulary_size != main.vocabulary_size:
        raise InputError(
            f"{folder} has {second.vocabulary_size:,} entries, the discriminator {main.vocabulary_size:,};"
            " leave it out"
        )


def _read_classifier(main: Network, tokenizer: Tokenizer, order: Tensor, head: str) -> Imported:
    """Make an encoder with the head that transformers has for a task."""
    source, classes = main.folder / "config.json", main.tensors["head.prediction.bias"].numel()
    kind = kind_of_head(main.config, main.head, main.family, classes, source)
    labels = kind.counterpart.read_labels(main.config, classes, source)
    symbols = symbols_of(tokenizer)
    model_cfg: dict = {"model_size": nearest(main.sizes), **asdict(main.sizes)}
    if main.family == "modernbert":
        model_cfg["pooling"] = read_pooling(main.config, source)
    model = EncoderWithHeads(**encoder_arguments(model_cfg, len(symbols)))
    made = kind.head_for(main.head_tensors, main.sizes.hidden_size, model.head_dropout, model.pooling)
    model.register_head(head, made)
    prefixes = {"embeddings.": "embeddings.", "encoder.": "encoder.", "head.": f"{HEADS_PREFIX}{head}."}
    model.load_state_dict({**model.state_dict(), **_renamed(main, prefixes, order)})
    settings, max_length = _settings(main), read_max_length(main.folder, main.sizes.max_position_embeddings)
    task = TaskInfo(main.folder.name, kind.name, 0, tuple(labels), (), max_length)
    task = kind.counterpart.read_info(task, main.config, settings, source)
    pretrained = Pretrained(
        model.eval(), tokenizer, symbols, task=task, labels={head: labels}, settings=settings
    )
    return Imported(pretrained, model_cfg, order, {head: main}, main.unused)


def _settings(main: Network) -> dict[str, Any]:
    """Read what the export has kept of the fine-tuning (:meth:`Counterpart.settings`)."""
    settings, source = main.config.get(SETTINGS, {}), main.folder / "config.json"
    numbers = (*KEPT_NUMBERS, *KEPT_OPTIONS)
    if not isinstance(settings, dict) or any(
        type(settings.get(name, 1)) is not int or settings.get(name, 1) < 1 for name in numbers
    ):
        raise InputError(
            f"{source} has {SETTINGS} {settings!r}; {', '.join(numbers)} there must be whole numbers above 0"
        )
    if not all(isinstance(settings.get(name, ""), str) for name in KEPT_TEXTS):
        raise InputError(f"{source} has {SETTINGS} {settings!r}; {', '.join(KEPT_TEXTS)} there must be text")
    lists = {name: settings[name] for name in KEPT_LISTS if name in settings}
    for name, values in lists.items():
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise InputError(f"{source} has {SETTINGS} {settings!r}; {name} there must be a list of texts")
    kept = {name: settings[name] for name in (*numbers, *KEPT_TEXTS) if name in settings}
    return kept | {name: tuple(values) for name, values in lists.items()}
