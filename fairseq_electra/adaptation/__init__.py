"""Further pre-training: the parts of ``fairseq-electra adapt`` and ``fairseq-electra lengthen``.

``continuation`` has the steps that both have, ``domain`` those of a domain, ``lengthening`` those of longer
rows. ``source`` loads the model, ``text`` reads the text, ``new_words`` chooses words for WordPiece and
``new_merges`` merges for byte-level BPE, ``extending`` adds them to the vocabulary, ``resizing`` gives the
model their rows, ``replay`` mixes old text in, ``long_rows`` makes documents of two lengths, ``training``
writes the command line of ``fairseq-train``, and ``figures`` compares the model before and after.
"""
