"""A data set whose images are kept in memory, each from a named source such as a typeface."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.recipes.data.images import ImageDataset

__all__ = ["RasterImages"]


class RasterImages(ImageDataset):
    """Images in one array; ``paths`` are their names, not files.

    Args:
        rasters: [R, S, S] or [R, S, S, 3], uint8; shared by all subsets.
        names: [R] name of each image.
        sources: [R] what each image was taken from, such as the family of a typeface.
        labels: [R, L], as :class:`ImageDataset` takes them.
        hierarchy: the taxonomy.
        **items: arguments of :class:`ImageDataset`, such as ``transform``.

    Attributes:
        sources: [N] source of each image.

    Raises:
        ValueError: rasters of another shape or type, or another number of sources.
    """

    def __init__(
        self,
        rasters: np.ndarray,
        names: Sequence[str],
        sources: Sequence[str],
        labels: Tensor,
        hierarchy: Hierarchy,
        **items: Any,
    ):
        grey_or_colour = rasters.ndim == 3 or (rasters.ndim == 4 and rasters.shape[3] == 3)
        if not grey_or_colour or len(rasters) != len(names) or rasters.dtype != np.uint8:
            raise ValueError(
                f"rasters: wanted uint8 [{len(names)}, S, S] or [{len(names)}, S, S, 3], "
                f"got {rasters.dtype} {list(rasters.shape)}"
            )
        if len(sources) != len(names):
            raise ValueError(
                f"sources: wanted {len(names)}, one for each image, got {len(sources)}"
            )
        self.rasters = rasters
        self.places = tuple(range(len(rasters)))
        self.sources = tuple(sources)
        super().__init__(names, labels, hierarchy, **items)

    def decode(self, index: int) -> Image.Image:
        """One image, RGB."""
        return Image.fromarray(self.rasters[self.places[index]]).convert("RGB")

    def subset(self, indices: Sequence[int]) -> "RasterImages":
        """Some of the images, in the given order."""
        other = super().subset(indices)
        other.places = tuple(self.places[index] for index in indices)
        other.sources = tuple(self.sources[index] for index in indices)
        return other
