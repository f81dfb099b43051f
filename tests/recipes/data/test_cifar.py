import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import datasets

from pml_suprank.recipes.data.cifar import load_cifar100
from pml_suprank.recipes.data.pickles import load_plain_pickle
from tests.recipes.data.trees import names

META = {
    "fine_label_names": ["apple", "aquarium_fish", "baby"],
    "coarse_label_names": ["people", "fish", "fruit"],
}


def batch(fine: list[int], seed: int) -> dict:
    generator = np.random.default_rng(seed)
    coarse = [{0: 2, 1: 1, 2: 0}[label] for label in fine]
    return {
        "filenames": [f"image_{seed}_{i}.png" for i in range(len(fine))],
        "batch_label": "training batch 1 of 1",
        "fine_labels": fine,
        "coarse_labels": coarse,
        "data": generator.integers(0, 256, (len(fine), 3072), dtype=np.uint8),
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    base = tmp_path / "cifar-100-python"
    base.mkdir()
    contents = {"meta": META, "train": batch([2, 0, 1, 0], 1), "test": batch([1, 0, 2], 2)}
    for name, content in contents.items():
        (base / name).write_bytes(pickle.dumps(content, protocol=2))
    return tmp_path


def test_cifar100(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, test = load_cifar100(root), load_cifar100(root / "cifar-100-python", "test")
    assert data.hierarchy.level_names == ("class", "super_class")
    assert data.labels[:, 0].tolist() == [2, 0, 1, 0]
    assert [names(data, i) for i in range(2)] == [("baby", "people"), ("apple", "fruit")]
    assert data.hierarchy == test.hierarchy
    assert [str(path) for path in data.paths][:2] == ["image_1_0.png", "image_1_1.png"]

    monkeypatch.setattr(datasets.CIFAR100, "_check_integrity", lambda self: True)
    monkeypatch.setattr(datasets.CIFAR100, "_load_meta", lambda self: None)
    known = datasets.CIFAR100(root, train=True)
    for index in range(4):
        assert np.array_equal(np.asarray(data[index][0]), np.asarray(known[index][0]))
        assert data.with_transform(None)[index][1][0] == known[index][1]


def test_subset(root: Path) -> None:
    data = load_cifar100(root, return_index=True)
    part = data.subset([3, 1])
    assert np.array_equal(np.asarray(part[0][0]), np.asarray(data[3][0]))
    assert torch.equal(part.labels, data.labels[[3, 1]])


def test_errors(root: Path) -> None:
    with pytest.raises(ValueError, match="split: wanted one of 'train', 'test', got 'valid'"):
        load_cifar100(root, "valid")
    base = root / "cifar-100-python"
    content = batch([0], 3)
    (base / "test").write_bytes(pickle.dumps({**content, "data": content["data"][:, :5]}))
    with pytest.raises(ValueError, match=r"test: wanted data uint8 \[1, 3072\], got uint8 \[1, 5"):
        load_cifar100(root, "test")
    (base / "test").write_bytes(pickle.dumps({"labels": []}))
    with pytest.raises(ValueError, match="wanted the entries of CIFAR-100, got no 'data'"):
        load_cifar100(root, "test")
    (base / "test").write_bytes((base / "train").read_bytes()[:200])
    with pytest.raises(ValueError, match="test: wanted a pickle of plain data, got"):
        load_cifar100(root, "test")
    (base / "meta").unlink()
    with pytest.raises(FileNotFoundError, match=r"root: wanted '.*meta', got no such file"):
        load_cifar100(root)


class Harmful:
    def __reduce__(self):
        return (eval, ("1 + 1",))


@pytest.mark.parametrize("content", [Harmful(), np.testing.assert_equal, Path("x"), np.load])
def test_a_pickle_runs_nothing(tmp_path: Path, content: object) -> None:
    (tmp_path / "p").write_bytes(pickle.dumps([1, content]))
    with pytest.raises(ValueError, match="wanted plain data and NumPy arrays, got "):
        load_plain_pickle(tmp_path / "p")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_pickles(tmp_path: Path, protocol: int) -> None:
    content = {"a": np.arange(6).reshape(2, 3), "b": [np.float32(2.5), {1, 2}], "c": (b"x", "é")}
    (tmp_path / "p").write_bytes(pickle.dumps(content, protocol=protocol))
    found = load_plain_pickle(tmp_path / "p")
    assert np.array_equal(found.pop("a"), content.pop("a"))
    assert found == content
