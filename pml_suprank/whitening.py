"""Whitening of embeddings, learned on a training set that has nothing of the evaluation's.

References:
    Jegou & Chum, Negative Evidences and Co-occurences in Image Retrieval: the Benefit of PCA and Whitening, ECCV 2012.
    Radenovic et al., Fine-tuning CNN Image Retrieval with No Human Annotation, TPAMI 2018, arXiv 1711.02512.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pml_suprank.checks import all_finite, check_embeddings, check_tensor
from pml_suprank.hierarchy.labels import index_tensor, integer_tensor
from pml_suprank.values import MOST_ITEMS, as_integer, checked_integer, shown

__all__ = ["Whitening", "pair_whitening", "pca_whitening", "random_pairs"]


class Whitening(nn.Module):
    """Centre, project, normalise.

    Its state is ``mean`` and ``projection``, so ``state_dict`` keeps it, and it can end a model.

    Args:
        mean: (D,).
        projection: (d, D), d at most D.

    Raises:
        ValueError: shapes that do not fit.
    """

    mean: Tensor
    projection: Tensor

    def __init__(self, mean: Tensor, projection: Tensor) -> None:
        super().__init__()
        for name, values in (("mean", mean), ("projection", projection)):
            check_tensor(name, values, "floating")
            if not all_finite(values):
                raise ValueError(f"{name}: wanted finite numbers, got NaN or infinity")
        if projection.ndim != 2 or mean.shape != projection.shape[1:]:
            raise ValueError(
                f"projection: wanted (d, D) with D as in mean, got {tuple(projection.shape)} and "
                f"{tuple(mean.shape)}"
            )
        self.register_buffer("mean", mean)
        self.register_buffer("projection", projection)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Whitened embeddings (n, d), normalised, of (n, D), in the dtype of the embeddings (float32 at least)."""
        check_embeddings("embeddings", embeddings)
        if embeddings.shape[1] != len(self.mean):
            raise ValueError(
                f"embeddings: wanted {len(self.mean)} dimensions, got {embeddings.shape[1]}"
            )
        dtype = torch.promote_types(embeddings.dtype, torch.float32)
        centred = embeddings.to(dtype) - self.mean.to(dtype)
        return nn.functional.normalize(centred @ self.projection.to(dtype).T, dim=1)

    def extra_repr(self) -> str:
        """Dimensions before and after."""
        return f"{self.projection.shape[1]}, {self.projection.shape[0]}"


@torch.no_grad()
def pca_whitening(embeddings: Tensor, dim: int | None = None) -> Whitening:
    r"""Principal components, each scaled to variance one.

    .. math:: x \mapsto \Lambda^{-1/2} V^\top (x - \mu), \quad C = V \Lambda V^\top

    Args:
        embeddings: (n, D) of a training set, usually normalised.
        dim: number of components, largest variance first; None for all D.

    Returns:
        The whitening, in the dtype of the embeddings (float32 at least).

    Raises:
        ValueError: ``dim`` out of range, or fewer directions with a variance than wanted.
    """
    values, dim = _checked(embeddings, dim)
    mean = values.mean(0)
    centred = values - mean
    variance, directions = _spectrum(centred, len(values) - 1)
    _check_rank(variance, dim, "variance")
    projection = directions[:, :dim].T / variance[:dim, None].sqrt()
    return _module(mean, projection, embeddings)


@torch.no_grad()
def pair_whitening(embeddings: Tensor, pairs: Any, dim: int | None = None) -> Whitening:
    r"""Discriminative whitening: what differs within matching pairs is whitened, what is left is ordered by variance.

    .. math:: P = V^\top C_S^{-1/2}, \quad C_S = E[(x_i - x_j)(x_i - x_j)^\top] \text{ over matching pairs}

    where V are the principal directions of the data after :math:`C_S^{-1/2}` (by Cholesky).

    Args:
        embeddings: (n, D) of a training set, usually normalised.
        pairs: (P, 2) integers, rows of matching embeddings; see :func:`random_pairs`.
        dim: number of components; None for all D.

    Returns:
        The whitening, in the dtype of the embeddings (float32 at least).

    Raises:
        ValueError: ``dim`` out of range, pairs outside the embeddings, or pairs that differ in fewer than D directions.
    """
    values, dim = _checked(embeddings, dim)
    index = index_tensor(pairs, "pairs").to(values.device)
    if index.ndim != 2 or index.shape[1] != 2 or not len(index):
        raise ValueError(f"pairs: wanted (P, 2), P > 0, got shape {tuple(index.shape)}")
    if not 0 <= int(index.min()) <= int(index.max()) < len(values):
        raise ValueError(
            f"pairs: wanted rows 0..{len(values) - 1}, got {int(index.min())}..{int(index.max())}"
        )
    mean = values[index[:, 0]].mean(0)
    difference = values[index[:, 0]] - values[index[:, 1]]
    covariance = difference.T @ difference / len(difference)
    factor, failed = torch.linalg.cholesky_ex(covariance)
    spread = torch.linalg.eigvalsh(covariance)
    if int(failed) or float(spread[0]) <= float(spread[-1]) * _RELATIVE:
        rank = int((spread > spread[-1] * _RELATIVE).sum())
        raise ValueError(
            f"pairs: wanted pairs that differ in all {values.shape[1]} dimensions, got {rank}; take more pairs, or "
            "pca_whitening to fewer dimensions first"
        )
    whitened = torch.linalg.solve_triangular(factor, (values - mean).T, upper=False)
    _, directions = _spectrum(whitened.T, len(values))
    inverse = torch.linalg.solve_triangular(
        factor, torch.eye(len(factor), dtype=factor.dtype, device=factor.device), upper=False
    )
    return _module(mean, directions[:, :dim].T @ inverse, embeddings)


