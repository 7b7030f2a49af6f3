"""Fine-tuning: what all tasks share, and a room for each kind of task, which :mod:`kinds` lists."""
