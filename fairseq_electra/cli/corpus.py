"""Write the built-in corpus, English from your Python's own documentation, and its labelled task as text.

fairseq-electra corpus --output corpus
"""

import argparse
from pathlib import Path

from fairseq_electra.files.text import written_whole
from fairseq_electra.pretraining.corpus import builtin_documents, fingerprint, swap_examples
from fairseq_electra.pretraining.encode import SPLITS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for SPLIT.txt and SPLIT.swap.tsv")


def run(args: argparse.Namespace) -> None:
    """Write text and labelled sentences of each split; no file of valid or test stands in train."""
    documents = builtin_documents()
    folder = Path(args.output)
    for split in SPLITS:
        with written_whole(folder / f"{split}.txt") as stream:
            for document in documents:
                if document.split == split:
                    stream.writelines(paragraph + "\n" for paragraph in (*document.paragraphs, ""))
        with written_whole(folder / f"{split}.swap.tsv") as stream:
            stream.writelines(f"{int(example.swapped)}\t{example.sentence}\n" for example in swap_examples(documents, split))
    print(f"{folder}: {len(documents):,} documents, fingerprint {fingerprint(documents)}")
