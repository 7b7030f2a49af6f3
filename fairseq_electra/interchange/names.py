"""Which tensor here is which in transformers: one table, read in both directions.

A network is a list of parts; a part says which of our modules is which of theirs, and names its tensors. A
tensor of ours that is several of theirs is those, one below the other.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from fairseq_electra.electra.sizes import EncoderSizes
from fairseq_electra.errors import InputError
from fairseq_electra.finetuning.counterpart import MODERNBERT, Names, linear_names
from fairseq_electra.finetuning.kinds import KINDS

EMBEDDINGS: Names = {
    "tokens.weight": "embeddings.word_embeddings.weight",
    "segments.weight": "embeddings.token_type_embeddings.weight",
    "positions.weight": "embeddings.position_embeddings.weight",
    **linear_names("layer_norm", "embeddings.LayerNorm"),
}
PROJECTION: Names = linear_names("projection", "embeddings_project")
LAYER: Names = {
    **{
        f"attention.qkv.{kind}": tuple(f"attention.self.{part}.{kind}" for part in ("query", "key", "value"))
        for kind in ("weight", "bias")
    },
    **linear_names("attention.out", "attention.output.dense"),
    **linear_names("attention_layer_norm", "attention.output.LayerNorm"),
    **linear_names("intermediate", "intermediate.dense"),
    **linear_names("output", "output.dense"),
    **linear_names("output_layer_norm", "output.LayerNorm"),
}
MODERN_EMBEDDINGS: Names = {
    "tokens.weight": "embeddings.tok_embeddings.weight",
    **linear_names("layer_norm", "embeddings.norm"),
}
MODERN_LAYER: Names = {  # without biases but those of LayerNorm; the rows of qkv: rotary_halves.py
    "attention.qkv.weight": "attn.Wqkv.weight",
    "attention.out.weight": "attn.Wo.weight",
    "intermediate.weight": "mlp.Wi.weight",
    "output.weight": "mlp.Wo.weight",
    **linear_names("attention_layer_norm", "attn_norm"),
    **linear_names("output_layer_norm", "mlp_norm"),
}
MODERN_NORM: Names = linear_names("layer_norm", "final_norm")
_MODERN_HEAD: Names = {**linear_names("dense", "head.dense"), **linear_names("layer_norm", "head.norm")}


@dataclass(frozen=True)
class Head:
    """transformers' class with a head like ours, and the head's names.

    Without a class: the reason why there is none.
    """

    class_name: str | None
    names: Names
    reason: str = ""


# the same numbers, or those of the second where tables are untied; transformers may store either alone
BIAS, DECODER_BIAS = "cls.predictions.bias", "cls.predictions.decoder.bias"
_MASKED_LM: Names = {  # of BERT, and of RoFormer, which took it over
    **linear_names("dense", "cls.predictions.transform.dense"),
    **linear_names("layer_norm", "cls.predictions.transform.LayerNorm"),
    "table.weight": "cls.predictions.decoder.weight",
    "bias": BIAS,
}
# of pre-training a row for each head and family; those of fine-tuning are told by the kinds of tasks
HEADS: dict[tuple[str, str], Head] = {
    ("none", "electra"): Head("ElectraModel", {}),
    ("none", "roformer"): Head("RoFormerModel", {}),
    ("none", "bert"): Head("BertModel", {}),
    ("none", "modernbert"): Head("ModernBertModel", {}),
    ("replaced_token", "electra"): Head(
        "ElectraForPreTraining",
        {
            **linear_names("dense", "discriminator_predictions.dense"),
            **linear_names("prediction", "discriminator_predictions.dense_prediction"),
        },
    ),
    ("replaced_token", "roformer"): Head(
        None,
        {},
        "transformers has no class for p(replaced) of a net with rotary positions; those of --arch"
        " electra_modern_* have one",
    ),
    ("replaced_token", "modernbert"): Head(
        "ModernBertForTokenClassification", {**_MODERN_HEAD, **linear_names("prediction", "classifier")}
    ),
    ("masked_lm", "modernbert"): Head(
        "ModernBertForMaskedLM",
        {**_MODERN_HEAD, "table.weight": "decoder.weight", "bias": "decoder.bias"},
    ),
    ("masked_lm", "electra"): Head(
        "ElectraForMaskedLM",
        {
            **linear_names("dense", "generator_predictions.dense"),
            **linear_names("layer_norm", "generator_predictions.LayerNorm"),
            "table.weight": "generator_lm_head.weight",
            "bias": "generator_lm_head.bias",
        },
    ),
    ("masked_lm", "roformer"): Head("RoFormerForMaskedLM", _MASKED_LM),
    ("masked_lm", "bert"): Head("BertForMaskedLM", _MASKED_LM),
    **{
        (each.head, family): Head(class_name, MODERNBERT if family == "modernbert" else each.names)
        for each in (kind.counterpart for kind in KINDS.values())
        for family, class_name in each.classes.items()
    },
}
CLASSES = {head.class_name: (kind, family) for (kind, family), head in HEADS.items() if head.class_name}
CLASSES["BertForPreTraining"] = ("masked_lm", "bert")  # and a head for the next sentence
# classes of heads that read a pooler, a dense layer with tanh on [CLS], which no head here has
CLASSES_WITH_POOLER = ("BertForSequenceClassification", "BertForMultipleChoice")

# what transformers stores besides a network's own numbers, by the end of the name
COMPUTED = {
    "embeddings.position_ids": "counts from 0",
    "embeddings.token_type_ids": "zeros",
    "encoder.embed_positions.weight": "sines, computed here",
    DECODER_BIAS: f"used as {BIAS}",
}
TASK_HEADS = {kind.counterpart.head for kind in KINDS.values()}  # those of fine-tuning among HEADS
SETTINGS = "fairseq_electra"  # our entry in a config.json: what Counterpart.settings returns
OTHER_HEADS = ("classifier.", "qa_outputs.", "sequence_summary.")
# of BERT: what ELECTRA has no place for, by the beginning of the name
UNUSED_OF_BERT = {
    "pooler.": "BERT's pooler, which ELECTRA has not",
    "cls.seq_relationship.": "BERT's head for the next sentence, which ELECTRA has not",
    "cls.predictions.": "BERT's masked-LM head",
}
# of ModernBERT, where the encoder alone is wanted
UNUSED_OF_MODERNBERT = dict.fromkeys(("head.", "decoder.", "classifier."), "ModernBERT's head")


@dataclass(frozen=True)
class Part:
    """One module: the beginnings of its tensors' names here and there, and the rest of the names."""

    ours: str
    theirs: str
    names: Names


