"""Where kernels can run, and a process in which they run under Triton's interpreter.

Triton decides on its interpreter when it is imported: files of kernel tests are collected where ``CAN_RUN``, and
elsewhere run in a process of their own.
"""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

HAS_GPU = torch.cuda.is_available()
HAS_TRITON = importlib.util.find_spec("triton") is not None
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
CAN_RUN = HAS_GPU or INTERPRETED

elsewhere = pytest.mark.skipif(CAN_RUN or not HAS_TRITON, reason="they run right here, or not")
"""For a test that starts such a process."""


def run_interpreted(tests: Path, at_least: int) -> None:
    """Run a file of kernel tests under the interpreter, and see that it passes and has so many."""
    options = ["-q", "-m", "gpu", "-p", "no:cacheprovider"]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tests)],
        env=os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert int(re.search(r"(\d+) passed", result.stdout)[1]) >= at_least, result.stdout
