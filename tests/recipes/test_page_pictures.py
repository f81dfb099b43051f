"""Pages show every picture that can be read as a viewer does, and say which cannot; nothing makes them crash."""

import base64
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.recipes.data.images import ImageDataset
from pml_suprank.recipes.data.pictures import BrokenImageError, read_picture
from pml_suprank.recipes.embedding_set import EmbeddingSet
from pml_suprank.recipes.engine.encode_data import embed_images
from pml_suprank.recipes.engine.encoder import Encoder
from pml_suprank.recipes.labelled_search import evaluate_embeddings
from pml_suprank.recipes.pages.results_page import Query, render_picture, render_results
from pml_suprank.recipes.pages.review_page import render_uncertain
from pml_suprank.recipes.pages.thumbnails import no_image, thumbnail, tile
from pml_suprank.recipes.pages.worst_page import render_worst


def decoded(uri: str) -> np.ndarray:
    content = base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


@pytest.fixture
def gallery(tmp_path: Path) -> EmbeddingSet:
    """Turned, transparent, 16 bits, truncated, huge, missing, no picture; the names are the reasons."""
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = Image.new("RGB", (64, 32), "red")
    wide.paste("blue", (32, 0, 64, 32))
    wide.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "lucid.png")
    Image.fromarray(np.full((8, 8), 257 * 128, dtype=np.uint16)).save(tmp_path / "deep.png")
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:2000])
    Image.new("1", (30_000, 30_000)).save(tmp_path / "huge.png")
    (tmp_path / "text.png").write_text("no picture")
    names = ("turned.jpg", "lucid.png", "deep.png", "cut.png", "huge.png", "text.png", "gone.png")
    labels = torch.tensor([[0], [0], [0], [1], [1], [1], [1]])
    points = torch.randn(7, 4, generator=torch.Generator().manual_seed(0))
    return EmbeddingSet(points, labels, names, root=str(tmp_path))


def test_tiles(gallery: EmbeddingSet) -> None:
    turned = decoded(tile(gallery, 0))
    assert turned.shape == (64, 32, 3)
    assert turned[8, 16, 0] > 200 > 60 > turned[8, 16, 2]  # red above, blue below
    assert turned[56, 16, 2] > 200 > 60 > turned[56, 16, 0]
    assert (decoded(tile(gallery, 1)) > 250).all()
    assert abs(decoded(tile(gallery, 2)) - 128).max() < 4
    for row in (3, 4, 5):
        assert tile(gallery, row) == no_image("cannot be read")
    assert tile(gallery, 6) == no_image("not found")
    named = EmbeddingSet(gallery.embeddings, gallery.labels, gallery.paths)
    assert tile(named, 0) == no_image("")  # names of images in a package
    assert (decoded(thumbnail(Image.new("LA", (5, 5), (0, 0)))) > 250).all()


def test_pages_of_search(gallery: EmbeddingSet) -> None:
    found = torch.arange(7)[None].repeat(2, 1)
    queries = [Query("turned", gallery.path(0)), Query("cut", gallery.path(3))]
    page = render_results(queries, gallery, torch.zeros(2, 7), found)
    assert page.count("<img") == 16
    assert "1 of 7 images to show not found" in page
    sheet = render_picture(queries, gallery, found)
    assert sheet.getpixel((8 + 56, 8 + 20))[0] > 200  # the query, upright: red above


def test_page_of_the_worst_queries(gallery: EmbeddingSet) -> None:
    page = render_worst(evaluate_embeddings(gallery, progress=False))
    assert "1 of 7 images to show not found" in page
    assert page.count(no_image("cannot be read")) > 3


def test_page_of_classes_to_decide(gallery: EmbeddingSet) -> None:
    root = Path(gallery.root)
    row = dict.fromkeys(("class_id", "group", "runner_up", "decision", "votes"), "a") | {
        "images": 7
    }
    page = render_uncertain([row], lambda _: [root / name for name in gallery.paths or ()])
    assert page.count("<img") == 7
    assert page.count(no_image("cannot be read")) == page.count(no_image("not found")) * 3 == 3


def test_damaged_pictures_never_stop_a_page(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    generator = np.random.default_rng(2)
    wholes = []
    for kind in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"):
        buffer = io.BytesIO()
        Image.fromarray(noise).save(buffer, kind)
        wholes.append(buffer.getvalue())
    names = []
    for number in range(120):
        damaged = bytearray(wholes[number % len(wholes)])
        for place in generator.integers(0, min(len(damaged), 300), 6):
            damaged[place] = int(generator.integers(256))
        names.append(f"{number}.img")
        (tmp_path / names[-1]).write_bytes(bytes(damaged))
    labels = torch.zeros(len(names), 1, dtype=torch.long)
    data = ImageDataset([tmp_path / n for n in names], labels, Hierarchy.from_paths(["a"]))
    found = EmbeddingSet(torch.ones(len(names), 2), paths=tuple(names), root=str(tmp_path))
    broken = no_image("cannot be read")
    for index in range(len(names)):
        try:
            data.image(index)
        except BrokenImageError:
            assert tile(found, index) == broken
        else:
            assert tile(found, index) != broken
    assert 20 < len(data.broken) < 110


class Mean(torch.nn.Module):
    """Embeds an image as its mean colour."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3))


def colours(image: Image.Image) -> torch.Tensor:
    return torch.tensor(np.asarray(image.resize((4, 4)))).permute(2, 0, 1).float() + 1


@pytest.mark.parametrize("background", ["white", "red"])
def test_a_picture_is_embedded_and_searched_as_it_is_trained_on(
    tmp_path: Path, background: str
) -> None:
    path = tmp_path / "a.png"
    Image.new("RGBA", (8, 8), (0, 0, 255, 128)).save(path)
    shutil.copy(path, tmp_path / "b.png")
    data = ImageDataset(
        [path],
        torch.zeros(1, 1, dtype=torch.long),
        Hierarchy.from_paths(["a"]),
        background=background,
    )
    encoder = Encoder(Mean(), colours, background=background)
    trained = torch.nn.functional.normalize(colours(data[0][0]).mean((1, 2))[None], dim=1)
    embedded = embed_images(encoder, data, progress=False)[0].embeddings
    with Image.open(path) as opened:
        asked = encoder.encode_images([opened])
    read = encoder.encode_images([read_picture(path, background)])
    for found in (embedded, asked, read):
        torch.testing.assert_close(found, trained)
    other = Encoder(Mean(), colours, background="black").encode_images([Image.open(path)])
    assert not torch.allclose(other, trained, atol=1e-2)
