"""Revisited Oxford and Paris: queries with easy, hard and junk images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from pml_suprank.recipes.data.assembly import label_chains
from pml_suprank.recipes.data.images import ImageDataset
from pml_suprank.recipes.data.layout import PathLike, choose, need
from pml_suprank.recipes.data.pickles import load_plain_pickle

__all__ = ["PROTOCOLS", "Judged", "RevisitedDataset", "load_revisited"]

PROTOCOLS = {
    "easy": (("easy",), ("hard", "junk")),
    "medium": (("easy", "hard"), ("junk",)),
    "hard": (("hard",), ("easy", "junk")),
}


class Judged(NamedTuple):
    """What a protocol says of one query: positions in the gallery, int64; the rest is wrong."""

    relevant: Tensor
    ignored: Tensor


class RevisitedDataset(ImageDataset):
    """Queries, cut to the box around the landmark, or the gallery.

    Attributes:
        truth: for each query a dict with "bbx" (x1, y1, x2, y2) and the lists "easy", "hard" and
            "junk" of gallery positions; empty for the gallery.
    """

    def __init__(self, truth: Sequence[dict[str, Any]], *args: Any, **items: Any):
        super().__init__(*args, **items)
        self.truth = tuple(truth)

    def decode(self, index: int) -> Image.Image:
        """One image, RGB; of a query the box."""
        image = super().decode(index)
        return image.crop(self.truth[index]["bbx"]) if self.truth else image

    def subset(self, indices: Sequence[int]) -> "RevisitedDataset":
        """Some of the images. The positions in ``truth`` are those of the whole gallery."""
        other = super().subset(indices)
        other.truth = tuple(self.truth[index] for index in indices) if self.truth else ()
        return other

    def judged(self, protocol: str) -> list[Judged]:
        """Relevant and ignored gallery images of every query.

        Args:
            protocol: "easy" (hard ignored), "medium" (easy and hard relevant) or "hard" (easy
                ignored); junk is always ignored. A query may have no relevant image, and then
                does not count.

        Raises:
            ValueError: another protocol.
        """
        sides = choose("protocol", protocol, PROTOCOLS)
        return [
            Judged(
                *(
                    torch.tensor(sorted(i for key in side for i in row[key])).long()
                    for side in sides
                )
            )
            for row in self.truth
        ]


def load_revisited(root: PathLike, split: str = "query", **items: Any) -> RevisitedDataset:
    """Revisited Oxford (ROxford5k) or Paris (RParis6k).

    Reads ``gnd_roxford5k.pkl`` or ``gnd_rparis6k.pkl`` (imlist, qimlist, and gnd with bbx, easy,
    hard and junk), with an unpickler that runs nothing, and the images in ``jpg``.

    Labels are one level, the file name without its number ("all_souls"). They are *not* the
    ground truth of the gallery, which :meth:`RevisitedDataset.judged` gives.

    Args:
        root: the folder of the pickle, usually ``roxford5k`` or ``rparis6k``.
        split: "query" or "gallery"; both share their taxonomy.
        **items: arguments of :class:`ImageDataset`, such as ``transform``.

    Raises:
        ValueError: another split, a pickle of other content, or positions beyond the gallery.
        FileNotFoundError: a missing file, or a missing first image.
    """
    key = choose("split", split, {"query": "qimlist", "gallery": "imlist"})
    file = need(root, "gnd_roxford5k.pkl", "gnd_rparis6k.pkl")
    content = load_plain_pickle(file)
    try:
        gallery, queries = content["imlist"], content["qimlist"]
        truth = [_row(row, len(gallery), file) for row in content["gnd"]]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{file}: wanted imlist, qimlist and gnd, got no {error}") from None
    if len(truth) != len(queries) or not queries:
        raise ValueError(f"{file}: wanted {len(queries)} rows of gnd, got {len(truth)}")
    folder = need(root, "jpg")
    paths = [folder / f"{name}.jpg" for name in content[key]]
    if not paths or not paths[0].is_file():
        raise FileNotFoundError(f"{file}: wanted its images in {str(folder)!r}, got no {paths[:1]}")
    classes = sorted({_landmark(name) for name in [*gallery, *queries]})
    chains = [_landmark(name) for name in content[key]]
    hierarchy, labels = label_chains(chains, ("landmark",), classes)
    return RevisitedDataset(truth if split == "query" else (), paths, labels, hierarchy, **items)


def _landmark(name: str) -> tuple[str]:
    return (name.rpartition("_")[0] or name,)


def _row(row: dict[str, Any], size: int, file: Path) -> dict[str, Any]:
    """A row of gnd as plain numbers, checked."""
    found: dict[str, Any] = {"bbx": tuple(round(float(side)) for side in row["bbx"])}
    for key in ("easy", "hard", "junk"):
        found[key] = [int(position) for position in row[key]]
        if any(not 0 <= position < size for position in found[key]):
            raise ValueError(f"{file}: wanted positions 0..{size - 1}, got {found[key]} in {key}")
    if len(found["bbx"]) != 4:
        raise ValueError(f"{file}: wanted four sides of bbx, got {found['bbx']}")
    return found
