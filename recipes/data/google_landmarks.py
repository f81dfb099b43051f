"""Google Landmarks v2 with its public hierarchical labels (H-GLDv2)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.recipes.choices import MADE, SPLITS
from pml_suprank.recipes.data.images import ImageDataset
from pml_suprank.recipes.data.landmark_choice import (
    beyond_first,
    check_labels,
    reason_texts,
    reasons_of,
)
from pml_suprank.recipes.data.landmark_report import LandmarkReport
from pml_suprank.recipes.data.landmark_solutions import solution_file
from pml_suprank.recipes.data.landmark_tables import (
    LEVEL_NAMES,
    Chain,
    index_file,
    read_chains,
    read_clean,
    read_listing,
    read_solved,
)
from pml_suprank.recipes.data.layout import PathLike, choose, need
from pml_suprank.recipes.data.paths import IdPaths

__all__ = ["LEVEL_NAMES", "LandmarkDataset", "load_landmarks"]


class LandmarkDataset(ImageDataset):
    """Images of landmarks.

    Attributes:
        report: what was read, kept and left out.
        id_space: "train" or "index", the numbering of its landmark ids.
    """

    report: LandmarkReport
    id_space: str


def load_landmarks(
    root: PathLike,
    split: str = "train",
    *,
    unclassified: str = "drop",
    labels: Sequence[str] | None = None,
    made: str | None = None,
    min_images: int = 1,
    max_images: int | None = None,
    **items: Any,
) -> LandmarkDataset:
    """Google Landmarks v2: landmark < hierarchical label < natural or human-made.

    Reads, in the root, in ``metadata`` below it or in the folder of the images:

    - "train": ``train_clean.csv`` (landmark_id, images); "train_full": ``train.csv`` (id,
      landmark_id); both with ``train_label_to_hierarchical.csv``;
    - "index": ``index_image_to_landmark.csv`` (id, landmark_id); "test":
      ``retrieval_solution_v2.1.csv`` (id, images, Usage), a test image having the landmark of
      the first index image that solves it; both with ``index_label_to_hierarchical.csv``.

    The images are ``train/0/1/2/0123456789abcdef.jpg`` and so on, also below ``images``. The
    column supercategory, the type of landmark in Wikimedia, is not used.

    Landmark ids of train and index are different numberings: landmark 7 of train is "train:7", that of the index
    "index:7", so that files of embeddings of the two cannot be taken for the same classes. Index and test share one
    taxonomy, so their labels can be compared; train has its own.

    Args:
        root: folder of the data set.
        split: "train", "train_full", "index" or "test". Test images without a solution
            (images "None", or Usage "Ignored") are left out.
        unclassified: landmarks without a label (no row, an empty cell or "unclassified"):
            "drop" leaves their images out; "keep" makes them short branches, which share with
            other landmarks no more than is known. A label whose natural or human-made is unknown is kept below a
            node of its own name, which it shares with the other such landmarks of the label.
        labels: only landmarks with one of these hierarchical labels; None for all.
        made: only "natural" or only "human-made" landmarks; None for both.
        min_images: landmarks with fewer images are left out; for "test" images of the index count.
        max_images: the first so many images of a landmark, in the order of the file; None for all.
        **items: arguments of :class:`ImageDataset`, such as ``transform``.

    Returns:
        Images in the order of the files, with a ``report``. A hierarchical label that is natural for one landmark
        and human-made for another is two nodes. ``paths`` are made when asked for: four million images take some
        seconds and less than a gigabyte.

    Raises:
        ValueError: an option out of range, a label that no landmark has, a missing column, a landmark id that is no
            integer, an image in two rows of ``train.csv`` or ``index_image_to_landmark.csv``, a test image whose
            solution is no index image, or no image left.
        FileNotFoundError: a missing file, or a missing first image.
    """
    folder = choose("split", split, SPLITS)
    keep = choose("unclassified", unclassified, {"drop": False, "keep": True})
    if made is not None and made not in MADE:
        raise ValueError(f"made: wanted one of {MADE} or None, got {made!r}")
    for name, least in (("min_images", min_images), ("max_images", max_images)):
        if least is not None and least < 1:
            raise ValueError(f"{name}: wanted at least 1, got {least}")
    side = "train" if folder == "train" else "index"

    def table(name: str) -> Path:
        return need(root, name, f"metadata/{name}", f"{side}/{name}", f"{folder}/{name}")

    chain_of = read_chains(table(f"{side}_label_to_hierarchical.csv"))
    check_labels(labels, chain_of)
    if split == "train":
        listing = read_clean(table("train_clean.csv"))
    else:
        listing = read_listing(table("train.csv") if split == "train_full" else index_file(root))
    dropped: dict[str, int] = {}
    rows = len(listing.ids)
    of_landmarks, place = np.unique(listing.landmarks, return_inverse=True)
    counts = np.bincount(place, minlength=len(of_landmarks))
    reasons = reasons_of(of_landmarks, counts, chain_of, keep, labels, made, min_images)
    if split == "test":
        listing, solution, rows = read_solved(solution_file(root), listing, dropped)
        place = place[solution]
    reason = reasons[place]
    kept = reason == 0
    for code, text in enumerate(reason_texts(labels, made, min_images), 1):
        dropped[text] = int((reason == code).sum())
    if max_images is not None:
        extra = kept.copy()
        extra[kept] = beyond_first(place[kept], max_images)
        dropped[f"beyond the first {max_images} images of a landmark"] = int(extra.sum())
        kept &= ~extra
    if not kept.any():
        raise ValueError(f"{listing.file}: wanted at least one image of the split, got none")
    tree, row_of = _tree(of_landmarks, reasons, chain_of, side)
    classes = torch.from_numpy(row_of[place[kept]])
    base = need(root, folder, f"images/{folder}")
    paths = IdPaths(base, listing.ids[kept])
    if not paths[0].is_file():
        raise FileNotFoundError(
            f"{listing.file}: wanted the images that it lists, got no file {str(paths[0])!r}"
        )
    data = LandmarkDataset(paths, tree.table[classes], tree, **items)
    data.id_space = side
    present, images = np.unique(of_landmarks[place[kept]], return_counts=True)
    data.report = LandmarkReport.of(
        split,
        rows,
        {text: count for text, count in dropped.items() if count},
        [
            (*chain_of.get(landmark, Chain("", "")), count)
            for landmark, count in zip(present.tolist(), images.tolist(), strict=True)
        ],
    )
    return data


def _tree(
    landmarks: np.ndarray, reasons: np.ndarray, chain_of: dict[int, Chain], side: str
) -> tuple[Hierarchy, np.ndarray]:
    """The taxonomy of the landmarks that stay, and the class of each landmark, -1 for others."""
    row_of = np.full(len(landmarks), -1, dtype=np.int64)
    chains: list[tuple[str, ...]] = []
    for index in np.flatnonzero(reasons == 0).tolist():
        number = int(landmarks[index])
        label, made = chain_of.get(number, Chain("", ""))
        above = (made or label, label) if label else (made,) if made else ()
        row_of[index] = len(chains)
        chains.append((*above, f"{side}:{number}"))
    return Hierarchy.from_paths(chains, level_names=LEVEL_NAMES), row_of
