"""Letters from the typefaces of pip packages."""

import importlib.util
import unicodedata
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fontTools", reason="needs studies/requirements.txt")
pytest.importorskip("fontpkg_amiri", reason="needs studies/requirements.txt")

from fontTools.ttLib import TTFont

from studies.data import glyph_rasters
from studies.data.glyph_fonts import Face, list_faces, open_face
from studies.data.glyph_letters import SCRIPTS, list_letters
from studies.data.glyph_rasters import draw_glyphs, load_glyph_rasters
from studies.data.raster_images import RasterImages
from studies.data.sources import load

FACES = {face.name: face for face in list_faces()}
LETTERS = list_letters()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("glyphs")
    load("glyphs", folder, size=32, progress=False)
    return folder


@pytest.fixture(scope="module")
def parts(root: Path) -> dict[str | None, RasterImages]:
    return {
        split: load("glyphs", root, split, size=32)  # type: ignore[misc]
        for split in (None, "train", "test", "fit", "val")
    }


def test_hierarchy(parts: dict[str | None, RasterImages]) -> None:
    tree = parts[None].hierarchy
    assert tree.level_names == ("glyph", "letter", "script")
    assert set(tree.node_names(2)) == set(SCRIPTS)
    row = {name: [tree.node_names(k)[n] for k, n in enumerate(nodes)] for name, nodes in zip(
        tree.node_names(0), tree.table.tolist(), strict=True)}  # fmt: skip
    for name, letter, script in (
        ("Latin e with acute, upper", "Latin e", "Latin"),
        ("Latin dotless i, lower", "Latin i", "Latin"),
        ("Latin o with stroke, lower", "Latin o", "Latin"),
        ("Greek sigma, lower, final", "Greek sigma", "Greek"),
        ("Cyrillic short i, upper", "Cyrillic i", "Cyrillic"),
        ("Hebrew kaf, final", "Hebrew kaf", "Hebrew"),
        ("Arabic alef with hamza above", "Arabic alef", "Arabic"),
        ("Thai ko kai", "Thai ko kai", "Thai"),
    ):
        assert row[name] == [name, letter, script]


def test_letters_are_single_letters_of_their_script() -> None:
    assert len({letter.glyph for letter in LETTERS}) == len(LETTERS)
    for letter in LETTERS:
        name = unicodedata.name(letter.char)
        assert name.startswith(letter.script.upper())
        assert ("CAPITAL" in name) == letter.glyph.endswith("upper")
        assert unicodedata.category(letter.char).startswith("L")
    assert not {"×", "÷", "Ĳ", "ŉ"} & {letter.char for letter in LETTERS}


@pytest.mark.parametrize(("one", "other"), [("train", "test"), ("fit", "val")])
def test_no_letter_and_no_typeface_on_both_sides(parts, one: str, other: str) -> None:
    left, right = parts[one], parts[other]
    assert not set(left.hierarchy.node_names(1)) & set(right.hierarchy.node_names(1))
    assert not set(left.sources) & set(right.sources)
    families = [{path.parts[0].rsplit(" ", 1)[0] for path in part.paths} for part in (left, right)]
    assert not families[0] & families[1]


def test_fit_and_val_are_parts_of_train(parts) -> None:
    letters, designs = set(parts["train"].hierarchy.node_names(1)), set(parts["train"].sources)
    for split in ("fit", "val"):
        assert set(parts[split].hierarchy.node_names(1)) <= letters
        assert set(parts[split].sources) <= designs


@pytest.mark.parametrize("split", ["train", "test", "fit", "val"])
def test_every_query_has_a_positive_and_every_script_is_there(parts, split: str) -> None:
    part = parts[split]
    counts = Counter(part.labels[:, 0].tolist())
    assert len(counts) == len(part.hierarchy)
    assert 2 <= min(counts.values()) <= max(counts.values()) <= 16
    assert set(part.hierarchy.node_names(2)) == set(SCRIPTS)


def test_sizes(parts) -> None:
    """Of the order that docs/data.md says, whatever the versions of the fonts."""
    assert 3000 <= len(parts["train"]) <= 8000
    assert 1000 <= len(parts["test"]) <= 4000
    assert len(parts["train"].hierarchy) > 300


def test_no_image_is_empty_cut_or_the_box_of_a_missing_glyph(parts) -> None:
    whole = parts[None]
    boxes = {}
    for face in FACES.values():
        font = open_face(face, 40)
        with TTFont(face.path, lazy=True) as file:
            unmapped = next(
                code for code in range(0xE000, 0xF8FF) if code not in file.getBestCmap()
            )
        boxes[face.name] = _cropped(font.getmask(chr(unmapped), mode="L"))
    by_letter = {letter.code: letter.char for letter in LETTERS}
    for index in np.random.default_rng(0).choice(len(whole), 1500, replace=False).tolist():
        pixels = np.asarray(whole.image(index))[..., 0]
        assert pixels.min() < 128
        edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert edge.min() == 255, whole.paths[index]
        name, code = whole.paths[index].parts
        drawn = _cropped(open_face(FACES[name], 40).getmask(by_letter[code], mode="L"))
        assert drawn is not None
        assert not np.array_equal(drawn, boxes[name]), whole.paths[index]


