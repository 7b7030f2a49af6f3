"""Show what a pre-training checkpoint reads and predicts, row by row.

For each token: the text, the mask, the generator's sample, whether it was replaced, and the discriminator's
probability of that. Of an Electric model: the text, the noise, the probability that a token is noise, and its
energy.

    fairseq-electra inspect checkpoints/checkpoint_last.pt data-bin
"""

import argparse
import logging
import shutil
from pathlib import Path

from fairseq_electra.checkpoints import find_checkpoint
from fairseq_electra.errors import InputError
from fairseq_electra.paths import CHECKPOINT, DATA, require

LABELS = ("original", "masked", "sampled", "replaced", "p(replaced)")
LABELS_OF_ELECTRIC = ("original", "noise", "p(noise)", "energy")
GAP = 2
# the networks run on a CPU in float32; options of their training that need other hardware are switched off
ON_A_CPU = {"cpu": True, "autocast": "none", "compile": False, "cuda_graphs": False}
ON_A_CPU |= dict.fromkeys(("fp16", "bf16", "memory_efficient_fp16", "memory_efficient_bf16"), False)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        help="pre-training checkpoint, or a folder with checkpoint_best.pt or checkpoint_last.pt",
    )
    parser.add_argument(
        "data", metavar="DATA", help="folder of binarized text, with the checkpoint's dict.txt"
    )
    parser.add_argument("--split", default="valid", help="split of the data (default %(default)s)")
    parser.add_argument(
        "--rows",
        type=int,
        nargs="+",
        metavar="ROW",
        help=(
            "row numbers (default: a full pair, a short row and one with padding; "
            "of packed rows those with the most and the fewest documents)"
        ),
    )
    parser.add_argument(
        "--width",
        type=int,
        default=shutil.get_terminal_size((120, 24)).columns,
        help="characters per line (default: width of the terminal)",
    )


def run(args: argparse.Namespace) -> None:
    """Load the checkpoint, run it on the rows and print them."""
    require(CHECKPOINT, args.checkpoint)
    require(DATA, args.data)
    import torch

    import fairseq_electra

    fairseq_electra.register()
    from fairseq_electra.electra.electric import Electric
    from fairseq_electra.electra.model import Electra
    from fairseq_electra.pretraining.pieces import pieces_of_symbols

    logging.getLogger("fairseq_electra").setLevel(logging.WARNING)
    model, task = load_pretrained(args.checkpoint, args.data)
    if task.objective.model not in (Electra, Electric):
        raise InputError(
            f"{args.checkpoint} was trained with another objective than electra or electric; inspect shows"
            " what two networks make of a row"
        )
    of_electric = task.objective.model is Electric
    labels, make_columns = (LABELS_OF_ELECTRIC, noise_columns) if of_electric else (LABELS, columns)
    languages = (task.cfg.languages or "").split(",")
    if len(languages) > 1 and args.split in ("valid", "test"):
        raise InputError(
            f"{args.split} of each language is read by itself; give --split {languages[0]}/{args.split}"
        )
    dataset = task.load_dataset(args.split)
    rows = args.rows or telling_rows(dataset)
    if max(rows) >= len(dataset) or min(rows) < 0:
        raise InputError(
            f"--rows must lie between 0 and {len(dataset) - 1}, the last row of {args.split}, got"
            f" {' '.join(map(str, rows))}"
        )
    sample = dataset.collater(rows)
    with torch.no_grad():
        output = model(**sample["net_input"])
    symbols = task.source_dictionary.symbols
    shown = [*map(pieces_of_symbols(symbols).cell, symbols)]
    for index, row in enumerate(rows):
        print(f"row {row}: {describe(sample, index)}\n")
        cells = make_columns(sample, output, index, shown)
        print(grid(cells, args.width, labels))


def load_pretrained(checkpoint: str, data: str):
    """Load a pre-training checkpoint for a data folder; returns the model in evaluation mode and its task.

    Raises:
        InputError: there is none, or its generator is still random.
    """
    from fairseq import checkpoint_utils

    from fairseq_electra.electra.state import check_trained, drawn_in
    from fairseq_electra.pretraining.wordpiece import DICTIONARY_FILE

    checkpoint = str(find_checkpoint(checkpoint))
    if not Path(checkpoint).is_file():
        raise InputError(
            f"no such checkpoint: {checkpoint}; fairseq-train writes checkpoint_last.pt into its --save-dir"
        )
    state = checkpoint_utils.load_checkpoint_to_cpu(checkpoint)
    options = state["cfg"].task
    if options._name != "electra_pretraining":
        raise InputError(
            f"{checkpoint} was trained for {options._name}; inspect shows checkpoints of electra_pretraining"
        )
    check_trained(drawn_in(state), "generator", checkpoint)
    overrides: dict = {"data": data, **ON_A_CPU}
    if (Path(data) / DICTIONARY_FILE).is_file():  # the folder of one language, or other text
        overrides |= {"languages": None, "sampling_alpha": None}
    models, _, task = checkpoint_utils.load_model_ensemble_and_task([checkpoint], arg_overrides=overrides)
    return models[0].eval(), task


