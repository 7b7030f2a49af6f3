"""An update seeds the random generators of its own device alone.

trainer.py::Trainer._set_seed, ``utils.set_torch_seed(seed)``, saves the state of all generators and seeds
every device in every update. Where there is no GPU, PyTorch records a stack for each device that it cannot
seed. The numbers drawn are the same here.
"""

import functools

import torch


def seed_only_own_device() -> None:
    """Change trainer.py::Trainer._set_seed."""
    from fairseq.trainer import Trainer

    plain = Trainer._set_seed

    @functools.wraps(plain)
    def _set_seed(self):
        if self.tpu:
            plain(self)
            return
        seed = self.cfg.common.seed + self.get_num_updates()
        torch.default_generator.manual_seed(seed)
        if self.cuda:
            torch.cuda.manual_seed(seed)

    Trainer._set_seed = _set_seed
