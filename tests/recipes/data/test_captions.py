"""Captions of a folder, and images without one."""

from pathlib import Path

import pytest
from PIL import Image

from pml_suprank.recipes.data.captions import empty_note, name_in_words, with_captions
from pml_suprank.recipes.data.folder import load_folder

TEXTS = {"animal/Red_fox/a": "a fox\n in the  snow ", "animal/Red_fox/b": None, "thing/cup/a": " "}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in TEXTS.items():
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path)
        if text is not None:
            path.with_suffix(".txt").write_text(text, encoding="utf-8")
    return tmp_path


def test_the_names_of_the_classes(folder: Path) -> None:
    assert name_in_words("Red_fox--of  the-North") == "red fox of the north"
    data = load_folder(folder, caption_from="name")
    assert data.captions == ("red fox", "red fox", "cup")
    assert [(item.reason, item.count) for item in data.left_out] == [("files .txt", 2)]
    assert load_folder(folder).captions is None


def test_the_files_beside_the_images(folder: Path) -> None:
    data = load_folder(folder, caption_from="file")
    assert data.captions == ("a fox in the snow", "", "")
    assert data.left_out == ()
    note = empty_note(data, "images", "are left out")
    assert note.startswith("2 of 3 images have no caption and are left out, the first ")
    assert note.endswith("b.png'")
    whole = with_captions(data)
    assert whole.captions == ("a fox in the snow",)
    assert empty_note(whole, "images", "are left out") == ""


def test_what_is_no_text(folder: Path) -> None:
    (folder / "thing/cup/a.txt").write_bytes(b"caf\xe9")
    with pytest.raises(ValueError, match=r"a.txt: wanted UTF-8 text"):
        load_folder(folder, caption_from="file")
    with pytest.raises(ValueError, match="caption_from: wanted 'name' or 'file', got 'title'"):
        load_folder(folder, caption_from="title")
