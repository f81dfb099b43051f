"""The data sets of the studies by name: their own, and those of the recipes."""

from collections.abc import Callable
from typing import Any

from pml_suprank.recipes.data import registry
from pml_suprank.recipes.data.images import ImageDataset
from pml_suprank.recipes.data.layout import PathLike
from studies.data.glyphs import load_glyphs
from studies.data.signwriting import load_signwriting

__all__ = ["DRAWN", "load"]

DRAWN: dict[str, Callable[..., ImageDataset]] = {
    "glyphs": load_glyphs,
    "signwriting": load_signwriting,
}
"""Name to loader, of the data sets that are drawn from pip packages into any folder."""


def load(
    name: str, root: PathLike | None, split: str | None = None, **options: Any
) -> ImageDataset:
    """One split of a data set, as :func:`pml_suprank.recipes.data.registry.load` gives it."""
    if name not in DRAWN:
        return registry.load(name, root, split, **options)
    loader = DRAWN[name]
    return loader(root, **options) if split is None else loader(root, split, **options)
