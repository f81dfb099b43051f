import logging
from pathlib import Path

import pytest
import torch
from PIL import Image
from pytorch_metric_learning import testers
from torch.utils.data import DataLoader

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.recipes.data.image_check import check_images
from pml_suprank.recipes.data.images import BrokenImageError, ImageDataset
from tests.recipes.data.trees import picture

TREE = Hierarchy.from_paths(["animal/dog", "animal/cat", "plant/oak"])


@pytest.fixture
def data(tmp_path: Path) -> ImageDataset:
    paths = [picture(tmp_path / f"{index}.png", shade=index * 10) for index in range(6)]
    return ImageDataset(paths, TREE.table[[0, 0, 1, 1, 2, 2]], TREE, return_index=True)


def damage(data: ImageDataset, *indices: int) -> None:
    for index in indices:
        data.paths[index].write_bytes(data.paths[index].read_bytes()[:40])


def red(image: Image.Image) -> int:
    return image.getpixel((0, 0))[0]


def test_items(data: ImageDataset) -> None:
    image, labels, index = data[3]
    assert isinstance(image, Image.Image)
    assert (image.mode, red(image), index) == ("RGB", 30, 3)
    assert (labels.dtype, labels.tolist()) == (torch.int64, [1, 0])
    assert data[-1][2] == 5
    with pytest.raises(IndexError, match=r"index: wanted -6..5, got 6"):
        data[6]
    data.return_index, data.label_form = False, "class"
    assert data.with_transform(red)[4] == (40, 2)
    assert data.transform is None
    assert torch.equal(data.level_labels, data.labels)


def test_modes_are_brought_to_rgb(data: ImageDataset) -> None:
    for index, mode in enumerate(["L", "P", "RGBA", "CMYK"]):
        path = data.paths[0].with_name(f"{mode}.tif")
        Image.new(mode, (5, 5)).save(path)
        data.paths = (*data.paths[:index], path, *data.paths[index + 1 :])
        assert data.image(index).mode == "RGB"


def test_bad_arguments(data: ImageDataset) -> None:
    for name in ("label_form", "on_error"):
        with pytest.raises(ValueError, match=f"{name}: wanted '.*' or '.*', got 'x'"):
            ImageDataset(data.paths, data.labels, TREE, **{name: "x"})
    with pytest.raises(ValueError, match=r"labels: wanted int64 \[6, 2\], got torch.int64 \[6\]"):
        ImageDataset(data.paths, data.labels[:, 0], TREE)
    with pytest.raises(ValueError, match=r"labels: wanted classes 0..2"):
        ImageDataset(data.paths, data.labels + 5, TREE)
    with pytest.raises(ValueError, match=r"labels: wanted rows of hierarchy.table"):
        ImageDataset(data.paths, data.labels.flip(0) * torch.tensor([1, 0]), TREE)


def test_a_broken_image_raises_with_its_path(data: ImageDataset) -> None:
    damage(data, 2)
    with pytest.raises(BrokenImageError, match=r"image 2: wanted a readable image, got '.*2\.png'"):
        data[2]
    data.paths[3].unlink()
    with pytest.raises(BrokenImageError, match=r"image 3: .*3\.png' \(no such file\)"):
        data[3]
    assert sorted(data.broken) == [2, 3]


def test_a_broken_image_is_replaced_by_the_next(
    data: ImageDataset, caplog: pytest.LogCaptureFixture
) -> None:
    damage(data, 2, 3, 5)
    data.on_error = "skip"
    with caplog.at_level(logging.WARNING):
        seen = [data[index] for index in (2, 3, 5, 2, 1)]
    assert [item[2] for item in seen] == [4, 4, 0, 4, 1]
    assert [red(item[0]) for item in seen] == [40, 40, 0, 40, 10]
    assert [item[1].tolist() for item in seen[:3]] == [[2, 1], [2, 1], [0, 0]]
    assert sorted(data.broken) == [2, 3, 5]
    assert [str(data.paths[i]) in caplog.text for i in range(6)] == [
        i in (2, 3, 5) for i in range(6)
    ]
    assert len(caplog.records) == 3  # once each
    damage(data, 0, 1, 4)
    with pytest.raises(BrokenImageError, match="wanted a readable image, got 6 broken ones"):
        data[0]


def test_errors_of_the_transform_are_not_taken_for_broken_images(data: ImageDataset) -> None:
    def fails(image: Image.Image) -> None:
        raise ValueError("transform")

    data.on_error = "skip"
    with pytest.raises(ValueError, match="transform"):
        data.with_transform(fails)[0]


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_check_images(data: ImageDataset, on_error: str) -> None:
    damage(data, 1, 4)
    data.on_error = on_error
    found = check_images(data, progress=False)
    assert [(item.index, item.path) for item in found] == [(i, data.paths[i]) for i in (1, 4)]
    assert all(item.reason for item in found)
    whole = data.without(found)
    assert [red(whole[i][0]) for i in range(4)] == [0, 20, 30, 50]
    assert torch.equal(whole.labels, data.labels[[0, 2, 3, 5]])
    assert check_images(whole, progress=False) == []


def test_check_images_shows_a_bar(data: ImageDataset, capsys: pytest.CaptureFixture[str]) -> None:
    check_images(data)
    assert "checking images: 100%" in capsys.readouterr().err


def test_loader_and_tester_of_pml(data: ImageDataset) -> None:
    data.transform = lambda image: torch.tensor(image.getpixel((0, 0))).float()
    images, labels, indices = next(iter(DataLoader(data, batch_size=6)))
    assert (images.shape, labels.shape, indices.tolist()) == ((6, 3), (6, 2), [*range(6)])
    data.return_index = False
    tester = testers.GlobalEmbeddingSpaceTester(batch_size=4, dataloader_num_workers=0)
    embeddings, found = tester.get_all_embeddings(data, torch.nn.Identity())
    assert embeddings.shape == (6, 3)
    assert torch.equal(found.cpu(), data.labels)
