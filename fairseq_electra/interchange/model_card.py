"""README.md of an exported folder: the model and its training, from the checkpoint and the log."""

from collections.abc import Sequence
from pathlib import Path

from fairseq_electra.finetuning.kinds import KINDS
from fairseq_electra.hub.load import Pretrained
from fairseq_electra.interchange.export import Export
from fairseq_electra.pretraining.pieces import pieces_of

# of a record of the log: what says nothing of how good the network is
BOOKKEEPING = ("epoch", "num_updates", "ppl", "wps", "ups", "wpb", "bsz", "wall", "seconds", "tflops", "mfu")
TASK_FIELDS = ("tokens_per_sample", "rows", "mask_prob", "autocast")


def model_card(
    pretrained: Pretrained, networks: Sequence[Export], records: list[dict], more: str = ""
) -> str:
    """Write the card.

    Args:
        pretrained: the network.
        networks: what is exported; empty: the card is that of a checkpoint of fairseq.
        records: of the training log; the last one of the validation set is shown.
        more: Markdown to end with.
    """
    library = "transformers" if networks else "fairseq"
    lines = [
        "---",
        f"library_name: {library}",
        "tags:",
        "- electra",
        "- fairseq_electra",
        "---",
        "",
        "# ELECTRA",
        "",
    ]
    for network in networks:
        config = network.config
        number = sum(tensor.numel() for tensor in network.tensors.values())
        lines.append(
            f"- `{network.subfolder}`: `{network.class_name}`, {number:,} numbers:"
            f" {config['num_hidden_layers']} layers, hidden size {config['hidden_size']},"
            f" {config['num_attention_heads']} heads, embedding size"
            f" {config.get('embedding_size', config['hidden_size'])}"
        )
        lines += [f"  - left out: {reason}" for reason in dict.fromkeys(network.left_out.values())]
    if networks and pretrained.model.sizes.residual_scale != 1:
        lines += [
            "",
            (
                f"Trained with scaled residual connections (`--norm {pretrained.model.sizes.norm}`); the"
                " scale is folded into the"
            ),
        ]
        lines += ["last weights and biases of each sublayer, so these classes compute what was trained."]
    lines += _usage(networks, pieces_of(pretrained.tokenizer).name, len(pretrained.symbols))
    if note := KINDS[pretrained.kind].counterpart.note:
        lines += [note, ""]
    lines += ["## Training", ""]
    lines += _training(pretrained) or ["Not known."]
    validations = [each for each in records if each["subset"] not in ("train", "train_inner")]
    # a log may go on behind the checkpoint, or end before it
    own = {each["subset"]: each for each in validations if int(each["num_updates"]) == pretrained.updates}
    if validations and not own:
        lines += ["", f"The log has no validation after these {pretrained.updates:,} updates."]
    for subset, last in own.items():
        lines += ["", f"## Evaluation, on `{subset}` after {pretrained.updates:,} updates", ""]
        lines += ["Losses in nats; accuracy, precision, recall and the scores of tasks in per cent.", ""]
        lines += ["| metric | value |", "|---|---|"]
        lines += [f"| {name} | {value:g} |" for name, value in last.items() if _is_metric(name)]
    return "\n".join(lines) + "\n" + (f"\n{more}" if more else "")


def _is_metric(name: str) -> bool:
    """Tell a metric from the rest of a record; the best one so far may be another checkpoint's."""
    return name not in ("subset", *BOOKKEEPING) and not name.startswith("best_")


def _usage(networks: Sequence[Export], kind: str, num_tokens: int) -> list[str]:
    """Say how the network is loaded."""
    vocabulary = f"Vocabulary: {kind}, {num_tokens:,} entries. Special symbols written out in text stay text"
    if not networks:
        code = ["import fairseq_electra", "", 'electra = fairseq_electra.from_pretrained("CHECKPOINTS")']
        return [f"{vocabulary}.", "", "```python", *code, "```", ""]
    lines = [
        "",
        f"{vocabulary}; to mask,",
        "use `tokenizer(text, split_special_tokens=False)`.",
        "",
        "```python",
    ]
    lines += [
        "from transformers import AutoTokenizer, "
        + ", ".join(dict.fromkeys(network.class_name for network in networks))
    ]
    folders = [
        "FOLDER" if network.subfolder == "." else f"FOLDER/{network.subfolder}" for network in networks
    ]
    lines += ["", f'tokenizer = AutoTokenizer.from_pretrained("{folders[0]}")']
    for network, folder in zip(networks, folders, strict=True):
        lines.append(f'{network.role.split("_")[0]} = {network.class_name}.from_pretrained("{folder}")')
    return [*lines, "```", ""]


def _training(pretrained: Pretrained) -> list[str]:
    cfg = pretrained.cfg
    if cfg is None or not pretrained.updates:
        return []
    task, optimization = cfg["task"], cfg["optimization"]
    processes = int((cfg.get("distributed_training") or {}).get("distributed_world_size") or 1)
    corpus = ", ".join(Path(part).name for part in str(task.get("data", "")).split(":"))
    rows = [
        ("task", task.get("_name")),
        ("data", corpus),
        ("updates", f"{pretrained.updates:,}"),
        ("rows of a batch", cfg["dataset"].get("batch_size")),
        ("processes, each with such batches", processes if processes > 1 else None),
        ("learning rate", ", ".join(map(str, optimization["lr"]))),
        ("update frequency", ", ".join(map(str, optimization["update_freq"]))),
        ("clip norm", optimization["clip_norm"]),
        ("optimizer", (cfg.get("optimizer") or {}).get("_name")),
        ("seed", cfg["common"]["seed"]),
        *((name.replace("_", " "), task.get(name)) for name in TASK_FIELDS),
    ]
    shown = [(name, value) for name, value in rows if value is not None]
    return ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in shown)]
