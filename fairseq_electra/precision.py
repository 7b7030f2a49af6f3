"""Data types of matrix products."""

import contextlib
import functools
import logging

import torch

logger = logging.getLogger(__name__)
FLOAT32_ERROR = 1e-5  # relative; that of bfloat16 products is about 1e-2, of float32 products 1e-6


def autocast(kind: str, device: str) -> contextlib.AbstractContextManager:
    """Return the context to run a model in.

    Args:
        kind: ``none``, or ``bf16`` or ``fp16`` for matrix products in bfloat16 or float16. With ``bf16`` they
            stay float32 on a CPU that is slow at bfloat16; ``fp16`` has no such substitute, as its losses are
            scaled.
        device: ``cpu`` or ``cuda``.
    """
    dtype = matmul_dtype(kind, device)
    return contextlib.nullcontext() if dtype == torch.float32 else torch.autocast(device, dtype=dtype)


def matmul_dtype(kind: str, device: str) -> torch.dtype:
    """Return the data type of matrix products under :func:`autocast`; the arguments are the same."""
    if kind == "fp16":
        return torch.float16
    return torch.bfloat16 if kind == "bf16" and (device != "cpu" or cpu_has_bf16()) else torch.float32


@functools.cache
def cpu_multiplies_fp16() -> bool:
    """Tell whether PyTorch can multiply float16 matrices on this CPU, and warn once if oneDNN cannot.

    PyTorch's own loops are about 50 times slower than float32, which is enough for a test, or to try a model
    that was trained on a GPU.
    """
    try:
        with torch.autocast("cpu", dtype=torch.float16):
            works = (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float16
    except RuntimeError:
        return False
    if works and not torch.ops.mkldnn._is_mkldnn_fp16_supported():
        logger.warning(
            "this CPU multiplies float16 matrices far slower than float32 ones: --autocast fp16 will be slow"
        )
    return works


@functools.cache
def cpu_has_bf16() -> bool:
    """Tell whether oneDNN can multiply bfloat16 matrices on this CPU, and warn once if not.

    PyTorch's own loops are about 200 times slower than float32 (measured on an AMD Zen 3, which has AVX2
    only).
    """
    has_bf16 = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    if not has_bf16:
        logger.warning(
            "this CPU multiplies bfloat16 matrices far slower than float32 ones: --autocast bf16 is off, and"
            " --bf16 would be very slow"
        )
    return has_bf16


def use_fast_fp32() -> bool:
    """Use oneDNN for float32 matrix products, if they stay float32 on this machine.

    This is faster on AMD's CPUs, where MKL takes a slow path. But PyTorch offers it only as "medium"
    precision, which may mean bfloat16 on a CPU that supports it; so a product is compared with float64 first.

    Returns:
        Whether oneDNN is used.
    """
    generator = torch.Generator().manual_seed(1)
    left, right = (torch.randn(256, 256, generator=generator) for _ in range(2))
    exact = left.double() @ right.double()
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    error = float(((left @ right).double() - exact).norm() / exact.norm())
    if error < FLOAT32_ERROR:
        logger.info(f"--fast-fp32: on, relative error of a product {error:.1e}")
        return True
    torch.set_float32_matmul_precision(before)
    logger.warning(
        f"--fast-fp32: off, since here it would not be float32 (relative error of a product {error:.1e})"
    )
    return False
