"""ELECTRA as a fairseq plugin.

The steps of the data, and the module of each::

    raw text        your .txt, or pretraining/corpus.py      one paragraph per line, blank line per document
        (report     corpus_report/                           what it holds, and a filter)
     -> tokens      pretraining/wordpiece.py                 tokenizer.json + dict.txt, the same ids in both
     -> binary      pretraining/encode.py, fairseq-preprocess   data-bin/{dict.txt,train.bin,train.idx}
     -> rows        pretraining/rows.py                      segment pairs or blocks, (B, T) ids, read lazily
        (packed     pretraining/packing.py, electra/packed.py   with --pack: a row holds several documents)
        (mixed      pretraining/languages.py, mixed_rows.py     with --languages: rows of several, smoothed)
     -> masked      electra/masking.py, pretraining/batches.py  src_tokens (B, T); masked positions (B, K)
     -> generator   models/electra.py                        gen_logits (B, K, V)
     -> sampled     electra/sampling.py                      corrupted_tokens, is_replaced (B, T)
     -> discriminator  models/electra.py                     disc_logits (B, T)
     -> losses      criterions/replaced_token_detection.py   gen_weight * MLM + disc_weight * RTD, as sums
     -> metrics     pretraining/metrics.py, diagnosis.py     masked_lm_*, disc_*, and warnings
     -> checkpoint  fairseq's trainer                        exact resume
     -> fine-tune   models/electra_encoder.py                finetuning/sentences/ (fairseq's tasks), and:
        words       tasks/token_classification.py            finetuning/words/
        questions   tasks/question_answering.py              finetuning/questions/
        labels      tasks/of_kinds.py                        finetuning/multilabel/
     -> adapt       adaptation/                              more pre-training in a domain
     -> use         hub/                                     from_pretrained: detect, fill, predict, features
     -> probe       probes/                                  BLiMP and prompts without fine-tuning
     -> generate    generation/                              text by unmasking, the discriminator as critic
     -> compare     comparison/                              objectives at equal compute
     -> export      interchange/                             transformers' folders, out and in

B rows of a batch, T tokens of a row, K masked positions of a row, V entries of the vocabulary.
"""

import importlib
import logging
import pkgutil
import sys
from pathlib import Path

__version__ = "0.1.0"
# folders of the components that fairseq finds by name; names of other modules in them start with _
COMPONENTS = ("criterions", "models", "optim", "tasks")


def refuse_second_copy() -> None:
    """Refuse to work where Python finds a second copy of this package: files of both would be mixed."""
    from fairseq_electra.errors import InputError

    own = Path(__file__).parent.resolve()
    for entry in sys.path:
        other = Path(entry, "fairseq_electra").resolve()
        if other != own and (other / "__init__.py").is_file():
            raise InputError(
                f"two copies of fairseq_electra: {own}, in use, and {other}; give "
                '--user-dir "$(fairseq-electra user-dir)" to use the installed one, or install the other '
                "with pip install -e"
            )


def register() -> None:
    """Register all components with fairseq, and make our changes to it (:mod:`fairseq_electra.compat`)."""
    from fairseq_electra import compat

    compat.apply()
    refuse_second_copy()
    for folder in COMPONENTS:
        for module in pkgutil.iter_modules([str(Path(__file__).parent / folder)]):
            if not module.name.startswith("_"):
                importlib.import_module(f"{__name__}.{folder}.{module.name}")


def from_pretrained(path, checkpoint_file=None, vocabulary=None, generator=None):
    """Load a trained model: see :func:`fairseq_electra.hub.interface.from_pretrained`."""
    from fairseq_electra.hub import interface as hub_interface

    return hub_interface.from_pretrained(path, checkpoint_file, vocabulary, generator)


# fairseq warns at every start that a package for its speech models is missing
logging.getLogger("fairseq.tasks.text_to_speech").setLevel(logging.WARNING)

# fairseq imports this package for --user-dir. Our own commands do not import fairseq: that takes 6 s.
if "fairseq" in sys.modules:
    register()
