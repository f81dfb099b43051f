"""Copies of images: found by their bytes, counted, dropped or refused, within and across the hold-out."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.recipes.data.duplicates import same_bytes, settle_copies
from pml_suprank.recipes.data.file_check import broken_files
from pml_suprank.recipes.data.images import ImageDataset
from tests.recipes.data.trees import picture

LONG = [b"x" * 20_000 + end for end in (b"1", b"2", b"33")]
"""Alike at their beginning, two of one size."""


def images(root: Path, **classes: str) -> ImageDataset:
    """Files "a1", "b", ... of classes; those of one letter have the same bytes."""
    names = list(classes)
    tree = Hierarchy.from_paths(names)
    paths, labels = [], []
    for label, name in enumerate(names):
        for file in classes[name].split():
            path = picture(root / name / f"{file}.png", shade=ord(file[0]))
            paths.append(path)
            labels.append(label)
    return ImageDataset(paths, tree.table[labels], tree)


def kept(parts: dict[str, ImageDataset]) -> dict[str, list[str]]:
    return {name: [path.stem for path in data.paths] for name, data in parts.items()}


@settings(deadline=None)
@given(contents=st.lists(st.binary(max_size=3) | st.sampled_from(LONG), max_size=9))
def test_groups_of_equal_content(
    tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]
) -> None:
    root = tmp_path_factory.mktemp("files")
    paths = [root / str(number) for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    wanted: dict[bytes, list[int]] = {}
    for index, content in enumerate(contents):
        wanted.setdefault(content, []).append(index)
    found = same_bytes([*paths, root / "missing"], progress=False)
    assert found == [group for group in wanted.values() if len(group) > 1]


def test_policies(tmp_path: Path) -> None:
    data = images(tmp_path, dog="a1 b a2 a3", cat="c d1", fox="d2 e")
    same, notes = settle_copies({"all": data}, progress=False)
    assert kept(same) == {"all": ["a1", "b", "a2", "a3", "c", "d1", "d2", "e"]}
    assert "3 images with the bytes of another one, 1 of them in two classes, such as" in notes[0]
    assert f"{data.paths[5]} = {data.paths[6]}" in notes[0]
    left, notes = settle_copies({"all": data}, "drop", progress=False)
    assert kept(left) == {"all": ["a1", "b", "c", "e"]}  # nobody knows what d shows
    assert notes[0].endswith("Left out: 4 images")
    with pytest.raises(ValueError, match="duplicates: wanted no image twice, got 3 images with"):
        settle_copies({"all": data}, "refuse", progress=False)
    with pytest.raises(ValueError, match="duplicates: wanted one of warn, drop, refuse, got 'x'"):
        settle_copies({"all": data}, "x", progress=False)
    whole = {"all": data.subset([0, 1, 4, 7])}
    for policy in ("warn", "drop", "refuse"):
        assert settle_copies(whole, policy, progress=False) == (whole, [])


def test_across_the_hold_out(tmp_path: Path) -> None:
    parts = {
        "train": images(tmp_path / "train", dog="a1 a2 b", cat="c f1"),
        "test": images(tmp_path / "test", cat="f2 e", dog="a3 a4 d"),  # numbered otherwise
    }
    _, notes = settle_copies(parts, progress=False)
    assert "4 images with the bytes of another one, 2 of them on both sides of train and test" in notes[0]  # fmt: skip
    assert "classes" not in notes[0]
    left, _ = settle_copies(parts, "drop", progress=False)
    assert kept(left) == {"train": ["b", "c"], "test": ["f2", "e", "a3", "d"]}


def test_files_are_looked_at_without_decoding(tmp_path: Path) -> None:
    data = images(tmp_path, dog="a b c d e")
    data.paths[0].unlink()
    data.paths[1].write_bytes(b"")
    data.paths[2].write_bytes(b"no image")
    data.paths[3].write_bytes(data.paths[3].read_bytes()[:-20])  # its pixels: only decoding tells
    found = broken_files(data, progress=False)
    assert [item.index for item in found] == [0, 1, 2]
    assert [item.reason for item in found[:2]] == ["no such file", "an empty file"]
    assert found[2].reason.startswith("UnidentifiedImageError")
    assert data.broken == {}
