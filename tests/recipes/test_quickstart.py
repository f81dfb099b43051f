"""The quickstart on a few emoji: every file, interruption and resumption, options."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from pml_suprank.recipes import __main__ as suprank
from pml_suprank.recipes.commands import quickstart
from pml_suprank.recipes.config import Config
from pml_suprank.recipes.data.emoji import LICENCES
from pml_suprank.recipes.evaluation import METRICS
from pml_suprank.recipes.loss_choices import LOSSES
from pml_suprank.recipes.training import Session, load_models

TINY = ["--limit", "64", "--batch-size", "16", "--image-size", "32", "--embedding-size", "16"]
FILES = {
    "before.json",
    "checkpoint.pt",
    "config.json",
    "curve.png",
    "history.csv",
    "LICENCES.txt",
    "metrics.csv",
    "metrics.json",
    "report.html",
}


def arguments(output: Path, cache_dir: Path, *more: str) -> list[str]:
    return [*TINY, "--epochs", "2", "--output", str(output), "--cache-dir", str(cache_dir), *more]


def contents(run: Path) -> dict[str, Any]:
    """Results without the times."""
    checkpoint = torch.load(run / "checkpoint.pt", weights_only=True)
    metrics = json.loads((run / "metrics.json").read_text())
    for name in ("seconds", "training_seconds"):
        checkpoint.pop(name, None)
        metrics.pop(name, None)
    return {"checkpoint": checkpoint, "metrics": metrics}


def assert_same(ours: Any, theirs: Any, where: str = "") -> None:
    """Bit for bit, whatever the nesting."""
    assert type(ours) is type(theirs), where
    if isinstance(ours, torch.Tensor):
        assert torch.equal(ours, theirs), where
    elif isinstance(ours, dict):
        assert ours.keys() == theirs.keys(), where
        for key in ours:
            assert_same(ours[key], theirs[key], f"{where}/{key}")
    elif isinstance(ours, list):
        assert len(ours) == len(theirs), where
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            assert_same(a, b, f"{where}[{i}]")
    else:
        assert ours == theirs, where


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> Path:
    """A whole run, shared by the tests that only look."""
    output = tmp_path_factory.mktemp("run") / "whole"
    assert quickstart.main(arguments(output, cache_dir)) == 0
    return output


@pytest.mark.slow
def test_run_folder(finished: Path) -> None:
    assert {path.name for path in finished.iterdir()} == FILES
    metrics = json.loads((finished / "metrics.json").read_text())
    for when in ("before", "after"):
        assert metrics[when].keys() == METRICS.keys()
        assert all(0 <= value <= 1 for value in metrics[when].values())
    assert metrics["after"] != metrics["before"]
    with (finished / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["after"]) for row in rows] == list(metrics["after"].values())
    with (finished / "history.csv").open() as file:
        assert len(list(csv.DictReader(file))) == metrics["iterations"] > 2
    assert json.loads((finished / "config.json").read_text())["loss"] == "happier"
    for licence in LICENCES.values():
        assert licence in (finished / "LICENCES.txt").read_text()
    page = (finished / "report.html").read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert f"{metrics['after']['h_ap']:.3f}" in page


@pytest.mark.slow
def test_same_seed_same_numbers(finished: Path, tmp_path: Path, cache_dir: Path) -> None:
    assert quickstart.main(arguments(tmp_path / "again", cache_dir)) == 0
    assert_same(contents(tmp_path / "again"), contents(finished))
    assert quickstart.main(arguments(tmp_path / "other", cache_dir, "--seed", "1")) == 0
    other = contents(tmp_path / "other")
    assert other["metrics"]["after"] != contents(finished)["metrics"]["after"]


@pytest.mark.slow
def test_interrupted_and_resumed_equals_unbroken(
    finished: Path,
    tmp_path: Path,
    cache_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Ctrl-C in the middle of the second epoch; the half epoch is repeated."""
    record = Session._record

    def interrupt(session: Session, trainer: Any) -> None:
        record(session, trainer)
        if len(session.history) == 6:
            raise KeyboardInterrupt

    output = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Session, "_record", interrupt)
        assert quickstart.main(arguments(output, cache_dir)) == 130
    message = capsys.readouterr().err
    assert f"--output {output} --resume" in message
    assert not (output / "metrics.json").exists()
    models, transform = load_models(output / "checkpoint.pt")  # usable as it is
    assert not models["trunk"].training
    assert callable(transform)

    assert (
        quickstart.main(["--output", str(output), "--cache-dir", str(cache_dir), "--resume"]) == 0
    )
    assert_same(contents(output), contents(finished))
    page = (output / "report.html").read_text(encoding="utf-8")
    assert (
        page.split("<h2>What is retrieved</h2>")[1].split("<h2>Setup</h2>")[0]
        == (finished / "report.html")
        .read_text(encoding="utf-8")
        .split("<h2>What is retrieved</h2>")[1]
        .split("<h2>Setup</h2>")[0]
    )


