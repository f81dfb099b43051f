"""Files of embeddings from anywhere show no picture from outside the folder of the images."""

import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from pml_suprank.recipes.embedding_set import EmbeddingSet
from pml_suprank.recipes.labelled_search import evaluate_embeddings
from pml_suprank.recipes.metric_tables import per_query
from pml_suprank.recipes.pages.results_page import Query, render_results
from pml_suprank.recipes.pages.thumbnails import file_thumbnail, no_image, tile


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "photos" / "a").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    Image.new("RGB", (9, 9), "red").save(tmp_path / "secret" / "x.png")
    Image.new("RGB", (9, 9), "blue").save(tmp_path / "photos" / "a" / "x.png")
    (tmp_path / "photos" / "link.png").symlink_to(tmp_path / "secret" / "x.png")
    (tmp_path / "photos" / "out").symlink_to(tmp_path / "secret")
    (tmp_path / "photos" / "inside.png").symlink_to(tmp_path / "photos" / "a" / "x.png")
    return tmp_path


def test_only_regular_files_below_the_root_are_shown(folder: Path) -> None:
    os.mkfifo(folder / "photos" / "pipe.png")
    secret = str(folder / "secret" / "x.png")
    own = ["a/x.png", "inside.png", "a/../a/x.png", str(folder / "photos" / "a" / "x.png")]
    other = ["../secret/x.png", secret, "link.png", "out/x.png", "a/../../secret/x.png", "..", "\0"]
    other += [f"../../{folder.name}/secret/x.png", "/dev/stdin", "pipe.png", "a", ""]
    paths = tuple(own + other)
    points = torch.eye(len(paths))
    EmbeddingSet(points, paths=paths, root=str(folder / "photos")).save(folder / "a.npz")
    found = EmbeddingSet.load(folder / "a.npz")
    assert [found.path(row) is not None for row in range(len(paths))] == [True] * 4 + [False] * 12
    assert tile(found, 4) == no_image("outside")
    assert "'../secret/x.png' lies outside of the folder of the images" in found.lost([0, 4])
    scores = torch.zeros(1, len(paths))
    indices = torch.arange(len(paths))[None]
    page = render_results([Query("", None)], found, scores, indices)
    assert file_thumbnail(folder / "secret" / "x.png") not in page
    assert page.count(file_thumbnail(folder / "photos" / "a" / "x.png")) == 4


def test_without_a_root_no_file_is_shown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = (str(folder / "secret" / "x.png"), "../secret/x.png")
    monkeypatch.chdir(folder / "photos")
    found = EmbeddingSet(torch.eye(2), paths=paths)
    assert [found.path(row) for row in range(2)] == [None, None]


def test_a_level_called_as_a_column_keeps_its_names_and_the_column() -> None:
    names = ("query", "path", "ndcg")
    labels = torch.tensor([[0, 0, 0], [1, 0, 0], [2, 1, 1], [0, 0, 0]])
    nodes = (("husky", "pug", "oak"), ("dog", "tree"), ("animal", "plant"))
    found = EmbeddingSet(
        torch.arange(12.0).reshape(4, 3) + 1,
        labels,
        paths=("a", "b", "c", "d"),
        level_names=names,
        node_names=nodes,
    )
    rows = per_query(evaluate_embeddings(found, progress=False))
    assert [row["query"] for row in rows] == [0, 1, 2, 3]
    assert [row["path"] for row in rows] == ["a", "b", "c", "d"]
    assert [row["query (level)"] for row in rows] == ["husky", "pug", "oak", "husky"]
    assert [row["path (level)"] for row in rows] == ["dog", "dog", "tree", "dog"]
    assert rows[2]["ndcg (level)"] == "plant"
    assert isinstance(rows[0]["ndcg"], float)
