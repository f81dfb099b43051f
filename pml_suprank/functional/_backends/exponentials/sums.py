"""The kernels put to work on sorted rows."""

from typing import NamedTuple

import torch
from torch import Tensor

from pml_suprank.functional._backends.exponentials.comparators import (
    LOWER,
    OTHER_COLUMNS,
    Comparator,
    numbers_of,
)

BLOCK = 32
"""Items of a block, which are compared pair by pair."""
STRIDE = 16
"""Blocks that a walk takes in one step."""


class SortedRows(NamedTuple):
    """Rows in ascending order of score."""

    values: Tensor
    """(R, N), the scores."""
    levels: Tensor
    """(R, N), -1 outside the retrieval set."""
    order: Tensor
    """(R, N), int32, the places of the items before they were sorted."""
    num_levels: int
    relevance: Tensor | None
    """(R, L + 1) by level, in the dtype of the scores; 0 at level 0."""


def sorted_rows(
    scores: Tensor,
    levels: Tensor,
    num_levels: int,
    relevance: Tensor | None,
    order: Tensor | None = None,
) -> SortedRows:
    """Return rows (R, N) in order; an order that is known spares the sort."""
    if order is None:
        values, places = torch.sort(scores.contiguous(), dim=1, stable=True)
        order = places.int()
    else:
        places = order.long()
        values = scores.gather(1, places)
    return SortedRows(values, levels.gather(1, places), order, num_levels, relevance)


def sums_of_targets(rows: SortedRows, comparator: Comparator) -> tuple[Tensor, Tensor]:
    """Return, for every item of level above 0, the sum over its competitors and itself, and that of the slopes.

    Both are (R, N), in the places before the sort; what is at other items is not defined. An item counts for 1.
    """
    value = torch.empty_like(rows.values)
    slope = torch.empty_like(rows.values)
    _launch(rows, comparator, None, value, slope)
    return value, slope


def slopes_of_competitors(rows: SortedRows, comparator: Comparator, weights: Tensor) -> Tensor:
    """Return, for every item, the slopes at the targets that it competes with, summed with their weights.

    Args:
        rows: sorted.
        comparator: with the sigmoid or lines.
        weights: (R, N), in order, 0 for items of level 0.

    Returns:
        (R, N), in the places before the sort.
    """
    slope = torch.empty_like(rows.values)
    _launch(rows, comparator, weights, slope, slope)
    return slope


def _launch(
    rows: SortedRows, comparator: Comparator, weights: Tensor | None, value: Tensor, slope: Tensor
) -> None:
    from pml_suprank.functional._backends.exponentials import kernels

    values, levels, order, num_levels, relevance = rows
    num_rows, num_items = values.shape
    if values.numel() == 0:
        return
    num_blocks = -(-num_items // BLOCK)
    num_states = 1 if comparator.one_state else num_levels
    # targets have a level above 0, and what they are compared with here one below theirs
    first_state = 0 if weights is not None and comparator.smooth == LOWER else 1
    terms = comparator.terms(values.dtype)
    columns = terms + OTHER_COLUMNS
    numbers = numbers_of(comparator, values.dtype, values.device)
    states = values.new_empty(num_rows, 2, num_states, num_blocks, columns)
    edges = values.new_empty(num_rows, 2, num_blocks)
    weights_ = values if weights is None else weights
    relevance_ = values if relevance is None else relevance
    num_columns = 0 if relevance is None else relevance.shape[1]
    shape = {"K": terms, "COLUMNS": columns}
    which = {
        "BACK": weights is not None,
        "SMOOTH": comparator.smooth,
        "WEIGHTED": comparator.weighted,
        "BLOCK": BLOCK,
    }
    wide = {"num_warps": 8 if columns > 16 else 4}
    with torch.cuda.device_of(values):
        # dimension 0 of a grid alone takes more than 65,535 programs
        kernels.sum_blocks[(num_rows * num_blocks,)](
            values,
            levels,
            weights_,
            relevance_,
            numbers,
            states,
            edges,
            num_items,
            num_blocks,
            num_states,
            first_state,
            num_columns,
            **which,
            **shape,
            num_warps=2,
        )
        kernels.walk[(num_rows * 2 * num_states,)](
            states, edges, numbers, num_blocks, num_states, STRIDE=STRIDE, **shape, **wide
        )
        kernels.finish[(num_rows * num_blocks,)](
            values,
            levels,
            order,
            weights_,
            relevance_,
            numbers,
            states,
            edges,
            value,
            slope,
            num_items,
            num_blocks,
            num_states,
            first_state,
            num_columns,
            num_blocks.bit_length(),
            LINE=comparator.line,
            **which,
            **shape,
            **wide,
        )
