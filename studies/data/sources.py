"""The data sets of the studies by name: their own, and those of the recipes."""

from collections.abc import Callable
from typing import Any

from pml_suprank.recipes.data import registry
from pml_suprank.recipes.data.images import ImageDataset
from pml_suprank.recipes.data.layout import PathLike
from studies.data.elpv import load_elpv
from studies.data.glyphs import load_glyphs
from studies.data.signwriting import load_signwriting

__all__ = ["OWN", "load"]

OWN: dict[str, Callable[..., ImageDataset]] = {
    "glyphs": load_glyphs,
    "signwriting": load_signwriting,
    "elpv": load_elpv,
}
"""Name to loader, of the data sets that come from the packages of ``studies/requirements.txt``."""


def load(
    name: str, root: PathLike | None, split: str | None = None, **options: Any
) -> ImageDataset:
    """One split of a data set, as :func:`pml_suprank.recipes.data.registry.load` gives it."""
    if name not in OWN:
        return registry.load(name, root, split, **options)
    loader = OWN[name]
    return loader(root, **options) if split is None else loader(root, split, **options)
