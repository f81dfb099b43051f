"""Photographs of solar cells, of a small package of the same form and, where it is installed, of the true one."""

import importlib.util
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studies.data.elpv import LICENCE
from studies.data.sources import load

PROBABILITIES = ("0.0", "0.3333333333333333", "0.6666666666666666", "1.0")
COUNTS = {"mono": (12, 8, 4, 6), "poly": (10, 6, 4, 8)}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package ``elpv_dataset`` that is found first; the grey of an image is the number of its cell."""
    folder = tmp_path / "elpv_dataset"
    (folder / "data" / "images").mkdir(parents=True)
    (folder / "__init__.py").touch()
    lines = []
    for kind, counts in COUNTS.items():
        for probability, count in zip(PROBABILITIES, counts, strict=True):
            for _ in range(count):
                name = f"images/cell{len(lines) + 1:04d}.png"
                grey = np.full((30, 30), len(lines), dtype=np.uint8)
                Image.fromarray(grey).save(folder / "data" / name)
                lines.append(f"{name}  {probability:20}{kind}")
    (folder / "data" / "labels.csv").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def test_the_tree_is_the_questions_that_were_asked(package: Path) -> None:
    tree = load("elpv", None).hierarchy
    assert tree.level_names == ("kind", "grade", "verdict")
    assert tree.node_names(2) == ("functional", "defective")
    above = {
        tree.node_names(0)[kind]: (tree.node_names(1)[grade], tree.node_names(2)[verdict])
        for kind, grade, verdict in tree.table.tolist()
    }
    assert len(above) == 8
    assert above["perhaps defective, mono"] == ("perhaps defective", "defective")
    assert above["perhaps defective, poly"] == ("perhaps defective", "defective")
    assert above["perhaps functional, poly"] == ("perhaps functional", "functional")


def test_labels_are_those_of_the_table(package: Path) -> None:
    data = load("elpv", None)
    lines = (package / "data" / "labels.csv").read_text().splitlines()
    assert len(data) == len(lines) == 58
    for place in range(len(lines)):
        name, probability, own = lines[place].split()
        assert data.paths[place] == package / "data" / name
        assert data.captions is not None
        kind, grade, verdict = data.labels[place].tolist()
        assert data.captions[place] == data.hierarchy.node_names(0)[kind]
        assert data.captions[place].endswith(own)
        assert grade == PROBABILITIES.index(probability)
        assert verdict == (float(probability) > 0.5)
        image = data.image(place)
        assert image.mode == "RGB"
        assert image.getpixel((3, 3)) == (place, place, place)
    assert data.credits == {"elpv": LICENCE}


@pytest.mark.parametrize(("whole", "one", "other"), [(None, "train", "test"), ("train", "fit", "val")])  # fmt: skip
def test_halves_of_every_kind(package: Path, whole: str | None, one: str, other: str) -> None:
    every, first, second = (load("elpv", None, split) for split in (whole, one, other))
    assert not set(first.paths) & set(second.paths)
    assert set(first.paths) | set(second.paths) == set(every.paths)
    counts = [Counter(data.labels[:, 0].tolist()) for data in (every, first, second)]
    assert all(abs(counts[1][kind] - counts[0][kind] / 2) <= 1 for kind in range(8))
    assert all(counts[2][kind] >= 1 for kind in range(8))


def test_a_seed_draws_other_halves(package: Path) -> None:
    first, again, other = (load("elpv", None, "val", seed=seed).paths for seed in (1, 1, 2))
    assert first == again
    assert set(first) != set(other)


def test_limit_is_of_every_kind_evenly_spaced(package: Path) -> None:
    small = load("elpv", None, limit=3)
    assert Counter(small.labels[:, 0].tolist()) == dict.fromkeys(range(8), 3)
    names = [path.stem for path in small.paths[:3]]
    assert names == [
        "cell0001",
        "cell0007",
        "cell0012",
    ]  # the first, the middle, the last of twelve


@pytest.mark.parametrize(
    "line", ["images/cell0001.png 0.5 mono", "images/cell0001.png 0.0 thin", "cell 1.3333 poly", "x"]
)  # fmt: skip
def test_another_table_is_refused(package: Path, line: str) -> None:
    (package / "data" / "labels.csv").write_text(f"images/cell0001.png 0.0 mono\n{line}\n")
    with pytest.raises(ValueError, match=rf"labels.csv, line 2: wanted a file, .*, got '{line}'"):
        load("elpv", None)


def test_what_is_missing_is_named(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="split: wanted one of 'train', .*, got 'query'"):
        load("elpv", None, "query")
    with pytest.raises(ValueError, match="limit: wanted at least 1, got 0"):
        load("elpv", None, limit=0)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"elpv_dataset is not .* -r studies/requirements.txt"):
        load("elpv", None)


def test_the_counts_of_the_true_package() -> None:
    """Those of the authors' table: 1,508 functional and 715 defective cells that the expert was sure of."""
    pytest.importorskip("elpv_dataset", reason="needs studies/requirements.txt")
    data = load("elpv", None)
    assert len(data) == 2624
    assert Counter(data.labels[:, 1].tolist()) == {0: 1508, 1: 295, 2: 106, 3: 715}
    assert Counter(name.split(", ")[1] for name in data.captions or ()) == {
        "mono": 1074,
        "poly": 1550,
    }
    assert data.image(0).size == (300, 300)
    assert [len(load("elpv", None, split)) for split in ("train", "test", "fit", "val")] == [
        1312,
        1312,
        656,
        656,
    ]
