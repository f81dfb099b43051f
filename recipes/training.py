"""Training with PML's MetricLossOnly trainer, so that a resumed run repeats an unbroken one."""

import contextlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from pml_suprank.integrations.timm_backbones import build_models, build_transforms
from pml_suprank.integrations.whole_files import DamagedFileError, is_sealed, write_sealed
from pml_suprank.pml import MetricLossOnly
from pml_suprank.recipes.config import GROUP_SIZES, Config
from pml_suprank.recipes.data.emoji import EmojiDataset
from pml_suprank.recipes.loss_choices import LOSSES
from pml_suprank.recipes.seeding import seed_everything
from pml_suprank.samplers import HierarchicalSampler

__all__ = ["BACKBONE", "Session", "load_models", "stored_config"]

BACKBONE = "tf_efficientnet_lite0"
# Learning rates of the three parts, as multiples of --lr.
LR_FACTORS = {"trunk": 1.0, "embedder": 3.0, "metric_loss": 10.0}
WARM_UP = 0.05  # share of the iterations


def build_parts(config: Config) -> tuple[dict[str, torch.nn.Module], Callable, Callable]:
    """Trunk and embedder with ImageNet weights, and the training and evaluation transforms."""
    seed_everything(config.seed)
    models = build_models(BACKBONE, config.embedding_size, weights="packaged", channels_last=True)
    train, evaluate = build_transforms(
        models["trunk"],  # type: ignore[arg-type]
        config.image_size,
        train_options={"scale": (0.6, 1.0), "color_jitter": 0.2},
        eval_options={"crop_pct": 1.0},
    )
    return models, train, evaluate


