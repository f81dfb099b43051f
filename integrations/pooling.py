"""Generalised-mean pooling of feature maps."""

import math

import torch
from torch import nn

__all__ = ["GeM"]


class GeM(nn.Module):
    r"""Generalised mean over the spatial positions of a feature map, with a learnable exponent.

    .. math:: f_c = \left(\frac{1}{HW} \sum_{h,w} \max(x_{chw}, \epsilon)^p\right)^{1/p}

    p = 1 is average pooling of the clamped map, and the limit of large p is max pooling.

    Args:
        p: start value of the exponent, > 0.
        eps: lower clamp of the activations, > 0; keeps the power and its gradient finite.
        learnable: whether p is a parameter (else a buffer).

    Raises:
        ValueError: p or eps is not a positive finite number.

    Example:
        >>> features = torch.tensor([1.0, 2.0, 3.0, 4.0]).reshape(1, 1, 2, 2)
        >>> round(GeM(p=1.0)(features).item(), 4)
        2.5
        >>> round(GeM(p=2.0)(features).item(), 4)  # sqrt(30 / 4)
        2.7386

    References:
        F. Radenovic, G. Tolias, O. Chum, "Fine-tuning CNN Image Retrieval with No Human
        Annotation", arXiv 1711.02512, equation 3.
    """

    p: torch.Tensor

    def __init__(self, p: float = 3.0, eps: float = 1e-6, learnable: bool = True):
        super().__init__()
        for name, value in (("p", p), ("eps", eps)):
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name}: wanted a positive finite number, got {value}")
        self.eps = eps
        if learnable:
            self.p = nn.Parameter(torch.tensor(float(p)))
        else:
            self.register_buffer("p", torch.tensor(float(p)))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Pool ``[B, C, H, W]`` to ``[B, C]``; the power is taken in float32 at least.

        Args:
            features: [B, C, H, W].

        Returns:
            [B, C], dtype of ``features``.

        Raises:
            ValueError: ``features`` does not have four dimensions.
        """
        if features.ndim != 4:
            shape = tuple(features.shape)
            raise ValueError(f"features: wanted shape [B, C, H, W], got {shape}")
        dtype = torch.promote_types(features.dtype, torch.float32)
        with torch.autocast(features.device.type, enabled=False):
            p = self.p.to(dtype)
            powers = features.to(dtype).clamp(min=self.eps).pow(p)
            pooled = powers.mean(dim=(2, 3)).pow(1 / p)
        return pooled.to(features.dtype)

    def extra_repr(self) -> str:
        """Show the current exponent."""
        return f"p={self.p.item():.4g}, eps={self.eps:g}"
