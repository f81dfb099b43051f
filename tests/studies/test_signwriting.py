"""Symbols of SignWriting."""

import importlib.util
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("signwriting", reason="needs studies/requirements.txt")

from studies.data import signwriting_symbols
from studies.data.raster_images import RasterImages
from studies.data.signwriting_symbols import CATEGORIES, GROUPS, list_symbols
from studies.data.sources import load


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("signwriting")
    load("signwriting", folder, size=32, progress=False)
    return folder


@pytest.fixture(scope="module")
def parts(root: Path) -> dict[str | None, RasterImages]:
    return {
        split: load("signwriting", root, split, size=32)  # type: ignore[misc]
        for split in (None, "train", "test", "fit", "val")
    }


def test_the_alphabet_is_the_published_one() -> None:
    """The counts of the International SignWriting Alphabet 2010: 652 symbols, 30 groups, 7 categories."""
    symbols = list_symbols()
    assert len(set(symbols)) == len({name for _, _, name in symbols}) == 652
    assert list(dict.fromkeys(group for _, group, _ in symbols)) == list(GROUPS)
    assert list(dict.fromkeys(category for category, _, _ in symbols)) == list(CATEGORIES)
    per_category = Counter(category for category, _, _ in symbols)
    assert [per_category[name] for name in CATEGORIES] == [261, 242, 8, 110, 18, 8, 5]


def test_sizes_of_the_groups() -> None:
    """As the alphabet's own numbers have them, 01-01-001 to 01-01-014 for the first group of hands."""
    sizes = list(Counter(group for _, group, _ in list_symbols()).values())
    assert sizes[:10] == [14, 16, 38, 8, 58, 30, 22, 19, 40, 16]
    assert sizes[10:20] == [17, 20, 43, 16, 35, 30, 17, 30, 14, 20]
    assert sizes[20:] == [8, 11, 32, 17, 30, 20, 9, 9, 8, 5]


def test_names_fit_the_groups() -> None:
    words = {"Hands": "hand", "Straight Diagonal Plane": "diagonal"}
    for category, group, name in list_symbols():
        for place in (category, group):
            if place in words:
                assert words[place] in name, (group, name)
    assert list_symbols()[0] == ("Hands", "Index", "hand-fist index")
    assert ("Head and Face", "Mouth Lips", "mouth smile") in list_symbols()
    assert ("Punctuation", "Punctuation", "comma") in list_symbols()


def test_hierarchy(parts) -> None:
    tree = parts[None].hierarchy
    assert tree.level_names == ("symbol", "group", "category")
    assert [len(tree.node_names(level)) for level in range(3)] == [643, 30, 7]
    known = {name: (category, group) for category, group, name in list_symbols()}
    for symbol, group, category in tree.table.tolist():
        name = tree.node_names(0)[symbol]
        assert known[name] == (tree.node_names(2)[category], tree.node_names(1)[group])


@pytest.mark.parametrize(("one", "other"), [("train", "test"), ("fit", "val")])
def test_no_symbol_on_both_sides(parts, one: str, other: str) -> None:
    names = [set(parts[split].hierarchy.node_names(0)) for split in (one, other)]
    assert not names[0] & names[1]
    whole = parts[None if one == "train" else "train"]
    assert names[0] | names[1] == set(whole.hierarchy.node_names(0))
    assert len(names[1]) / len(names[0] | names[1]) == pytest.approx(0.4, abs=0.02)


@pytest.mark.parametrize("split", ["train", "test", "fit", "val"])
def test_every_query_has_a_positive(parts, split: str) -> None:
    counts = Counter(parts[split].labels[:, 0].tolist())
    assert len(counts) == len(parts[split].hierarchy)
    assert 2 <= min(counts.values()) <= max(counts.values()) <= 16


def test_images_of_a_class_differ_and_are_whole(parts) -> None:
    whole = parts[None]
    images = whole.rasters[list(whole.places)]
    assert images.min((1, 2)).max() < 128  # ink
    edges = (images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1])
    assert min(edge.min() for edge in edges) > 200
    seen = {
        (int(label), image.tobytes())
        for label, image in zip(whole.labels[:, 0], images, strict=True)
    }
    assert len(seen) == len(whole)


def test_sizes_within_a_group_are_kept(parts) -> None:
    whole = parts[None]
    size = {}
    for name in ("small", "large"):
        caption = f"movement-wallplane single straight {name}"
        places = [i for i, text in enumerate(whole.captions) if text == caption]
        ink = [np.asarray(whole.image(i))[..., 0] < 128 for i in places]
        size[name] = max(max(dark.any(0).sum(), dark.any(1).sum()) for dark in ink)
    assert size["small"] < size["large"]


def test_limit_and_seed(root: Path) -> None:
    small = load("signwriting", root, limit=3, size=32)
    assert len(small.hierarchy) == 90
    assert len(load("signwriting", root, "test", limit=3, size=32).hierarchy) > 20
    first, again, other = (load("signwriting", root, "val", seed=s, size=32) for s in (1, 1, 2))
    assert first.paths == again.paths
    assert first.hierarchy.node_names(0) != other.hierarchy.node_names(0)


def test_the_font_draws_what_the_paths_say(parts) -> None:
    """The right half of a pair of forms 0 and 8 is the left hand: the mirrored right one."""
    whole = parts[None]
    ink = {str(path): np.asarray(whole.image(i))[..., 0] for i, path in enumerate(whole.paths)}
    pairs = [(key, f"{key[:-1]}8") for key in ink if key.endswith("0") and f"{key[:-1]}8" in ink]
    hands = [(a, b) for a, b in pairs if int(a[1:4], 16) < 0x205]
    assert len(hands) > 20
    gaps = [np.abs(ink[a][:, ::-1].astype(float) - ink[b]).mean() for a, b in hands]
    plain = [np.abs(ink[a].astype(float) - ink[b]).mean() for a, b in hands]
    assert np.mean(gaps) < 0.7 * np.mean(plain)


def test_damaged_cache_is_made_again(root: Path) -> None:
    (path,) = root.iterdir()
    fresh = path.read_bytes()
    for damage in (fresh[:-500], fresh[:2000] + b"\0" + fresh[2001:], b""):
        path.write_bytes(damage)
        load("signwriting", root, size=32, progress=False)
        assert path.read_bytes() == fresh
    assert list(root.iterdir()) == [path]


def test_cache_is_used_and_named_by_the_version(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signwriting_symbols, "_draw_all", None)  # drawing again would fail
    load("signwriting", root, size=32, progress=False)
    monkeypatch.setattr(signwriting_symbols, "version", lambda name: "0")
    with pytest.raises(TypeError, match="not callable"):
        load("signwriting", root, size=32, progress=False)


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="split: wanted one of 'train', .*, got 'query'"):
        load("signwriting", tmp_path, "query")
    with pytest.raises(ValueError, match="size: wanted at least 16 pixels, got 8"):
        load("signwriting", tmp_path, size=8)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"signwriting is not .* -r studies/requirements.txt"):
        load("signwriting", tmp_path)