class Session:
    """Everything that changes while training, and its checkpoint.

    All randomness of an epoch (order of the data, augmentation) is seeded from the seed and the
    epoch. A checkpoint at the end of an epoch therefore holds no generator states, and a run
    resumed from it repeats the unbroken run exactly.

    Args:
        config: settings.
        train_set: training half, without transform.

    Attributes:
        models: trunk and embedder.
        transform: evaluation transform.
        epoch: epochs done.
        history: loss of every iteration.
        seconds: time spent on the epochs done.

    Raises:
        ValueError: the batch size exceeds the training half.
    """

    def __init__(self, config: Config, train_set: EmojiDataset):
        if config.batch_size > len(train_set):
            raise ValueError(
                f"--batch-size: wanted at most {len(train_set)}, the number of training images, "
                f"got {config.batch_size}"
            )
        self.config = config
        self.epoch = 0
        self.history: list[float] = []
        self.seconds = 0.0
        self.models, augment, self.transform = build_parts(config)
        self.train_set = train_set.with_transform(augment)
        self.train_set.label_form = "levels"
        tree = train_set.hierarchy
        choice = LOSSES[config.loss]
        self.loss = choice.build(tree, config.embedding_size, config.level_index)
        self.miner = None if choice.miner is None else choice.miner(tree)
        self.sampler = HierarchicalSampler(
            train_set.labels,
            config.batch_size,
            GROUP_SIZES,
            hierarchy=tree,
            batches_per_epoch=len(train_set) // config.batch_size,
            seed=config.seed,
        )
        modules = {**self.models, "metric_loss": self.loss}
        self.optimizers = {
            f"{name}_optimizer": torch.optim.AdamW(
                module.parameters(), lr=config.lr * LR_FACTORS[name], weight_decay=1e-4
            )
            for name, module in modules.items()
            if any(True for _ in module.parameters())
        }
        self.schedulers = {
            name.replace(
                "_optimizer", "_scheduler_by_iteration"
            ): torch.optim.lr_scheduler.LambdaLR(optimizer, self._lr_factor)
            for name, optimizer in self.optimizers.items()
        }

    def _lr_factor(self, step: int) -> float:
        """Linear warm-up, then a cosine to 0."""
        total = max(1, len(self.sampler) * self.config.epochs)
        warm_up = max(1.0, WARM_UP * total)
        return min(1.0, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * min(1, step / total)))

    def train(self, after_epoch: Callable[[], None]) -> None:
        """Train the epochs that are left, and call ``after_epoch`` after each."""
        batch_size = self.config.batch_size
        trainer = MetricLossOnly(
            models=self.models,
            optimizers=self.optimizers,
            batch_size=batch_size,
            loss_funcs={"metric_loss": self.loss},
            mining_funcs={} if self.miner is None else {"tuple_miner": self.miner},
            dataset=self.train_set,
            sampler=self.sampler,
            lr_schedulers=self.schedulers,
            data_device=torch.device("cpu"),
            label_hierarchy_level=self.config.level_index,
            freeze_trunk_batchnorm=True,
            dataloader_num_workers=0,
            end_of_iteration_hook=self._record,
        )
        for epoch in range(self.epoch + 1, self.config.epochs + 1):
            start = perf_counter()
            print(f"epoch {epoch} of {self.config.epochs}", flush=True)
            seed_everything(self.config.seed, epoch)
            self.sampler.set_epoch(epoch)
            trainer.train(start_epoch=epoch, num_epochs=epoch)
            self.epoch = epoch
            self.seconds += perf_counter() - start
            after_epoch()

    def _record(self, trainer: MetricLossOnly) -> None:
        loss = trainer.losses["total_loss"].item()
        trainer.losses["total_loss"] = loss  # the trainer formats it next; a tensor would warn
        self.history.append(loss)

    def save(self, path: Path) -> None:
        """Write the state after the last whole epoch, atomically."""
        content = {
            "config": vars(self.config),
            "epoch": self.epoch,
            "history": self.history,
            "seconds": self.seconds,
            **{part: _states(getattr(self, part)) for part in _PARTS},
            "loss": self.loss.state_dict(),
        }
        write_sealed(path, lambda file: torch.save(content | {"sealed": True}, file))

    def load(self, path: Path) -> None:
        """Restore what :meth:`save` wrote.

        Raises:
            ValueError: the file is unreadable, or belongs to other settings.
        """
        with _reading(path):
            content = _read(path)
            if content["config"] != vars(self.config):
                raise ValueError(
                    f"checkpoint {path} belongs to other settings: {content['config']}"
                )
            for part in _PARTS:
                for name, module in getattr(self, part).items():
                    module.load_state_dict(content[part][name])
            self.loss.load_state_dict(content["loss"])
            self.epoch, self.history = content["epoch"], content["history"]
            self.seconds = content["seconds"]


_PARTS = ("models", "optimizers", "schedulers")


def stored_config(path: Path) -> Config:
    """Settings of the run that a checkpoint belongs to.

    Raises:
        ValueError: the file is missing or unreadable.
    """
    with _reading(path):
        return Config(**_read(path)["config"])


def load_models(path: Path) -> tuple[dict[str, torch.nn.Module], Callable]:
    """Trunk and embedder of a checkpoint, in evaluation mode, and the transform for images.

    Args:
        path: ``checkpoint.pt`` of a run folder.

    Raises:
        ValueError: the file is missing or unreadable.
    """
    with _reading(path):
        content = _read(path)
        models, _, transform = build_parts(Config(**content["config"]))
        for name, model in models.items():
            model.load_state_dict(content["models"][name])
            model.eval()
    return models, transform


def _states(parts: dict[str, Any]) -> dict[str, Any]:
    return {name: part.state_dict() for name, part in parts.items()}


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Parts that are missing or do not fit are one error, which names the file.

    Raises:
        ValueError: instead of what the modules raise.
    """
    try:
        yield
    except (KeyError, TypeError, AttributeError, IndexError, RuntimeError) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise ValueError(f"checkpoint {path} cannot be read: {reason}") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        has_checksum = is_sealed(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
        if not has_checksum and "sealed" in content:
            raise DamagedFileError("a file without its checksum")
    except Exception as error:  # torch.load raises many classes for a damaged file
        raise ValueError(f"checkpoint {path} cannot be read: {error}") from error
    return content
