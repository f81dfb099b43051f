"""The metrics written down from their formulas: a full argsort and dense tensors of levels."""

import torch
from torch import Tensor


def direct(
    points: Tensor,
    labels: Tensor,
    queries: Tensor,
    depths: tuple[int, ...],
    ties: bool = False,
) -> dict[str, Tensor]:
    """Return every metric of some queries against all other points.

    Args:
        points: (N, D) float32.
        labels: (N, L), column 0 finest.
        queries: (Q,) indices of the points that are queries.
        depths: of recall at k.
        ties: whether to put items of lower level first among equal scores, which takes a second sort.
    """
    num_items, num_levels = labels.shape
    scores = points[queries] @ points.T
    levels = (labels[queries][:, None] == labels[None]).sum(-1)
    own = torch.arange(len(queries)), queries
    scores[own] = -torch.inf
    if ties:
        by_level = levels.argsort(dim=1, stable=True)
        scores, levels = scores.gather(1, by_level), levels.gather(1, by_level)
    order = scores.argsort(dim=1, descending=True, stable=ties)
    ranked = levels.gather(1, order)[:, :-1]

    rank = torch.arange(1, num_items, dtype=torch.float64)
    counts = torch.stack([(ranked == x).sum(1) for x in range(num_levels + 1)], 1)
    table = torch.arange(num_levels + 1, dtype=torch.float64) / num_levels / counts.clamp(min=1)
    relevance = (table * (counts > 0)).gather(1, ranked)
    ideal = ranked.sort(dim=1, descending=True).values
    discount = 1 / torch.log2(1 + rank)
    related = (ranked > 0).sum(1)

    values: dict[str, Tensor] = {}
    total = torch.zeros(len(queries), dtype=torch.float64)
    before = torch.zeros(len(queries), 1, dtype=torch.float64)
    for step in (table * (counts > 0))[:, 1:].sort(dim=1).values.split(1, dim=1):
        reached = (relevance >= step).double()
        total += (step - before)[:, 0] * (reached * reached.cumsum(1) / rank).sum(1)
        before = step
    values["hierarchical_average_precision"] = total / relevance.sum(1)
    gain, best = 2.0 ** ranked.double() - 1, 2.0 ** ideal.double() - 1
    values["ndcg"] = (gain * discount).sum(1) / (best * discount).sum(1)
    common = sum(
        torch.minimum((ranked == x).cumsum(1), (ideal == x).cumsum(1))
        for x in range(num_levels + 1)
    )
    values["asi"] = (common / rank * (rank <= related[:, None])).sum(1) / related
    for level in range(num_levels):
        positive = (ranked >= num_levels - level).double()
        number = positive.sum(1)
        precision = positive * positive.cumsum(1) / rank
        within = rank <= number[:, None]
        values[f"mean_average_precision_level{level}"] = precision.sum(1) / number
        values[f"mean_average_precision_at_r_level{level}"] = (precision * within).sum(1) / number
        for k in depths:
            values[f"recall_at_{k}_level{level}"] = positive[:, :k].amax(1)
    return values
