"""The quickstart on a few emoji: every file, what other commands do with it, interruption and resumption, options."""

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
from PIL import Image
from pytorch_metric_learning import losses as pml_losses

pytest.importorskip("accelerate", reason="needs the recipes extra")

from pml_suprank.recipes import __main__ as suprank
from pml_suprank.recipes.commands import quickstart
from pml_suprank.recipes.data.emoji import LICENCES, EmojiDataset
from pml_suprank.recipes.embedding_set import EmbeddingSet
from pml_suprank.recipes.engine.checkpoints import read_checkpoint
from pml_suprank.recipes.engine.encoder import load_encoder, read_settings
from pml_suprank.recipes.engine.learner import Learner
from pml_suprank.recipes.engine.parsing import parse_settings
from pml_suprank.recipes.engine.settings import Settings

TINY = ["--limit", "64", "--batch-size", "16", "--image-size", "32", "--embedding-size", "16"]
FILES = {
    "LICENCES.txt",
    "before.json",
    "best.pt",
    "checkpoint.pt",
    "config.yaml",
    "details.json",
    "embeddings.npz",
    "evaluations.csv",
    "history.csv",
    "items.json",
    "metrics.json",
    "report.html",
    "sheets.json",
    "tensorboard",
}


def arguments(output: Path, cache_dir: Path, *more: str) -> list[str]:
    return [*TINY, "--epochs", "2", "--output", str(output), "--cache-dir", str(cache_dir), *more]


def contents(run: Path) -> dict[str, Any]:
    """Results without the times."""
    checkpoint = torch.load(run / "checkpoint.pt", weights_only=True)
    for row in checkpoint["history"]:
        del row["seconds"]
    metrics = json.loads((run / "metrics.json").read_text())
    del metrics["training_seconds"]
    return {"checkpoint": checkpoint, "metrics": metrics}


