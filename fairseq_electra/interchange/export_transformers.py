"""A folder that transformers loads, from a checkpoint of fairseq."""

import json
from dataclasses import replace
from pathlib import Path
from typing import cast

from torch import Tensor, nn

from fairseq_electra.electra.electric import Electric
from fairseq_electra.electra.encoder import EncoderLayer
from fairseq_electra.electra.model import Discriminator, Generator
from fairseq_electra.electra.sizes import EncoderSizes
from fairseq_electra.electra.state import is_random
from fairseq_electra.errors import InputError
from fairseq_electra.files.text import atomic_folder
from fairseq_electra.finetuning.encoder import HEADS_PREFIX, EncoderWithHeads
from fairseq_electra.finetuning.head import TaskHead
from fairseq_electra.finetuning.kinds import KINDS
from fairseq_electra.hub.load import Pretrained
from fairseq_electra.hub.network_files import sines
from fairseq_electra.interchange import parity
from fairseq_electra.interchange.export import Export
from fairseq_electra.interchange.model_card import model_card
from fairseq_electra.interchange.names import (
    BIAS,
    DECODER_BIAS,
    HEADS,
    SETTINGS,
    Part,
    embeddings_part,
    encoder_part,
    head_names,
    prefix_of,
    to_theirs,
)
from fairseq_electra.interchange.norms import as_post_norm
from fairseq_electra.interchange.rotary_halves import as_halves
from fairseq_electra.interchange.tokenizer_files import write_tokenizer
from fairseq_electra.interchange.tokenizer_parity import compare_tokenizers
from fairseq_electra.interchange.transformers_config import config_of, family_of
from fairseq_electra.interchange.transformers_folder import GENERATOR

NO_CLASS = "transformers has no class for an encoder that predicts the originals of replaced tokens"
# of p(replaced) as a class for tokens
ONE_LABEL = {"id2label": {"0": "replaced"}, "label2id": {"replaced": 0}}
BASELINE = "the baseline of REINFORCE, which serves the training alone"
NO_COPYING = "transformers has no class for a language model that may copy its input"
NO_ENERGIES = "transformers has no class for an encoder that gives energies, nor for its noise model"
UNTRAINED = "the {} is still random: the folder that was imported has none"


def export_transformers(
    pretrained: Pretrained, folder: str | Path, records: list[dict] | None = None, more: str = ""
) -> list[str]:
    """Write a folder for transformers once its tokenizer and networks, loaded from there, agree with ours.

    Args:
        pretrained: what to export.
        folder: where to; new or empty.
        records: of the training log, for the model card.
        more: Markdown to end the model card with.

    Returns:
        lines that say what was written, what was left out, and how large the differences are.

    Raises:
        InputError: something cannot be exported, or transformers computes something else. Nothing is left
            behind.
    """
    import transformers
    from safetensors.torch import save_file

    transformers.utils.logging.disable_progress_bar()
    networks = networks_of(pretrained)
    sizes = pretrained.model.sizes
    rows = parity.rows_of_text(pretrained.tokenizer, sizes.max_position_embeddings)
    exact = parity.in_double(pretrained.model)
    lines, differences = [], {}
    with atomic_folder(folder) as partial:
        for network in networks:
            network_folder = partial / network.subfolder
            network_folder.mkdir(exist_ok=True)
            (network_folder / "config.json").write_text(
                json.dumps(network.config, indent=2) + "\n", encoding="utf-8"
            )
            save_file(network.tensors, network_folder / "model.safetensors", metadata={"format": "pt"})
            # safetensors lets nobody else read it
            (network_folder / "model.safetensors").chmod((network_folder / "config.json").stat().st_mode)
            write_tokenizer(
                pretrained.tokenizer, network_folder, pretrained.max_length, not sizes.no_segments
            )
            theirs = (
                getattr(transformers, network.class_name)
                .from_pretrained(network_folder, local_files_only=True)
                .eval()
            )
            differences[network.role] = parity.difference(exact, network.role, theirs, rows)
            lines.append(
                f"{Path(folder) / network.subfolder}: {network.class_name}, {len(network.tensors)} tensors"
            )
            lines += [f"left out: {name}: {reason}" for name, reason in network.left_out.items()]
        lines.append(
            compare_tokenizers(
                partial / networks[0].subfolder, pretrained.tokenizer, list(range(len(pretrained.symbols)))
            )
        )
        (partial / "README.md").write_text(
            model_card(pretrained, networks, records or [], more), encoding="utf-8"
        )
        lines.append(
            f"texts are cut to {pretrained.max_length} tokens, the longest row of the training:"
            " model_max_length"
        )
        if sizes.residual_scale != 1:
            lines.append(
                f"the residual scale of --norm {sizes.norm} is folded into the weights: read back, this is a"
                " net with --norm post"
            )
        lines.append(parity.check(differences))
    return lines


