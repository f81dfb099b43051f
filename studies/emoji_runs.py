"""Runs of ``finetune`` on the emoji with the budget of the quickstart, for any loss; none is done twice."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pml_suprank.integrations.plain_files import read_json
from pml_suprank.recipes.data.emoji import LEVEL_NAMES
from pml_suprank.recipes.engine.checkpoints import LAST
from pml_suprank.recipes.engine.encoder import read_settings
from pml_suprank.recipes.engine.parsing import ConfigError, settings_from
from pml_suprank.recipes.engine.run_paths import resolved
from pml_suprank.recipes.engine.settings import Settings
from pml_suprank.recipes.engine.whole_run import finetune
from pml_suprank.recipes.published import named_settings

__all__ = [
    "COLUMNS",
    "GROUP_SIZES",
    "LOSSES",
    "Budget",
    "Loss",
    "check_run",
    "emoji_settings",
    "trained",
]

METRICS = "metrics.json"
GROUP_SIZES = tuple(named_settings("quickstart")["sampler"]["group_sizes"])
"""Drawings of an emoji in a batch, and emoji of a subgroup."""

COLUMNS = {
    "H-AP": "hierarchical_average_precision",
    "NDCG": "ndcg",
    "ASI": "asi",
    **{
        f"{title} {level}": f"{name}_level{column}"
        for column, level in enumerate(LEVEL_NAMES)
        for title, name in (("AP", "mean_average_precision"), ("P@1", "precision_at_1"))
    },
}
"""Of the tables: title to the name in ``metrics.json``."""


@dataclass(frozen=True)
class Loss:
    """A loss of the comparison.

    Attributes:
        name: of its class.
        levels: "all" for a loss that sees all levels, "any" for a loss on the labels of one level, "finest" for one
            that also needs equally many images of each class.
        is_ours: whether it is of this library.
        miner: class of the miner of its pairs, which sees all levels.
    """

    name: str
    levels: str = "any"
    is_ours: bool = True
    miner: str = ""

    @property
    def title(self) -> str:
        """What it is called in a table."""
        return f"{self.name} + hierarchical miner" if self.miner else self.name


LOSSES = {
    "happier": Loss("HAPPIERLoss", "all"),
    "suphap": Loss("SupHAPLoss", "all"),
    "supndcg": Loss("SupNDCGLoss", "all"),
    "roadmap": Loss("ROADMAPLoss"),
    "supap": Loss("SupAPLoss"),
    "suprecall": Loss("SupRecallLoss"),
    "multi-similarity": Loss("MultiSimilarityLoss", is_ours=False),
    "multi-similarity-mined": Loss(
        "MultiSimilarityLoss", "all", miner="HierarchicalMultiSimilarityMiner"
    ),
    "ntxent": Loss("NTXentLoss", is_ours=False),
    "smoothap": Loss("SmoothAPLoss", "finest", is_ours=False),
    "proxy-anchor": Loss("ProxyAnchorLoss", is_ours=False),
}
"""By the names of the command lines."""


@dataclass(frozen=True)
class Budget:
    """What every loss gets alike; the defaults are those of the quickstart.

    Attributes:
        epochs: passes over the training half.
        batch_size: images in a batch, two of each emoji.
        lr: highest learning rate of the trunk; three times as much for the embedding, ten for the loss.
        image_size: side of the input in pixels.
        embedding_size: dimensions of the embedding.
        limit: use only so many emoji; None for all.
        threads: CPU threads; None for torch's choice.
        cache_dir: folder of the drawn emoji; None for the user's cache folder.
    """

    epochs: int = 15
    batch_size: int = 128
    lr: float = 4e-4
    image_size: int = 64
    embedding_size: int = 256
    limit: int | None = None
    threads: int | None = None
    cache_dir: Path | None = None


def emoji_settings(loss: Loss, level: int, seed: int, budget: Budget) -> Settings:
    """The settings of one run.

    Args:
        loss: to train with.
        level: label column that a loss on one level sees.
        seed: of the split, the weights and the batches.
        budget: the rest.

    Raises:
        ConfigError: a level that the loss does not take.
    """
    if level and loss.levels != "any":
        taking = ", ".join(name for name, other in LOSSES.items() if other.levels == "any")
        raise ConfigError(
            f"level: wanted {LEVEL_NAMES[0]} with {loss.name}, got {LEVEL_NAMES[level]}; losses that take another "
            f"level: {taking}"
        )
    raw = named_settings("quickstart")
    raw["data"] |= {
        "root": None if budget.cache_dir is None else str(budget.cache_dir),
        "options": {"seed": seed, "limit": budget.limit},
    }
    raw["model"] |= {"embedding_size": budget.embedding_size, "image_size": budget.image_size}
    raw["loss"] = {
        "name": loss.name if loss.is_ours else f"PML.{loss.name}",
        "options": {"level": level} if level else {},
    }
    raw["miner"] = {"name": loss.miner}
    raw["optimizer"] |= {"lr": budget.lr, "head_lr": 3 * budget.lr}
    raw["loss_optimizer"] |= {"lr": 10 * budget.lr}
    raw["training"] |= {
        "epochs": budget.epochs,
        "batch_size": budget.batch_size,
        "evaluate_every": budget.epochs,  # so that nothing is chosen on the held-out half
        "seed": seed,
        "threads": budget.threads,
    }
    del raw["source"]
    return settings_from(raw)


def trained(settings: Settings, folder: Path, **options: Any) -> dict[str, Any]:
    """``metrics.json`` of a run, which is trained where that is still to do and goes on where it was interrupted.

    Args:
        settings: of the run.
        folder: of the run.
        **options: of :func:`finetune`, such as ``sets``.

    Raises:
        ConfigError: the folder holds a run of other settings.
    """
    check_run(settings, folder)
    if (folder / METRICS).exists():
        return read_json(folder / METRICS)
    return finetune(settings, folder, resume=True, **options)


def check_run(settings: Settings, folder: Path) -> None:
    """Refuse a folder that holds a run of other settings.

    Raises:
        ConfigError: it does.
    """
    if (folder / LAST).exists() and read_settings(folder) != resolved(settings):
        raise ConfigError(f"--output: {folder} holds a run of other settings; use another folder")
