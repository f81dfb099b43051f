"""Random retrieval problems for property tests."""

from typing import NamedTuple

import torch
from hypothesis import strategies as st
from torch import Tensor

from pml_suprank import functional as F

STEP = {"tau": 0.03, "rho": 40.0, "delta": 0.1, "start": 0.3, "offset": 1.1}
HRANK = {"beta": 5.0, "gamma": 0.4, "leak": 2.0}
SURROGATES = {
    "hard": (F.HardRank(), "hard", {}),
    "smooth": (F.SmoothRank(0.03), "smooth", {"tau": 0.03}),
    "sup": (F.SupRank(), "sup", {}),
    "sup_step": (F.SupRank(**STEP), "sup", STEP),
    "sup_hrank": (F.SupRank(**STEP, hrank=F.HRankStep(**HRANK)), "sup", STEP | {"hrank": HRANK}),
}
"""A surrogate, and what the loops of ``tests/reference/rank_losses.py`` call it."""


class Problem(NamedTuple):
    scores: Tensor
    levels: Tensor
    relevance: Tensor
    mask: Tensor | None
    num_levels: int


@st.composite
def problems(draw, max_queries=4, max_items=12, ties=True, dtype=torch.float64):
    """Uneven levels, 1..6 of them; queries without positives; masks; tied and duplicate scores."""
    num_queries = draw(st.integers(1, max_queries))
    num_items = draw(st.integers(1, max_items))
    num_levels = draw(st.integers(1, 6))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    shape = (num_queries, num_items)
    scale = draw(st.sampled_from([0.02, 0.3, 1.0, 5.0]))
    scores = scale * torch.randn(shape, generator=generator, dtype=torch.float64)
    if ties and draw(st.booleans()):
        step = scale / 4
        scores = (scores / step).round() * step
    highest = draw(st.integers(0, num_levels))
    levels = torch.randint(0, highest + 1, shape, generator=generator)
    levels = levels * (torch.rand(shape, generator=generator) < draw(st.sampled_from([0.3, 1.0])))
    mask = None
    if draw(st.booleans()):
        mask = torch.rand(shape, generator=generator) < 0.7
    per_level = torch.rand(num_levels + 1, generator=generator, dtype=torch.float64)
    per_level[0] = 0
    relevance = per_level[levels]
    if mask is not None:
        relevance = relevance.masked_fill(~mask, 0.0)
    return Problem(scores.to(dtype), levels, relevance.to(dtype), mask, num_levels)


def keep(problem, query):
    size = problem.scores.shape[1]
    return [True] * size if problem.mask is None else problem.mask[query].tolist()
