"""Embeddings and indices remember their model: those of another one are refused, with both names."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

pytest.importorskip("accelerate", reason="needs the recipes extra")
pytest.importorskip("faiss", reason="needs the recipes extra")

from pml_suprank.integrations.faiss_index import GalleryIndex
from pml_suprank.integrations.model_identity import (
    ModelIdentity,
    ModelMismatchError,
    check_same_model,
    fingerprint,
)
from pml_suprank.recipes.__main__ import main as suprank
from pml_suprank.recipes.embedding_set import EmbeddingError, EmbeddingSet
from pml_suprank.recipes.engine.parsing import settings_from
from pml_suprank.recipes.engine.whole_run import finetune
from pml_suprank.recipes.gallery_search import build_index, search_index
from pml_suprank.recipes.labelled_search import evaluate_embeddings
from pml_suprank.recipes.pages.results_page import Query, render_picture, render_results
from tests.recipes.engine.tiny_runs import content


@pytest.fixture(scope="module")
def runs(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two runs of one architecture and width."""
    folder = tmp_path_factory.mktemp("runs")
    for seed, name in enumerate(("first", "second")):
        raw = content(photos, training={"epochs": 1, "seed": seed})
        finetune(settings_from(raw), folder / name, progress=False)
    for name in ("first", "second"):
        words = ["embed", str(folder / name), str(photos), "--output", str(folder / f"{name}.npz")]
        assert suprank(words) == 0
    words = ["search", "build", str(folder / "first.npz"), "--output", str(folder / "index")]
    assert suprank(words) == 0
    return {name: folder / name for name in ("first", "second", "index")}


def query(runs: dict[str, Path], *words: str) -> list[str]:
    return ["search", "query", str(runs["index"]), "--top", "2", *words]


def test_the_fingerprint_is_of_weights_not_of_places(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).to(
        memory_format=torch.preserve_format
    )
    first = fingerprint(model)
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    other = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    assert fingerprint(other) != first
    other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    assert fingerprint(other) == first
    other[1].running_mean += 1e-6
    assert fingerprint(other) != first
    assert fingerprint(model.half()) != first
    convolution = nn.Conv2d(3, 4, 2)
    assert fingerprint(convolution) == fingerprint(
        convolution.to(memory_format=torch.channels_last)
    )


def test_what_makes_two_models() -> None:
    one = ModelIdentity("timm a of runs/a", "0123456789", '{"size": 32}')
    assert check_same_model(one, ModelIdentity("moved", "0123456789", '{"size": 32}')) == ""
    assert (
        check_same_model(one, ModelIdentity.from_dict(json.loads(json.dumps(one.to_dict())))) == ""
    )
    other = ModelIdentity("timm a of runs/b", "abcdef0123", '{"size": 32}')
    with pytest.raises(
        ModelMismatchError,
        match=r"queries of timm a of runs/a \(weights 01234567\) and a gallery of timm a of runs/b",
    ):
        check_same_model(one, other)
    assert "although of two models" in check_same_model(one, other, allow_other=True)
    larger = ModelIdentity("timm a of runs/a", "0123456789", '{"size": 64}')
    with pytest.raises(ModelMismatchError, match=r"prepared by \{\"size\": 32\}"):
        check_same_model(one, larger)
    assert "the file of the gallery does not say" in check_same_model(one, None)
    with pytest.raises(ValueError, match="model: wanted what says which model it is, got"):
        ModelIdentity.from_dict({"name": "a"})


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_files_keep_it(tmp_path: Path, suffix: str) -> None:
    model = ModelIdentity("a", "0123456789", "{}", (1.0, 1.5))
    file = tmp_path / f"a{suffix}"
    EmbeddingSet(torch.eye(3), model=model).save(file)
    assert EmbeddingSet.load(file).model == model
    EmbeddingSet(torch.eye(3)).save(file)
    assert EmbeddingSet.load(file).model is None
    index = GalleryIndex.build(torch.eye(3), model=model)
    index.save(tmp_path / "index")
    found = GalleryIndex.load(tmp_path / "index")
    assert found.model == model
    found.search(torch.eye(3), 1, model=model)
    with pytest.raises(ModelMismatchError):
        found.search(torch.eye(3), 1, model=ModelIdentity("b", "other", "{}"))


def test_the_embeddings_of_a_run_and_of_embed_are_of_one_model(runs: dict[str, Path]) -> None:
    own = EmbeddingSet.load(runs["first"] / "embeddings.npz").model
    embedded = EmbeddingSet.load(runs["first"].with_suffix(".npz")).model
    assert own is not None
    assert check_same_model(own, embedded) == ""
    assert own.name == f"timm test_resnet of {runs['first']}"


