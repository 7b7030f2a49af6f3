"""From raw text to masked batches, and what is measured of a pre-training."""
