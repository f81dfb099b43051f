"""Tiny trees of images in the layouts of the published data sets."""

from pathlib import Path

from PIL import Image


def picture(path: Path, shade: int = 0, size: tuple[int, int] = (6, 4)) -> Path:
    """Write a small image of one colour, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade % 256, 20, 30)).save(path)
    return path


def write(path: Path, text: str) -> Path:
    """Write a text file, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def names(data, index: int) -> tuple[str, ...]:
    """Names of the nodes of an image, finest first."""
    labels = data.labels[index].tolist()
    return tuple(data.hierarchy.node_names(level)[node] for level, node in enumerate(labels))
