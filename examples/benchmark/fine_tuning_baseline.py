"""Fine-tune with transformers' Trainer, and write the scores on the dev set to a file."""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairseq_electra.electra.initialization import initialize_glorot
from fairseq_electra.files.text import atomic_write
from fairseq_electra.finetuning.sentences.glue import GLUE, glue_task
from fairseq_electra.finetuning.sentences.metrics import score
from fairseq_electra.finetuning.sentences.read import Example


class Classifier(nn.Module):
    """An encoder of transformers and one linear layer on the mean over the row, as ``--pooling mean``.

    Args:
        folder: The folder of the encoder.
        outputs: The number of classes, or 1 for regression.
        dropout: The dropout probability before the linear layer.
    """

    def __init__(self, folder: str, outputs: int, dropout: float = 0.1):
        from transformers import AutoModel

        super().__init__()
        self.encoder = AutoModel.from_pretrained(folder)
        self.dropout = nn.Dropout(dropout)
        self.prediction = nn.Linear(self.encoder.config.hidden_size, outputs)
        initialize_glorot(self.prediction)

    def forward(self, labels: Tensor, attention_mask: Tensor, **inputs: Tensor) -> dict[str, Tensor]:
        """Return ``loss``, the mean over the rows, and ``logits`` of shape (B, outputs)."""
        hidden = self.encoder(attention_mask=attention_mask, **inputs).last_hidden_state
        real = attention_mask.unsqueeze(-1).to(hidden.dtype)
        logits = self.prediction(self.dropout((hidden * real).sum(1) / real.sum(1)))
        if logits.shape[-1] == 1:
            return {"loss": F.mse_loss(logits[:, 0], labels.float()), "logits": logits}
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


def rows_of(examples: list[Example], labels: tuple[str, ...], tokenizer, max_length: int) -> list[dict]:
    """Tokenize a split with transformers' tokenizer; labels become class indices from 0 on, or numbers."""
    encoded = tokenizer(
        *map(list, zip(*(each.texts for each in examples), strict=True)),
        truncation=True,
        max_length=max_length,
    )
    targets = [labels.index(str(each.label)) if labels else float(str(each.label)) for each in examples]
    return [
        {**{name: encoded[name][i] for name in encoded}, "labels": target} for i, target in enumerate(targets)
    ]


def train(args: argparse.Namespace) -> dict[str, float]:
    """Train on one task; returns the metrics on its dev set."""
    from transformers import AutoTokenizer, DataCollatorWithPadding, Trainer, TrainingArguments, set_seed

    examples, info = glue_task(args.glue, args.task, args.max_length)
    tokenizer = AutoTokenizer.from_pretrained(args.net)
    rows = {
        split: rows_of(examples[split], info.labels, tokenizer, args.max_length)
        for split in ("train", "valid")
    }
    set_seed(args.seed)
    updates = args.epochs * -(-len(rows["train"]) // args.batch_size)
    settings = TrainingArguments(
        output_dir=str(Path(args.output).with_suffix("")),
        seed=args.seed,
        num_train_epochs=args.epochs,
        per_device_train_batch_size=args.batch_size,
        per_device_eval_batch_size=args.batch_size,
        learning_rate=args.lr,
        lr_scheduler_type="linear",
        warmup_steps=round(args.warmup * updates),
        weight_decay=0.0,
        adam_epsilon=1e-6,
        max_grad_norm=1.0,
        bf16=args.bf16,
        save_strategy="no",
        report_to="none",
        remove_unused_columns=False,
        disable_tqdm=True,
        logging_steps=100,
        use_cpu=not torch.cuda.is_available(),
    )
    trainer = Trainer(
        model=Classifier(args.net, max(1, len(info.labels))),
        args=settings,
        train_dataset=rows["train"],  # type: ignore[arg-type]
        data_collator=DataCollatorWithPadding(tokenizer),
    )
    trainer.train()
    logits = np.asarray(trainer.predict(rows["valid"]).predictions)  # type: ignore[arg-type]
    return score(GLUE[args.task].metrics, logits, np.array([row["labels"] for row in rows["valid"]]))


def main() -> None:
    """Train as the command line says, and write the metrics."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--net", "--glue", "--task", "--output"):
        parser.add_argument(name, required=True)
    for name in ("--seed", "--epochs", "--batch-size", "--max-length"):
        parser.add_argument(name, type=int, required=True)
    for name in ("--lr", "--warmup"):
        parser.add_argument(name, type=float, required=True)
    parser.add_argument("--bf16", action="store_true")
    args = parser.parse_args()
    metrics = train(args)
    with atomic_write(args.output) as stream:
        stream.write(json.dumps(metrics) + "\n")


if __name__ == "__main__":
    main()
