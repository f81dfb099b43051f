"""Evaluation with PML's tester and the calculator of this library."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from pml_suprank import AccuracyCalculator
from pml_suprank.pml import GlobalEmbeddingSpaceTester
from pml_suprank.recipes.data.emoji import LEVEL_NAMES, EmojiDataset

__all__ = ["COLUMNS", "METRICS", "ROWS", "TILES", "Metric", "evaluate", "table"]


class Metric(NamedTuple):
    """A metric of the reports.

    Attributes:
        title: how it is written.
        level: level name, or "" for a metric over all levels.
        key: name in the calculator's result.
    """

    title: str
    level: str
    key: str


METRICS: dict[str, Metric] = {
    "h_ap": Metric("H-AP", "", "hierarchical_average_precision"),
    "ndcg": Metric("NDCG", "", "ndcg"),
    "asi": Metric("ASI", "", "asi"),
    **{
        f"{short}_{level}": Metric(title, level, f"{key}_level{column}" if column else key)
        for column, level in enumerate(LEVEL_NAMES)
        for short, title, key in (
            ("ap", "AP", "mean_average_precision"),
            ("p1", "P@1", "precision_at_1"),
        )
    },
}

TILES = {METRICS[name].title: name for name in ("h_ap", "ndcg", "asi")}
"""Metrics over all levels: title to name."""

_HEADINGS = ("", *LEVEL_NAMES)
ROWS = {
    heading: {name: metric.title for name, metric in METRICS.items() if metric.level == heading}
    for heading in _HEADINGS
}
"""The table of the report: level to its metrics, name to title."""

COLUMNS = {f"{m.title} {m.level}".strip(): name for name, m in METRICS.items()}
"""The columns of the comparison: title to name."""


def evaluate(
    models: dict[str, torch.nn.Module], data: EmojiDataset, *, use_trunk_output: bool = False
) -> tuple[dict[str, float], torch.Tensor]:
    """Every image as a query against all others.

    Args:
        models: trunk and embedder.
        data: test half, with its transform.
        use_trunk_output: evaluate the features of the trunk instead of the embeddings.

    Returns:
        The metrics by the names of :data:`METRICS`, and the normalised embeddings [N, D].
    """
    kept: dict[str, Any] = {}
    calculator = AccuracyCalculator(
        include=[metric.key for metric in METRICS.values()],
        device="cpu",
        hierarchy=data.hierarchy,
        similarity="cosine",
    )
    tester = GlobalEmbeddingSpaceTester(
        batch_size=128,
        dataloader_num_workers=0,
        data_device=torch.device("cpu"),
        use_trunk_output=use_trunk_output,
        accuracy_calculator=calculator,
        end_of_testing_hook=lambda tester: kept.update(tester.embeddings_and_labels),
    )
    found = tester.test({"test": data}, 0, models["trunk"], models["embedder"])["test"]
    # The tester adds the column of the labels it passed on, which is always the finest.
    metrics = {name: float(found[f"{metric.key}_level0"]) for name, metric in METRICS.items()}
    return metrics, kept["test"][0]


def table(before: Mapping[str, float], after: Mapping[str, float]) -> list[dict[str, Any]]:
    """Rows for a CSV file: metric, level, before, after."""
    return [
        {"metric": m.title, "level": m.level, "before": before[name], "after": after[name]}
        for name, m in METRICS.items()
    ]
