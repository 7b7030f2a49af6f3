"""From raw text to a table of scores in one command: the parts of ``fairseq-electra speedrun``.

``text`` holds out a validation set, ``measuring`` times the machine, ``plan`` decides, ``pretraining`` trains in the time given, ``glue``
fine-tunes, ``report`` and ``table`` write, ``published`` is what to compare with, ``state`` lets a run resume after a kill.
"""
