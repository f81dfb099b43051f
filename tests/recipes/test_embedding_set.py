"""Files of embeddings: what is saved comes back, and what is wrong is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pml_suprank.recipes.embedding_set import EmbeddingError, EmbeddingSet
from tests.damage import damaged

POINTS = torch.arange(12.0).reshape(4, 3)


def example(**changes: Any) -> EmbeddingSet:
    values: dict[str, Any] = {
        "embeddings": POINTS,
        "labels": torch.tensor([[0, 0], [1, 0], [2, 1], [0, 0]]),
        "paths": ("a.png", "b.png", "ü/c.png", "d.png"),
        "level_names": ("species", "genus"),
        "node_names": (("husky", "pug", "oak"), ("dog", "tree")),
        "root": "photos",
    }
    return EmbeddingSet(**(values | changes))


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_round_trip(suffix: str, tmp_path: Path) -> None:
    pytest.importorskip("safetensors", reason="needs the recipes extra")
    bare = {name: None for name in ("labels", "paths", "level_names", "node_names")}
    for number, item in enumerate(
        [example(), example(embeddings=POINTS.half()), example(**bare, root="")]
    ):
        item.save(tmp_path / f"{number}{suffix}")
        found = EmbeddingSet.load(tmp_path / f"{number}{suffix}")
        assert torch.equal(found.embeddings, item.embeddings)
        assert found.embeddings.dtype == item.embeddings.dtype
        for name in ("paths", "level_names", "node_names", "root"):
            assert getattr(found, name) == getattr(item, name)
        assert (found.labels is None) == (item.labels is None)
        if item.labels is not None:
            assert torch.equal(found.labels, item.labels)
            assert found.class_name(2) == "oak"
            assert found.class_name(1, 1) == "dog"


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_any_damage_is_noticed(suffix: str, tmp_path: Path) -> None:
    pytest.importorskip("safetensors", reason="needs the recipes extra")
    path = tmp_path / f"a{suffix}"
    example().save(path)
    silent = []
    for damage in damaged(path):
        try:
            EmbeddingSet.load(path)
        except EmbeddingError:
            continue
        silent.append(damage)
    assert silent == []
    assert torch.equal(EmbeddingSet.load(path).embeddings, POINTS)


def test_a_file_from_before_checksums_is_read_with_a_warning(tmp_path: Path) -> None:
    about = np.array(json.dumps({"paths": ["a", "b", "c", "d"]}))
    np.savez(tmp_path / "a.npz", embeddings=POINTS.numpy(), about=about)
    with pytest.warns(UserWarning, match=r"a.npz is of an older version, without a checksum"):
        assert EmbeddingSet.load(tmp_path / "a.npz").paths == ("a", "b", "c", "d")


@pytest.mark.parametrize(
    ("content", "arrays", "message"),
    [
        ([], {}, "wanted a file of embeddings"),
        ({"paths": "abcd"}, {}, "paths: wanted a list of texts, got 'abcd'"),
        ({"paths": [1, 2, 3, 4]}, {}, "paths: wanted a list of texts"),
        ({"level_names": {"a": 1}}, {}, "level_names: wanted a list of texts"),
        ({"node_names": [[1]]}, {}, "node_names: wanted a list of texts"),
        ({"root": 3}, {}, "root: wanted text, got int"),
        ({"model": 3}, {}, "model: wanted what says which model it is"),
        ({}, {"labels": np.zeros(4)}, "labels: wanted integers, got torch.float64"),
        ({}, {"labels": np.array(3)}, "wanted a file of embeddings"),
        ({}, {"embeddings": np.array(["a"])}, "wanted a file of embeddings"),
    ],
)
def test_malformed_files(
    content: Any, arrays: dict[str, Any], message: str, tmp_path: Path
) -> None:
    kept = {"embeddings": POINTS.numpy(), "about": np.array(json.dumps(content))} | arrays
    np.savez(tmp_path / "a.npz", **kept)
    with pytest.raises(EmbeddingError, match=f"a.npz: .*{message}"):
        EmbeddingSet.load(tmp_path / "a.npz")


def test_files_of_others(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", embeddings=POINTS.numpy(), labels=np.array([3, 1, 2, 1]))
    found = EmbeddingSet.load(tmp_path / "a.npz")
    assert found.labels.tolist() == [[3], [1], [2], [1]]
    assert found.class_name(0) == "3"
    assert found.names_of_levels() == ("level_0",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"embeddings": torch.zeros(4)}, r"embeddings: wanted \[N, D\], got \[4\]"),
        ({"embeddings": torch.zeros(4, 3).long()}, "embeddings: wanted floating point"),
        (
            {"embeddings": POINTS / torch.tensor([1.0, 0, 1])},
            r"wanted finite rows, got others at \[0, 1, 2, 3\]",
        ),
        ({"paths": ("a",)}, "paths: wanted 4, one for each row, got 1"),
        (
            {"labels": torch.zeros(3, 2).long()},
            r"labels: wanted int64 \[4, L\], got torch.int64 \[3, 2\]",
        ),
        ({"labels": torch.zeros(4, 2)}, "labels: wanted int64"),
        ({"level_names": ("a",)}, "level_names: wanted 2, one for each level, got 1"),
        ({"labels": torch.full((4, 2), 2)}, r"labels: wanted 0..1 at level 1, got others"),
    ],
)
def test_what_does_not_fit(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(EmbeddingError, match=message):
        example(**changes)


def test_wrong_files(tmp_path: Path) -> None:
    with pytest.raises(
        EmbeddingError, match=r"wanted a file \*.npz or \*.safetensors, got .*a.txt"
    ):
        example().save(tmp_path / "a.txt")
    with pytest.raises(EmbeddingError, match="got no such file"):
        EmbeddingSet.load(tmp_path / "a.npz")
    example().save(tmp_path / "a.npz")
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:200])
    with pytest.raises(EmbeddingError, match=r"a.npz: wanted a file of embeddings, got"):
        EmbeddingSet.load(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", features=POINTS.numpy())
    with pytest.raises(
        EmbeddingError, match=r"wanted an array named embeddings, got \['features'\]"
    ):
        EmbeddingSet.load(tmp_path / "b.npz")


def test_labels_from_a_table(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text(
        "genus,species,path\ntree,oak,ü/c.png\ndog,pug,b.png\ndog,husky,a.png\ndog,husky,d.png\n"
    )
    found = example(labels=None, level_names=None, node_names=None).with_labels(
        table, ["species", "genus"]
    )
    assert [found.class_name(row) for row in range(4)] == ["husky", "pug", "oak", "husky"]
    assert [found.class_name(row, 1) for row in range(4)] == ["dog", "dog", "tree", "dog"]
    bare = EmbeddingSet(POINTS)
    assert (
        bare.with_labels(table, ["species"]).class_name(0) == "oak"
    )  # without paths the order says which
    with pytest.raises(EmbeddingError, match=r"wanted the columns \['kind'\]"):
        bare.with_labels(table, ["kind"])
    with pytest.raises(EmbeddingError, match="wanted 2 rows, one for each embedding, got 4"):
        EmbeddingSet(POINTS[:2]).with_labels(table, ["species"])
    with pytest.raises(
        EmbeddingError, match=r"wanted a row for each path, got none for \['e.png'\]"
    ):
        example(paths=("e.png", "b.png", "a.png", "d.png")).with_labels(table, ["species"])
    with pytest.raises(EmbeddingError, match=r"labels.csv: .* got 'dog' of 'genus' under 'pug', "):
        example().with_labels(table)  # the coarsest level first
    table.write_text("species;genus;path\nhusky;dog;a.png\nhusky;dog;a.png\npug;dog;b.png\n;tree;ü/c.png\n"
                     "pug;dog;d.png\n", encoding="utf-16")  # fmt: skip
    found = example().with_labels(table)
    assert [found.names(row) for row in range(4)] == [
        ["husky", "dog"], ["pug", "dog"], ["tree"], ["pug", "dog"]
    ]  # fmt: skip
    for rows, message in (
        ("a.png,husky,dog\na.png,pug,dog\n", "line 3: wanted one class for each path, got 'a.png'"),
        ("a.png,husky\n", "line 2: wanted 3 cells, got 2"),
        ("a.png,husky,\n", "line 2: wanted empty cells at the finest levels only"),
    ):
        table.write_text("path,species,genus\n" + rows)
        with pytest.raises(EmbeddingError, match=message):
            example().with_labels(table)
    with pytest.raises(EmbeddingError, match="labels: wanted a CSV file"):
        bare.with_labels(tmp_path / "none.csv")
