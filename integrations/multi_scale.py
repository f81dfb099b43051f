"""Descriptors of an image at several scales, made into one."""

from collections.abc import Sequence

from torch import Tensor, nn

__all__ = ["SCALES", "MultiScale"]

SCALES = (2**-0.5, 1.0, 2**0.5)


class MultiScale(nn.Module):
    """The normalised mean of the normalised embeddings of an image at several scales.

    With ``power`` p the mean is generalised, (mean of x^p)^(1/p); that wants embeddings that are not negative, such as
    GeM-pooled features.

    Args:
        model: from images [B, 3, H, W] of any size to embeddings [B, D].
        scales: factors of both sides, > 0.
        power: of the mean; 1 for the plain one.

    Raises:
        ValueError: no scale, or numbers out of range.

    References:
        Radenovic et al., Fine-tuning CNN Image Retrieval with No Human Annotation, TPAMI 2018, arXiv 1711.02512.
    """

    def __init__(self, model: nn.Module, scales: Sequence[float] = SCALES, power: float = 1.0):
        super().__init__()
        if not scales or min(scales) <= 0:
            raise ValueError(f"scales: wanted one or more factors > 0, got {list(scales)}")
        if power <= 0:
            raise ValueError(f"power: wanted > 0, got {power}")
        self.model, self.scales, self.power = model, tuple(scales), power

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings [B, D], normalised.

        Raises:
            ValueError: the model takes images of one size only, or ``power`` meets a negative embedding.
        """
        total: Tensor | None = None
        for scale in self.scales:
            found = nn.functional.normalize(self._embed(images, scale), dim=1)
            if self.power != 1:
                if bool((found < 0).any()):
                    raise ValueError(
                        f"power: wanted 1 for embeddings with negative entries, got {self.power}"
                    )
                found = found**self.power
            total = found if total is None else total + found
        assert total is not None
        mean = total / len(self.scales)
        return nn.functional.normalize(mean ** (1 / self.power) if self.power != 1 else mean, dim=1)

    def _embed(self, images: Tensor, scale: float) -> Tensor:
        height, width = images.shape[-2:]
        size = [max(1, round(side * scale)) for side in (height, width)]
        if size != [height, width]:
            images = nn.functional.interpolate(
                images, size, mode="bilinear", align_corners=False, antialias=True
            )
        try:
            return self.model(images)
        except (AssertionError, RuntimeError, ValueError) as error:
            if size == [height, width]:
                raise
            raise ValueError(
                f"scales: wanted a model that takes images of {size[0]} x {size[1]} pixels too, got: {error}"
            ) from error

    def extra_repr(self) -> str:
        """Scales and power."""
        return f"scales={self.scales}, power={self.power}"
