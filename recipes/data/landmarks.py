"""Google Landmarks v2 with its public hierarchical labels."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pml_suprank.recipes.data.assembly import assemble
from pml_suprank.recipes.data.images import ImageDataset
from pml_suprank.recipes.data.layout import PathLike, choose, need, read_table

__all__ = ["LEVEL_NAMES", "load_landmarks"]

LEVEL_NAMES = ("landmark", "hierarchical_label", "natural_or_human_made")
_FOLDERS = {"train": "train", "train_full": "train", "index": "index", "test": "test"}


def load_landmarks(
    root: PathLike, split: str = "train", *, unclassified: str = "drop", **items: Any
) -> ImageDataset:
    """Google Landmarks v2: landmark < hierarchical label < natural or human-made.

    Reads, in the root, in ``metadata`` below it or in the folder of the images:

    - "train": ``train_clean.csv`` (landmark_id, images); "train_full": ``train.csv`` (id,
      landmark_id); both with ``train_label_to_hierarchical.csv``;
    - "index": ``index_image_to_landmark.csv`` (id, landmark_id); "test":
      ``retrieval_solution_v2.1.csv`` (id, images, Usage), a test image having the landmark of
      the first index image that solves it; both with ``index_label_to_hierarchical.csv``.

    The images are ``train/0/1/2/0123456789abcdef.jpg`` and so on, also below ``images``. The
    column supercategory, the type of landmark in Wikimedia, is not used.

    Landmark ids of train and index are different numberings. Index and test share one taxonomy,
    so their labels can be compared; train has its own.

    Args:
        root: folder of the data set.
        split: "train", "train_full", "index" or "test". Test images without a solution
            (images "None", or Usage "Ignored") are left out.
        unclassified: landmarks without a label (no row, an empty cell or "unclassified"):
            "drop" leaves their images out; "keep" makes them short branches, which share with
            other landmarks no more than is known.
        **items: arguments of :class:`ImageDataset`, such as ``transform``.

    Returns:
        Images in the order of the files. A hierarchical label that is natural for one landmark
        and human-made for another is two nodes.

    Raises:
        ValueError: another split or ``unclassified``, a missing column, or a test image whose
            solution is no index image.
        FileNotFoundError: a missing file, or a missing first image.
    """
    folder = choose("split", split, _FOLDERS)
    keep = choose("unclassified", unclassified, {"drop": False, "keep": True})
    side = "train" if folder == "train" else "index"

    def table(name: str) -> Path:
        return need(root, name, f"metadata/{name}", f"{side}/{name}", f"{folder}/{name}")

    chain_of = _chains(table(f"{side}_label_to_hierarchical.csv"), keep)
    if split == "train":
        listing = table("train_clean.csv")
        rows = read_table(listing, ["landmark_id", "images"])
        pairs = [(image, landmark) for landmark, images in rows for image in images.split()]
    else:
        listing = table("train.csv" if split == "train_full" else "index_image_to_landmark.csv")
        pairs = [
            (image, landmark) for image, landmark in read_table(listing, ["id", "landmark_id"])
        ]
    present = {landmark for _, landmark in pairs}
    if split == "test":
        listing = table("retrieval_solution_v2.1.csv")
        pairs = list(_solved(listing, dict(pairs)))
    if keep:
        chain_of = {landmark: chain_of.get(landmark, (landmark,)) for landmark in present}
    pairs = [(image, landmark) for image, landmark in pairs if landmark in chain_of]
    classes = [chain_of[landmark] for landmark in sorted(present & chain_of.keys(), key=_number)]
    base = need(root, folder, f"images/{folder}")
    paths = [base / image[0] / image[1] / image[2] / f"{image}.jpg" for image, _ in pairs]
    chains = [chain_of[landmark] for _, landmark in pairs]
    return assemble(paths, chains, LEVEL_NAMES, listing, items, classes)


def _chains(file: Path, keep: bool) -> dict[str, tuple[str, ...]]:
    """Landmark id to its names, coarse to fine; unclassified ones only where they are kept."""
    found: dict[str, tuple[str, ...]] = {}
    for landmark, label, made in read_table(file, ["landmark_id", *LEVEL_NAMES[1:]]):
        above = [name if name.lower() != "unclassified" else "" for name in (made, label)]
        if all(above):
            found[landmark] = (*above, landmark)
        elif keep:
            found[landmark] = (above[0], landmark) if above[0] else (landmark,)
    return found


def _solved(file: Path, landmark_of: dict[str, str]) -> Iterable[tuple[str, str]]:
    """Test images that have a solution, each with the landmark of the first one."""
    for image, solutions, usage in read_table(file, ["id", "images", "Usage"]):
        if solutions in ("", "None") or usage == "Ignored":
            continue
        first = solutions.split()[0]
        if first not in landmark_of:
            raise ValueError(f"{file}: wanted index images, got {first!r} for {image!r}")
        yield image, landmark_of[first]


def _number(landmark: str) -> tuple[int, str]:
    return (int(landmark), "") if landmark.isdecimal() else (-1, landmark)
