"""From raw text to masked batches, and the metrics of pre-training."""
