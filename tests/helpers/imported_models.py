"""What an imported model must be able to do: be pre-trained further, and be fine-tuned."""

from pathlib import Path

import numpy as np

from fairseq_electra.pretraining.encode import encode_to_binary
from fairseq_electra.pretraining.wordpiece import load_wordpiece
from tests.helpers.commands import fairseq
from tests.helpers.training import train_here


def assert_pre_training_goes_on(checkpoint: Path, lines: list[str], folder: Path) -> None:
    """Pre-train an imported checkpoint for 20 updates, in which the loss must fall."""
    data = folder / "pretraining-bin"
    encode_to_binary(load_wordpiece(checkpoint.parent), lines, data / "train", checkpoint.parent)
    losses = train_here(
        *[data, folder / "save", "--arch", "electra", "--finetune-from-model", checkpoint],
        *["--disable-validation", "--no-save", "--lr", "3e-4", "--tokens-per-sample", "32"],
        *["--max-update", "20"],
    ).losses
    assert len(losses) == 20 and np.isfinite(losses).all() and sum(losses[-4:]) < 0.95 * sum(losses[:4])


def fine_tune(checkpoint: Path, folder: Path) -> Path:
    """Fine-tune an imported checkpoint on two classes, ``yes`` and ``no``; returns the last checkpoint."""
    data, tuned = folder / "task", folder / "tuned"
    texts = ["the name is good"] * 8 + ["a list of words"] * 8
    encode_to_binary(load_wordpiece(checkpoint.parent), texts, data / "input0" / "train", checkpoint.parent)
    (folder / "labels").write_text("yes\n" * 8 + "no\n" * 8)
    fairseq("preprocess", "--only-source", "--trainpref", folder / "labels", "--destdir", data / "label")
    done = fairseq(
        *["train", data, "--save-dir", tuned, "--task", "sentence_prediction"],
        *["--criterion", "sentence_prediction", "--arch", "electra_encoder", "--cpu"],
        *["--finetune-from-model", checkpoint, "--num-classes", "2", "--init-token", "0"],
        *["--max-positions", "64", "--optimizer", "electra_adam", "--lr", "1e-4"],
        *["--batch-size", "8", "--max-update", "3", "--disable-validation"],
    )
    assert "tensors kept" in done.stdout + done.stderr
    return tuned / "checkpoint_last.pt"
