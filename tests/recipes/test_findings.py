"""What the report says of classes, confusions and worst queries, against loops; and what a page makes of it."""

import base64
import html
import io
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("accelerate", reason="needs the recipes extra")
pytest.importorskip("sklearn", reason="needs the recipes extra")

from pml_suprank import metrics
from pml_suprank.integrations.model_identity import ModelIdentity
from pml_suprank.recipes.data.emoji import LICENCES
from pml_suprank.recipes.data.emoji_images import load_emoji_images
from pml_suprank.recipes.data.folder import load_folder
from pml_suprank.recipes.data.images import ImageDataset
from pml_suprank.recipes.embedding_set import EmbeddingSet
from pml_suprank.recipes.engine import findings as engine
from pml_suprank.recipes.engine.findings import findings
from pml_suprank.recipes.engine.held_out import Evaluation
from pml_suprank.recipes.levels import level_facts
from pml_suprank.recipes.pages.charts import line_chart, loss_chart
from pml_suprank.recipes.pages.details import Details, embedding_map, worst_sheets
from pml_suprank.recipes.pages.results_page import Query, render_picture, render_results
from pml_suprank.recipes.pages.run_folder import RunFolder
from pml_suprank.recipes.pages.run_page import metric_titles, render_run
from pml_suprank.recipes.pages.sheets import frame_colours
from pml_suprank.recipes.pages.thumbnails import file_thumbnail, tile
from pml_suprank.recipes.retrievals import choose_queries


@pytest.fixture(scope="module")
def data(photos: Path) -> ImageDataset:
    """Twelve classes of six images, and one of one."""
    found = load_folder(photos)
    chosen = [i for i, label in enumerate(found.labels[:, 0].tolist()) if label or i == 0]
    assert len(chosen) == 67
    tree, labels = found.hierarchy, found.labels[chosen]
    return ImageDataset([found.paths[i] for i in chosen], labels, tree)


@pytest.fixture(scope="module")
def evaluation(data: ImageDataset) -> Evaluation:
    points = torch.randn(len(data), 6, generator=torch.Generator().manual_seed(0))
    points += torch.nn.functional.one_hot(data.labels[:, 1], 6) * 1.5
    points = torch.nn.functional.normalize(points, dim=1)
    return Evaluation({}, points, data.labels, level_facts(data.labels, ["class", "kind"]))


@pytest.fixture(scope="module")
def found(data: ImageDataset, evaluation: Evaluation, photos: Path) -> dict:
    paths = [path.relative_to(photos).as_posix() for path in data.paths]
    return findings(evaluation, data, None, paths, str(photos), 0)


def test_scores_are_means_over_classes(
    found: dict, evaluation: Evaluation, data: ImageDataset
) -> None:
    result = metrics.evaluate(evaluation.embeddings, evaluation.labels)
    assert sum(row["images"] for row in found["classes"]) == 67
    assert found["left_out"] == {"0": 1, "1": 0}
    names = data.hierarchy.node_names(0)
    for row in found["classes"]:
        own = torch.tensor(
            [names[int(label)] == row["name"] and _above(data, label) == row["above"]
             for label in evaluation.labels[:, 0]]
        )  # fmt: skip
        assert int(own.sum()) == row["images"]
        wanted = result["mean_average_precision_level0"]
        if row["images"] == 1:
            assert row["values"][1:] == [None, None]
            assert row is found["classes"][-1]
        else:
            assert row["values"][1] == pytest.approx(float(wanted.values[own].mean()))
    values = [row["values"][1] for row in found["classes"][:-1]]
    assert values == sorted(values)
    (branch,) = found["branches"]
    assert branch["level"] == 1
    assert sorted((row["name"], row["classes"]) for row in branch["rows"]) == [
        ("animal", 4), ("plant", 4), ("tool", 4),
    ]  # fmt: skip


def _above(data: ImageDataset, label: torch.Tensor) -> list[str]:
    return [data.hierarchy.node_names(1)[int(data.hierarchy.table[int(label), 1])]]


