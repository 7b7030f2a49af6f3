"""``--bf16`` does not ask for a TPU.

options.py::parse_args_and_arch, ``if args.bf16: args.tpu = True``: every run with --bf16 counts as one on a
TPU, and fails where there is none. Here the models unset ``tpu`` again, as they are the first to see the
parsed options.
"""

import argparse


def unset_tpu(args: argparse.Namespace) -> None:
    """Unset ``tpu`` where ``bf16`` has set it and no TPU can be used."""
    if getattr(args, "bf16", False) and getattr(args, "tpu", False):
        try:
            import torch_xla  # noqa: F401
        except ImportError:
            args.tpu = False
