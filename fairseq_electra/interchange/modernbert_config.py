"""config.json of transformers' ModernBERT, both ways: the modern sizes and models of their kind.

Source: transformers configuration_modernbert.py::ModernBertConfig, and its older keys, which published models
still have.
"""

from pathlib import Path
from typing import Any

from fairseq_electra.electra.initialization import INITIALIZER_RANGE
from fairseq_electra.electra.sizes import ANY_NUMBER, DROPOUT_PLACES, EncoderSizes, refuse_unknown_traits
from fairseq_electra.errors import InputError
from fairseq_electra.pretraining.wordpiece import BOS_ID, EOS_ID, PAD_ID

FULL, LOCAL = "full_attention", "sliding_attention"  # entries of layer_types
# what its layers are; the same as of --arch electra_modern_*, but for the numbers
TRAITS = {
    "positions": ("rotary",),
    "norm": ("pre_but_first",),
    "norm_kind": ("layernorm_without_bias", "layernorm"),
    "feed_forward": ("geglu",),
    "no_linear_bias": (True,),
    "rotary_base": ANY_NUMBER,
    "local_rotary_base": ANY_NUMBER,
    "local_window": ANY_NUMBER,
    "global_every": ANY_NUMBER,
    "dropout_at": DROPOUT_PLACES,  # nothing is dropped out where it is exported to
    "norm_eps": ANY_NUMBER,
    "no_segments": (True,),
    "normed_head": (True,),
}
DEFAULTS: dict[str, int] = {
    "vocab_size": 50368,
    "hidden_size": 768,
    "num_hidden_layers": 22,
    "num_attention_heads": 12,
    "intermediate_size": 1152,
    "max_position_embeddings": 8192,
}
# what the encoder and the heads here do, and no other way
REQUIRED: dict[str, Any] = {
    "hidden_activation": "gelu",
    "classifier_activation": "gelu",
    "attention_bias": False,
    "mlp_bias": False,
    "embedding_dropout": 0.0,
    "mlp_dropout": 0.0,
    "is_decoder": False,
    "rope_scaling": None,
}
# older keys, or those of one type of layers, with transformers' default
BASES = {FULL: ("global_rope_theta", 160000.0), LOCAL: ("local_rope_theta", 10000.0)}


def check_traits(sizes: EncoderSizes, reader: str) -> None:
    """Refuse an encoder without segment vectors that is not ModernBERT's; ``reader`` is named in the error.

    Raises:
        InputError: says what is different.
    """
    refuse_unknown_traits(sizes, TRAITS, reader)
    if sizes.embedding_size != sizes.hidden_size:
        raise InputError(
            f"--embedding-size {sizes.embedding_size} with --hidden-size {sizes.hidden_size}: transformers'"
            " ModernBERT has no projection behind the embeddings, so both must be the same (and"
            " --generator-hidden-size 1)"
        )


def config_entries(sizes: EncoderSizes) -> dict[str, Any]:
    """Return what config.json says of an encoder.

    Transformers drops attention weights out with the probability of the output of attention, when trained.
    """
    bases = {FULL: sizes.rotary_base, LOCAL: sizes.local_rotary_base}
    return {
        **{name: getattr(sizes, name) for name in DEFAULTS if name != "vocab_size"},
        **{name: value for name, value in REQUIRED.items() if name not in ("is_decoder", "rope_scaling")},
        "attention_dropout": sizes.dropout,
        "norm_eps": sizes.norm_eps,
        "norm_bias": sizes.norm_kind == "layernorm",
        "layer_types": [LOCAL if sizes.is_local(i) else FULL for i in range(sizes.num_hidden_layers)],
        "local_attention": sizes.local_window or 128,
        "rope_parameters": {
            kind: {"rope_type": "default", "rope_theta": float(base)} for kind, base in bases.items()
        },
        # the same for transformers before 5
        "global_rope_theta": float(sizes.rotary_base),
        "local_rope_theta": float(sizes.local_rotary_base),
        "global_attn_every_n_layers": sizes.global_every if sizes.local_window else 1,
        "classifier_bias": True,
        "decoder_bias": True,
        "classifier_pooling": "cls",
        "initializer_range": INITIALIZER_RANGE,
        "pad_token_id": PAD_ID,
        **dict.fromkeys(("bos_token_id", "cls_token_id"), BOS_ID),
        **dict.fromkeys(("eos_token_id", "sep_token_id"), EOS_ID),
    }


