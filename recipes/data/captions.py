"""Captions: from the names of classes, or from text files beside the images; and images without one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

__all__ = ["SUFFIX", "captions_of", "empty_note", "name_in_words", "with_captions"]

CaptionFrom = Literal["name", "file"]
SUFFIX = ".txt"
"""Of a text file beside an image: ``fox.txt`` says what ``fox.jpg`` shows."""


def name_in_words(name: str) -> str:
    """The name of a class in words: "Red_fox" becomes "red fox"."""
    return " ".join(name.replace("_", " ").replace("-", " ").lower().split())


def captions_of(source: CaptionFrom, paths: Sequence[Path], names: Sequence[str]) -> list[str]:
    """A caption for each image.

    Args:
        source: "name" for the name of the class in words; "file" for the text file beside the image, whose lines are
            joined. Without such a file the caption is empty.
        paths: [N] image files.
        names: [N] of their classes.

    Raises:
        ValueError: another source, or a file that is no UTF-8 text.
    """
    if source == "name":
        return [name_in_words(name) for name in names]
    if source == "file":
        return [_beside(path) for path in paths]
    raise ValueError(f"caption_from: wanted 'name' or 'file', got {source!r}")


def _beside(image: Path) -> str:
    path = image.with_suffix(SUFFIX)
    try:
        return " ".join(path.read_text(encoding="utf-8-sig").split())
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: wanted UTF-8 text, got {error}") from None


def with_captions(data: Any) -> Any:
    """The images that have a caption.

    Args:
        data: data set with ``captions``.
    """
    return data.subset([row for row, caption in enumerate(data.captions) if caption.strip()])


def empty_note(data: Any, what: str, consequence: str) -> str:
    """A sentence about images without a caption; "" where all have one.

    Args:
        data: data set with ``captions``.
        what: what its images are.
        consequence: what follows for those without.
    """
    empty = [row for row, caption in enumerate(data.captions) if not caption.strip()]
    if not empty:
        return ""
    return (
        f"{len(empty):,} of {len(data):,} {what} have no caption and {consequence}, the first "
        f"{str(data.paths[empty[0]])!r}"
    )