def test_confusions_by_loops(found: dict, evaluation: Evaluation, data: ImageDataset) -> None:
    scores = evaluation.embeddings @ evaluation.embeddings.T
    names = data.hierarchy.node_names(1)
    counts = {pair: 0 for pair in itertools.product(names, names)}
    for row in range(len(scores)):
        scores[row, row] = -2
        got = int(evaluation.labels[scores[row].argmax(), 1])
        counts[names[int(evaluation.labels[row, 1])], names[got]] += 1
    matrix = found["confusion"]["matrix"]
    for (i, own), (j, got) in itertools.product(enumerate(matrix["names"]), repeat=2):
        assert matrix["counts"][i][j] == counts[own, got]
    pairs = {(pair["own"], pair["got"]): pair["count"] for pair in found["confusion"]["pairs"]}
    assert pairs == {pair: n for pair, n in counts.items() if n and pair[0] != pair[1]}


def test_worst_queries(found: dict, evaluation: Evaluation, photos: Path) -> None:
    whole = metrics.evaluate(evaluation.embeddings, evaluation.labels)
    h_ap = whole["hierarchical_average_precision"]
    wanted = sorted(h_ap.values[h_ap.valid].tolist())[: engine.WORST]
    assert [query["value"] for query in found["worst"]["queries"]] == pytest.approx(wanted)
    details = Details.model_validate(json.loads(json.dumps(found)))
    sheets = worst_sheets(details, 2)
    assert all(sheet["href"] == (photos / sheet["title"]).as_uri() for sheet in sheets)
    moved = details.model_copy(update={"worst": details.worst.model_copy(update={"root": "/no"})})
    assert {sheet["href"] for sheet in worst_sheets(moved, 2)} == {""}


