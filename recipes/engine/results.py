"""What a finished run leaves in its folder, beside checkpoints and logs."""

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from pml_suprank.integrations.plain_files import read_json
from pml_suprank.recipes.embedding_set import EmbeddingSet, names_of_nodes
from pml_suprank.recipes.engine.checkpoints import CheckpointError
from pml_suprank.recipes.engine.data_identity import named_items
from pml_suprank.recipes.engine.encoder import model_identity
from pml_suprank.recipes.engine.findings import findings
from pml_suprank.recipes.engine.held_out import Evaluation
from pml_suprank.recipes.engine.run_paths import placed
from pml_suprank.recipes.files import write_json, write_text
from pml_suprank.recipes.pages.sheets import contact_sheet
from pml_suprank.recipes.retrievals import choose_queries, retrieve

__all__ = ["id_of_test_set", "read_before", "write_after", "write_before"]

BEFORE, DETAILS = "before.json", "details.json"


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
        content = read_json(path)
        metrics, sheets = content["metrics"], content["sheets"]
        if not all(isinstance(value, int | float) for value in metrics.values()):
            raise TypeError("metrics that are no numbers")
        if sheets is not None and not all(isinstance(row, int) for row in sheets["queries"]):
            raise TypeError("queries that are no numbers")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else error
        raise CheckpointError(
            f"{path}: wanted the evaluation before training, got {reason}"
        ) from error
    return content


def write_after(
    folder: Path,
    trainer: Any,
    found: Evaluation,
    test: Any,
    *,
    notes: Sequence[str] = (),
    left_out: Sequence[Any] = (),
    broken: int = 0,
) -> dict[str, Any]:
    """Write ``metrics.json``, ``sheets.json``, ``details.json`` and ``embeddings.npz``.

    And ``LICENCES.txt``, where whoever shows the images has to name their makers.

    Args:
        folder: of the run.
        trainer: that has trained.
        found: evaluation of the best weights.
        test: the held-out images.
        notes: what the reader of the results has to know about the data.
        left_out: what lay beside the images and was not read, :class:`LeftOut`.
        broken: number of images that were left out as broken.

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
        model=model_identity(trainer.model.model, trainer.settings, folder),
    ).save(folder / "embeddings.npz")
    if before["sheets"] is not None:
        rows = {
            "before": before["sheets"],
            "after": asdict(retrieve(found.embeddings, found.labels, before["sheets"]["queries"])),
        }
        content = contact_sheet(test, list(rows.values()), tree.level_names)
        write_json(folder / "sheets.json", rows | content)
    seed = trainer.settings.training.seed
    details = findings(found, test, trainer.gallery_set, paths, base, seed)
    write_json(folder / DETAILS, details)
    metrics = {
        "before": before["metrics"],
        "after": found.metrics,
        "best_epoch": trainer.best["epoch"],
        "monitor": trainer.monitor,
        "level_names": list(tree.level_names),
        "levels": [fact.to_dict() for fact in found.levels],
        "notes": list(notes),
        "test_set": id_of_test_set(test, trainer.gallery_set, trainer.settings.data.root),
        "queries": len(found.labels),
        "classes": len(found.labels[:, 0].unique()),
        "training_images": len(trainer.items),
        "training_classes": len(trainer.plan.labels[:, 0].unique()),
        "broken": broken,
        "iterations": trainer.global_step,
        "batch_size": trainer.plan.batch_size,
        "training_seconds": round(sum(row["seconds"] for row in trainer.log.history), 1),
        "left_out": [asdict(item) for item in left_out],
        "setup": _setup(trainer.accelerator.device, trainer.settings.model.library, test.versions),
        "credits": [f"{name}: {text}" for name, text in test.credits.items()],
    }
    if test.credits:
        write_text(folder / "LICENCES.txt", _licences(test.credits))
    write_json(folder / "metrics.json", metrics)  # last: its presence says that the run is whole
    return metrics


def _setup(device: torch.device, library: str, versions: Mapping[str, str]) -> dict[str, str]:
    """Versions and machine, in words; the numbers of a run may depend on them."""
    libraries = {"open_clip": "open_clip_torch"}
    names = ("pml-suprank", "pytorch-metric-learning", "torch", libraries.get(library, library))
    found = {name: version(name) for name in names} | dict(versions)
    where = f" ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else ""
    return {
        "versions": ", ".join(f"{name} {number}" for name, number in found.items()),
        "machine": f"{platform.machine()}, device {device}{where}, {torch.get_num_threads()} CPU threads, "
        f"Python {platform.python_version()}",
    }


def _licences(credit: Mapping[str, str]) -> str:
    lines = "\n".join(f"{name}: {text}" for name, text in credit.items())
    return (
        f"report.html shows images by others:\n\n{lines}\n\n"
        "Whoever passes the page on must name these authors and licences.\n"
    )


def id_of_test_set(queries: Any, gallery: Any = None, root: str | None = None) -> str:
    """A short text that two runs share if they were tested on the same images with the same labels.

    Args:
        queries: data set with ``paths``, ``labels`` and ``hierarchy``.
        gallery: where was searched; None for the queries.
        root: folder of the data; it may lie elsewhere for the other run.
    """
    digest = hashlib.sha256()
    for part in (queries, gallery):
        if part is None:
            continue
        rows = list(named_items(part, root))
        digest.update(json.dumps(sorted(rows)).encode())
    return digest.hexdigest()[:16]
