"""Number formats of the matrix products."""

import contextlib
import functools
import logging

import torch

logger = logging.getLogger(__name__)
FLOAT32_ERROR = 1e-5  # bfloat16 products are off by some 1e-2, float32 ones by 1e-6


def autocast(kind: str, device: str) -> contextlib.AbstractContextManager:
    """Return the context to run a network in.

    Args:
        kind: ``none``, or ``bf16`` or ``fp16`` for matrix products in bfloat16 or float16; ``bf16`` stays float32 on a CPU that cannot
            do it well, while losses for ``fp16`` are scaled, so nothing else can stand in for it.
        device: ``cpu`` or ``cuda``.
    """
    dtype = product_type(kind, device)
    return contextlib.nullcontext() if dtype == torch.float32 else torch.autocast(device, dtype=dtype)


def product_type(kind: str, device: str) -> torch.dtype:
    """Tell which type matrix products are done in under :func:`autocast`; arguments as there."""
    if kind == "fp16":
        return torch.float16
    return torch.bfloat16 if kind == "bf16" and (device != "cpu" or cpu_has_bf16()) else torch.float32


@functools.cache
def cpu_multiplies_fp16() -> bool:
    """Tell whether PyTorch multiplies float16 matrices on this CPU at all, and log once if oneDNN does not.

    PyTorch's own loops are some 50 times as slow as float32: enough to try a net that was trained on a GPU, or a test.
    """
    try:
        with torch.autocast("cpu", dtype=torch.float16):
            found = (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float16
    except RuntimeError:
        return False
    if found and not torch.ops.mkldnn._is_mkldnn_fp16_supported():
        logger.warning("this CPU multiplies float16 matrices far slower than float32 ones: --autocast fp16 will crawl")
    return found


@functools.cache
def cpu_has_bf16() -> bool:
    """Tell whether oneDNN multiplies bfloat16 matrices on this CPU, and log once if not.

    PyTorch's own loops would, at a two-hundredth of the speed of float32 (measured on an AMD Zen 3, which has AVX2 only).
    """
    found = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    if not found:
        logger.warning("this CPU multiplies bfloat16 matrices far slower than float32 ones: --autocast bf16 is off, --bf16 would crawl")
    return found


def use_fast_fp32() -> bool:
    """Send float32 matrix products to oneDNN, if on this machine they stay float32.

    This is faster where MKL takes a slow path, on AMD's CPUs. But PyTorch offers it only as "medium" precision, which on
    a CPU with bfloat16 units may mean bfloat16; so a product is compared with float64 first.

    Returns:
        whether it is on.
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
    logger.warning(f"--fast-fp32: off, since here it would not be float32 (relative error of a product {error:.1e})")
    return False