def random_pairs(labels: Any, per_class: int = 50, seed: int = 0) -> Tensor:
    """Matching pairs of a labelled training set.

    Args:
        labels: (n,) class labels.
        per_class: most pairs of a class, drawn at random where it has more.
        seed: of the draw.

    Returns:
        (P, 2) int64, each pair once, smaller row first.

    Raises:
        ValueError: labels of another form, ``per_class`` below 1, or no class with two items.
    """
    classes = integer_tensor(labels, "labels").cpu()
    if classes.ndim != 1 or not len(classes):
        raise ValueError(f"labels: wanted 1-D class labels, got shape {tuple(classes.shape)}")
    most = as_integer(per_class)
    if most is None or most < 1:
        raise ValueError(f"per_class: wanted at least 1, got {shown(per_class)}")
    per_class = min(most, MOST_ITEMS)
    seed = checked_integer("seed", seed, -(2**63), 2**63 - 1)
    generator = torch.Generator().manual_seed(seed)
    order = classes.argsort(stable=True)
    counts = classes.unique(return_counts=True)[1].tolist()
    found = []
    for rows in order.split(counts):
        total = len(rows) * (len(rows) - 1) // 2
        if total <= 4 * per_class:
            chosen = torch.combinations(rows)
            chosen = chosen[torch.randperm(total, generator=generator)[:per_class].sort().values]
        else:
            drawn = torch.randint(len(rows), (4 * per_class, 2), generator=generator)
            drawn = drawn[drawn[:, 0] != drawn[:, 1]].sort(1).values.unique(dim=0)
            keep = torch.randperm(len(drawn), generator=generator)[:per_class].sort().values
            chosen = rows[drawn[keep]]
        found.append(chosen.sort(1).values)
    pairs = torch.cat(found)
    if not len(pairs):
        raise ValueError("labels: wanted a class with two items, got none")
    return pairs


_RELATIVE = 1e-10
"""Share of the largest variance below which a direction has none."""


def _checked(embeddings: Tensor, dim: int | None) -> tuple[Tensor, int]:
    check_embeddings("embeddings", embeddings)
    if len(embeddings) < 2:
        raise ValueError(f"embeddings: wanted two rows at least, got {len(embeddings)}")
    width = embeddings.shape[1]
    if dim is None:
        dim = width
    found = as_integer(dim)
    if found is None or not 1 <= found <= width:
        raise ValueError(f"dim: wanted 1..{width}, got {shown(dim)}")
    dim = found
    return embeddings.detach().double(), dim


def _spectrum(centred: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Variances, largest first, and directions as columns; the largest entry of each is positive."""
    variance, directions = torch.linalg.eigh(centred.T @ centred / count)
    variance, directions = variance.flip(0), directions.flip(1)
    largest = directions.gather(0, directions.abs().argmax(0, keepdim=True))
    return variance, directions * largest.sign()


def _check_rank(variance: Tensor, dim: int, what: str) -> None:
    rank = int((variance > variance[0] * _RELATIVE).sum())
    if rank < dim or float(variance[0]) <= 0:
        raise ValueError(
            f"embeddings: wanted {dim} directions with a {what}, got {rank}; take more rows or a smaller dim"
        )


def _module(mean: Tensor, projection: Tensor, like: Tensor) -> Whitening:
    dtype = torch.promote_types(like.dtype, torch.float32)
    return Whitening(mean.to(dtype), projection.to(dtype).contiguous())
