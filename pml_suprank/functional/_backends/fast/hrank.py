"""Numerators of SupRank in one chunk of queries: steps, and HAPPIER's lines."""

import torch
from torch import Tensor

from pml_suprank.functional._backends.fast.chunk import Chunk
from pml_suprank.functional.steps import HRankStep


def step_numerator(chunk: Chunk, pair_weight: Tensor, levels: range) -> Tensor:
    """Return, for the targets, the weights of the items not behind, themselves included, (T,).

    Args:
        chunk: sorted rows.
        pair_weight: (R, L, L + 1), for the level of the target (from 1) and of the competitor (from 0).
        levels: the levels of targets to fill in.
    """
    total = torch.zeros(len(chunk.flat), dtype=torch.float64, device=chunk.values.device)
    for level in levels:
        target = chunk.of_level(level)
        if target.start < target.stop:
            weight = chunk.table(pair_weight[:, level - 1])
            (total[target],) = chunk.suffix(weight, target, chunk.first_equal[target])
    return total


class HigherCompetitors:
    """Sums of HAPPIER's G over the competitors of a higher level, weighted by pairs of levels."""

    def __init__(self, chunk: Chunk, step: HRankStep, pair_weight: Tensor) -> None:
        self.chunk, self.step = chunk, step
        level = torch.arange(pair_weight.shape[2], device=pair_weight.device)
        higher = level > torch.arange(1, pair_weight.shape[1] + 1, device=level.device).unsqueeze(1)
        self.pair_weight = pair_weight * higher
        self.rising = step.gamma <= 1
        reach = (1 - step.gamma) / step.beta if self.rising and step.beta > 0 else float("inf")
        self.levels = range(1, pair_weight.shape[1])  # nothing is above the last level
        self.top = chunk.first_ahead
        if self.rising:
            self.top = chunk.beyond(reach)

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return the sums, and their derivative by the target's score, (T,)."""
        chunk, step = self.chunk, self.step
        value = torch.zeros(len(chunk.flat), dtype=torch.float64, device=chunk.values.device)
        slope = torch.zeros_like(value)
        for level in self.levels:
            target = chunk.of_level(level)
            if target.start == target.stop:
                continue
            weight = chunk.table(self.pair_weight[:, level - 1]).double()
            positions = chunk.first[target], chunk.first_ahead[target], self.top[target]
            n_all, n_ahead, n_top = chunk.suffix(weight, target, *positions)
            sums = chunk.suffix(weight * chunk.exact, target, *positions)
            own = chunk.target_value[target].double()
            behind = (sums[0] - sums[1]) - own * (n_all - n_ahead)
            between = (sums[1] - sums[2]) - own * (n_ahead - n_top)
            value[target] = (
                step.leak * behind + step.beta * between + step.gamma * (n_ahead - n_top) + n_top
            )
            slope[target] = -step.leak * (n_all - n_ahead) - step.beta * (n_ahead - n_top)
        return value, slope

    def backward(self, weight: Tensor) -> Tensor:
        """Return the gradient of the items as competitors, (R, N), for d loss / d sum (T,)."""
        chunk, step = self.chunk, self.step
        gradient = torch.zeros(chunk.values.shape, dtype=torch.float64, device=chunk.values.device)
        for level in self.levels:
            target = chunk.of_level(level)
            if target.start == target.stop:
                continue
            pull = weight[target].double()
            everywhere = chunk.spread(pull, chunk.first[target])
            ahead = chunk.spread(pull, chunk.first_ahead[target])
            top = chunk.spread(pull, self.top[target])
            slope = step.leak * (everywhere - ahead) + step.beta * (ahead - top)
            gradient += slope * chunk.table(self.pair_weight[:, level - 1])
        return gradient
