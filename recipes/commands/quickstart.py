"""Fine-tune a packaged ImageNet backbone on emoji with a rank loss, offline, in minutes.

    suprank quickstart --output runs/quickstart
    suprank quickstart --loss supap --epochs 5 --output runs/supap

Half of the emoji of every subgroup train, the other half test. This is ``suprank finetune --config quickstart``: the
run folder is that of ``finetune``, and its settings can be given too, such as ``--optimizer.layer_decay 0.8``.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from pml_suprank.recipes.choices import EMOJI_LEVELS
from pml_suprank.recipes.command_line.command import Command
from pml_suprank.recipes.command_line.options import at_least, positive
from pml_suprank.recipes.command_line.runs import SettingsParser, told_interrupted
from pml_suprank.recipes.published.quickstart import QUICKSTART

__all__ = ["main"]

_KEYS: dict[str, dict[str, float]] = {
    "epochs": {"training.epochs": 1, "training.evaluate_every": 1},
    "seed": {"training.seed": 1, "data.options.seed": 1},
    "limit": {"data.options.limit": 1},
    "batch_size": {"training.batch_size": 1},
    "lr": {"optimizer.lr": 1, "optimizer.head_lr": 3, "loss_optimizer.lr": 10},
    "image_size": {"model.image_size": 1},
    "embedding_size": {"model.embedding_size": 1},
    "threads": {"training.threads": 1},
}
"""Options that are numbers: the settings that they set, and to how many times their value."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the command line."""
    add = parser.add_argument
    default = Path("runs/quickstart")
    add("--output", type=Path, default=default, help="run folder (%(default)s)")
    add("--loss", help="loss to train with, ours or PML's: happier, suphap, ntxent (happier)")
    add("--level", choices=EMOJI_LEVELS, help="labels for a loss on one level (emoji)")
    add("--epochs", type=at_least(1), help="passes over the training half (15)")
    add("--seed", type=at_least(0), help="of the split, the weights and the batches (0)")
    add("--limit", type=at_least(8), help="use only so many emoji (all)")
    add("--batch-size", type=at_least(4), help="images in a batch, two for each emoji (128)")
    add("--lr", type=positive, help="highest learning rate of the backbone (0.0004)")
    add("--image-size", type=at_least(32), help="side of the input in pixels (64)")
    add("--embedding-size", type=at_least(1), help="dimensions of the embedding (256)")
    add("--device", default="auto", help="cpu, cuda, cuda:1, mps (the accelerator there is)")
    add("--threads", type=at_least(1), help="CPU threads (torch's own choice)")
    add("--cache-dir", type=Path, help="folder of the drawn emoji (user's cache)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--resume", action="store_true", help="go on with the run in --output")
    what.add_argument("--overwrite", action="store_true", help="start over in --output")
    parser.set_defaults(check=False)


def run(options: argparse.Namespace) -> None:
    """Train by the settings of the quickstart, with those that were given."""
    from pml_suprank.recipes.engine.checkpoints import LAST
    from pml_suprank.recipes.engine.whole_run import run_command

    given = [*_settings(options), *options.words]
    goes_on = options.resume and (options.output / LAST).exists()
    options.words = given if goes_on and not given else ["--config", "quickstart", *given]
    root = options.cache_dir
    options.words += [] if root is None else ["--data.root", str(root)]
    run_command(options)


def _settings(options: argparse.Namespace) -> list[str]:
    """The options as settings of ``finetune``."""
    values: dict[str, Any] = {}
    if options.loss is not None:
        values["loss.name"] = _class_of_loss(options.loss)
        if values["loss.name"] != QUICKSTART["loss"]["name"]:
            values["loss.options"] = "{}"  # another loss has other options
    if options.level is not None:
        values["loss.options.level"] = EMOJI_LEVELS.index(options.level)
    for name, keys in _KEYS.items():
        value = getattr(options, name)
        if value is not None:
            values |= {key: value * factor for key, factor in keys.items()}
    return [word for key, value in values.items() for word in (f"--{key}", str(value))]


def _class_of_loss(text: str) -> str:
    """The class that a word such as "happier" or "multi-similarity" means; the word itself where there is none."""
    from pml_suprank import losses
    from pml_suprank.pml import losses as pml_losses

    def plain(name: str) -> str:
        return name.lower().replace("-", "").removesuffix("loss")

    names = (name for module in (losses, pml_losses) for name in vars(module))
    classes = (name for name in names if name.endswith("Loss"))
    return next((name for name in classes if plain(name) == plain(text)), text)


main = Command(
    "quickstart",
    add_options,
    run,
    interrupted=told_interrupted,
    parser_type=SettingsParser,
    description=__doc__ or "",
    extra="quickstart",
)

if __name__ == "__main__":
    sys.exit(main())
