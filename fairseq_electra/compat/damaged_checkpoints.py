"""A file that is not a readable checkpoint is explained in one sentence.

checkpoint_utils.py::load_checkpoint_to_cpu, ``torch.load(f)``: a truncated file ends in PyTorch's error about
zip archives. A file that PyTorch reads and that is not a checkpoint of fairseq, such as the pytorch_model.bin
of transformers, ends in a KeyError. Here both end in a sentence that names the file and the reason.
"""

from fairseq_electra.checkpoints import unreadable
from fairseq_electra.compat import starts
from fairseq_electra.errors import InputError


def explain_damaged_checkpoints() -> None:
    """Change checkpoint_utils.py::load_checkpoint_to_cpu."""
    from fairseq import checkpoint_utils

    plain = checkpoint_utils.load_checkpoint_to_cpu

    def load_checkpoint_to_cpu(path, *args, **kwargs):
        try:
            return plain(path, *args, **kwargs)
        except InputError:
            raise
        except Exception as error:
            starts.check_checkpoint(path)
            raise unreadable(path, error) from error

    checkpoint_utils.load_checkpoint_to_cpu = load_checkpoint_to_cpu