def test_a_large_set_is_drawn_from(
    data: ImageDataset, evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_PAIRS", 67 * 20)
    monkeypatch.setattr(engine, "_MOST_POINTS", 30)
    paths = [path.name for path in data.paths]
    found = findings(evaluation, data, None, paths, "", 3)
    assert found["queries"] == 20
    assert sum(row["images"] for row in found["classes"]) == 20
    assert len(found["map"]["x"]) == 30
    whole = metrics.evaluate(evaluation.embeddings, evaluation.labels)
    values = whole["hierarchical_average_precision"].values.tolist()
    for query in found["worst"]["queries"]:
        assert min(abs(query["value"] - value) for value in values) < 1e-9
    with_gallery = evaluation._replace(gallery=(evaluation.embeddings, evaluation.labels))
    found = findings(with_gallery, data, data, paths, "", 3)
    assert found["confusion"]["pairs"] == []  # each query finds itself
    assert found["worst"]["levels"][0][0] == 2


def test_maps(data: ImageDataset, found: dict, evaluation: Evaluation) -> None:
    assert found["map"]["method"] == "PCA"
    places = np.array([found["map"]["x"], found["map"]["y"]])
    points = evaluation.embeddings.double().numpy()
    spread = np.linalg.svd(points - points.mean(0), compute_uv=False)[:2]
    np.testing.assert_allclose(np.linalg.norm(places, axis=1), spread, rtol=1e-3)
    details = Details.model_validate(json.loads(json.dumps(found)))
    shown = embedding_map(details, ["class", "kind"])
    assert [key["name"] for key in shown["keys"]] == ["plant", "tool", "animal"]
    many = torch.randn(120, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.stack([torch.arange(120) % 12, torch.zeros(120)], 1).long()
    facts = level_facts(labels, ["class", "kind"])
    paths = [str(i) for i in range(120)]
    made = engine.map_points(Evaluation({}, many, labels, facts), data.hierarchy, paths, 0)
    assert (made["method"], made["level"]) == ("t-SNE", 0)
    assert np.isfinite([made["x"], made["y"]]).all()
    for collapsed in (torch.ones(120, 4), torch.zeros(120, 4), torch.ones(3, 2), many[:, :1]):
        own = Evaluation({}, collapsed, labels[: len(collapsed)], facts)
        made = engine.map_points(own, data.hierarchy, paths, 0)
        assert made["method"] == "PCA"
        assert np.isfinite([made["x"], made["y"]]).all()


def test_examples_have_a_positive(data: ImageDataset) -> None:
    for seed in range(30):
        assert 0 not in choose_queries(data.labels, seed, most=12, least=12)
    alone = torch.arange(8).reshape(4, 2)
    assert len(choose_queries(alone, 0)) == 4


def test_frames_differ_up_to_seven_levels() -> None:
    for levels in range(1, 8):
        colours = [bytes.fromhex(colour[1:]) for colour in frame_colours(levels)]
        assert len(colours) == levels + 1
        for one, other in itertools.combinations(colours, 2):
            assert sum(abs(a - b) for a, b in zip(one, other, strict=True)) > 90
    assert len(frame_colours(12)) == 13


def test_thumbnails_are_on_the_background_of_the_run(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "a.png")
    found = EmbeddingSet(torch.eye(1), paths=("a.png",), root=str(tmp_path))
    for preprocessing, wanted in (
        ('{"background": "red"}', (254, 0, 0)),
        ('{"background": "none such"}', (255, 255, 255)),
        ('{"background": 3}', (255, 255, 255)),
        ("[]", (255, 255, 255)),
        ("", (255, 255, 255)),
    ):
        model = ModelIdentity("m", "w", preprocessing)
        own = EmbeddingSet(found.embeddings, paths=found.paths, root=found.root, model=model)
        content = base64.b64decode(tile(own, 0).partition(",")[2])
        assert Image.open(io.BytesIO(content)).getpixel((4, 4)) == wanted
        page = render_results(
            [Query("q", tmp_path / "a.png")], own, torch.zeros(1, 1), torch.zeros(1, 1).long()
        )
        assert page.count(tile(own, 0)) == 2
        sheet = render_picture([Query("q", tmp_path / "a.png")], own, torch.zeros(1, 1).long())
        assert sheet.getpixel((8 + 56, 8 + 56)) in (wanted, (255, 0, 0))
    assert file_thumbnail(tmp_path / "a.png", background="red") != file_thumbnail(
        tmp_path / "a.png"
    )


def test_right_firsts_are_shown_once() -> None:
    names = [
        "recall_at_1_level0",
        "precision_at_1_level0",
        "recall_at_5_level0",
        "recall_at_1_level1",
    ]
    assert list(metric_titles(names, [])) == [
        "precision_at_1_level0", "recall_at_5_level0", "recall_at_1_level1",
    ]  # fmt: skip


def test_charts_of_anything() -> None:
    for values in ([0.5], [0.5, 0.5], [0.0, 0.0], [-3e9, 4e12], [1e-12, 2e-12], [1.0] * 1000):
        chart = line_chart({"a $x_{": (range(len(values)), values)}, "epoch", "loss")
        assert len(chart["y_ticks"]) >= 2
        assert len(chart["lines"][0]["path"].split()) <= 300
        assert all(-1 <= float(tick["at"]) <= 281 for tick in chart["y_ticks"])
    assert line_chart({"a": ([], [])}, "epoch", "loss")["lines"][0]["path"] == ""
    chart = loss_chart([3.0, 2.0, 1.0], 2, "loss")
    assert [dot["text"] for dot in chart["lines"][0]["dots"]] == [
        "mean of the epoch, epoch 0.5: 2.5", "mean of the epoch, epoch 1.25: 1",
    ]  # fmt: skip


def test_whoever_drew_the_pictures_is_named(tmp_path: Path) -> None:
    shown = [f"{vendor}: {text}" for vendor, text in LICENCES.items()]
    found = load_emoji_images(limit=2).credits
    assert [f"{vendor}: {text}" for vendor, text in found.items()] == shown
    (tmp_path / "config.yaml").write_text("loss: a")
    metrics = {"before": {"a": 0}, "after": {"a": 1}, "credits": shown}
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    (tmp_path / "history.csv").write_text("loss\n1\n")
    text = html.unescape(render_run(RunFolder.read(tmp_path)))
    assert all(credit in text for credit in shown)
