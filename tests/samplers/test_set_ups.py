"""The set-ups of docs/samplers.md for several processes: torchrun, accelerate and Lightning, with two each."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TORCHRUN = ["-m", "torch.distributed.run", "--nproc-per-node", "2"]


def run(name: str, folder: Path, *launcher: str) -> None:
    """Let two processes assert what is in set_ups.py."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    alone = ["LOCAL_RANK", "RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"]
    env = {key: value for key, value in os.environ.items() if key not in alone}
    env |= {
        "PYTHONPATH": os.pathsep.join(paths),
        "CUDA_VISIBLE_DEVICES": "",
        "ACCELERATE_USE_CPU": "true",  # as accelerate launch --cpu does
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, *launcher, "-m", "tests.samplers.set_ups", name]
    done = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.distributed
@pytest.mark.slow
@pytest.mark.parametrize("name", ["torch", "accelerate"])
def test_processes_started_by_torchrun(name: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"needs {name}")
    run(name, tmp_path, *TORCHRUN)


@pytest.mark.distributed
@pytest.mark.slow
def test_processes_started_by_lightning(tmp_path: Path) -> None:
    if importlib.util.find_spec("lightning") is None:
        pytest.skip("needs lightning, the extra of that name")
    run("lightning", tmp_path)
