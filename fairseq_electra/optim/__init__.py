"""The optimizer and the learning-rate schedule that ``--optimizer`` and ``--lr-scheduler`` name."""
