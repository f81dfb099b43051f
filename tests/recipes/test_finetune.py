"""The ``finetune`` command as a user meets it."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("accelerate", reason="needs the recipes extra")

import yaml

from pml_suprank.recipes.__main__ import main as suprank
from pml_suprank.recipes.commands.finetune import main
from pml_suprank.recipes.engine.encoder import build_model, load_best, model_transforms
from pml_suprank.recipes.engine.held_out import evaluate_model
from pml_suprank.recipes.engine.parsing import settings_from
from pml_suprank.recipes.engine.sets import load_sets
from pml_suprank.recipes.engine.trainer import Trainer
from pml_suprank.recipes.seeding import seed_everything
from tests.recipes.engine.tiny_runs import content


def arguments(tmp_path: Path, raw: dict[str, Any], *more: str) -> list[str]:
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(raw))
    return ["--output", str(tmp_path / "run"), "--config", str(tmp_path / "a.yaml"), *more]


def test_a_folder_of_images_to_a_report(
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = arguments(tmp_path, content(photos, data={"workers": 1}))
    assert suprank(["finetune", *words]) == 0
    shown = capsys.readouterr().out
    assert "36 images of 6 classes to train, 36 of 6 classes to test" in shown
    assert "H-AP" in shown
    run = tmp_path / "run"
    files = "config.yaml checkpoint.pt best.pt history.csv evaluations.csv metrics.json report.html"
    for name in [*files.split(), "embeddings.npz", "sheets.json", "tensorboard"]:
        assert (run / name).exists(), name
    metrics = json.loads((run / "metrics.json").read_text())
    assert set(metrics["before"]) == set(metrics["after"])
    assert all(0 <= value <= 1 for value in metrics["after"].values())
    page = (run / "report.html").read_text()
    assert page.count('class="sheet"') >= 3
    assert "http" not in page.replace("http-equiv", "")

    assert main(words) == 2
    assert "holds a run; pass --resume to go on with it, --overwrite" in capsys.readouterr().err
    assert main([*words, "--resume", "--training.epochs", "9"]) == 2
    assert "--resume: wanted no settings or those of" in capsys.readouterr().err
    assert main(["--output", str(run), "--resume"]) == 0
    assert json.loads((run / "metrics.json").read_text()) == metrics
    assert main([*words, "--overwrite", "--training.epochs", "1"]) == 0


NEVER = "a folder that does not exist: nothing may be read before the settings are right"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": {"name": "SupAPLos"}}, "loss.name: .* nearest: SupAPLoss"),
        (
            {"loss": {"name": "SupAPLoss", "options": {"tua": 1}}},
            "loss.options.tua: .* nearest: tau",
        ),
        ({"los": {}}, "unknown key los; nearest: loss"),
        ({"training": {"epohcs": 3}}, "unknown key training.epohcs; nearest: training.epochs"),
        (
            {"training": {"batch_size": 9}},
            "training.batch_size: wanted a multiple of 4 .* nearest: 8, 12",
        ),
        ({"training": {"epochs": 0}}, "training.epochs: wanted an integer >= 1, got 0"),
        (
            {"training": {"precision": "fp16"}},
            "training.precision: wanted no or bf16 without a GPU, got fp16",
        ),
        ({"training": {"monitor": "h_ap"}}, "training.monitor: wanted a metric, got 'h_ap'"),
        ({"training": {"recall_at": [0]}}, "training.recall_at: wanted integers >= 1"),
        (
            {"training": {"captions": "joint"}},
            "training.captions: wanted none for model.library timm",
        ),
        ({"data": {"name": "floder"}}, "data.name: .* nearest: folder"),
        ({"data": {"options": {"level": 1}}}, "data.options.level: .* nearest: level_names"),
        ({"data": {"root": None}}, "data.root: wanted the folder of the data set"),
        ({"data": {"train_split": "train"}}, "data.test_split: wanted both"),
        ({"data": {"test_share": 1.5}}, r"data.test_share: wanted a number in \(0, 1\), got 1.5"),
        ({"model": {"name": "test_resnt"}}, "model.name: .* nearest: test_resnet"),
        ({"model": {"library": "open_clip", "name": "ViT-B-33"}}, "model.name: .*ViT-B-32"),
        ({"model": {"freeze_epochs": 2}}, "model.freeze_epochs: wanted 0..1"),
        ({"miner": {"name": "TripletMiner"}}, "miner.name: .* nearest: "),
        (
            {"memory": {"kind": "cross_batch", "size": 12}},
            "memory.size: .* multiple of the batch, 8, got 12",
        ),
        (
            {"memory": {"kind": "dataset"}, "data": {"on_error": "skip"}},
            "data.check_images: wanted true for memory.kind dataset",
        ),
        ({"memory": {"kind": "cross_batch", "size": 4}}, "memory.size: wanted at least the batch"),
        ({"optimizer": {"name": "AdamX"}}, "optimizer.name: .* nearest: "),
        ({"optimizer": {"lr": -1.0}}, "optimizer.lr: wanted a positive finite number, got -1.0"),
        ({"optimizer": {"options": {"beta": 1}}}, "optimizer.options.beta: .* nearest: betas"),
        (
            {"optimizer": {"layer_decay": 2.0}},
            r"optimizer.layer_decay: wanted a number in \(0, 1\]",
        ),
        ({"schedule": {"name": "Cosine"}}, "schedule.name: .* nearest: CosineAnnealing"),
        ({"schedule": {"options": {"etamin": 1}}}, "schedule.options.etamin: .* nearest: eta_min"),
        ({"schedule": {"name": "ReduceLROnPlateau"}}, "schedule.name: wanted a schedule of steps"),
        ({"optimizer": {"name": "LBFGS"}}, "optimizer.name: wanted an optimiser of one gradient"),
        ({"schedule": {"name": "StepLR"}}, "schedule.options: .*step_size"),
        (
            {"loss_schedule": {"name": "ConstantLR"}},
            "loss_schedule: wanted null without loss_optimizer",
        ),
        ({"sampler": {"kind": "random", "m": 0}}, "sampler.m: wanted integers >= 1"),
    ],
)
def test_wrong_settings_fail_before_any_data_is_read(
    changes: dict[str, Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = content(tmp_path / NEVER, **changes)
    assert main(arguments(tmp_path, raw)) == 2
    shown = capsys.readouterr()
    assert not shown.out
    assert re.search(message, shown.err), shown.err
    assert not (tmp_path / "run").exists()


def test_without_network(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise FileNotFoundError("no connection.")

    monkeypatch.setattr("timm.create_model", refuse)
    assert main(arguments(tmp_path, content(photos, model={"weights": "hub"}))) == 2
    shown = capsys.readouterr().err
    assert "model.weights: wanted the pretrained weights of test_resnet from the network" in shown
    assert "no connection. Without network take a file, packaged or null." in shown


def test_a_missing_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    monkeypatch.delitem(sys.modules, "pml_suprank.integrations.open_clip_backbones", raising=False)
    raw = content(tmp_path / NEVER, model={"library": "open_clip", "name": "ViT-B-32"})
    assert main(arguments(tmp_path, raw)) == 2
    assert (
        'open_clip is not installed; run: pip install "pml-suprank[open-clip]"'
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"loss": {"name": "SupAPLoss", "options": {"level": 2}}},
            "loss.options.level: wanted a level of 0",
        ),
        ({"training": {"batch_size": 80}}, "training.batch_size"),
        ({"sampler": {"group_sizes": [2, 2, 2]}}, "sampler: "),
        (
            {"training": {"monitor": "precision_at_1_level7"}},
            "training.monitor: .* precision_at_1_level1",
        ),
        ({"model": {"options": {"nothing": 1}}}, "model.options.nothing: wanted one of gem_p"),
    ],
)
def test_settings_that_do_not_fit_the_data(
    changes: dict[str, Any],
    message: str,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(arguments(tmp_path, content(photos, **changes))) == 2
    shown = capsys.readouterr()
    assert re.search(message, shown.err), shown.err


def test_broken_images(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    photos: Path,
) -> None:
    root = shutil.copytree(photos, tmp_path / "photos")
    (root / "animal/a/0.png").write_bytes(b"no image")
    raw = content(root, data={"check_images": True}, training={"epochs": 1})
    assert main(arguments(tmp_path, raw)) == 0
    assert "1 broken images left out" in capsys.readouterr().out


def test_a_cut_off_image_is_found_before_anything_is_computed(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = shutil.copytree(photos, tmp_path / "photos")
    path = root / "animal/b/2.png"
    path.write_bytes(path.read_bytes()[:-200])
    monkeypatch.setattr(Trainer, "evaluate", None)
    assert main(arguments(tmp_path, content(root))) == 1
    shown = capsys.readouterr().err
    assert "1 of 72 files" in shown
    assert str(path) in shown
    assert not (tmp_path / "run").exists()


def test_broken_images_in_training_and_in_the_test_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], photos: Path
) -> None:
    root = shutil.copytree(photos, tmp_path / "photos")
    for path in root.glob("*/*/3.png"):
        path.write_bytes(b"no image")
    raw = content(root, training={"epochs": 1})
    assert main(arguments(tmp_path, raw)) == 1
    shown = capsys.readouterr().err
    assert "wanted a readable image, got" in shown
    assert "--data.check_images true" in shown
    assert main(arguments(tmp_path, content(root, data={"on_error": "skip"}), "--overwrite")) == 0
    assert "6 broken images left out" in capsys.readouterr().out  # those of the six test classes


def test_before_is_what_the_backbone_can_do(photos: Path, tmp_path: Path) -> None:
    """A new head is random: the features below it are ranked; one that was trained is ranked by."""
    first = content(photos, training={"epochs": 1})
    assert main(arguments(tmp_path, first)) == 0
    seed_everything(0)
    model = build_model(settings_from(first).model)
    sets = load_sets(settings_from(first))
    test = sets.test.with_transform(model_transforms(model, settings_from(first).model)[1])
    folder = tmp_path / "run"
    found = json.loads((folder / "before.json").read_text())["metrics"]
    assert found != evaluate_model(model, test).metrics
    assert found == evaluate_model(model, test, of_trunk=True).metrics
    (folder / "before.json").rename(tmp_path / "first.json")

    second = content(photos, model={"weights": f"run:{folder}"}, training={"epochs": 1})
    moved = tmp_path / "second"
    moved.mkdir()
    assert main(arguments(moved, second)) == 0
    load_best(model, folder)
    found = json.loads((moved / "run" / "before.json").read_text())["metrics"]
    assert found == evaluate_model(model, test).metrics


def test_a_retry_needs_no_word_where_nothing_was_trained(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stop(trainer: Trainer) -> None:
        raise KeyboardInterrupt

    words = arguments(tmp_path, content(photos, training={"epochs": 1}))
    checkpoint = tmp_path / "run" / "checkpoint.pt"
    for place in ("evaluate", "train"):
        with monkeypatch.context() as patch:
            patch.setattr(Trainer, place, lambda self, **_: stop(self))
            assert main(words) == 130
        assert checkpoint.exists() == (place == "train")
        assert ("--resume" in capsys.readouterr().err) == checkpoint.exists()
    assert main([*words, "--optimizer.lr", "0.002"]) == 0  # other settings, too
    assert main(words) == 2  # now there is something to lose
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])  # and perhaps there is
    assert main(words) == 2
    assert "holds a run; pass --resume" in capsys.readouterr().err


def test_mixed_precision(tmp_path: Path, photos: Path) -> None:
    words = arguments(tmp_path, content(photos, training={"precision": "bf16", "epochs": 1}))
    command = [sys.executable, "-m", "pml_suprank.recipes.commands.finetune", *words]
    subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    with (tmp_path / "run" / "history.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert main(arguments(tmp_path, content(photos, training={"epochs": 1}), "--overwrite")) == 0
    with (tmp_path / "run" / "history.csv").open() as file:
        wanted = [float(row["loss"]) for row in csv.DictReader(file)]
    assert losses == pytest.approx(wanted, rel=0.1)
    assert losses != wanted


def test_an_output_that_cannot_be_written(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    photos: Path,
) -> None:
    (tmp_path / "run").write_text("a file")
    assert main(arguments(tmp_path, content(photos))) == 2
    assert "--output: wanted a folder to write to" in capsys.readouterr().err


def test_nothing_to_say_where(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "--output: wanted the run folder, got nothing" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "--training.epochs" in capsys.readouterr().out


def test_check_prints_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--config", "cub-happier", "--data.root", NEVER, "--training.precision", "no"]
    assert main(["--output", "never", *words, "--check"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["optimizer"]["lr"] == 1e-6
    assert not Path("never").exists()
