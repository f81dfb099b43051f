"""Runs of the leaderboard: one JSON file each, so that an interrupted leaderboard goes on where it stopped."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from pml_suprank.integrations.plain_files import read_json
from pml_suprank.recipes.files import write_json
from studies.leaderboard.ablations import ABLATIONS
from studies.leaderboard.entrants import ENTRANTS, LEARNING_RATES, Entrant
from studies.leaderboard.features import Features, Source, load_features, load_views
from studies.leaderboard.fine_tuning import FullBudget, embed, fine_tune
from studies.leaderboard.heads import Budget, measure, train_head
from studies.leaderboard.pool import each

__all__ = ["Run", "complete", "configurations", "load_splits", "read_run"]

TUNING, FINAL = ("fit", "val"), ("train", "test")
"""Splits to train and to evaluate on, to choose a configuration and for the table."""


@dataclass(frozen=True)
class Run:
    """Everything that decides the numbers of a run.

    Attributes:
        source: the data.
        entrant: a key of ``ENTRANTS`` or ``ABLATIONS``.
        setting: position among the entrant's settings.
        lr: learning rate of the head, or of the trunk.
        seed: of initial weights and batches.
        splits: to train and to evaluate on.
        budget: the same for all losses; a ``FullBudget`` trains the trunk, too.
    """

    source: Source
    entrant: str
    setting: int
    lr: float
    seed: int
    splits: tuple[str, str]
    budget: Budget = field(default_factory=Budget)

    @property
    def configuration(self) -> tuple[int, float]:
        """Setting and learning rate."""
        return self.setting, self.lr

    def content(self) -> dict[str, Any]:
        """Everything above, ready for JSON, with the options of the setting spelled out."""
        options = dict(find_entrant(self.entrant).settings[self.setting])
        return json.loads(json.dumps(asdict(self) | {"options": options}))

    def path(self, folder: Path) -> Path:
        """The file of the run; another setting of anything is another file."""
        digest = hashlib.sha256(json.dumps(self.content(), sort_keys=True).encode()).hexdigest()
        name = f"{self.splits[1]}-{self.seed}-{self.setting}-{self.lr:g}-{digest[:10]}.json"
        return folder / "runs" / self.source.data / self.entrant / name


def find_entrant(name: str) -> Entrant:
    """The loss of that name, of the leaderboard or of the ablation."""
    return ENTRANTS[name] if name in ENTRANTS else ABLATIONS[name]


def configurations(
    entrant: str, learning_rates: Sequence[float] = LEARNING_RATES
) -> list[tuple[int, float]]:
    """The configurations of an entrant: each of its three settings with each learning rate."""
    settings = range(len(ENTRANTS[entrant].settings))
    return [(setting, lr) for setting in settings for lr in learning_rates]


def read_run(run: Run, folder: Path) -> dict[str, Any] | None:
    """What a finished run found; None where there is no whole file of it."""
    try:
        content = read_json(run.path(folder))
    except (OSError, ValueError):
        return None
    return content if content.get("run") == run.content() else None


def complete(
    runs: Sequence[Run], folder: Path, workers: int = 1, cache_dir: Path | None = None
) -> dict[Run, dict[str, Any]]:
    """The results of runs, those that are there and those made now.

    Args:
        runs: what to complete.
        folder: of the leaderboard.
        workers: processes with one thread each; 1 stays in this process.
        cache_dir: of the rasters.

    Returns:
        Run to "metrics" and "seconds", or "error" where the loss could not be trained on these batches.
    """
    found = {run: read_run(run, folder) for run in runs}
    missing = [run for run, content in found.items() if content is None]
    if workers > 1 and len(missing) > 1:  # once, before all processes ask for it
        for source, splits in dict.fromkeys((run.source, run.splits) for run in missing):
            _raw_splits(source, splits, folder / "features", cache_dir)
            if any(isinstance(run.budget, FullBudget) for run in missing):
                _image_splits(source, splits, folder / "features", cache_dir)
    found |= each(partial(_one, folder, cache_dir), missing, workers)
    return {run: content for run, content in found.items() if content is not None}


def _one(folder: Path, cache_dir: Path | None, run: Run) -> dict[str, Any]:
    entrant = find_entrant(run.entrant)
    content: dict[str, Any] = {"run": run.content()}
    try:
        options = entrant.settings[run.setting]
        features = folder / "features"
        if isinstance(run.budget, FullBudget):
            known, _ = _raw_splits(run.source, run.splits, features, cache_dir)
            images, held_out = _image_splits(run.source, run.splits, features, cache_dir)
            network, seconds = fine_tune(
                images,
                known,
                entrant,
                options,
                run.lr,
                run.seed,
                run.budget,
                backbone=run.source.backbone,
            )
            found = measure(None, embed(network, held_out))
        else:
            known, held_out = load_splits(run.source, run.splits, features, cache_dir)
            head, _, seconds = train_head(known, entrant, options, run.lr, run.seed, run.budget)
            found = measure(head, held_out)
    except ValueError as error:  # a loss that wants other batches than the others get
        content["error"] = str(error)
    else:
        content |= {"metrics": found, "seconds": round(seconds, 2)}
    write_json(run.path(folder), content)
    return content


@lru_cache(maxsize=2)
def load_splits(
    source: Source, splits: tuple[str, str], features: Path, cache_dir: Path | None = None
) -> tuple[Features, Features]:
    """Training and evaluation split, standardised by the former; views for the former alone.

    Args:
        source: the data.
        splits: to train and to evaluate on.
        features: folder of the cached features.
        cache_dir: of the rasters.
    """
    train, test = _raw_splits(source, splits, features, cache_dir)
    return train.standardised(train), test.standardised(train)


@lru_cache(maxsize=2)
def _raw_splits(
    source: Source, splits: tuple[str, str], folder: Path, cache_dir: Path | None
) -> tuple[Features, Features]:
    return _both(load_features, source, splits, folder, cache_dir)


@lru_cache(maxsize=1)
def _image_splits(
    source: Source, splits: tuple[str, str], folder: Path, cache_dir: Path | None
) -> tuple[Features, Features]:
    return _both(load_views, source, splits, folder, cache_dir)


def _both(
    load: Callable[..., Features],
    source: Source,
    splits: tuple[str, str],
    folder: Path,
    cache_dir: Path | None,
) -> tuple[Features, Features]:
    known, held_out = (
        load(source, split, folder, augmented=split == splits[0], cache_dir=cache_dir)
        for split in splits
    )
    return known, held_out
