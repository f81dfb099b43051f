"""Losses with settings that nobody tuned, on small collections of pictures: tables with significance.

    python -m studies.untuned --output runs/untuned
    python -m studies.untuned --output runs/untuned --data glyphs --size medium --arms happier supcon

The whole network is trained from packaged ImageNet weights for 12 epochs, with the same settings for all collections.
The alpha and the batch of the recommendation were chosen on the small collections, nothing on the medium ones. A seed
draws the classes of a collection, its images, and which half of each class is held out; losses are compared collection
by collection. A run is a file: what is there is not done again. Writes ``untuned.json`` and ``untuned.md`` after every
collection.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pml_suprank.integrations.plain_files import read_json
from pml_suprank.recipes.files import write_json, write_text
from pml_suprank.recipes.seeding import seed_everything
from studies.leaderboard.__main__ import check_seeds
from studies.leaderboard.entrants import Problem
from studies.leaderboard.features import BACKBONE, Features
from studies.leaderboard.fine_tuning import embed, train_network
from studies.leaderboard.heads import Budget, measure
from studies.leaderboard.pool import each
from studies.options import at_least
from studies.untuned.arms import ARMS
from studies.untuned.collections import COLLECTIONS, SIZES, collect
from studies.untuned.tables import tables

__all__ = ["Run", "main", "one_run"]

FEATURES = 1280
"""Of the trunk."""


@dataclass(frozen=True)
class Run:
    """Everything that decides the numbers of a run.

    Attributes:
        data: a key of ``COLLECTIONS``.
        size: a key of ``SIZES``.
        arm: a key of ``ARMS``.
        seed: of the collection, the weights and the batches.
        epochs: passes over the training images.
        batch_size: None for that of the size.
        lr: learning rate of the trunk; three times that for the embedder, ten times for proxies.
        group_sizes: of the sampler.
        embedding_size: D.
    """

    data: str
    size: str
    arm: str
    seed: int
    epochs: int = 12
    batch_size: int | None = None
    lr: float = 4e-4
    group_sizes: tuple[int, ...] = (2, 4)
    embedding_size: int = 256

    def content(self) -> dict[str, Any]:
        """Everything above, ready for JSON, with the options of the loss and the collection spelled out."""
        options = dict(ARMS[self.arm][1][1])
        collection = asdict(SIZES[self.size]) | asdict(COLLECTIONS[self.data][0])
        return json.loads(json.dumps(asdict(self) | {"options": options, "collection": collection}))

    def path(self, folder: Path) -> Path:
        """The file of the run."""
        digest = hashlib.sha256(json.dumps(self.content(), sort_keys=True).encode()).hexdigest()
        return folder / "runs" / self.data / self.arm / f"{self.size}-{self.seed}-{digest[:10]}.json"  # fmt: skip


@lru_cache(maxsize=1)
def _collection(
    data: str, size: str, seed: int, cache_dir: Path | None
) -> tuple[Features, Features]:
    return collect(data, SIZES[size], seed, cache_dir)


def one_run(folder: Path, cache_dir: Path | None, run: Run) -> dict[str, Any]:
    """What a run found: "run", "metrics", "steps" and "seconds"; from its file, or trained now."""
    path = run.path(folder)
    try:
        content = read_json(path)
        if content.get("run") == run.content():
            return content
    except (OSError, ValueError):
        pass
    train, test = _collection(run.data, run.size, run.seed, cache_dir)
    entrant, options = ARMS[run.arm][1]
    batch_size = SIZES[run.size].batch_size if run.batch_size is None else run.batch_size
    steps = max(1, round(run.epochs * len(train.labels) / batch_size))
    budget = Budget(steps, min(batch_size, len(train.labels)), run.embedding_size, run.group_sizes)
    seed_everything(run.seed)
    embedder = nn.Linear(FEATURES, run.embedding_size)
    seed_everything(run.seed, 1)  # a loss with parameters does not move what comes after it
    loss_fn = entrant.build(Problem(train.hierarchy, run.embedding_size), options)
    network, seconds = train_network(
        train, embedder, loss_fn, entrant, options, run.lr, run.seed, budget, BACKBONE
    )
    content = {
        "run": run.content(),
        "metrics": measure(None, embed(network, test)),
        "steps": steps,
        "seconds": round(seconds, 1),
    }
    write_json(path, content)
    return content


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the study; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m studies.untuned", description=(__doc__ or "").partition("\n")[0]
    )
    add = parser.add_argument
    add("--output", type=Path, default=Path("runs/untuned"), help="(runs/untuned)")
    add("--size", choices=[*SIZES], default="small", help="of the collections (small)")
    add("--data", nargs="+", choices=[*COLLECTIONS], default=[*COLLECTIONS], help="(all)")
    add("--arms", nargs="+", choices=[*ARMS], default=[*ARMS], metavar="ARM",
        help=f"of {', '.join(ARMS)} (all)")  # fmt: skip
    add("--seeds", nargs="+", type=at_least(0), default=[0, 1, 2, 3, 4], help="(0 1 2 3 4)")
    add("--epochs", type=at_least(1), default=Run.epochs, help=f"({Run.epochs})")
    add("--batch-size", type=at_least(4), help="(32 for small ones, 64 for medium ones)")
    add("--lr", type=float, default=Run.lr, help=f"of the trunk ({Run.lr:g})")
    add("--workers", type=at_least(1), default=1, help="processes, one thread each (1)")
    add("--cache-dir", type=Path, help="folder of the drawn images (the user's cache folder)")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    path = options.output / "untuned.json"
    boards: dict[str, Any] = read_json(path) if path.exists() else {}
    try:
        check_seeds(options.seeds)
        for data in options.data:
            runs = [
                Run(data, options.size, arm, seed, options.epochs, options.batch_size, options.lr)
                for seed in options.seeds
                for arm in options.arms
            ]
            print(f"{options.size}, {data}: {len(options.arms)} losses", flush=True)
            one = partial(one_run, options.output, options.cache_dir)
            found = dict(each(one, runs, options.workers))
            boards[f"{options.size}, {data}"] = _board(found, options.arms, options.seeds)
            write_json(path, boards)
            text = "\n".join(f"### {name}\n\n{table}" for name, table in tables(boards).items())
            write_text(options.output / "untuned.md", text)
    except (ImportError, OSError, ValueError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here", file=sys.stderr)
        return 130
    print(text)
    return 0


def _board(
    found: dict[Run, dict[str, Any]], arms: Sequence[str], seeds: Sequence[int]
) -> dict[str, Any]:
    """The values of every loss, the seeds in one order."""
    rows = {}
    for arm in arms:
        own = {run.seed: content for run, content in found.items() if run.arm == arm}
        metrics = own[seeds[0]]["metrics"]
        rows[arm] = {
            name: [round(own[seed]["metrics"][name], 5) for seed in seeds] for name in metrics
        }
    first = next(iter(found.values()))
    return {"run": first["run"], "steps": first["steps"], "seeds": list(seeds), "values": rows}


if __name__ == "__main__":
    sys.exit(main())