def retrieved(run: Path) -> str:
    page = (run / "report.html").read_text(encoding="utf-8")
    return page.split("<h2>What is retrieved</h2>")[1].split("<h2>Training</h2>")[0]


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
    assert metrics["before"].keys() == metrics["after"].keys()
    for when in ("before", "after"):
        assert all(0 <= value <= 1 for value in metrics[when].values())
    assert metrics["after"] != metrics["before"]
    with (finished / "evaluations.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [0, 2]
    for row, when in zip(rows, ("before", "after"), strict=True):
        assert {name: float(row[name]) for name in metrics[when]} == metrics[when]
    with (finished / "history.csv").open() as file:
        assert len(list(csv.DictReader(file))) == metrics["iterations"] > 2
    page = (finished / "report.html").read_text(encoding="utf-8")
    for licence in LICENCES.values():
        assert licence in (finished / "LICENCES.txt").read_text()
        assert licence in page
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert f"{metrics['after']['hierarchical_average_precision']:.3f}" in page
    assert "twemoji" in metrics["setup"]["versions"]


@pytest.mark.slow
def test_its_settings_are_an_ordinary_file(finished: Path, cache_dir: Path) -> None:
    found = parse_settings(["--config", str(finished / "config.yaml")])
    assert found == read_settings(finished)
    words = "--data.options.limit 64 --training.batch_size 16 --model.image_size 32 --model.embedding_size 16"
    words += " --training.epochs 2 --training.evaluate_every 2 --data.root"
    assert found == parse_settings(["--config", "quickstart", *words.split(), str(cache_dir)])


@pytest.mark.slow
def test_the_other_commands_take_its_run(
    finished: Path,
    tmp_path: Path,
    cache_dir: Path,
    emoji: EmojiDataset,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Embed, search, evaluate, report and resume."""
    metrics = json.loads((finished / "metrics.json").read_text())
    file, index = tmp_path / "test.npz", tmp_path / "index"
    words = ["embed", str(finished), str(cache_dir), "--loader", "emoji", "--split", "test"]
    words += ["--options", json.dumps({"limit": 64}), "--output", str(file)]
    assert suprank.main(words) == 0
    embedded, held_out = (EmbeddingSet.load(p) for p in (file, finished / "embeddings.npz"))
    torch.testing.assert_close(embedded.embeddings, held_out.embeddings)
    assert embedded.paths == held_out.paths
    assert torch.equal(embedded.labels, held_out.labels)

    assert suprank.main(["search", "build", str(file), "--output", str(index)]) == 0
    emoji.image(0).resize((160, 160), Image.Resampling.NEAREST).save(tmp_path / "grin.png")
    words = ["search", "query", str(index), "--model", str(finished), "--top", "3"]
    assert suprank.main([*words, "--image", str(tmp_path / "grin.png")]) == 0
    assert len(re.findall(r"^ +[123]  ", capsys.readouterr().out, re.MULTILINE)) == 3

    for number, source in enumerate((finished, file)):
        output = tmp_path / f"evaluation{number}"
        assert suprank.main(["evaluate", str(source), "--output", str(output)]) == 0
        found = json.loads((output / "metrics.json").read_text())
        name = "hierarchical_average_precision"
        assert found[name]["mean"] == pytest.approx(metrics["after"][name], abs=1e-6)

    page = tmp_path / "page.html"
    assert suprank.main(["report", str(finished), "--output", str(page)]) == 0
    assert page.read_bytes() == (finished / "report.html").read_bytes()
    for command in ("finetune", "quickstart"):
        assert suprank.main([command, "--output", str(finished), "--resume"]) == 0
        assert json.loads((finished / "metrics.json").read_text()) == metrics


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
    """Ctrl-C in a step of the second epoch; the step is kept."""
    step, count = Learner.step, iter(range(1, 100))

    def interrupted(learner: Learner, batch: Any) -> float:
        if next(count) == 6:
            os.kill(os.getpid(), signal.SIGINT)
        return step(learner, batch)

    output = tmp_path / "run"
    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(Learner, "step", interrupted)
        patch.setattr(signal, "default_int_handler", handler)  # as in a process of its own
        assert quickstart.main(arguments(output, cache_dir)) == 130
    message = capsys.readouterr().err
    assert f"--output {output} --resume" in message
    assert not (output / "metrics.json").exists()
    checkpoint = read_checkpoint(output / "checkpoint.pt")
    assert (checkpoint["epoch"], checkpoint["step"]) == (1, 2)

    assert (
        quickstart.main(["--output", str(output), "--cache-dir", str(cache_dir), "--resume"]) == 0
    )
    assert_same(contents(output), contents(finished))
    assert retrieved(output) == retrieved(finished)
    encoder = load_encoder(output)
    assert not encoder.model.training
    assert callable(encoder.transform)


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
            deadline = time.monotonic() + 300
            while not (output / "history.csv").exists() and time.monotonic() < deadline:
                time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 130, errors
    assert f"suprank finetune --output {output} --resume" in errors
    checkpoint = read_checkpoint(output / "checkpoint.pt")
    assert checkpoint["epoch"] >= 1


LOSSES = {
    "suphap": "SupHAPLoss",
    "supndcg": "SupNDCGLoss",
    "roadmap": "ROADMAPLoss",
    "supap": "SupAPLoss",
    "SupRecallLoss": "SupRecallLoss",
    "multi-similarity": "MultiSimilarityLoss",
    "ntxent": "NTXentLoss",
    "PML.SmoothAPLoss": "PML.SmoothAPLoss",
    "proxy-anchor": "ProxyAnchorLoss",
}


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_trains(loss: str, tmp_path: Path, cache_dir: Path) -> None:
    if loss.startswith("PML.") and not hasattr(pml_losses, loss.removeprefix("PML.")):
        pytest.skip(f"this PML has no {loss.removeprefix('PML.')}")
    words = [
        "--epochs",
        "1",
        "--batch-size",
        "32",
        "--image-size",
        "32",
        "--embedding-size",
        "8",
        "--limit",
        "34",
    ]
    words += ["--loss", loss, "--output", str(tmp_path), "--cache-dir", str(cache_dir)]
    words += [] if LOSSES[loss].startswith(("SupH", "SupN", "PML.")) else ["--level", "subgroup"]
    assert quickstart.main(words) == 0
    assert read_settings(tmp_path).loss.name == LOSSES[loss]
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["iterations"] == 1
    assert all(0 <= value <= 1 for value in metrics["after"].values())


def test_options_are_settings(
    tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Settings] = []
    monkeypatch.setattr(
        "pml_suprank.recipes.engine.whole_run.finetune",
        lambda settings, *_, **__: seen.append(settings),
    )
    assert quickstart.main(["--output", str(tmp_path)]) == 0
    words = (
        "--loss ntxent --level group --lr 0.001 --seed 3 --epochs 4 --optimizer.weight_decay 0.5"
    )
    assert quickstart.main(arguments(tmp_path, cache_dir, *words.split())) == 0
    usual, found = seen
    assert usual == parse_settings(["--config", "quickstart"])
    assert (found.loss.name, found.loss.options) == ("NTXentLoss", {"level": 2})
    assert (found.optimizer.lr, found.optimizer.head_lr, found.loss_optimizer.lr) == pytest.approx(
        (0.001, 0.003, 0.01)
    )
    assert found.data.options == {"seed": 3, "limit": 64}
    assert found.data.root == str(cache_dir)
    assert (found.training.seed, found.training.epochs, found.training.evaluate_every) == (3, 4, 4)
    assert found.optimizer.weight_decay == 0.5
    assert found.model.train_transform == usual.model.train_transform


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--loss", "triplets"],
            "loss.name: wanted the name of a class, got 'triplets'; nearest: ",
        ),
        (["--level", "species"], "argument --level: invalid choice: 'species' (choose from"),
        (["--epochs", "-1"], "argument --epochs: wanted an integer >= 1, got '-1'"),
        (["--lr", "nan"], "argument --lr: wanted a positive finite number, got 'nan'"),
        (["--image-size", "big"], "argument --image-size: wanted an integer >= 32, got 'big'"),
        (
            ["--batch-size", "18"],
            "training.batch_size: wanted a multiple of 8 for sampler.group_sizes (2, 4), got 18",
        ),
        (["--batch-size", "504"], "training.batch_size: wanted at most"),
        (["--los", "supap"], "unknown key --los; nearest: loss"),
        (["--device", "tpu"], "--device: wanted auto"),
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
    try:
        status = quickstart.main(arguments(tmp_path / "run", cache_dir, *options))
    except SystemExit as error:  # of the parser
        status = error.code
    assert status == 2
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
            "config.yaml, got optimizer.lr 0.5 in place of 0.0004",
        ),
    ):
        assert quickstart.main(arguments(finished, cache_dir, *more)) == 2
        assert message in capsys.readouterr().err
    assert (finished / "metrics.json").stat().st_mtime_ns == before


@pytest.mark.slow
def test_damaged_checkpoint(
    finished: Path, tmp_path: Path, cache_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_bytes((finished / "config.yaml").read_bytes())
    (tmp_path / "checkpoint.pt").write_bytes((finished / "checkpoint.pt").read_bytes()[:9000])
    assert quickstart.main(["--output", str(tmp_path), "--resume"]) == 2
    assert "checkpoint.pt: wanted a whole checkpoint" in capsys.readouterr().err
    (tmp_path / "checkpoint.pt").write_bytes((finished / "checkpoint.pt").read_bytes())
    assert (
        quickstart.main(["--output", str(tmp_path), "--cache-dir", str(cache_dir), "--resume"]) == 2
    )
    assert "before.json: wanted the evaluation before training" in capsys.readouterr().err


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
