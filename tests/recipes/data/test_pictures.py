"""What the one loader of pictures shows, mode by mode, against arrays that are known."""

import io
import os
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, ImageCms, features

from pml_suprank import Hierarchy
from pml_suprank.recipes.data import pictures
from pml_suprank.recipes.data.file_check import broken_files
from pml_suprank.recipes.data.images import ImageDataset
from pml_suprank.recipes.data.pictures import (
    BrokenImageError,
    as_shown,
    check_background,
    check_ends,
    format_note,
    read_picture,
    readable_suffixes,
)

GENERATOR = np.random.default_rng(0)
RGB = GENERATOR.integers(0, 256, (5, 7, 3), dtype=np.uint8)
ALPHA = GENERATOR.integers(0, 256, (5, 7), dtype=np.uint8)
RED = (255, 0, 0)


def has(feature: str) -> bool:
    """Whether this Pillow can read a format; older ones do not know all names."""
    return feature in features.get_supported()


def pixels(image: Image.Image) -> np.ndarray:
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


def on(background: tuple[int, int, int], colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colours with alpha on a background, by the formula."""
    share = alpha[..., None] / 255
    return colours * share + np.array(background) * (1 - share)


def grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(np.asarray(values)[..., None], 3, axis=2)


def near(image: Image.Image, wanted: np.ndarray, most: float = 1.0) -> None:
    assert np.abs(pixels(image) - wanted).max() <= most


@pytest.mark.parametrize(
    ("background", "colour"), [("white", (255,) * 3), ("black", (0,) * 3), ("#ff0000", RED)]
)
@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_rgba_is_shown_on_the_background(
    tmp_path: Path, suffix: str, background: str, colour: tuple[int, int, int]
) -> None:
    path = tmp_path / f"a.{suffix}"
    options = {"lossless": True, "exact": True} if suffix == "webp" else {}
    Image.fromarray(np.dstack([RGB, ALPHA])).save(path, **options)
    near(read_picture(path, background), on(colour, RGB, ALPHA))


def test_a_transparent_picture_is_white_by_default(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(tmp_path / "a.png")
    assert (pixels(read_picture(tmp_path / "a.png")) == 255).all()


@pytest.mark.parametrize("mode", ["LA", "La", "PA", "RGBa"])
def test_other_modes_with_alpha(mode: str) -> None:
    image = Image.fromarray(np.dstack([RGB, ALPHA]))
    if mode == "La":
        image = image.convert("LA")
    if mode == "PA":
        image = Image.new("PA", (7, 5))
        image.putpalette([value for i in range(256) for value in (i, 255 - i, 7)])
        image.im.putband(Image.fromarray(RGB[..., 0]).im, 0)
        image.im.putband(Image.fromarray(ALPHA).im, 1)
        index = RGB[..., 0].astype(int)
        colours = np.dstack([index, 255 - index, np.full_like(index, 7)])
    elif mode == "RGBa":
        colours = RGB.astype(float)
        image = image.convert(mode)
    else:
        image = image.convert("LA")
        colours = grey(np.asarray(image)[..., 0])
        image = image.convert(mode)
    assert image.mode == mode
    # premultiplied colours of small alpha have lost bits
    near(as_shown(image, "red"), on(RED, colours, ALPHA), 3 if mode in ("La", "RGBa") else 1)


@pytest.mark.parametrize("transparency", [2, bytes([255, 128, 0, 10])])
def test_palettes_with_transparency(tmp_path: Path, transparency: int | bytes) -> None:
    index = GENERATOR.integers(0, 4, (5, 7), dtype=np.uint8)
    table = np.array([(250, 10, 20), (5, 200, 30), (0, 0, 0), (70, 80, 90)], dtype=np.uint8)
    image = Image.fromarray(index).convert("P")
    image.putpalette(table.flatten().tolist())
    image.putdata(index.flatten().tolist())
    image.save(tmp_path / "a.png", transparency=transparency, optimize=False)
    with Image.open(tmp_path / "a.png") as found:
        assert found.mode == "P"
        assert type(found.info["transparency"]) is type(transparency)
    known = [255, 255, 0, 255] if isinstance(transparency, int) else list(transparency)
    near(read_picture(tmp_path / "a.png"), on((255,) * 3, table[index], np.array(known)[index]))
    image.save(tmp_path / "b.png")
    near(read_picture(tmp_path / "b.png"), table[index], 0)


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_one_transparent_colour(tmp_path: Path, mode: str) -> None:
    image = Image.new(mode, (4, 2), 0)
    image.paste({"1": 1, "L": 200, "RGB": (9, 8, 7)}[mode], (2, 0, 4, 2))
    image.save(tmp_path / "a.png", transparency={"1": 0, "L": 0, "RGB": (0, 0, 0)}[mode])
    found = pixels(read_picture(tmp_path / "a.png", "red"))
    assert (found[:, :2] == RED).all()
    shade = {"1": (255,) * 3, "L": (200,) * 3, "RGB": (9, 8, 7)}[mode]
    assert (found[:, 2:] == shade).all()


def test_a_transparent_colour_of_16_bits(tmp_path: Path) -> None:
    values = np.array([[0, 1000, 30000, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    write_chunk(tmp_path / "a.png", b"tRNS", (1000).to_bytes(2, "big"))
    found = pixels(read_picture(tmp_path / "a.png", "red"))
    assert found[0].tolist() == [[0] * 3, list(RED), [117] * 3, [255] * 3]
    write_rgb16(tmp_path / "b.png", [(0x1234, 0x5678, 0x9ABC), (0x3456, 0, 65535)])
    write_chunk(tmp_path / "b.png", b"tRNS", bytes.fromhex("123456789abc"))
    found = pixels(read_picture(tmp_path / "b.png", "blue"))
    assert found[0].tolist() == [[0, 0, 255], [0x34, 0, 255]]


def write_chunk(path: Path, name: bytes, content: bytes) -> None:
    """Put a chunk behind the header of a PNG."""
    whole = path.read_bytes()
    crc = zlib.crc32(name + content).to_bytes(4, "big")
    chunk = len(content).to_bytes(4, "big") + name + content + crc
    path.write_bytes(whole[:33] + chunk + whole[33:])


def write_rgb16(path: Path, colours: list[tuple[int, int, int]]) -> None:
    """A PNG of one row with 16 bits per colour, which Pillow does not write."""
    Image.new("RGB", (len(colours), 1)).save(path)
    header = path.read_bytes()[:33]
    body = b"IHDR" + header[16:24] + bytes([16, 2, 0, 0, 0])
    row = b"\0" + b"".join(value.to_bytes(2, "big") for colour in colours for value in colour)
    parts = [(b"IDAT", zlib.compress(row)), (b"IEND", b"")]
    out = header[:12] + body + zlib.crc32(body).to_bytes(4, "big")
    for name, content in parts:
        crc = zlib.crc32(name + content).to_bytes(4, "big")
        out += len(content).to_bytes(4, "big") + name + content + crc
    path.write_bytes(out)


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm", "jp2"])
def test_16_bits(tmp_path: Path, suffix: str) -> None:
    if suffix == "jp2" and not has("jpg_2000"):
        pytest.skip("this Pillow has no JPEG 2000")
    values = np.linspace(0, 65535, 35).reshape(5, 7).astype(np.uint16)
    path = tmp_path / f"a.{suffix}"
    if suffix == "pgm":
        path.write_bytes(b"P5 7 5 65535\n" + values.astype(">u2").tobytes())
    else:
        Image.fromarray(values).save(path, **({"irreversible": False} if suffix == "jp2" else {}))
    near(read_picture(path), grey(values / 257), 0.51)


def test_16_bits_of_a_dark_picture_stay_dark(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 257 * 9, dtype=np.uint16)).save(tmp_path / "a.png")
    assert (pixels(read_picture(tmp_path / "a.png")) == 9).all()


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B"])
def test_16_bits_in_memory(mode: str) -> None:
    values = np.linspace(0, 65535, 35).reshape(5, 7).astype(">u2" if mode[-1] == "B" else "<u2")
    image = Image.frombytes(mode, (7, 5), values.tobytes())
    near(as_shown(image), grey(values.astype(float) / 257), 0.51)


def test_16_bits_big_endian_tiff(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 35).reshape(5, 7).astype(">u2")
    Image.frombytes("I;16B", (7, 5), values.tobytes()).save(tmp_path / "a.tif")
    near(read_picture(tmp_path / "a.tif"), grey(values.astype(float) / 257), 0.51)


def test_32_bits(tmp_path: Path) -> None:
    def shown(values: np.ndarray) -> Image.Image:
        Image.fromarray(values.astype(np.int32)).save(tmp_path / "a.tif")
        return read_picture(tmp_path / "a.tif")

    steps = np.arange(35).reshape(5, 7)
    near(shown(steps * 7), grey(steps * 7), 0)  # an 8-bit picture in 32 bits
    near(shown(steps * 100_000 - 500_000), grey(steps / 34 * 255), 0.51)
    near(shown(steps * 0 + 70_000), grey(steps * 0 + 255), 0)


def test_floating_point(tmp_path: Path) -> None:
    def shown(values: np.ndarray) -> Image.Image:
        Image.fromarray(values.astype(np.float32)).save(tmp_path / "a.tif")
        return read_picture(tmp_path / "a.tif")

    steps = np.arange(35).reshape(5, 7)
    near(shown(steps / 70), grey(steps / 70 * 255), 0.51)  # 0..1 keeps its brightness
    near(shown(steps * 30.0 - 100), grey(steps / 34 * 255), 0.51)
    broken = steps / 34.0
    broken[0, :3] = np.nan, np.inf, -np.inf
    wanted = steps / 34 * 255
    wanted[0, :3] = 0, 255, 0
    near(shown(broken), grey(wanted), 0.51)
    near(shown(np.full((5, 7), np.nan)), grey(steps * 0), 0)


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBX", "CMYK", "YCbCr", "HSV"])
def test_opaque_modes(mode: str) -> None:
    image = Image.fromarray(RGB).convert(mode)
    wanted = image.convert("RGB")
    assert wanted.getextrema() != ((0, 0),) * 3
    near(as_shown(image), pixels(wanted), 0)
    if mode in ("RGBX", "YCbCr", "HSV"):
        near(as_shown(image), RGB.astype(int), 8)


def test_cmyk_jpeg_is_not_inverted(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (255, 0, 0, 0)).save(tmp_path / "a.jpg", quality=100)
    near(read_picture(tmp_path / "a.jpg"), np.full((8, 8, 3), (0, 255, 255)), 3)


def test_lab() -> None:
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    turn = ImageCms.buildTransform(*profiles, "RGB", "LAB")
    image = Image.new("RGB", (4, 4), (200, 60, 30))
    near(as_shown(ImageCms.applyTransform(image, turn)), pixels(image), 3)


TURNED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a[::-1].transpose(1, 0, 2),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: a.transpose(1, 0, 2)[::-1],
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "avif"])
def test_orientation(tmp_path: Path, suffix: str, orientation: int) -> None:
    if suffix == "avif" and not has("avif"):
        pytest.skip("this Pillow has no AVIF")
    blocks = np.kron(
        np.array([[(255, 0, 0), (0, 255, 0), (0, 0, 255)], [(0, 0, 0), (255,) * 3, (255, 255, 0)]]),
        np.ones((16, 16, 1)),
    ).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {
        "jpg": {"quality": 100, "subsampling": 0},
        "webp": {"lossless": True},
        "avif": {"quality": 100, "subsampling": "4:4:4"},
    }
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(blocks).save(path, exif=exif, **options.get(suffix, {}))
    image = read_picture(path)
    near(image, TURNED[orientation](blocks), 8)
    assert as_shown(image) is image  # turned once


def test_orientation_of_a_picture_with_alpha_and_16_bits(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.dstack([RGB, ALPHA])).save(tmp_path / "a.png", exif=exif)
    near(read_picture(tmp_path / "a.png"), TURNED[6](on((255,) * 3, RGB, ALPHA)))
    values = np.linspace(0, 65535, 35).reshape(5, 7).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "b.png", exif=exif)
    near(read_picture(tmp_path / "b.png"), TURNED[6](grey(values / 257)), 0.51)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
def test_the_first_frame_of_an_animation(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("lime", "red", "blue")]
    path = tmp_path / f"a.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    near(read_picture(path), np.full((8, 8, 3), (0, 255, 0)), 4)


def test_an_image_in_memory_is_not_changed() -> None:
    image = Image.fromarray(RGB)
    assert as_shown(image) is image
    lucid = Image.new("RGBA", (3, 3), (1, 2, 3, 0))
    as_shown(lucid)
    assert lucid.getpixel((0, 0)) == (1, 2, 3, 0)


@pytest.mark.parametrize("background", ["none", "#12", "#ff000080", "", 3, None])
def test_no_such_background(tmp_path: Path, background: object) -> None:
    with pytest.raises(ValueError, match="background: wanted the name of a colour or '#rrggbb'"):
        check_background(background)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="background: wanted"):
        read_picture(tmp_path / "none.png", background)  # type: ignore[arg-type]


def test_too_many_pixels(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.new("1", (30_000, 30_000)).save(path)
    with pytest.raises(BrokenImageError, match=r"large\.png.*wanted at most 178,956,970 pixels"):
        read_picture(path)
    with pytest.raises(BrokenImageError, match="got 1 x 1,001"):
        as_shown(Image.new("RGB", (1, 1001)))
    assert as_shown(Image.new("RGB", (1000, 1))).size == (1000, 1)
    with pytest.raises(BrokenImageError, match="got 0 x 5"):
        as_shown(Image.new("RGB", (0, 5)))


def test_the_limit_does_not_depend_on_pillow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "MAX_PIXELS", 100)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    Image.new("L", (11, 10)).save(tmp_path / "a.png")
    with pytest.raises(BrokenImageError, match="wanted at most 100 pixels, got 11 x 10"):
        read_picture(tmp_path / "a.png")


def test_warnings_of_pillow_do_not_leak(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "large.png")
    Image.new("RGB", (8, 8), "lime").save(
        tmp_path / "exif.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\xff"
    )
    Image.new("P", (8, 8)).save(tmp_path / "p.png", transparency=bytes([1, 2]))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    names = ("large.png", "exif.jpg", "p.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in names:
            read_picture(tmp_path / name)
        warnings.simplefilter("error")  # in front of the loader's own filter
        for name in names:
            read_picture(tmp_path / name)
    warnings.simplefilter("always")
    for name in names:
        read_picture(tmp_path / name)
    assert not recwarn.list
    with pytest.warns(UserWarning, match="of others"):
        warnings.warn("of others are shown", stacklevel=1)


def test_what_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder.png").mkdir()
    Image.new("RGB", (20, 20)).save(tmp_path / "a.eps")
    (tmp_path / "eps.png").write_bytes((tmp_path / "a.eps").read_bytes())
    for name in ("text.png", "empty.jpg", "folder.png", "none.png", "eps.png"):
        with pytest.raises(BrokenImageError, match=rf"got '.*{name}' \("):
            read_picture(tmp_path / name)


@pytest.mark.parametrize("suffix", ["eps", "png"])
def test_no_program_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    marker, program = tmp_path / "started", tmp_path / "gs"
    program.write_text(f"#!/bin/sh\ntouch {marker}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20)).save(buffer, "EPS")
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(buffer.getvalue())
    with pytest.raises(BrokenImageError, match="cannot identify"):
        read_picture(path)
    assert not marker.exists()


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    found: list[str] = []

    def read() -> None:
        try:
            read_picture(tmp_path / "a.png")
        except BrokenImageError as error:
            found.append(error.reason)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(10)
    assert found == ["no regular file"]


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 256, (24, 20, 4), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(noise if kind in ("PNG", "WEBP", "TIFF") else noise[..., :3])
    image.save(
        buffer, kind, **({} if kind in ("GIF", "BMP", "PPM", "JPEG2000") else {"exif": exif})
    )
    return buffer.getvalue()


@pytest.mark.parametrize(
    "kind", ["PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "PPM", "JPEG2000", "AVIF"]
)
def test_damaged_files_raise_one_error(tmp_path: Path, kind: str) -> None:
    if kind in ("JPEG2000", "AVIF") and not has({"AVIF": "avif"}.get(kind, "jpg_2000")):
        pytest.skip(f"this Pillow has no {kind}")
    whole, generator = encoded(kind), np.random.default_rng(zlib.crc32(kind.encode()))
    path = tmp_path / "a.img"
    broken = []
    for number in range(150):
        content = bytearray(whole)
        if number % 3 == 0:
            del content[int(generator.integers(len(content))) :]
        else:
            head = min(len(content), 200) if number % 3 == 1 else len(content)
            for place in generator.integers(0, head, int(generator.integers(1, 9))):
                content[place] = int(generator.integers(256))
        path.write_bytes(bytes(content))
        try:
            assert read_picture(path).mode == "RGB"
        except BrokenImageError as error:
            broken.append(error)
    assert len(broken) > 20
    assert all(str(path) in str(error) and error.reason for error in broken)


def test_suffixes() -> None:
    wanted = {".jpg", ".jpeg", ".jfif", ".png", ".tif", ".tiff", ".gif", ".bmp", ".ppm", ".mpo"}
    assert wanted <= readable_suffixes()
    assert (".avif" in readable_suffixes()) == has("avif")
    assert not {".eps", ".pdf", ".txt", ".psd", ".ico"} & readable_suffixes()
    assert format_note(".heic") == "files .heic, which needs the package pillow-heif"
    assert format_note(".txt") == "files .txt"
    assert format_note("") == "files without a suffix"


def test_errors_survive_worker_processes() -> None:
    error = BrokenImageError("image: wanted another")  # as torch raises it again
    assert error.reason == str(error) == "image: wanted another"


def chunk(kind: bytes, content: bytes) -> bytes:
    return (
        len(content).to_bytes(4, "big")
        + kind
        + content
        + zlib.crc32(kind + content).to_bytes(4, "big")
    )


def write_png(path: Path, rows: np.ndarray, bits: int, kind: int, transparent: bytes) -> None:
    """A PNG byte by byte; ``rows`` are the packed bytes of each row."""
    width = rows.shape[1] * 8 // bits // (3 if kind == 2 else 1)
    head = width.to_bytes(4, "big") + len(rows).to_bytes(4, "big") + bytes([bits, kind, 0, 0, 0])
    content = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    parts = [(b"IHDR", head), (b"tRNS", transparent), (b"IDAT", content), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_transparent_grey_of_few_bits(tmp_path: Path, bits: int) -> None:
    top = (1 << bits) - 1
    values = np.array([[i % (top + 1) for i in range(16)]] * 3)
    key = min(2, top)
    packed = sum(
        values[:, place :: 8 // bits] << (8 - bits * (place + 1)) for place in range(8 // bits)
    )
    write_png(tmp_path / "a.png", packed.astype(np.uint8), bits, 0, key.to_bytes(2, "big"))
    wanted = np.where(values == key, 7, values * 255 // top)
    shown = pixels(read_picture(tmp_path / "a.png", "#070707"))
    assert np.array_equal(shown, np.repeat(wanted[..., None], 3, axis=2))


def test_a_dark_transparent_colour_of_16_bits(tmp_path: Path) -> None:
    rows = np.array([[[200, 100, 50], [60_000, 0, 0]]] * 2, dtype=">u2").reshape(2, -1)
    write_png(tmp_path / "a.png", rows.view(np.uint8), 16, 2, rows[0, :3].tobytes())
    assert pixels(read_picture(tmp_path / "a.png"))[0].tolist() == [[255] * 3, [60_000 >> 8, 0, 0]]


def test_whole_numbers_of_32_bits_without_a_sign(tmp_path: Path) -> None:
    values = np.array([[0, 2**31, 2**32 - 1]], dtype="<u4")
    entries = [(256, 3), (257, 1), (258, 32), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1)]
    entries += [(279, 12), (339, 1)]
    directory = b"".join(
        tag.to_bytes(2, "little") + b"\3\0\1\0\0\0" + value.to_bytes(4, "little")
        for tag, value in entries
    )
    start = b"II*\0" + (8 + 12).to_bytes(4, "little") + values.tobytes()
    file = start + len(entries).to_bytes(2, "little") + directory + bytes(4)
    (tmp_path / "a.tif").write_bytes(file)
    assert pixels(read_picture(tmp_path / "a.tif"))[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("kind", ["eps", "flat", "pipe", "svg", "whole"])
def test_what_is_looked_at_before_training_is_what_is_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("a.svg" if kind == "svg" else "a.png")
    if kind == "eps":
        Image.new("RGB", (4, 4)).save(path, "EPS")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "svg":
        path.write_text("<html></html>")
    else:
        Image.new("RGB", (4, 4) if kind == "whole" else (3000, 1)).save(path)
    tree = Hierarchy.from_paths(["a/b"])
    data = ImageDataset([path], tree.table[[0]], tree)
    found = broken_files(data, progress=False)
    if kind == "whole":
        assert not found
        read_picture(path)
        return
    with pytest.raises(BrokenImageError):
        read_picture(path)
    assert [item.path for item in found] == [path]


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "webp"])
def test_what_was_cut_off_is_found_by_its_end(suffix: str, tmp_path: Path) -> None:
    """Without decoding; more behind the end, as cameras write it, is no damage."""
    pixels = np.random.default_rng(1).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    whole = tmp_path / f"whole.{suffix}"
    image.save(whole)
    data = whole.read_bytes()
    check_ends(whole)
    for number, missing in enumerate((len(data) // 3, 100)):
        cut = tmp_path / f"cut{number}.{suffix}"
        cut.write_bytes(data[:-missing])
        with pytest.raises(BrokenImageError) as told:
            check_ends(cut)
        assert told.value.reason
    more = tmp_path / f"more.{suffix}"
    more.write_bytes(data + b"\0" * 5000)
    check_ends(more)
    assert read_picture(more).size == (90, 90)


def test_pixels_are_not_decoded_to_look_at_the_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for suffix in ("jpg", "png", "gif", "webp"):
        Image.fromarray(RGB).save(tmp_path / f"a.{suffix}")
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", None)
    for path in tmp_path.iterdir():
        check_ends(path)
