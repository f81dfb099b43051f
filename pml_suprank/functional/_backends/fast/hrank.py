"""Numerators of SupRank in one chunk of queries: steps, and HAPPIER's lines."""

import torch
from torch import Tensor

from pml_suprank.functional._backends.chunk import SortedChunk
from pml_suprank.functional.steps import HRankStep


def step_numerator(chunk: SortedChunk, pair_weight: Tensor) -> Tensor:
    """Return, for the targets, the weights of the items not behind, themselves included, (T,).

    Args:
        chunk: sorted rows.
        pair_weight: (R, L, L + 1), for the level of the target (from 1) and of the competitor (from 0); 0 for
            competitors of level 0.
    """
    total = torch.zeros(len(chunk.position), dtype=torch.float64, device=chunk.values.device)
    # the weight of level x for all of levels x, x + 1, ..., as an increase over that of x - 1
    increase = pair_weight.double().diff(dim=2)
    for level, target in chunk.levels:
        row = chunk.target_row[target]
        for other in range(1, chunk.num_levels + 1):
            count = chunk.not_behind.at_least(other, target)
            total[target] += increase[:, level - 1, other - 1].index_select(0, row) * count
    return total


class HigherCompetitors:
    """Sums of HAPPIER's G over the competitors of a higher level, weighted by pairs of levels."""

    def __init__(self, chunk: SortedChunk, step: HRankStep, pair_weight: Tensor) -> None:
        self.chunk, self.step = chunk, step
        level = torch.arange(pair_weight.shape[2], device=pair_weight.device)
        higher = level > torch.arange(1, pair_weight.shape[1] + 1, device=level.device).unsqueeze(1)
        self.pair_weight = pair_weight * higher
        self.rising = step.gamma <= 1
        reach = (1 - step.gamma) / step.beta if self.rising and step.beta > 0 else float("inf")
        last = pair_weight.shape[1]  # nothing is above it
        self.levels = [entry for entry in chunk.levels if entry[0] < last]
        self.begin = chunk.row_end - chunk.num_items
        self.top = chunk.beyond(reach) if self.rising else chunk.first_ahead

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return the sums, and their derivative by the target's score, (T,)."""
        chunk, step = self.chunk, self.step
        value = torch.zeros(len(chunk.position), dtype=torch.float64, device=chunk.values.device)
        slope = torch.zeros_like(value)
        for level, target in self.levels:
            weight = chunk.table(self.pair_weight[:, level - 1]).double()
            positions = self.begin[target], chunk.first_ahead[target], self.top[target]
            n_all, n_ahead, n_top = chunk.suffix(weight, target, *positions)
            sums = chunk.suffix(weight * chunk.values.double(), target, *positions)
            own = chunk.target_value[target].double()
            behind = (sums[0] - sums[1]) - own * (n_all - n_ahead)
            between = (sums[1] - sums[2]) - own * (n_ahead - n_top)
            value[target] = (
                step.leak * behind + step.beta * between + step.gamma * (n_ahead - n_top) + n_top
            )
            slope[target] = -step.leak * (n_all - n_ahead) - step.beta * (n_ahead - n_top)
        return value, slope

    def backward(self, weight: Tensor) -> Tensor:
        """Return the gradient of the items as competitors, in order, for d loss / d sum (T,)."""
        chunk, step = self.chunk, self.step
        gradient = torch.zeros(len(chunk.order), dtype=torch.float64, device=weight.device)
        for level, target in self.levels:
            pull = weight[target].double()
            ahead = chunk.first_ahead[target]
            behind = chunk.spread(step.leak * pull, self.begin[target], ahead)
            slope = behind + chunk.spread(step.beta * pull, ahead, self.top[target])
            gradient += slope * chunk.table(self.pair_weight[:, level - 1])
        return gradient
