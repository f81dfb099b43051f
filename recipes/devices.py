"""Where a command computes: on the accelerator that there is, or as ``--device`` says."""

import sys

import torch

__all__ = ["choose_device", "float64_device", "tell_device"]


def choose_device(wanted: str | torch.device = "auto") -> torch.device:
    """A device that is there.

    Args:
        wanted: "auto" takes CUDA where there is one, else MPS, else the CPU; or "cpu", "cuda", "cuda:1", "mps".

    Raises:
        ValueError: another device, or one that is not there; the message names those that are.

    Example:
        >>> choose_device("cpu")
        device(type='cpu')
    """
    there = _devices()
    if wanted == "auto":
        return torch.device(next(iter(there)))
    try:
        device = torch.device(wanted)
    except RuntimeError:
        device = None
    if device is None or (device.index or 0) >= there.get(device.type, 0):
        names = [
            kind if count == 1 else f"{kind} (0..{count - 1})" for kind, count in there.items()
        ]
        *others, last = ["auto", *names]
        raise ValueError(f"device: wanted {', '.join(others)} or {last}, got {str(wanted)!r}")
    return device


def _devices() -> dict[str, int]:
    """What there is, best first, and how many of it."""
    count = {
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
        "cpu": 1,
    }
    return {kind: number for kind, number in count.items() if number}


def float64_device(device: torch.device) -> torch.device:
    """The device, or the CPU where the device has no float64, which metrics and rank losses need."""
    return torch.device("cpu") if device.type == "mps" else device


def tell_device(device: torch.device, *, in_float64: bool = False) -> None:
    """Say on stderr where the command computes; results alone go to stdout.

    Args:
        device: where.
        in_float64: whether something is computed that needs float64, see :func:`float64_device`.
    """
    name = f" ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else ""
    other = float64_device(device)
    moved = f"; what needs float64 is computed on {other}" if in_float64 and other != device else ""
    print(f"device: {device}{name}{moved}", file=sys.stderr, flush=True)
