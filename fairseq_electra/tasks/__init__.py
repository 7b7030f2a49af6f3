"""What ``--task`` and ``--bpe`` name. fairseq imports every file of this folder that does not begin with ``_``."""