def test_search_with_another_model(
    runs: dict[str, Path], photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = str(photos / "tool/c/4.png")
    assert suprank(query(runs, "--model", str(runs["first"]), "--image", image)) == 0
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("device: ")
    for words in (
        ["--model", str(runs["second"]), "--image", image],
        ["--embedding", str(runs["second"].with_suffix(".npz"))],
    ):
        assert suprank(query(runs, *words)) == 2
        shown = capsys.readouterr().err
        assert f"queries of timm test_resnet of {runs['second']}" in shown
        assert f"a gallery of timm test_resnet of {runs['first']}" in shown
        assert "--allow-other-model" in shown
        assert suprank(query(runs, *words, "--allow-other-model")) == 0
        assert "warning: compared although of two models" in capsys.readouterr().err


def test_evaluate_with_another_model(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(runs[name].with_suffix(".npz")) for name in ("first", "second")]
    words = ["evaluate", files[0], "--gallery", files[1], "--output", str(tmp_path)]
    assert suprank(words) == 2
    assert "model: wanted queries and gallery of one model" in capsys.readouterr().err
    assert suprank([*words, "--allow-other-model"]) == 0
    one, other = map(EmbeddingSet.load, map(Path, files))
    assert evaluate_embeddings(one, one, progress=False).note == ""
    with pytest.raises(ModelMismatchError):
        evaluate_embeddings(one, other, progress=False)


def test_files_from_before(
    runs: dict[str, Path], photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = EmbeddingSet.load(runs["first"].with_suffix(".npz"))
    build_index(EmbeddingSet(found.embeddings, found.labels, found.paths), tmp_path)
    about = json.loads((tmp_path / "index.json").read_text())
    for name in ("model", "index", "about"):
        del about[name]  # as it was written before
    (tmp_path / "index.json").write_text(json.dumps(about))
    words = ["search", "query", str(tmp_path), "--model", str(runs["second"]), "--top", "1"]
    with pytest.warns(UserWarning, match="of an older version, without checksums"):
        assert suprank([*words, "--image", str(photos / "tool/c/4.png")]) == 0
    assert "warning: the file of the gallery does not say which model" in capsys.readouterr().err


def test_an_index_of_several_scales_is_searched_with_them(
    runs: dict[str, Path], photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "scales.npz"
    words = [
        "embed",
        str(runs["first"]),
        str(photos),
        "--output",
        str(file),
        "--scales",
        "1",
        "1.5",
    ]
    assert suprank(words) == 0
    build_index(EmbeddingSet.load(file), tmp_path / "index")
    capsys.readouterr()
    words = ["search", "query", str(tmp_path / "index"), "--model", str(runs["first"])]
    assert suprank([*words, "--image", str(photos / "tool/c/4.png"), "--top", "1"]) == 0
    assert "1   1.0000  tool/c/4.png" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_only_what_was_found_is_listed(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = torch.Generator().manual_seed(0)
    count = 900
    points = torch.randn(count, 8, generator=generator)
    names = tuple(f"{number}.png" for number in range(count))
    gallery = EmbeddingSet(points, torch.arange(count)[:, None] % 3, names)
    build_index(gallery, tmp_path / "index", kind)
    gallery.save(tmp_path / "query.npz")
    _, scores, indices = search_index(tmp_path / "index", points[:2], 900)
    found = (indices >= 0).sum(1).tolist()
    assert all(0 < number < 900 for number in found)
    assert bool((scores[indices < 0] == -torch.inf).all())
    EmbeddingSet(points[:2]).save(tmp_path / "query.npz")
    words = ["search", "query", str(tmp_path / "index"), "--embedding", str(tmp_path / "query.npz")]
    assert suprank([*words, "--top", "900", "--output", str(tmp_path / "sheet.html")]) == 0
    shown = capsys.readouterr().out
    assert shown.count(".png") == sum(found)
    assert "-inf" not in shown
    assert f"{found[0]} of 900 found: {kind} searches a part of the gallery" in shown
    page = (tmp_path / "sheet.html").read_text()
    assert page.count("<figure") == sum(found) + 2
    last = torch.tensor([[0, -1]])
    queries = [Query("a query", None)]
    assert render_results(queries, gallery, torch.ones(1, 2), last).count("<figure") == 2
    assert render_picture(queries, gallery, last).getpixel((2 * 120 + 60, 60)) == (255, 255, 255)


def test_names_of_a_short_branch_do_not_repeat() -> None:
    nodes = (("fish", "cat"), ("fish", "mammals"), ("animals",))
    found = EmbeddingSet(torch.eye(2), torch.tensor([[0, 0, 0], [1, 1, 0]]), node_names=nodes)
    assert found.names(0) == ["fish", "animals"]
    assert found.names(1) == ["cat", "mammals", "animals"]
    assert EmbeddingSet(torch.eye(2)).names(0) == []


def test_a_damaged_identity(tmp_path: Path) -> None:
    import numpy as np

    about = np.array(json.dumps({"model": {"name": 3}}))
    np.savez(tmp_path / "a.npz", embeddings=np.eye(2, dtype=np.float32), about=about)
    with pytest.raises(
        EmbeddingError, match=r"a.npz: wanted a file of embeddings, got model: wanted"
    ):
        EmbeddingSet.load(tmp_path / "a.npz")
