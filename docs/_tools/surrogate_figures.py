"""Draw the pictures of docs/surrogates.md: the comparators, and what losses do to a ranking.

Run as ``python docs/_tools/surrogate_figures.py``. Everything drawn is computed by the losses themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from pytorch_metric_learning.losses import MultiSimilarityLoss, TripletMarginLoss
from torch import Tensor

from pml_suprank import functional, losses
from pml_suprank.relevance import PopulationRelevance, item_relevance

IMAGES = Path(__file__).parents[1] / "images"
TEAL, GREY, ORANGE, BLUE = "#0f766e", "#98a2b3", "#c2410c", "#1d4ed8"

SCORES = (0.80, 0.70, 0.60, 0.50, 0.40, 0.30, 0.20, 0.10)
"""Cosine of the items with the query."""
LEVELS = (0, 2, 0, 1, 0, 2, 1, 0)
"""Levels that they share with it: 2 the class, 1 the parent alone, 0 nothing."""
STEPS, FIRST_STEP = 300, 0.02
RANK_LOSSES = ("SmoothAPLoss", "SupAPLoss", "SupHAPLoss")
"""They have one learning rate, that of SupAPLoss: all are one minus a metric in [0, 1]."""

LOSSES: dict[str, Callable[[], torch.nn.Module]] = {
    "SmoothAPLoss": losses.SmoothAPLoss,
    "SupAPLoss": losses.SupAPLoss,
    "SupHAPLoss": losses.SupHAPLoss,
    "CalibrationLoss": losses.CalibrationLoss,
    "TripletMarginLoss (PML)": TripletMarginLoss,
    "MultiSimilarityLoss (PML)": MultiSimilarityLoss,
}


def comparators(t: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Value and slope of each comparator at score differences ``t``, for a competitor of a lower level."""
    lower = torch.ones_like(t, dtype=torch.bool)
    surrogates = {
        "step: the rank itself": functional.HardRank(),
        "sigmoid: SmoothAP": functional.SmoothRank(),
        "SupRank": functional.SupRank(),
    }
    return {
        name: (found.competitor(t, lower), found.competitor_slope(t, lower))
        for name, found in surrogates.items()
    }


def loss_of_scores(name: str, scores: Tensor) -> Tensor:
    """Loss of one query against items that stand at ``scores`` (N,)."""
    items = torch.stack([scores, (1 - scores**2).sqrt()], dim=1)
    query = torch.tensor([[1.0, 0.0]], dtype=scores.dtype)
    ids = torch.arange(len(scores))
    levels = torch.tensor(LEVELS)
    rows = torch.stack(
        [torch.where(levels == 2, 0, ids + 1), torch.where(levels > 0, 0, ids + 1)], dim=1
    )
    loss_fn = LOSSES[name]()
    if name == "SupHAPLoss":
        return loss_fn(query, torch.zeros(1, 2, dtype=torch.long), ref_emb=items, ref_labels=rows)
    return loss_fn(query, torch.zeros(1, dtype=torch.long), ref_emb=items, ref_labels=rows[:, 0])


def gradient(name: str, scores: Tensor) -> Tensor:
    """Derivative of the loss with respect to every score, (N,)."""
    scores = scores.detach().requires_grad_()
    loss = loss_of_scores(name, scores)
    if not loss.requires_grad:  # nothing violates a margin: PML's zero loss
        return torch.zeros_like(scores)
    return torch.autograd.grad(loss, scores)[0]


def descent(name: str) -> Tensor:
    """Scores (STEPS + 1, N) under gradient steps; FIRST_STEP is the largest move of the first one, see RANK_LOSSES."""
    scores = torch.tensor(SCORES, dtype=torch.float64)
    rated = "SupAPLoss" if name in RANK_LOSSES else name
    rate = FIRST_STEP / gradient(rated, scores).abs().max()
    path = [scores]
    for _ in range(STEPS):
        path.append((path[-1] - rate * gradient(name, path[-1])).clamp(-0.99, 0.99))
    return torch.stack(path)