def with_room(sizes: EncoderSizes, max_length: int) -> EncoderSizes:
    """Return sizes with positions for rows of ``max_length`` tokens; learned positions stay as they are.

    Rotary positions have no limit here, but RoFormer has a table of them.
    """
    if sizes.positions == "learned":
        return sizes
    return replace(sizes, max_position_embeddings=max(sizes.max_position_embeddings, max_length))


def as_theirs(tensors: dict[str, Tensor], prefix: str, sizes: EncoderSizes) -> dict[str, Tensor]:
    """Turn an encoder into one whose tensors need new names alone.

    Arguments, result and errors as of :func:`fairseq_electra.interchange.norms.as_post_norm`.
    """
    convert = as_halves if family_of(sizes) == "modernbert" else as_post_norm
    return convert(tensors, prefix, sizes)


def networks_of(pretrained: Pretrained) -> list[Export]:
    """Find the networks in a model: discriminator and generator, or encoder and head.

    Parts that an import has drawn at random are left out: a folder does not say that they are untrained.
    """
    model, state = pretrained.model, pretrained.model.state_dict()
    if isinstance(model, EncoderWithHeads):
        return [_encoder(pretrained, model, state)]
    networks = []
    parts = dict.fromkeys(name.split(".")[0] for name in pretrained.initialised)
    untrained = {part: UNTRAINED.format(part.replace("_", " ")) for part in parts}
    if isinstance(model, Discriminator):
        networks.append(_discriminator(model, state, pretrained.max_length, untrained))
    if isinstance(model, Generator) and not is_random(GENERATOR, untrained):
        generator = _generator(model, state, pretrained.max_length)
        networks.append(replace(generator, subfolder=GENERATOR) if networks else generator)
    return networks


def _discriminator(
    model: Discriminator, state: dict[str, Tensor], max_length: int, untrained: dict[str, str]
) -> Export:
    family = family_of(model.sizes)
    head = HEADS["replaced_token", family]
    left_out = {name: NO_CLASS for name in state if name.startswith("language_head.")}
    if head.class_name is None or model.discriminator_head is None:
        left_out |= {name: head.reason for name in state if name.startswith("discriminator_head.")}
        head = HEADS["none", family]
    if getattr(model, "has_copy_head", False):  # alone, it is not the probability that a token was replaced
        left_out |= {name: NO_COPYING for name in state if name.startswith("discriminator_head.")}
        head = HEADS["none", family]
    if isinstance(model, Electric):
        left_out = {"discriminator_head": NO_ENERGIES, "noise_model": NO_ENERGIES}
        head = HEADS["none", family]
    if "discriminator_head" in untrained:
        head = HEADS["none", family]
    names = head_names("replaced_token", family, model.sizes) if head.names else {}
    prefix = prefix_of(family) if names else ""
    state = as_theirs(state, "discriminator.", model.sizes)
    parts = [
        embeddings_part("embeddings.", prefix, model.sizes),
        encoder_part("discriminator.", prefix, model.sizes),
        Part("discriminator_head.", "", names),
    ]
    return _export(
        "discriminator",
        head.class_name,
        state,
        parts,
        with_room(model.sizes, max_length),
        prefix,
        left_out | untrained,
        **(ONE_LABEL if names and family == "modernbert" else {}),
    )


