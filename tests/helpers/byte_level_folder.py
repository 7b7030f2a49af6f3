"""A folder of transformers with a byte-level BPE tokenizer of ModernBERT's form."""

import json
from pathlib import Path

import pytest
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

transformers = pytest.importorskip("transformers")
SPECIAL = {
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "mask_token": "[MASK]",
}
RUNS_OF_BLANKS = [" " * number for number in (6, 5, 4, 3, 2)]
SPARE_ROWS = 5  # of the token table, behind the vocabulary
SIZE = 700


def byte_level_tokenizer(lines, size=SIZE, add_prefix_space=False) -> Tokenizer:
    """Train a tokenizer with one token in front, and added and special tokens at the end, as ModernBERT's."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    # a piece of the vocabulary and an added token at once
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=["<|padding|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(lines, trainer)
    tokenizer.add_tokens(
        [AddedToken(run, normalized=True) for run in [*RUNS_OF_BLANKS, "|||IP|||", "naïve_é"]]
    )
    tokenizer.add_special_tokens(
        ["<|endoftext|>", *(SPECIAL[name] for name in SPECIAL if name != "mask_token")]
    )
    tokenizer.add_special_tokens([AddedToken(SPECIAL["mask_token"], lstrip=True, normalized=False)])
    tokenizer.add_tokens([AddedToken(f"[unused{i}]", normalized=True) for i in range(3)])
    row = {symbol: tokenizer.token_to_id(symbol) for symbol in ("[CLS]", "[SEP]")}
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:0 [SEP]:0",
        special_tokens=list(row.items()),
    )
    return tokenizer


def save_byte_level(folder: Path, tokenizer: Tokenizer) -> Path:
    """Save the tokenizer's files and, if there is none, a config.json of a table with some more rows."""
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **SPECIAL)
    fast.save_pretrained(folder)
    config = {"model_type": "modernbert", "vocab_size": tokenizer.get_vocab_size() + SPARE_ROWS}
    if not (folder / "config.json").exists():
        (folder / "config.json").write_text(json.dumps(config))
    return folder