def _cropped(mask) -> np.ndarray | None:
    pixels = np.asarray(mask, dtype=np.uint8).reshape(mask.size[::-1])
    rows, columns = np.nonzero(pixels)
    if not len(rows):
        return None
    return pixels[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def test_no_two_designs_share_their_letters() -> None:
    """Else the same drawing could be on both sides of a split."""
    chars = "aegkQR&γδθЖдяאגשعهيअकठกฎฟ"
    looks: dict[str, dict[str, np.ndarray]] = {}
    for face in FACES.values():
        font = open_face(face, 60)
        with TTFont(face.path, lazy=True) as file:
            cmap = file.getBestCmap()
        owned = [c for c in chars if ord(c) in cmap and face.draws(_script(c))]
        looks[face.name] = {c: _look(font, c) for c in owned}
    names = list(looks)
    for place, one in enumerate(names):
        for other in names[place + 1 :]:
            common = sorted(set(looks[one]) & set(looks[other]))
            if FACES[one].design != FACES[other].design and len(common) > 2:
                gaps = [np.abs(looks[one][c] - looks[other][c]).mean() for c in common]
                assert np.mean(gaps) > 18, (one, other)


def _script(char: str) -> str:
    return unicodedata.name(char).split()[0].capitalize()


def _look(font, char: str) -> np.ndarray:
    image = Image.fromarray(_cropped(font.getmask(char, mode="L")))
    return np.asarray(image.resize((24, 24), Image.Resampling.BOX), dtype=float)


def test_what_looks_like_an_earlier_letter_is_left_out() -> None:
    """As the small letters of a font that has capitals only."""
    capital, small = LETTERS[0], replace(LETTERS[26], char=LETTERS[0].char)
    drawn = draw_glyphs(FACES["Arimo Regular"], [capital, small, LETTERS[1]], 32)
    assert [place for place, _ in drawn] == [0, 2]


def test_letters_of_a_face_differ_and_keep_their_size() -> None:
    drawn = {
        LETTERS[place].char: image
        for place, image in draw_glyphs(FACES["Arimo Regular"], LETTERS, 64)
    }
    height = {c: int((drawn[c] < 128).any(1).sum()) for c in "oOpÉ"}
    assert height["o"] < height["O"] < height["É"]
    bottom = {c: int(np.nonzero((drawn[c] < 128).any(1))[0].max()) for c in "xXp"}
    assert abs(bottom["x"] - bottom["X"]) <= 1 < bottom["p"] - bottom["x"]
    own = [
        drawn[letter.char].tobytes()
        for letter in LETTERS
        if letter.char in drawn and letter.script == "Latin"
    ]
    assert len(set(own)) == len(own)


def test_a_font_named_for_a_script_draws_that_script_alone() -> None:
    drawn = draw_glyphs(FACES["Noto Sans Thai Regular"], LETTERS, 32)
    assert {LETTERS[place].script for place, _ in drawn} == {"Thai"}


def test_licences_are_free() -> None:
    assert {face.licence for face in FACES.values()} == {"OFL-1.1", "Apache-2.0", "Bitstream Vera"}
    assert len({face.family for face in FACES.values()}) == 81


def test_limit_and_seed(root: Path) -> None:
    small = load("glyphs", root, limit=3, size=32)
    assert set(Counter(small.hierarchy.table[:, 1].tolist())) == set(range(21))
    train, test = (load("glyphs", root, split, limit=6, size=32) for split in ("train", "test"))
    assert not set(train.hierarchy.node_names(1)) & set(test.hierarchy.node_names(1))
    first, again, other = (load("glyphs", root, "test", seed=s, size=32) for s in (1, 1, 2))
    assert first.paths == again.paths
    assert np.array_equal(np.asarray(first.image(7)), np.asarray(again.image(7)))
    assert first.hierarchy.node_names(1) != other.hierarchy.node_names(1)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-500])


def _flip_a_pixel(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0xFF
    path.write_bytes(bytes(content))


def _other_content(path: Path) -> None:
    np.savez(
        path, images=np.zeros((3, 24, 24), np.uint8), face=np.zeros(3, int), letter=np.zeros(2, int)
    )


FEW: list[Face] = [FACES["Arimo Regular"], FACES["Lobster Regular"]]


@pytest.mark.parametrize("damage", [_truncate, _flip_a_pixel, _other_content, Path.unlink])
def test_damaged_cache_is_made_again(tmp_path: Path, damage) -> None:
    fresh = load_glyph_rasters(FEW, LETTERS[:52], 24, tmp_path, progress=False)
    (path,) = tmp_path.iterdir()
    damage(path)
    again = load_glyph_rasters(FEW, LETTERS[:52], 24, tmp_path, progress=False)
    assert set(fresh) == set(again)
    assert all(np.array_equal(fresh[key], again[key]) for key in fresh)
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_cache_is_used_and_named_by_the_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = load_glyph_rasters(FEW, LETTERS[:52], 24, tmp_path, progress=False)
    with monkeypatch.context() as patch:
        patch.setattr(glyph_rasters, "draw_glyphs", None)  # drawing again would fail
        again = load_glyph_rasters(FEW, LETTERS[:52], 24, tmp_path, progress=False)
    assert np.array_equal(fresh["images"], again["images"])
    monkeypatch.setattr(glyph_rasters, "font_versions", lambda: {"fontpkg-arimo": "0"})
    load_glyph_rasters(FEW, LETTERS[:52], 24, tmp_path, progress=False)
    assert len(list(tmp_path.iterdir())) == 2


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "fontpkg_lora" else find(name)
    )
    with pytest.raises(ImportError, match=r"fontpkg_lora is not .* -r studies/requirements.txt"):
        load("glyphs", tmp_path)
    with pytest.raises(ValueError, match="split: wanted one of 'train', .*, got 'query'"):
        load("glyphs", tmp_path, "query")
    with pytest.raises(ValueError, match="size: wanted at least 8 pixels, got 4"):
        load_glyph_rasters(FEW, LETTERS, 4, tmp_path)
