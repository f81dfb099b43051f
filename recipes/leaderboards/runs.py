"""Runs of the leaderboard: one JSON file each, so that an interrupted leaderboard goes on where it stopped."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from pml_suprank.recipes.files import write_json
from pml_suprank.recipes.leaderboards.ablations import ABLATIONS
from pml_suprank.recipes.leaderboards.entrants import ENTRANTS, LEARNING_RATES, Entrant
from pml_suprank.recipes.leaderboards.features import Features, load_features, load_items
from pml_suprank.recipes.leaderboards.fine_tuning import FullBudget, embed, fine_tune
from pml_suprank.recipes.leaderboards.heads import Budget, measure, train_head

__all__ = ["Run", "Source", "complete", "configurations", "load_splits", "read_run"]

TUNING, FINAL = ("fit", "val"), ("train", "test")
"""Splits to train and to evaluate on, to choose a configuration and for the table."""


@dataclass(frozen=True)
class Source:
    """A data set as the runs see it.

    Attributes:
        data: its loader.
        views: augmented views of a training image.
        image_size: side in pixels.
        limit: of the loader; None for all.
    """

    data: str
    views: int = 8
    image_size: int = 64
    limit: int | None = None


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
        content = json.loads(run.path(folder).read_text(encoding="utf-8"))
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
    with tqdm(total=len(missing), desc="runs", unit="run", disable=not missing) as bar:
        for run, content in _execute(missing, folder, workers, cache_dir):
            found[run] = content
            bar.update()
    return {run: content for run, content in found.items() if content is not None}


def _execute(
    runs: Sequence[Run], folder: Path, workers: int, cache_dir: Path | None
) -> Iterator[tuple[Run, dict[str, Any]]]:
    if workers == 1 or len(runs) < 2:
        for run in runs:
            yield run, _one(run, folder, cache_dir)
        return
    for source, splits in dict.fromkeys((run.source, run.splits) for run in runs):
        _raw_splits(source, splits, folder / "features", cache_dir)  # once, before all ask for it
    context = get_context("spawn")
    with ProcessPoolExecutor(
        workers, context, initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        waiting: dict[Future[dict[str, Any]], Run] = {
            pool.submit(_one, run, folder, cache_dir): run for run in runs
        }
        try:
            while waiting:
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    yield waiting.pop(future), future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _one(run: Run, folder: Path, cache_dir: Path | None) -> dict[str, Any]:
    entrant = find_entrant(run.entrant)
    content: dict[str, Any] = {"run": run.content()}
    try:
        options = entrant.settings[run.setting]
        features = folder / "features"
        if isinstance(run.budget, FullBudget):
            train, test = (
                load_items(run.source.data, split, run.source.limit, cache_dir)
                for split in run.splits
            )
            known, _ = _raw_splits(run.source, run.splits, features, cache_dir)
            size = run.source.image_size
            network, seconds = fine_tune(
                train, known, entrant, options, run.lr, run.seed, run.budget, size
            )
            found = measure(None, embed(network, test, size))
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
    source: Source, splits: tuple[str, str], features: Path, cache_dir: Path | None
) -> tuple[Features, Features]:
    known, held_out = (
        load_features(
            source.data,
            split,
            features,
            views=source.views if split == splits[0] else 0,
            image_size=source.image_size,
            limit=source.limit,
            cache_dir=cache_dir,
        )
        for split in splits
    )
    return known, held_out