def metrics_of(scores: Tensor) -> tuple[float, float]:
    """AP of the class and H-AP of the ranking by ``scores`` (N,)."""
    levels = torch.tensor([LEVELS])
    relevance = item_relevance(PopulationRelevance(), levels, 2)
    ap = functional.average_precision(scores[None], levels == 2)
    return ap.item(), functional.hierarchical_average_precision(
        scores[None], levels, relevance
    ).item()


def draw_comparators() -> Figure:
    """Values on the left, slopes on the right."""
    figure = Figure(figsize=(9.5, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    values, slopes = figure.subplots(1, 2)
    t = torch.linspace(-0.06, 0.1, 3201, dtype=torch.float64)
    for (name, (value, slope)), color in zip(
        comparators(t).items(), (GREY, ORANGE, TEAL), strict=True
    ):
        values.plot(t.tolist(), value.tolist(), color=color, label=name)
        slopes.plot(t.tolist(), slope.tolist(), color=color)
    values.set(title="what a competitor adds to the rank", ylim=(-0.1, 7))
    slopes.set(title="the slope of it: the gradient")
    values.legend(frameon=False)
    for axes in (values, slopes):
        axes.axvline(0.05, color=GREY, linewidth=0.8, linestyle=":")
        axes.set_xlabel("by how much the competitor is ahead")
        axes.spines[["top", "right"]].set_visible(False)
    slopes.annotate("delta", (0.051, 3), color=GREY)
    return figure


def draw_path(axes: Axes, name: str) -> None:
    """The scores over the steps of one loss."""
    path = descent(name)
    for item, level in enumerate(LEVELS):
        axes.plot(
            path[:, item].tolist(), color=(GREY, BLUE, TEAL)[level], linewidth=1.8 if level else 1.2
        )
    before, after = metrics_of(path[0]), metrics_of(path[-1])
    axes.set_title(
        f"{name}\nAP {before[0]:.2f} → {after[0]:.2f}, H-AP {before[1]:.2f} → {after[1]:.2f}",
        fontsize=9,
    )
    axes.set_xlim(0, STEPS)
    axes.spines[["top", "right"]].set_visible(False)


def draw_pull(axes: Axes, name: str) -> None:
    """Where the first gradient pulls each item."""
    pull = -gradient(name, torch.tensor(SCORES, dtype=torch.float64))
    axes.bar(
        range(1, len(SCORES) + 1),
        (pull / pull.abs().max()).tolist(),
        color=[(GREY, BLUE, TEAL)[x] for x in LEVELS],
    )
    axes.axhline(0, color="black", linewidth=0.6)
    axes.set(ylim=(-1.1, 1.1), xticks=range(1, len(SCORES) + 1))
    axes.spines[["top", "right"]].set_visible(False)


def draw_descents() -> Figure:
    """For each loss the way of the scores, and below it the first gradient."""
    figure = Figure(figsize=(9.5, 9), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(4, 3, height_ratios=(2, 1, 2, 1))
    for number, name in enumerate(LOSSES):
        path, pull = grid[2 * (number // 3) : 2 * (number // 3) + 2, number % 3]
        draw_path(path, name)
        draw_pull(pull, name)
        path.set(ylim=(0, 1.02), xlabel="step")
        pull.set_xlabel("rank at the start")
        if number % 3 == 0:
            path.set_ylabel("cosine with the query")
            pull.set_ylabel("pull, largest = 1")
    handles = [grid[0, 0].plot([], [], color=color)[0] for color in (TEAL, BLUE, GREY)]
    names = ["same class", "same parent", "unrelated"]
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False)
    return figure


def main() -> None:
    """Draw and write both."""
    draw_comparators().savefig(IMAGES / "surrogates.png", dpi=100)
    draw_descents().savefig(IMAGES / "losses_on_a_ranking.png", dpi=100)


if __name__ == "__main__":
    main()
