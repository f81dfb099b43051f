"""embed, evaluate, search and report, from a run on a tiny tree of images."""

import csv
import json
from pathlib import Path

import pytest
import torch

pytest.importorskip("accelerate", reason="needs the recipes extra")
pytest.importorskip("faiss", reason="needs the recipes extra")

from PIL import Image

from pml_suprank import metrics
from pml_suprank.recipes.__main__ import main as suprank
from pml_suprank.recipes.embedding_set import EmbeddingError, EmbeddingSet
from pml_suprank.recipes.engine.encoder import load_encoder
from pml_suprank.recipes.engine.parsing import settings_from
from pml_suprank.recipes.engine.whole_run import finetune
from pml_suprank.recipes.labelled_search import evaluate_embeddings
from tests.recipes.engine.tiny_runs import content


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "first"
    settings = settings_from(content(photos, training={"epochs": 1}))
    finetune(settings, folder, progress=False)
    return folder


@pytest.fixture
def embedded(run: Path, photos: Path, tmp_path: Path) -> Path:
    file = tmp_path / "photos.npz"
    assert suprank(["embed", str(run), str(photos), "--output", str(file)]) == 0
    return file


def labelled(rows: list[list[int]], points: torch.Tensor) -> EmbeddingSet:
    return EmbeddingSet(points, torch.tensor(rows))


def test_embed(run: Path, photos: Path, embedded: Path) -> None:
    found = EmbeddingSet.load(embedded)
    assert len(found) == 72
    assert found.level_names == ("level_0", "level_1")
    for row in (0, 30, 71):
        path = found.path(row)
        assert path == photos.resolve() / found.paths[row]
        assert found.paths[row].startswith(f"{found.class_name(row, 1)}/{found.class_name(row)}/")
        with Image.open(path) as image:
            wanted = load_encoder(run).encode_images([image])[0]
        torch.testing.assert_close(found.embeddings[row], wanted, rtol=1e-4, atol=1e-5)


def test_several_scales(run: Path, photos: Path, tmp_path: Path) -> None:
    file = tmp_path / "scales.npz"
    command = ["embed", str(run), str(photos), "--output", str(file), "--scales", "1", "1.5"]
    assert suprank(command) == 0
    found = EmbeddingSet.load(file)
    encoder = load_encoder(run)
    path = found.path(5)
    with Image.open(path) as image:
        pixels = encoder.transform(image.convert("RGB"))[None]
    larger = torch.nn.functional.interpolate(pixels, (48, 48), mode="bilinear", antialias=True)
    both = encoder.encode_tensors(pixels) + encoder.encode_tensors(larger)
    wanted = torch.nn.functional.normalize(both, dim=1)[0]
    torch.testing.assert_close(found.embeddings[5], wanted, rtol=1e-4, atol=1e-5)