def telling_rows(dataset) -> list[int]:
    """Pick, if they exist, a pair without padding, a single segment, and the row with the most padding.

    Of packed rows: those with the most documents, the fewest documents and the most padding; of the rows of
    several languages those with the least and the most padding.
    """
    import numpy as np

    from fairseq_electra.pretraining.mixed_rows import MixedRows

    rows, sizes = dataset.rows, dataset.sizes
    if isinstance(dataset, MixedRows):
        candidates = [(-sizes).argsort(kind="stable")]
    elif dataset.packing is None:
        candidates = [
            np.flatnonzero((rows.second_length > 0) & (sizes == dataset.row_length)),
            np.flatnonzero(rows.second_length == 0),
        ]
    else:
        by_documents = np.diff(dataset.packing.bounds).argsort(kind="stable")
        candidates = [by_documents[::-1], by_documents]
    candidates.append(sizes.argsort(kind="stable"))
    return list(dict.fromkeys(int(each[0]) for each in candidates if len(each)))


def describe(sample: dict, index: int) -> str:
    """Describe a row in words: its tokens, segments or documents, and padding."""
    net_input = sample["net_input"]
    width, padding = net_input["padding_mask"].shape[1], int(net_input["padding_mask"][index].sum())
    if "document_ends" in net_input:  # the end of the row stands in spare places
        number, kind = (
            len({end for end in net_input["document_ends"][index].tolist() if end <= width - padding}),
            "document",
        )
    else:
        number, kind = 1 + int(net_input["segment_ids"][index].max()), "segment"
    return f"{width - padding} tokens in {number} {kind}{'s' if number > 1 else ''}, {padding} of padding"


def columns(sample: dict, output, index: int, symbols: list[str]) -> list[tuple[str, ...]]:
    """Return a column for each token: the token, and what became of it if masked; one for all padding."""
    net_input = sample["net_input"]
    original = net_input["src_tokens"][index].tolist()
    shown = list(original)
    targets = zip(
        net_input["masked_positions"][index].tolist(), sample["target"][index].tolist(), strict=True
    )
    masked = {position: target for position, target in targets if position}  # spare slots point to 0
    for position, target in masked.items():
        original[position] = target
    corrupted, replaced = output.corrupted_tokens[index].tolist(), output.is_replaced[index].tolist()
    probability = output.disc_logits[index].float().sigmoid().tolist()
    length = len(original) - int(net_input["padding_mask"][index].sum())
    result: list[tuple[str, ...]] = []
    for position in range(length):
        at_mask = position in masked
        result.append(
            (
                symbols[original[position]],
                symbols[shown[position]] if at_mask else "",
                symbols[corrupted[position]] if at_mask else "",
                "yes" if replaced[position] else ("no" if at_mask else ""),
                f"{probability[position]:.2f}".removeprefix("0"),
            )
        )
    if length < len(original):
        result.append((f"{symbols[original[-1]]} x{len(original) - length}", "", "", "", ""))
    return result


def noise_columns(sample: dict, output, index: int, symbols: list[str]) -> list[tuple[str, ...]]:
    """Return a column for each token of an Electric model's row, and one for all padding."""
    original, read = output.original_tokens[index].tolist(), output.corrupted_tokens[index].tolist()
    is_noise, energies = output.is_replaced[index].tolist(), output.energies[index].tolist()
    probabilities = output.disc_logits[index].float().sigmoid().tolist()
    padding = int(sample["net_input"]["padding_mask"][index].sum())
    result: list[tuple[str, ...]] = [
        (
            symbols[original[position]],
            symbols[read[position]] if is_noise[position] else "",
            f"{probabilities[position]:.2f}".removeprefix("0"),
            f"{energies[position]:.1f}",
        )
        for position in range(len(original) - padding)
    ]
    return [*result, (f"{symbols[original[-1]]} x{padding}", "", "", "")] if padding else result


def grid(columns_shown: list[tuple[str, ...]], width: int, labels: tuple[str, ...] = LABELS) -> str:
    """Format columns side by side, in as many blocks as the width requires; ``labels`` name the rows."""
    margin = max(map(len, labels)) + GAP
    lines: list[str] = []
    block: list[list[tuple[str, int]]] = []
    used = margin
    for column in [*columns_shown, None]:
        size = max(map(len, column)) + GAP if column else 0
        if block and (column is None or used + size > width):
            lines += [
                label.ljust(margin) + "".join(cell.ljust(wide) for cell, wide in row)
                for label, row in zip(labels, zip(*block, strict=True), strict=True)
            ]
            lines.append("")
            block, used = [], margin
        if column:
            block.append([(cell, size) for cell in column])
            used += size
    return "\n".join(line.rstrip() for line in lines)
