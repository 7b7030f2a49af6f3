"""``--valid-subset train`` validates on a dataset of its own, and leaves the training alone.

trainer.py::Trainer.get_valid_iterator, ``self.task.dataset(subset)``, uses the dataset of the training, and
FairseqTask keeps one iterator for each dataset. So a validation on the training rows reads through the epoch
that is being trained on, and chooses its masks. Here the rows are loaded once more for validation.
"""

import functools


def validate_on_separate_dataset() -> None:
    """Change trainer.py::Trainer.get_valid_iterator."""
    from fairseq.trainer import Trainer

    plain = Trainer.get_valid_iterator

    @functools.wraps(plain)
    def get_valid_iterator(self, subset, *args, **kwargs):
        if subset != self.cfg.dataset.train_subset:
            return plain(self, subset, *args, **kwargs)
        datasets, training = self.task.datasets, self.task.dataset(subset)
        try:
            if not hasattr(self, "training_rows_to_validate"):
                self.task.load_dataset(subset, epoch=1, combine=True)  # as for training
                self.training_rows_to_validate = self.task.dataset(subset)
            datasets[subset] = self.training_rows_to_validate
            return plain(self, subset, *args, **kwargs)
        finally:
            datasets[subset] = training

    Trainer.get_valid_iterator = get_valid_iterator
