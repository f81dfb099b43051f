"""Captions search images and images captions, before and after a run."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

pytest.importorskip("accelerate", reason="needs the recipes extra")
pytest.importorskip("open_clip", reason="needs the open-clip extra")

from pml_suprank.recipes.__main__ import main as suprank
from pml_suprank.recipes.embedding_set import EmbeddingSet
from pml_suprank.recipes.engine.checks import check_settings
from pml_suprank.recipes.engine.held_out import check_monitor, monitored
from pml_suprank.recipes.engine.parsing import ConfigError, settings_from
from pml_suprank.recipes.engine.sets import load_sets
from pml_suprank.recipes.engine.settings import ModelSettings
from pml_suprank.recipes.engine.text_evaluation import distinct_captions, text_metrics
from pml_suprank.recipes.engine.whole_run import finetune
from tests.recipes.engine.tiny_runs import content

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
MODEL = {
    "library": "open_clip",
    "name": "small-vit",
    "weights": None,
    "embedding_size": None,
    "layer_norm": False,
    "image_size": None,
    "train_transform": {},
    "options": {"config": TINY},
}


def settings(photos: Path, **options: Any) -> Any:
    data = {"name": "folder", "root": str(photos), "test_share": 0.5}
    data |= {"options": {"caption_from": "name"} | options}
    training = {"epochs": 1, "batch_size": 8, "threads": 1, "captions": "joint"}
    return settings_from(content(photos, data=data, model=MODEL, training=training))


def test_each_caption_of_a_class_is_one_query() -> None:
    labels = torch.tensor([[0, 0], [0, 0], [1, 0], [1, 0], [2, 1]])
    data = SimpleNamespace(captions=("a", "a", "a", " ", "b"), labels=labels)
    captions, found = distinct_captions(data)
    assert captions == ["a", "a", "b"]
    assert found.tolist() == [[0, 0], [1, 0], [2, 1]]


class ByHand(torch.nn.Module):
    """Texts are numbers, embedded as points on the circle."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def tokenize(self, texts: list[str]) -> torch.Tensor:
        return torch.tensor([float(text) for text in texts])

    def encode_text(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.scale * torch.stack([tokens.deg2rad().cos(), tokens.deg2rad().sin()], 1)


def test_metrics_by_hand() -> None:
    labels = torch.tensor([[0, 0], [1, 0], [2, 1]])
    data = SimpleNamespace(captions=("0", "10", "60"), labels=labels)
    model = ByHand()
    angles = torch.tensor(
        [8.0, 1.0, 62.0]
    )  # the first two images lie nearer to the caption of the other
    images = (model.encode_text(angles), labels)
    found = text_metrics(model, data, images, images, recall_at=(1, 2))
    for way in ("text_to_image_", "image_to_text_"):
        assert found[f"{way}mean_average_precision_level0"] == pytest.approx((0.5 + 0.5 + 1) / 3)
        assert found[f"{way}mean_average_precision_level1"] == 1.0
        assert found[f"{way}recall_at_1_level0"] == pytest.approx(1 / 3)
        assert found[f"{way}recall_at_2_level0"] == 1.0
        assert 0.5 < found[f"{way}hierarchical_average_precision"] < 1.0


def test_a_text_metric_chooses_the_epoch(photos: Path) -> None:
    name = "text_to_image_hierarchical_average_precision"
    check_monitor(name, texts=True)
    check_monitor("image_to_text_recall_at_5_level1", (5,), texts=True)
    with pytest.raises(ConfigError, match="training.monitor: wanted a metric"):
        check_monitor(name)
    with pytest.raises(ConfigError, match="training.monitor: wanted a metric"):
        check_monitor("text_to_image_asi", texts=True)
    whole = settings(photos)
    assert monitored(whole.training, texts=True) == name
    assert monitored(whole.training, texts=False) == "hierarchical_average_precision"
    check_settings(whole)
    alone = replace(whole.training, captions="none")
    assert monitored(alone, texts=True) == "hierarchical_average_precision"
    images = replace(
        whole, model=ModelSettings(name="resnet18"), training=replace(alone, monitor=name)
    )
    with pytest.raises(ConfigError, match="training.monitor: wanted a metric"):
        check_settings(images)


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("captions") / "run"
    finetune(settings(photos), folder, progress=False)
    return folder


@pytest.mark.slow
def test_a_run_reports_both_ways(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    names = [
        f"{way}{name}"
        for way in ("text_to_image_", "image_to_text_")
        for name in (
            "hierarchical_average_precision",
            "mean_average_precision_level0",
            "recall_at_5_level1",
        )
    ]
    for part in ("before", "after"):
        assert all(0 < metrics[part][name] <= 1 for name in names)
    assert metrics["monitor"] == "text_to_image_hierarchical_average_precision"
    report = (run / "report.html").read_text()
    assert "H-AP, text to image" in report
    assert "R@5, image to text" in report


@pytest.mark.slow
def test_evaluate_reports_both_ways(run: Path, tmp_path: Path) -> None:
    assert suprank(["evaluate", str(run), "--output", str(tmp_path)]) == 0
    stored = json.loads((run / "metrics.json").read_text())["after"]
    found = json.loads((tmp_path / "metrics.json").read_text())
    for way in ("text_to_image", "image_to_text"):
        wanted = stored[f"{way}_hierarchical_average_precision"]
        assert found[way]["hierarchical_average_precision"]["mean"] == pytest.approx(
            wanted, abs=1e-4
        )
        with (tmp_path / f"{way}.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert {"metric", "level", "mean", "queries"} <= rows[0].keys()
    assert found["text_to_image"]["hierarchical_average_precision"]["num_valid"] == 6


@pytest.mark.slow
def test_texts_are_embedded_searched_and_evaluated(
    run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, table = tmp_path / "texts.txt", tmp_path / "texts.csv"
    lines.write_text("husky\n\n  a cat \n")
    gallery = str(tmp_path / "gallery.npz")
    assert suprank(["embed", str(run), str(photos), "--output", gallery]) == 0
    levels = EmbeddingSet.load(Path(gallery))
    names = levels.names(0)
    table.write_text(f"text,fine,coarse\nhusky,{names[0]},{names[-1]}\n")
    found = str(tmp_path / "texts.npz")
    assert suprank(["embed", str(run), "--text", str(lines), "--output", found]) == 0
    texts = EmbeddingSet.load(Path(found))
    assert texts.paths == ("husky", "a cat")
    assert texts.labels is None
    assert "2 embeddings of 16 dimensions" in capsys.readouterr().out
    assert suprank(["search", "build", gallery, "--output", str(tmp_path / "index")]) == 0
    capsys.readouterr()
    words = ["search", "query", str(tmp_path / "index"), "--top", "3"]
    assert suprank([*words, "--embedding", found]) == 0
    by_file = capsys.readouterr()
    assert suprank([*words, "--model", str(run), "--text", "husky", "a cat"]) == 0
    assert capsys.readouterr().out == by_file.out
    assert by_file.err == ""

    words = ["embed", str(run), "--text", str(table), "--output", found, "--levels", "fine"]
    assert suprank([*words, "coarse"]) == 0
    texts = EmbeddingSet.load(Path(found))
    assert texts.names(0) == [names[0], names[-1]]
    if levels.num_levels == 2:
        output = ["--output", str(tmp_path / "evaluation")]
        assert suprank(["evaluate", found, "--gallery", gallery, *output]) == 0


@pytest.mark.slow
def test_what_embed_refuses(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "texts.csv"
    table.write_text("title,fine\nhusky,dog\n")
    (tmp_path / "none.txt").write_text("\n")
    output = ["--output", str(tmp_path / "found.npz")]
    for words, told in (
        ([], "images: wanted a folder, or --text"),
        (
            [str(tmp_path), "--text", str(table)],
            "--text: wanted a file of texts or a folder of images",
        ),
        (["--text", str(table)], "'text'"),
        (["--text", str(tmp_path / "none.txt")], "none.txt: wanted a text, got none"),
        (["--text", str(tmp_path / "missing.txt")], "missing.txt"),
        (["--text", str(tmp_path / "none.txt"), "--levels", "a"], "--levels: wanted a table"),
    ):
        assert suprank(["embed", str(run), *words, *output]) == 2
        assert told in capsys.readouterr().err
    assert (
        suprank(["embed", str(run), "--text", str(table), "--text-column", "title", *output]) == 0
    )


def test_images_without_a_caption(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"training.captions: .* data.options.caption_from"):
        load_sets(settings(photos, caption_from=None), progress=False)
    with pytest.raises(ConfigError, match=r"training.captions: .* data.options.caption_from"):
        load_sets(settings(photos, caption_from="file"), progress=False)
    copy = Path(shutil.copytree(photos, tmp_path / "photos"))
    images = sorted(copy.rglob("*.png"))
    for image in images:
        image.with_suffix(".txt").write_text("" if image.stem == "0" else image.parent.name)
    sets = load_sets(settings(copy, caption_from="file"), progress=False)
    assert len(sets.train) == 30
    assert len(sets.test) == 36
    assert any(note.startswith("6 of 36 images to train on have no caption") for note in sets.notes)
    assert any(note.startswith("6 of 36 held-out images have no caption") for note in sets.notes)
