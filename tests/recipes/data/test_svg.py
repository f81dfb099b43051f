"""Drawings are drawn, and read nothing but themselves."""

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("resvg_py", reason="needs the quickstart extra")

from pml_suprank.recipes.data.pictures import BrokenImageError, read_picture, readable_suffixes

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
WHITE = (255, 255, 255)


def drawing(path: Path, inside: str, size: str = 'width="20" height="10"') -> Path:
    path.write_text(f"{HEAD} {size}>{inside}</svg>")
    return path


def test_a_drawing_is_shown_on_the_background(tmp_path: Path) -> None:
    path = drawing(tmp_path / "a.SVG", '<rect width="10" height="10" fill="#ff0000"/>')
    image = read_picture(path)
    assert (image.mode, image.size) == ("RGB", (512, 256))
    assert (image.getpixel((100, 100)), image.getpixel((400, 100))) == ((255, 0, 0), WHITE)
    assert read_picture(path, "blue").getpixel((400, 100)) == (0, 0, 255)
    assert ".svg" in readable_suffixes()


def test_a_drawing_keeps_its_own_pictures(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), "lime").save(buffer, "PNG")
    link = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    path = drawing(tmp_path / "a.svg", f'<image xlink:href="{link}" width="10" height="10"/>')
    assert read_picture(path).getpixel((100, 100)) == (0, 255, 0)


@pytest.mark.parametrize("name", ["href", "xlink:href"])
@pytest.mark.parametrize("kind", ["absolute", "relative", "file", "entity", "nested"])
def test_a_drawing_reads_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str
) -> None:
    secret = tmp_path / "secret.png"
    Image.new("RGB", (8, 8), "red").save(secret)
    monkeypatch.chdir(tmp_path)
    link = {"absolute": str(secret), "relative": "secret.png", "file": f"file://{secret}"}.get(
        kind, "&e;"
    )
    inside = f'<image {name}="{link}" width="20" height="10"/>'
    path = tmp_path / "a.svg"
    if kind == "nested":
        own = f'{HEAD} width="20" height="10"><image href="{secret}" width="20" height="10"/></svg>'
        data = "data:image/svg+xml;base64," + base64.b64encode(own.encode()).decode()
        drawing(path, f'<image {name}="{data}" width="20" height="10"/>')
    elif kind == "entity":
        entity = f'<!DOCTYPE svg [<!ENTITY e "{secret}">]>'
        path.write_text(f'{entity}{HEAD} width="20" height="10">{inside}</svg>')
    else:
        drawing(path, inside)
    assert read_picture(path).getcolors() == [(512 * 256, WHITE)]


def test_an_external_entity_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    path = tmp_path / "a.svg"
    entity = f'<!DOCTYPE svg [<!ENTITY e SYSTEM "file://{tmp_path}/secret.txt">]>'
    path.write_text(f'{entity}{HEAD} width="9" height="9"><text>&e;</text></svg>')
    with pytest.raises(BrokenImageError, match="wanted SVG"):
        read_picture(path)


def doubling(first: str, group: str, part: str) -> str:
    """Nine groups, each of which shows the one before ten times."""
    groups = (f"<{group} id='a{i}'>{part.format(i - 1) * 10}</{group}>" for i in range(1, 9))
    return f"<{group} id='a0'>{first}</{group}>{''.join(groups)}"


BOMBS = {
    "use": doubling("<rect width='1' height='1'/>", "g", "<use href='#a{}'/>"),
    "pattern": doubling("", "pattern", "<rect fill='url(#a{})'/>"),
    "deep": "<g>" * 100_000 + "</g>" * 100_000,
}


@pytest.mark.parametrize("kind", list(BOMBS))
def test_a_small_file_does_not_become_enormous(tmp_path: Path, kind: str) -> None:
    with pytest.raises(BrokenImageError, match="elements|Recursion"):
        read_picture(drawing(tmp_path / "a.svg", BOMBS[kind]))


def test_a_bomb_of_entities(tmp_path: Path) -> None:
    entities = '<!ENTITY a0 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa">' + "".join(
        f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10)
    )
    path = tmp_path / "a.svg"
    path.write_text(
        f'<!DOCTYPE svg [{entities}]>{HEAD} width="9" height="9"><text>&a9;</text></svg>'
    )
    with pytest.raises(BrokenImageError):
        read_picture(path)


def test_a_drawing_that_shows_itself(tmp_path: Path) -> None:
    inside = '<g id="a"><use href="#a"/><rect width="20" height="10" fill="red"/></g>'
    assert read_picture(drawing(tmp_path / "a.svg", inside)).size == (512, 256)


def test_large_pictures_in_a_drawing(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("1", (11_000, 11_000)).save(buffer, "PNG")
    link = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    path = drawing(tmp_path / "a.svg", f'<image href="{link}" width="10" height="10"/>')
    with pytest.raises(BrokenImageError, match="wanted at most 100,000,000 pixels in a drawing"):
        read_picture(path)


@pytest.mark.parametrize("size", ['width="1e9" height="1e9"', 'viewBox="0 0 1 4"', ""])
def test_sizes(tmp_path: Path, size: str) -> None:
    path = drawing(tmp_path / "a.svg", "<rect width='1' height='4'/>", size)
    assert max(read_picture(path).size) == 512
    with pytest.raises(BrokenImageError, match="wanted SVG"):
        read_picture(drawing(path, "", 'width="0" height="0"'))


@pytest.mark.parametrize("text", ["", "no drawing", "<html/>", f"{HEAD}>", "\0\0"])
def test_what_is_no_drawing(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.svg").write_text(text)
    reason = r"ValueError: wanted SVG, got" if text else "an empty file"
    with pytest.raises(BrokenImageError, match=rf"a\.svg' \({reason}"):
        read_picture(tmp_path / "a.svg")
