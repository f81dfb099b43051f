"""All loaders by name."""

from collections.abc import Callable
from typing import Any

from pml_suprank.recipes.data.cars import load_cars
from pml_suprank.recipes.data.cifar import load_cifar100
from pml_suprank.recipes.data.cub import load_cub
from pml_suprank.recipes.data.dyml import load_dyml
from pml_suprank.recipes.data.emoji_images import load_emoji_images
from pml_suprank.recipes.data.folder import load_folder
from pml_suprank.recipes.data.google_landmarks import load_landmarks
from pml_suprank.recipes.data.images import ImageDataset
from pml_suprank.recipes.data.inaturalist import load_inaturalist
from pml_suprank.recipes.data.layout import PathLike, choose
from pml_suprank.recipes.data.revisited import load_revisited
from pml_suprank.recipes.data.sop import load_sop
from pml_suprank.recipes.data.table import load_table

__all__ = ["LOADERS", "load"]

LOADERS: dict[str, Callable[..., ImageDataset]] = {
    "folder": load_folder,
    "table": load_table,
    "cifar100": load_cifar100,
    "cub": load_cub,
    "cars": load_cars,
    "sop": load_sop,
    "inaturalist": load_inaturalist,
    "landmarks": load_landmarks,
    "dyml": load_dyml,
    "revisited": load_revisited,
    "emoji": load_emoji_images,
}
"""Name to loader; each takes ``(root, split, **options)``."""


def load(
    name: str, root: PathLike | None, split: str | None = None, **options: Any
) -> ImageDataset:
    """One split of a data set.

    Args:
        name: a key of :data:`LOADERS`.
        root: folder of the data set, as its loader says; those that come with pip packages need none.
        split: as its loader says; None is the default of the loader.
        **options: of the loader, and arguments of :class:`ImageDataset` such as ``transform``.

    Raises:
        ValueError: another name, or what the loader raises.
        FileNotFoundError: a missing file.
    """
    loader = choose("name", name, LOADERS)
    return loader(root, **options) if split is None else loader(root, split, **options)
