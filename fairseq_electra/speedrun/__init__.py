"""From raw text to a table of scores in one command: the parts of ``fairseq-electra speedrun``.

``text`` holds out a validation set, ``measuring`` measures the speed of the machine, ``plan`` chooses the
model size, batch and number of updates, ``pretraining`` trains within the given time, ``glue`` fine-tunes,
``report`` and ``table`` write the results, ``published`` has published results to compare with, and ``state``
lets a run resume after a kill.
"""
