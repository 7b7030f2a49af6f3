"""fairseq's ``--bpe electra_wordpiece``."""

from dataclasses import dataclass, field
from pathlib import Path

from fairseq.data.encoders import register_bpe
from fairseq.dataclass import FairseqDataclass
from omegaconf import MISSING

from fairseq_electra.errors import InputError
from fairseq_electra.pretraining.pieces import WordPieces, pieces_of
from fairseq_electra.pretraining.wordpiece import (
    BOS,
    EOS,
    MASK,
    PAD,
    TOKENIZER_FILE,
    load_wordpiece,
)


@dataclass
class ElectraWordPieceConfig(FairseqDataclass):
    """Options of ``--bpe electra_wordpiece``."""

    wordpiece_vocab: str = field(
        default=MISSING, metadata={"help": f"folder with {TOKENIZER_FILE}, written by fairseq-electra vocab"}
    )


@register_bpe("electra_wordpiece", dataclass=ElectraWordPieceConfig)
class ElectraWordPiece:
    """Cut sentences into pieces and join them again.

    Raises:
        InputError: the vocabulary is missing, or is not WordPiece.
    """

    def __init__(self, cfg: ElectraWordPieceConfig):
        self.tokenizer = load_wordpiece(Path(cfg.wordpiece_vocab))
        self.pieces = pieces_of(self.tokenizer)
        if not isinstance(self.pieces, WordPieces):
            raise InputError(
                f"--bpe electra_wordpiece is for WordPiece, and the vocabulary in {cfg.wordpiece_vocab} is"
                f" {self.pieces.name}; encode the text with fairseq-electra encode, without --bpe"
            )

    def encode(self, text: str) -> str:
        """Return the pieces, joined by blanks."""
        return " ".join(self.tokenizer.encode(text, add_special_tokens=False).tokens)

    def decode(self, pieces: str) -> str:
        """Return readable text; special symbols are left out."""
        kept = [piece for piece in pieces.split(" ") if piece not in ("", BOS, PAD, EOS, MASK)]
        return self.pieces.join(kept)

    def is_beginning_of_word(self, piece: str) -> bool:
        """Tell whether the piece begins a word."""
        return self.pieces.starts_word(piece)
