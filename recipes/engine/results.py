"""What a finished run leaves in its folder, beside checkpoints and logs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pml_suprank.hierarchy import common_levels
from pml_suprank.recipes.embeddings import EmbeddingSet, names_of_nodes
from pml_suprank.recipes.engine.checkpoints import CheckpointError
from pml_suprank.recipes.engine.evaluation import Evaluation
from pml_suprank.recipes.files import write_json
from pml_suprank.recipes.pages.sheets import contact_sheet

__all__ = ["read_before", "write_after", "write_before"]

RESULTS = 10
QUERIES = 12
BEFORE = "before.json"


def choose_queries(labels: Tensor, seed: int) -> list[int]:
    """One random image of each of at most 12 nodes of the coarsest level, so that no one picks the pretty ones.

    Args:
        labels: [N, L].
        seed: of the drawing.
    """
    generator = np.random.default_rng([seed, 1])
    coarsest = labels[:, -1].numpy()
    nodes = np.unique(coarsest)
    if len(nodes) > QUERIES:
        nodes = np.sort(generator.choice(nodes, QUERIES, replace=False))
    chosen = [int(generator.choice(np.flatnonzero(coarsest == node))) for node in nodes]
    while len(chosen) < min(4, len(labels)):
        other = int(generator.integers(len(labels)))
        chosen += [] if other in chosen else [other]
    return chosen


def retrieve(embeddings: Tensor, labels: Tensor, queries: list[int]) -> dict[str, Any]:
    """The images closest to each query among all others, and the levels they share with it."""
    embeddings = torch.nn.functional.normalize(embeddings, dim=1)
    chosen = torch.tensor(queries)
    scores = embeddings[chosen] @ embeddings.T
    scores[torch.arange(len(chosen)), chosen] = -torch.inf
    results = scores.topk(min(RESULTS, len(embeddings) - 1), dim=1).indices
    shared = common_levels(labels[chosen], labels).gather(1, results)
    return {"queries": queries, "results": results.tolist(), "levels": shared.tolist()}


def write_before(folder: Path, found: Evaluation, seed: int, has_gallery: bool) -> None:
    """Keep what the model does before training, for the report."""
    content: dict[str, Any] = {"metrics": found.metrics, "sheets": None}
    if not has_gallery:
        queries = choose_queries(found.labels, seed)
        content["sheets"] = retrieve(found.embeddings, found.labels, queries)
    write_json(folder / BEFORE, content)


def read_before(folder: Path) -> dict[str, Any]:
    """What :func:`write_before` wrote.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    path = folder / BEFORE
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: wanted the evaluation before training, got {error}"
        ) from error


def write_after(folder: Path, trainer: Any, found: Evaluation, test: Any) -> dict[str, Any]:
    """Write ``metrics.json``, ``sheets.json`` and ``embeddings.npz``.

    Args:
        folder: of the run.
        trainer: that has trained.
        found: evaluation of the best weights.
        test: the held-out images.

    Returns:
        The content of ``metrics.json``.
    """
    before = read_before(folder)
    tree = test.hierarchy
    EmbeddingSet(
        found.embeddings,
        found.labels,
        paths=tuple(str(path) for path in test.paths),
        level_names=tree.level_names,
        node_names=names_of_nodes(tree),
    ).save(folder / "embeddings.npz")
    if before["sheets"] is not None:
        rows = {
            "before": before["sheets"],
            "after": retrieve(found.embeddings, found.labels, before["sheets"]["queries"]),
        }
        content = contact_sheet(test, list(rows.values()), tree.level_names)
        write_json(folder / "sheets.json", rows | content)
    metrics = {
        "before": before["metrics"],
        "after": found.metrics,
        "best_epoch": trainer.best["epoch"],
        "monitor": trainer.settings.training.monitor,
        "level_names": list(tree.level_names),
        "queries": len(found.labels),
        "training_images": len(trainer.items),
        "iterations": trainer.global_step,
        "training_seconds": round(sum(row["seconds"] for row in trainer.log.history), 1),
    }
    write_json(folder / "metrics.json", metrics)  # last: its presence says that the run is whole
    return metrics
