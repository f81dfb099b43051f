"""Where kernels in Triton can run: ranks and metrics ask here."""

import functools
import importlib.util

import torch

__all__ = ["why_no_kernels"]


@functools.cache
def why_no_kernels(device: torch.device) -> str | None:
    """Return why Triton's kernels cannot run on a device, or None; it is tried once, which waits for the device."""
    if importlib.util.find_spec("triton") is None:
        return "it needs Triton, which is not installed"
    try:
        from pml_suprank.functional._backends.fused import kernels

        if device.type != "cuda" and not kernels.INTERPRETED:
            return f"it needs scores on a CUDA device, got them on {device}"
        flag = torch.zeros(1, device=device)
        with torch.cuda.device_of(flag):
            kernels.nothing[(1,)](flag)
    except Exception as error:  # of whatever kind: no compiler, an old driver, an old card
        return f"Triton cannot build its kernels for {device}: {error!r}"
    return None
