"""What a finished run leaves in its folder, beside checkpoints and logs."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pml_suprank.recipes.embeddings import EmbeddingSet, names_of_nodes
from pml_suprank.recipes.engine.checkpoints import CheckpointError
from pml_suprank.recipes.engine.evaluation import Evaluation
from pml_suprank.recipes.engine.run_paths import placed
from pml_suprank.recipes.files import write_json
from pml_suprank.recipes.pages.sheets import contact_sheet
from pml_suprank.recipes.retrievals import choose_queries, retrieve

__all__ = ["read_before", "write_after", "write_before"]

BEFORE = "before.json"


def write_before(folder: Path, found: Evaluation, seed: int, has_gallery: bool) -> None:
    """Keep what the model does before training, for the report."""
    content: dict[str, Any] = {"metrics": found.metrics, "sheets": None}
    if not has_gallery:
        queries = choose_queries(found.labels, seed, most=12, least=4)
        content["sheets"] = asdict(retrieve(found.embeddings, found.labels, queries))
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


def write_after(
    folder: Path, trainer: Any, found: Evaluation, test: Any, left_out: Sequence[Any] = ()
) -> dict[str, Any]:
    """Write ``metrics.json``, ``sheets.json`` and ``embeddings.npz``.

    Args:
        folder: of the run.
        trainer: that has trained.
        found: evaluation of the best weights.
        test: the held-out images.
        left_out: what lay beside the images and was not read, :class:`LeftOut`.

    Returns:
        The content of ``metrics.json``.
    """
    before = read_before(folder)
    tree = test.hierarchy
    paths, base = placed(test.paths, trainer.settings.data.root)
    EmbeddingSet(
        found.embeddings,
        found.labels,
        paths=paths,
        level_names=tree.level_names,
        node_names=names_of_nodes(tree),
        root=base,
    ).save(folder / "embeddings.npz")
    if before["sheets"] is not None:
        rows = {
            "before": before["sheets"],
            "after": asdict(retrieve(found.embeddings, found.labels, before["sheets"]["queries"])),
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
        "left_out": [asdict(item) for item in left_out],
    }
    write_json(folder / "metrics.json", metrics)  # last: its presence says that the run is whole
    return metrics
