"""Speed against others, in one process and in turn: a training step, and the loader."""
