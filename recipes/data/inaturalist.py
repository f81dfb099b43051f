"""iNaturalist 2018: 8,142 species, with the retrieval split of Smooth-AP."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pml_suprank.integrations.plain_files import read_json
from pml_suprank.recipes.data.assembly import assemble
from pml_suprank.recipes.data.images import ImageDataset
from pml_suprank.recipes.data.layout import PathLike, choose, need

__all__ = ["RANKS", "load_inaturalist"]

RANKS = ("kingdom", "phylum", "class", "order", "family", "genus")
"""The ranks above a species, coarse to fine."""
_LISTS = "Inat_dataset_splits/Inaturalist_{}_set1.txt"
_SPLITS = {
    "train": (_LISTS.format("train"),),
    "test": (_LISTS.format("test"),),
    "all": (_LISTS.format("train"), _LISTS.format("test")),
    "train2018": ("train2018.json",),
    "val2018": ("val2018.json",),
}
_LEVELS = {"base": ("species", "super_category"), "full": ("species", *reversed(RANKS))}


def load_inaturalist(
    root: PathLike, split: str = "train", *, levels: str = "base", **items: Any
) -> ImageDataset:
    """INaturalist 2018 with 2 levels (species < super-category) or all 7 ranks.

    Reads, below the root, the list of the split: for "train" and "test"
    ``Inat_dataset_splits/Inaturalist_train_set1.txt`` and ``..._test_set1.txt`` of Smooth-AP (one
    path a line), for the competition's own splits ``train2018.json`` and ``val2018.json`` (their
    ``images``); the images at those paths (``train_val2018/Plantae/7477/3b60....jpg``: the
    folders are super-category and category id); and for all ranks the ``categories`` of
    ``categories.json``, ``train2018.json`` or ``val2018.json``, the first that is there.

    Smooth-AP's split is zero-shot: no species is in both lists. The competition's is not.

    Args:
        root: folder of ``train_val2018`` and these files.
        split: "train", "test", "all", "train2018" or "val2018".
        levels: "base" or "full".
        **items: arguments of :class:`ImageDataset`, such as ``transform``.

    Returns:
        Images in the order of the list. Species are named by their category ids. A genus of one
        name under two families is two nodes; a rank that a category leaves empty is
        "(no genus)" and the like.

    Raises:
        ValueError: another split or levels, a path of another form, a file without these
            entries, or a species without a category.
        FileNotFoundError: a missing file, or a missing first image.
    """
    files = [need(root, name) for name in choose("split", split, _SPLITS)]
    level_names = choose("levels", levels, _LEVELS)
    names = [name for file in files for name in _listed(file)]
    keys: list[tuple[str, str]] = []
    for name in names:
        parts = name.split("/")
        if len(parts) < 3 or not parts[-2].isdecimal():
            raise ValueError(
                f"{files[0]}: wanted paths '.../super-category/category id/image', got {name!r}"
            )
        keys.append((parts[-3], parts[-2]))
    chains: list[tuple[str, ...]] = [*keys]
    if levels == "full":
        file = need(root, "categories.json", "train2018.json", "val2018.json")
        ranks_of = _ranks(file)
        if missing := sorted({species for _, species in keys} - ranks_of.keys(), key=int):
            raise ValueError(f"{file}: wanted the category of every species, not of {missing[:5]}")
        chains = [(*ranks_of[species], species) for _, species in keys]
    return assemble(
        [Path(root) / name for name in names], chains, level_names, files[0], items, root=root
    )


def _listed(file: Path) -> list[str]:
    """The paths of the images in a list of Smooth-AP or a file of the competition."""
    if file.suffix == ".txt":
        lines = file.read_text(encoding="utf-8").splitlines()
        return [line.strip() for line in lines if line.strip()]
    return [image["file_name"] for image in _entries(_json(file), "images", file, ["file_name"])]


def _ranks(file: Path) -> dict[str, tuple[str, ...]]:
    """Category id to the names of its ranks, coarse to fine."""
    content = _json(file)
    content = {"categories": content} if isinstance(content, list) else content
    categories = _entries(content, "categories", file, ["id", *RANKS])
    return {
        str(row["id"]): tuple(str(row[rank] or f"(no {rank})") for rank in RANKS)
        for row in categories
    }


def _json(file: Path) -> Any:
    return read_json(file, most_bytes=2**30)  # those of a whole competition


def _entries(content: Any, name: str, file: Path, keys: list[str]) -> list[Mapping[str, Any]]:
    rows = content.get(name) if isinstance(content, dict) else None
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"{file}: wanted a list of {name}, got none")
    lacking = [key for key in keys if any(key not in row for row in rows)]
    if lacking:
        raise ValueError(f"{file}: wanted {name} with {keys}, got some without {lacking}")
    return rows
