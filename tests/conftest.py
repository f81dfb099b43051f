"""Shared fixtures: a seed per test, one thread, and the check vectors."""

import functools
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

GOLDEN = Path(__file__).parent / "golden"

if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # started in the background of a shell: tests press Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)


def load_golden(name: str) -> dict[str, Any]:
    """Return the arrays of a check vector, with its configuration under ``config``."""
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
        arrays: dict[str, Any] = dict(file)
    arrays["config"] = json.loads(str(arrays["config_json"]))
    return arrays


def golden_names(kind: str) -> list[str]:
    """Return the names of all check vectors of a kind."""
    return [name for name, its_kind in _kinds().items() if its_kind == kind]


@functools.cache
def _kinds() -> dict[str, str]:
    names = sorted(path.stem for path in GOLDEN.glob("*.npz"))
    return {name: str(load_golden(name)["kind"]) for name in names}


@pytest.fixture
def golden() -> Callable[[str], dict[str, Any]]:
    return load_golden


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - PML draws from the global generator