@pytest.mark.slow
def test_ctrl_c_in_a_real_process(tmp_path: Path, cache_dir: Path) -> None:
    """SIGINT to the command: exit status 130, a checkpoint, and the command to go on."""
    output = tmp_path / "run"
    # where the tests run in the background SIGINT is ignored, and a new process inherits that
    start = (
        "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "runpy.run_module('pml_suprank.recipes.commands.quickstart', run_name='__main__', alter_sys=True)"
    )
    command = [sys.executable, "-c", start]
    command += arguments(output, cache_dir, "--epochs", "500", "--threads", "1")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True) as process:
        try:
            deadline = time.monotonic() + 60
            while not (output / "checkpoint.pt").exists() and time.monotonic() < deadline:
                time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, errors
    assert f"-m pml_suprank.recipes.commands.quickstart --output {output} --resume" in errors
    assert load_models(output / "checkpoint.pt")


@pytest.mark.slow
@pytest.mark.parametrize("loss", [name for name in LOSSES if name != "happier"])
def test_every_loss_trains(loss: str, tmp_path: Path, cache_dir: Path) -> None:
    levels = LOSSES[loss].levels
    level = "subgroup" if levels == "any" else "emoji"
    config = Config(loss, level, epochs=1, batch_size=32, image_size=32, embedding_size=8, limit=34)
    metrics = quickstart.run(config, tmp_path / "run", cache_dir=cache_dir)
    assert metrics["iterations"] == 1
    assert all(0 <= value <= 1 for value in metrics["after"].values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--loss", "triplets"], "argument --loss: invalid choice: 'triplets' (choose from"),
        (["--epochs", "-1"], "argument --epochs: wanted an integer >= 0, got '-1'"),
        (["--lr", "nan"], "argument --lr: wanted a positive finite number, got 'nan'"),
        (["--image-size", "big"], "argument --image-size: wanted an integer >= 32, got 'big'"),
        (
            ["--batch-size", "18"],
            "--batch-size: wanted a multiple of 4 (2 drawings of an emoji, 2 emoji",
        ),
        (["--batch-size", "500"], "--batch-size: wanted at most"),
        (["--level", "subgroup"], "--level: wanted emoji with --loss happier, got subgroup"),
        (["--resume", "--overwrite"], "not allowed with argument"),
    ],
)
def test_bad_options(
    options: list[str],
    message: str,
    tmp_path: Path,
    cache_dir: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert quickstart.main(arguments(tmp_path / "run", cache_dir, *options)) == 2
    assert message in capsys.readouterr().err.replace("\n", " ")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_an_existing_run_is_not_overwritten(
    finished: Path, cache_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (finished / "metrics.json").stat().st_mtime_ns
    for more, message in (
        ([], "holds a run; pass --resume"),
        (
            ["--resume", "--lr", "0.5"],
            "--lr: wanted 0.0004, the value of the run to resume, got 0.5",
        ),
    ):
        assert quickstart.main(arguments(finished, cache_dir, *more)) == 2
        assert message in capsys.readouterr().err
    assert (finished / "metrics.json").stat().st_mtime_ns == before


@pytest.mark.slow
def test_damaged_checkpoint(
    finished: Path, tmp_path: Path, cache_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "checkpoint.pt").write_bytes((finished / "checkpoint.pt").read_bytes()[:9000])
    assert quickstart.main(arguments(tmp_path, cache_dir, "--resume")) == 2
    assert "checkpoint.pt cannot be read" in capsys.readouterr().err
    (tmp_path / "checkpoint.pt").write_bytes((finished / "checkpoint.pt").read_bytes())
    assert (
        quickstart.main(["--output", str(tmp_path), "--cache-dir", str(cache_dir), "--resume"]) == 2
    )
    assert "before.json cannot be read" in capsys.readouterr().err


def test_suprank_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert suprank.main([]) == 2
    assert suprank.main(["--help"]) == 0
    assert "quickstart" in capsys.readouterr().out
    assert suprank.main(["quickstrat"]) == 2
    assert (
        f"wanted one of {', '.join(suprank.RECIPES)}, got 'quickstrat'" in capsys.readouterr().err
    )
    with pytest.raises(SystemExit) as status:
        suprank.main(["quickstart", "--help"])
    assert status.value.code == 0
    assert "--resume" in capsys.readouterr().out


def test_help_runs_from_any_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pml_suprank.recipes", "finetune", "--help"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "suprank finetune" in done.stdout


def test_every_recipe_has_a_command() -> None:
    folder = Path(suprank.__file__).parent / "commands"
    programs = {
        path.stem for path in folder.glob("*.py") if "\nmain = Command(" in path.read_text()
    }
    assert programs - {"__main__"} == {name.replace("-", "_") for name in suprank.RECIPES}