def test_broken_images_are_left_out(
    run: Path,
    tmp_path: Path,
    photos: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    for name, source in (("a.png", "animal/a/0.png"), ("c.png", "plant/b/3.png")):
        (inbox / name).write_bytes((photos / source).read_bytes())
    (inbox / "b.png").write_bytes(b"no image")
    file = tmp_path / "inbox.safetensors"
    words = ["embed", str(run), str(inbox), "--unlabelled", "--workers", "1", "--output", str(file)]
    assert suprank(words) == 0
    shown = capsys.readouterr()
    assert "2 embeddings of 8 dimensions" in shown.out
    assert "1 images left out" in shown.out
    assert f"broken, left out: {inbox / 'b.png'}" in shown.err
    found = EmbeddingSet.load(file)
    assert found.paths == ("a.png", "c.png")
    assert found.labels is None
    assert suprank(["evaluate", str(file)]) == 2
    assert "queries: wanted labels, got none; give a CSV file" in capsys.readouterr().err
    assert suprank(["embed", str(run), str(tmp_path / "none"), "--output", str(file)]) == 2
    assert "root: wanted the folder of the data set" in capsys.readouterr().err


def test_evaluate_writes_every_metric_and_every_query(
    embedded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "evaluation"
    assert suprank(["evaluate", str(embedded), "--output", str(output), "--k", "1", "3"]) == 0
    found = EmbeddingSet.load(embedded)
    wanted = metrics.evaluate(found.embeddings, found.labels, k=(1, 3))
    written = json.loads((output / "metrics.json").read_text())
    for name in (
        "hierarchical_average_precision",
        "ndcg",
        "mean_average_precision_level1",
        "recall_at_3_level0",
    ):
        assert written[name]["mean"] == pytest.approx(wanted[name].mean())
    with (output / "queries.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 72
    for row in (0, 40):
        assert rows[row]["path"] == found.paths[row]
        value = wanted["hierarchical_average_precision"].values[row].item()
        assert float(rows[row]["hierarchical_average_precision"]) == pytest.approx(value)
        scores = torch.nn.functional.normalize(found.embeddings, dim=1) @ found.embeddings[row]
        scores[row] = -2
        order = scores.argsort(descending=True).tolist()
        wrong = next(i for i in order if found.labels[i, 0] != found.labels[row, 0])
        assert rows[row]["first_wrong_path"] == found.paths[wrong]
        assert int(rows[row]["first_wrong_rank"]) == order.index(wrong) + 1
    page = (output / "worst.html").read_text()
    assert page.count('class="sheet"') == 20
    assert page.count("data:image/jpeg") == 20 * 11
    assert "hierarchical_average_precision" in capsys.readouterr().out


def test_evaluate_a_run(run: Path, tmp_path: Path) -> None:
    assert suprank(["evaluate", str(run), "--output", str(tmp_path)]) == 0
    stored = json.loads((run / "metrics.json").read_text())["after"]
    found = json.loads((tmp_path / "metrics.json").read_text())
    name = "hierarchical_average_precision"
    assert found[name]["mean"] == pytest.approx(stored[name], abs=1e-5)
    assert found["mean_average_precision_level1"]["mean"] == pytest.approx(
        stored["mean_average_precision_level1"], abs=1e-5
    )


def test_queries_and_gallery_are_matched_by_name() -> None:
    points = torch.eye(4)
    queries = EmbeddingSet(points[:2], torch.tensor([[0], [1]]), node_names=(("cat", "dog"),))
    gallery = EmbeddingSet(
        points, torch.tensor([[1], [0], [0], [2]]), node_names=(("dog", "cat", "ant"),)
    )
    found = evaluate_embeddings(queries, gallery, results=2, progress=False)
    assert found.result["precision_at_1_level0"].values.tolist() == [1.0, 1.0]
    assert found.gallery.class_name(0) == "cat"
    numbers = evaluate_embeddings(
        labelled([[0], [1]], points[:2]), labelled([[1], [0], [0], [2]], points), progress=False
    )
    assert numbers.result["precision_at_1_level0"].values.tolist() == [0.0, 0.0]
    with pytest.raises(EmbeddingError, match="gallery: wanted 1 levels of labels"):
        evaluate_embeddings(queries, labelled([[0, 0]], points[:1]), progress=False)
    with pytest.raises(EmbeddingError, match="wanted embeddings of 4 dimensions"):
        evaluate_embeddings(
            labelled([[0]], points[:1]), labelled([[0]], torch.eye(3)[:1]), progress=False
        )


def test_queries_without_a_relative_are_counted() -> None:
    found = evaluate_embeddings(labelled([[0], [0], [1]], torch.eye(3)), progress=False)
    metric = found.result["mean_average_precision_level0"]
    assert (metric.num_valid, metric.num_left_out) == (2, 1)


def test_search_by_image_and_by_embedding(
    run: Path,
    embedded: Path,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    index, image = str(tmp_path / "index"), photos / "tool/c/4.png"
    assert suprank(["search", "build", str(embedded), "--output", index]) == 0
    capsys.readouterr()
    words = ["search", "query", index, "--model", str(run), "--image", str(image), "--top", "3"]
    assert suprank([*words, "--output", str(tmp_path / "sheet.html")]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[0] == "4.png"
    assert lines[1].split()[:3] == ["1", "1.0000", "tool/c/4.png"]
    assert lines[1].endswith("c < tool")
    page = (tmp_path / "sheet.html").read_text()
    assert page.count("data:image/jpeg") == 4
    picture = tmp_path / "sheet.png"
    assert (
        suprank(["search", "query", index, "--embedding", str(embedded), "--output", str(picture)])
        == 0
    )
    with Image.open(picture) as sheet:
        assert sheet.size == (11 * 120 + 16, 72 * 120 + 8)

    assert suprank([*words[:-1], "99"]) == 0  # more than there are: all
    assert capsys.readouterr().out.splitlines()[-1].split()[0] == "72"
    for more, message in (
        (["--text", "a fox"], "text: wanted a model with a text tower"),
        (["--image", "none.png"], "--image: wanted an image, got 'none.png'"),
        (["--image", str(image), "--output", "a.pdf"], r"--output: wanted *.html or *.png"),
        ([], "wanted --image, --text or --embedding, got none"),
    ):
        assert suprank(["search", "query", index, "--model", str(run), *more]) == 2
        assert message in capsys.readouterr().err
    changed = EmbeddingSet.load(Path(index) / "gallery.npz")
    EmbeddingSet(changed.embeddings.flip(0)).save(Path(index) / "gallery.npz")
    assert suprank([*words]) == 2
    assert "wanted the index of these embeddings, got one of others" in capsys.readouterr().err


def test_report_of_one_and_of_several(
    run: Path,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = tmp_path / "second"
    settings = settings_from(
        content(photos, training={"epochs": 2}, loss={"name": "SupAPLoss"}, data={"workers": 0})
    )
    finetune(settings, other, progress=False)
    page = tmp_path / "page.html"
    assert suprank(["report", str(run), "--output", str(page)]) == 0
    assert "What is retrieved" in page.read_text()
    assert suprank(["report", str(run), str(other), "--output", str(page)]) == 0
    text = page.read_text()
    for wanted in (
        "first",
        "second",
        "Settings that differ",
        "HAPPIERLoss",
        "SupAPLoss",
        "training.epochs",
    ):
        assert wanted in text
    assert "sampler.kind" not in text.partition("Settings that differ")[2]
    after = json.loads((other / "metrics.json").read_text())["after"]
    assert f"{after['hierarchical_average_precision']:.3f}" in text
    (other / "metrics.json").unlink()
    for folder, message in (
        (other, "metrics.json: wanted a file of a run, got none: the run is not finished"),
        (tmp_path / "none", "run: wanted a run folder, got"),
    ):
        assert suprank(["report", str(folder), "--output", str(page)]) == 2
        assert message in capsys.readouterr().err
    (other / "metrics.json").write_text("{")
    assert suprank(["report", str(other)]) == 2
    assert "metrics.json: wanted a whole file" in capsys.readouterr().err
