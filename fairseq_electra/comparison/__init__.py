"""Comparison of objectives at equal compute (``fairseq-electra compare``).

A plan names objectives, budgets and seeds. Each combination is a cell: a pre-training that is stopped when it
has used the budget's FLOPs, and its fine-tunings. A cell that is done is one small JSON file, so a comparison
can be made over days and on several machines.
"""