def _generator(model: Generator, state: dict[str, Tensor], max_length: int) -> Export:
    sizes = model.generator.sizes
    family = family_of(sizes)
    head, prefix = HEADS["masked_lm", family], prefix_of(family)
    embeddings = model.generator_embeddings
    tokens = "embeddings." if embeddings is None or embeddings.tokens is None else "generator_embeddings."
    names, untied = head_names("masked_lm", family, sizes), model.generator_head.table is not None
    state = as_theirs(state, "generator.", sizes)
    if not untied:
        del names["table.weight"]
    parts = [
        embeddings_part(tokens, prefix, sizes, others=False),
        embeddings_part(
            "embeddings." if embeddings is None else "generator_embeddings.", prefix, sizes, tokens=False
        ),
        encoder_part("generator.", prefix, sizes),
        Part("generator_head.", "", names),
    ]
    network = _export(
        GENERATOR,
        head.class_name,
        state,
        parts,
        with_room(sizes, max_length),
        prefix,
        {name: BASELINE for name in state if name.startswith("generator_baseline.")},
        tie_word_embeddings=not untied,
    )
    if untied and family == "roformer":
        network.tensors[DECODER_BIAS] = network.tensors[BIAS].clone()
    return network


def _encoder(pretrained: Pretrained, model: EncoderWithHeads, state: dict[str, Tensor]) -> Export:
    family, names = family_of(model.sizes), list(model.classification_heads)
    if len(names) > 1:
        raise InputError(
            f"the checkpoint has the heads {', '.join(names)}; transformers' classes have one; train with one"
        )
    state = as_theirs(state, "encoder.", model.sizes)
    counterpart = KINDS[pretrained.kind].counterpart
    head = HEADS[counterpart.head if names else "none", family]
    prefix = prefix_of(family) if names else ""
    parts = [
        embeddings_part("embeddings.", prefix, model.sizes),
        encoder_part("encoder.", prefix, model.sizes),
    ]
    entries: dict = {}
    if names:
        name = names[0]
        last = cast(EncoderLayer, model.encoder.layers[-1])
        layer_norm = cast(nn.LayerNorm, last.output_layer_norm)  # family_of refuses other kinds
        head_tensors = cast(TaskHead, model.classification_heads[name]).exported(layer_norm)
        state = {**state, **{f"{HEADS_PREFIX}{name}.{key}": tensor for key, tensor in head_tensors.items()}}
        parts.append(Part(f"{HEADS_PREFIX}{name}.", "", head_names(counterpart.head, family, model.sizes)))
        entries = counterpart.entries(pretrained.labels[name], model.head_dropout, pretrained.task)
        if family == "modernbert":
            entries["classifier_pooling"] = "cls" if model.pooling == "first" else "mean"
        settings = counterpart.settings(pretrained.task, pretrained.options)
        if kept := {name: value for name, value in settings.items() if value}:
            entries[SETTINGS] = kept
    sizes = with_room(model.sizes, pretrained.max_length)
    return _export(
        names[0] if names else "encoder", head.class_name, state, parts, sizes, prefix, {}, **entries
    )


def _export(
    role: str,
    class_name: str | None,
    state: dict[str, Tensor],
    parts: list[Part],
    sizes: EncoderSizes,
    prefix: str,
    left_out: dict,
    **more,
) -> Export:
    tensors = to_theirs(state, parts)
    if family_of(sizes) == "roformer":
        tensors[f"{prefix}encoder.embed_positions.weight"] = sines(sizes)
    table = next(part.ours + name for part in parts for name in part.names if name == "tokens.weight")
    vocabulary_size = len(state[table])
    assert class_name is not None  # a head without a class was left out before
    config = config_of(sizes, vocabulary_size, class_name, **more)
    return Export(role, class_name, tensors, config, left_out)