def read_traits(config: dict, source: Path) -> dict[str, Any]:
    """Return the fields of :class:`EncoderSizes` that config.json gives beside its shapes.

    Args:
        config: config.json.
        source: names it in errors.

    Raises:
        InputError: it asks for something else than the encoder here computes; names the key.
    """
    layers = int(config.get("num_hidden_layers", DEFAULTS["num_hidden_layers"]))
    dropout = float(read_number(config, "attention_dropout", 0.0, source))
    window = config.get("local_attention", 128)
    if type(window) is not int or window < 2:
        raise InputError(f"{source} has local_attention {window!r}; it must be a whole number from 2 on")
    every = _global_every(config, layers, source)
    local = {}
    if every > 1:
        local = {
            "local_window": window // 2 * 2,  # half of it, rounded down, is on each side
            "global_every": every,
            "local_rotary_base": _base(config, LOCAL, source),
        }
    return {
        "positions": "rotary",
        "norm": "pre_but_first",
        "norm_kind": "layernorm" if config.get("norm_bias", False) else "layernorm_without_bias",
        "feed_forward": "geglu",
        "no_linear_bias": True,
        "rotary_base": _base(config, FULL, source),
        **local,
        "dropout": dropout,
        "attention_dropout": dropout,
        "dropout_at": "attention_output",
        "norm_eps": float(read_number(config, "norm_eps", 1e-5, source)),
        "no_segments": True,
        "normed_head": True,
    }


def read_pooling(config: dict, source: Path) -> str:
    """Return what a head for sentences reads, as ``--pooling`` has it; arguments as of :func:`read_traits`.

    Raises:
        InputError: it is something else.
    """
    name = config.get("classifier_pooling", "cls")
    if name not in ("cls", "mean"):
        raise InputError(f"{source} has classifier_pooling {name!r}; a head here reads 'cls' or 'mean'")
    return "first" if name == "cls" else "mean"


def read_number(config: dict, name: str, default: float, source: Path) -> float:
    """Return a number of a config.json, or refuse what is none; arguments as of :func:`read_traits`."""
    value = config.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{source} has {name} {value!r}; it must be a number")
    return value


def _global_every(config: dict, layers: int, source: Path) -> int:
    """Return every how many layers one sees the whole row; 1: all of them."""
    default = config.get("global_attn_every_n_layers", 3)
    if not isinstance(default, int) or default < 1:
        raise InputError(f"{source} has global_attn_every_n_layers {default!r}; it must be 1 or more")
    kinds = config.get("layer_types")
    if kinds is None:
        return default
    candidates = (default, *range(2, layers + 1), 1)
    for every in candidates:
        if kinds == [LOCAL if i % every else FULL for i in range(layers)]:
            return every
    raise InputError(
        f"{source} has layer_types {kinds!r:.200}, where the encoder here has {FULL!r} in the first layer and"
        f" in every N-th after it, {LOCAL!r} in all others, and {layers} layers; it cannot be imported"
    )


def _base(config: dict, kind: str, source: Path) -> float:
    """Return the base of the rotary angles in layers of a kind."""
    name, default = BASES[kind]
    given = config.get("rope_parameters") or {}
    entry = given.get(kind) if isinstance(given, dict) else None
    if not isinstance(given, dict) or not isinstance(entry or {}, dict) or not set(given) <= {FULL, LOCAL}:
        raise InputError(f"{source} has rope_parameters {given!r:.200}; it must have {FULL!r} and {LOCAL!r}")
    entry = entry or {}
    if entry.get("rope_type", "default") != "default" or not set(entry) <= {"rope_type", "rope_theta"}:
        raise InputError(
            f"{source} has rope_parameters {given!r:.200}, where the encoder here has the rope_type"
            " 'default'; it cannot be imported"
        )
    return float(read_number(entry, "rope_theta", read_number(config, name, default, source), source))