def prefix_of(family: str) -> str:
    """Return what the names of an encoder's tensors begin with in a class with a head."""
    return "model." if family == "modernbert" else f"{family}."


def head_names(head: str, family: str, sizes: EncoderSizes) -> Names:
    """Return the names of a head's tensors, as far as a model of these sizes has them."""
    return _without_biases(HEADS[head, family].names, sizes)


def _without_biases(names: Names, sizes: EncoderSizes) -> Names:
    """Leave the biases of LayerNorm out, where it has none."""
    if sizes.norm_kind == "layernorm":
        return dict(names)
    return {ours: theirs for ours, theirs in names.items() if not ours.endswith("layer_norm.bias")}


def embeddings_part(
    ours: str, theirs: str, sizes: EncoderSizes, *, tokens: bool = True, others: bool = True
) -> Part:
    """Return the embeddings: the token table, what else there is, or both."""
    kept = {
        name: their
        for name, their in (MODERN_EMBEDDINGS if sizes.no_segments else EMBEDDINGS).items()
        if (tokens if name == "tokens.weight" else others)
    }
    if sizes.positions == "rotary":
        kept.pop("positions.weight", None)
    return Part(ours, theirs, _without_biases(kept, sizes))


def encoder_part(ours: str, theirs: str, sizes: EncoderSizes) -> Part:
    """Return an encoder: its projection, where it has one, and its layers."""
    if sizes.no_segments:
        return Part(ours, theirs, _without_biases(_modern_encoder(sizes), sizes))
    names = dict(PROJECTION) if sizes.embedding_size != sizes.hidden_size else {}
    for i in range(sizes.num_hidden_layers):
        for name, their in LAYER.items():
            parts = [f"encoder.layer.{i}.{part}" for part in ([their] if isinstance(their, str) else their)]
            names[f"layers.{i}.{name}"] = parts[0] if isinstance(their, str) else tuple(parts)
    return Part(ours, theirs, names)


def _modern_encoder(sizes: EncoderSizes) -> Names:
    names = dict(MODERN_NORM)
    for i in range(sizes.num_hidden_layers):
        for ours, theirs in MODERN_LAYER.items():
            if i > 0 or not ours.startswith("attention_layer_norm"):
                names[f"layers.{i}.{ours}"] = f"layers.{i}.{theirs}"
    return names


def pairs(parts: list[Part]) -> Iterator[tuple[str, list[str]]]:
    """Yield each of our names with theirs."""
    for part in parts:
        for ours, theirs in part.names.items():
            yield (
                part.ours + ours,
                [part.theirs + name for name in ([theirs] if isinstance(theirs, str) else theirs)],
            )


def to_theirs(tensors: dict[str, Tensor], parts: list[Part]) -> dict[str, Tensor]:
    """Rename our tensors; a part's tensors must all be there."""
    renamed: dict[str, Tensor] = {}
    for ours, theirs in pairs(parts):
        for name, tensor in zip(theirs, tensors[ours].chunk(len(theirs)), strict=True):
            renamed[name] = tensor.clone().contiguous()  # safetensors refuses tensors that share memory
    return renamed


def to_ours(
    tensors: dict[str, Tensor], parts: list[Part], source: str
) -> tuple[dict[str, Tensor], list[str]]:
    """Rename their tensors.

    Args:
        tensors: theirs.
        parts: of the network.
        source: names the file in errors.

    Returns:
        ours, and the names of those that no part asks for.

    Raises:
        InputError: one is missing, or parts of one have different shapes.
    """
    renamed, unread = {}, dict(tensors)
    for ours, theirs in pairs(parts):
        for name in theirs:
            if name not in tensors:
                raise InputError(
                    f"{source} lacks the tensor {name}; it is damaged, or its config.json is of another model"
                )
        shapes = {tuple(tensors[name].shape) for name in theirs}
        if len(shapes) > 1:
            raise InputError(
                f"{source}: {', '.join(theirs)} must have one shape, and have"
                f" {', '.join(map(str, sorted(shapes)))}"
            )
        renamed[ours] = torch.cat([unread.pop(name) for name in theirs])
    return renamed, list(unread)
