"""config.json of transformers, both ways."""

from pathlib import Path
from typing import Any

from fairseq_electra.electra.initialization import INITIALIZER_RANGE
from fairseq_electra.electra.sizes import (
    LAYER_NORM_EPS,
    NUM_SEGMENTS,
    EncoderSizes,
    refuse_unknown_traits,
)
from fairseq_electra.errors import InputError
from fairseq_electra.interchange import modernbert_config
from fairseq_electra.pretraining.wordpiece import PAD_ID

# model_type: positions; modernbert_config.py has the rest of modernbert
FAMILIES = {"electra": "learned", "roformer": "rotary", "bert": "learned", "modernbert": "rotary"}
EXPORT = "the export to transformers"
# what can be exported; norms.py refuses --norm pre and pre_but_first in words of its own
TRAITS = {
    "positions": ("learned", "rotary"),
    "norm": ("post", "deepnorm", "scaled", "pre", "pre_but_first"),
}
# transformers' defaults, for what a config.json leaves out (configuration_electra.py,
# configuration_roformer.py, configuration_bert.py)
DEFAULTS: dict[str, dict] = {
    "electra": {
        "vocab_size": 30522,
        "embedding_size": 128,
        "hidden_size": 256,
        "num_hidden_layers": 12,
        "num_attention_heads": 4,
        "intermediate_size": 1024,
        "max_position_embeddings": 512,
    },
    "roformer": {
        "vocab_size": 50000,
        "embedding_size": None,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "max_position_embeddings": 1536,
    },
    "bert": {
        "vocab_size": 30522,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "max_position_embeddings": 512,
    },
    "modernbert": modernbert_config.DEFAULTS,
}
# what the encoder here does, and no other way
REQUIRED: dict = {
    "hidden_act": "gelu",
    "layer_norm_eps": LAYER_NORM_EPS,
    "type_vocab_size": NUM_SEGMENTS,
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "rotary_value": False,
}


def family_of(sizes: EncoderSizes) -> str:
    """Return transformers' model_type for a model.

    That is modernbert without segment vectors, roformer for rotary positions, otherwise electra.

    Raises:
        InputError: the model has a trait that the export does not know.
    """
    if sizes.no_segments:
        modernbert_config.check_traits(sizes, EXPORT)
        return "modernbert"
    refuse_unknown_traits(sizes, TRAITS, EXPORT)
    return next(family for family, positions in FAMILIES.items() if positions == sizes.positions)


def read_sizes(config: dict, source: Path) -> tuple[EncoderSizes, int]:
    """Return the sizes in a config.json, and V.

    Raises:
        InputError: another model type, or one that computes something else than the encoder here.
    """
    family = config.get("model_type")
    if not isinstance(family, str) or family not in FAMILIES:
        raise InputError(
            f"{source} is of the model type {family!r}; electra and bert can be imported, and roformer and"
            " modernbert, their like with rotary positions"
        )
    required = modernbert_config.REQUIRED if family == "modernbert" else REQUIRED
    for name, wanted in required.items():
        if config.get(name, wanted) != wanted:
            raise InputError(
                f"{source} asks for {name} {config[name]!r}, where the encoder here has {wanted!r}; it cannot"
                " be imported"
            )
    sizes = {name: config.get(name, default) for name, default in DEFAULTS[family].items()}
    # of BERT: the hidden size always
    sizes["embedding_size"] = sizes.get("embedding_size") or sizes["hidden_size"]
    for name, value in sizes.items():
        if not isinstance(value, int) or value < 1:
            raise InputError(f"{source} has {name} {value!r}; it must be a whole number above 0")
    vocabulary_size = int(sizes.pop("vocab_size"))
    number = modernbert_config.read_number
    traits: dict[str, Any] = {
        "positions": FAMILIES[family],
        "norm": "post",
        "dropout": number(config, "hidden_dropout_prob", 0.1, source),
        "attention_dropout": number(config, "attention_probs_dropout_prob", 0.1, source),
    }
    if family == "modernbert":
        traits = modernbert_config.read_traits(config, source)
    try:
        return EncoderSizes(**sizes, **traits), vocabulary_size
    except InputError as error:
        raise InputError(f"{source}: {error}") from error


def config_of(sizes: EncoderSizes, vocabulary_size: int, class_name: str, **more) -> dict:
    """Return the config.json of a network; ``more`` is added to it."""
    family = family_of(sizes)
    named = {"architectures": [class_name], "model_type": family, "vocab_size": vocabulary_size}
    if family == "modernbert":
        return {**named, **modernbert_config.config_entries(sizes), **more}
    return {
        **named,
        **{name: getattr(sizes, name) for name in DEFAULTS["electra"] if name != "vocab_size"},
        "hidden_dropout_prob": sizes.dropout,
        "attention_probs_dropout_prob": sizes.attention_dropout,
        **{
            name: value
            for name, value in REQUIRED.items()
            if name != "rotary_value" or sizes.positions == "rotary"
        },
        "initializer_range": INITIALIZER_RANGE,
        "pad_token_id": PAD_ID,
        **more,
    }
