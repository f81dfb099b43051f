"""Of several processes none waits for one that has failed."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pml_suprank.recipes.engine.trainer import Trainer
from tests.recipes.engine.tiny_runs import content

pytestmark = [pytest.mark.distributed, pytest.mark.slow]

FAILING = """
import os, sys
from pml_suprank.recipes.engine import trainer
from pml_suprank.recipes.commands.finetune import main

steps = trainer.Trainer._train_epoch
def fail(self, *rest):
    if os.environ["RANK"] == "1":
        raise FloatingPointError("the loss of this process is no number")
    return steps(self, *rest)
trainer.Trainer._train_epoch = fail
sys.exit(main(sys.argv[1:]))
"""


def test_a_process_that_fails_while_training_ends_the_run(photos: Path, tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    (tmp_path / "run.py").write_text(FAILING)
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(content(photos)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += [str(tmp_path / "run.py"), "--output", str(tmp_path / "out")]
    command += ["--config", str(tmp_path / "run.yaml"), "--device", "cpu"]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, timeout=500)
    assert done.returncode != 0
    assert "the loss of this process is no number" in done.stderr


def measured(rank: int, folder: str) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )

    def measure(**_: Any) -> Any:
        raise ValueError("the image x.png cannot be read")

    trainer = SimpleNamespace(
        accelerator=SimpleNamespace(num_processes=2), is_main=rank == 0, measure=measure
    )
    with pytest.raises((ValueError, RuntimeError)) as caught:
        Trainer._measured(trainer)  # type: ignore[arg-type]
    Path(folder, str(rank)).write_text(f"{caught.type.__name__}: {caught.value}")
    torch.distributed.destroy_process_group()


def test_an_evaluation_that_fails_is_told_to_all(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(measured, (str(tmp_path),), nprocs=2)
    assert (tmp_path / "0").read_text() == "ValueError: the image x.png cannot be read"
    assert (tmp_path / "1").read_text() == (
        "RuntimeError: process 0: the image x.png cannot be read"
    )
