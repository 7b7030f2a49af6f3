"""A value that is not finite is traced to its module in compiled networks too.

nan_detector.py::NanDetector adds hooks that read tensors on the host. A graph of ``torch.compile`` cannot
hold them, so the run ended with an error of ``torch.compile`` instead of fairseq's. Here the update is
repeated without the graphs. If its gradients are finite then, the graphs are at fault, and the log says so.
"""

import contextlib
import logging

import torch

logger = logging.getLogger(__name__)


def detect_without_graphs() -> None:
    """Change the NanDetector of trainer.py."""
    from fairseq import trainer

    trainer.NanDetector = with_graphs_off(trainer.NanDetector)


def with_graphs_off(plain: type) -> type:
    """Return a NanDetector that turns graphs off while it is entered."""

    class NanDetector(plain):
        def __init__(self, model, *args, **kwargs):
            self.is_compiled, self.graphs_off = model._compiled_call_impl is not None, contextlib.ExitStack()
            super().__init__(model, *args, **kwargs)

        def __enter__(self):
            if self.is_compiled:
                self.graphs_off.enter_context(torch.compiler.set_stance("force_eager"))
            return super().__enter__()

        def __exit__(self, error, *rest):
            self.graphs_off.close()
            gradients = [each.grad for _, each in self.named_parameters if each.grad is not None]
            if self.is_compiled and error is None and all(grad.isfinite().all() for grad in gradients):
                logger.error(
                    "the gradients of this update are finite without --compile; train without it, and report"
                    " this with your versions of torch and CUDA"
                )
            return super().__exit__(error, *rest)

    return NanDetector
