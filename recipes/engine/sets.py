"""The training and test images that the settings ask for."""

import inspect
from dataclasses import dataclass
from typing import Any

from pml_suprank.hierarchy.folders import LeftOut, merged
from pml_suprank.recipes.data.image_check import check_images
from pml_suprank.recipes.data.pictures import check_background
from pml_suprank.recipes.data.registry import LOADERS, load
from pml_suprank.recipes.data.splits import split_classes, split_images
from pml_suprank.recipes.engine.parsing import ConfigError, nearest
from pml_suprank.recipes.engine.run_paths import check_root
from pml_suprank.recipes.engine.settings import DataSettings, Settings

__all__ = ["Sets", "check_data", "load_sets"]


@dataclass(frozen=True)
class Sets:
    """Data sets without transform.

    Attributes:
        train: gives (image, labels, index).
        test: queries, (image, labels).
        gallery: where to search; None for the queries.
        broken: number of images that were found broken and left out.
        left_out: what lies beside the images and is not read, of all splits.
    """

    train: Any
    test: Any
    gallery: Any = None
    broken: int = 0
    left_out: tuple[LeftOut, ...] = ()


def check_data(settings: DataSettings) -> None:
    """What can be said about the data before any of it is read.

    Raises:
        ConfigError: an unknown loader or option, or options that do not go together.
    """
    if settings.name not in LOADERS:
        raise ConfigError(
            f"data.name: wanted a loader, got {settings.name!r}; {nearest(settings.name, list(LOADERS))}"
        )
    loader = LOADERS[settings.name]
    parameters = inspect.signature(loader).parameters
    names = sorted(n for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY)
    for option in settings.options:
        if option not in names:
            raise ConfigError(
                f"data.options.{option}: {settings.name} has no such option; {nearest(option, names)}"
            )
    if settings.root is None and parameters["root"].default is inspect.Parameter.empty:
        raise ConfigError(
            f"data.root: wanted the folder of the data set for {settings.name}, got null"
        )
    if (settings.train_split is None) != (settings.test_split is None):
        raise ConfigError(
            "data.test_split: wanted both data.train_split and data.test_split or neither, "
            f"got {settings.train_split} and {settings.test_split}"
        )
    if settings.gallery_split is not None and settings.test_split is None:
        raise ConfigError("data.gallery_split: wanted null without data.test_split")
    if not 0 < settings.test_share < 1:
        raise ConfigError(f"data.test_share: wanted a number in (0, 1), got {settings.test_share}")
    try:
        check_background(settings.background)
    except ValueError as error:
        raise ConfigError(f"data.{error}") from None
    if settings.workers < 0:
        raise ConfigError(f"data.workers: wanted an integer >= 0, got {settings.workers}")


def load_sets(settings: Settings, *, progress: bool = True) -> Sets:
    """List the images, with their labels; pixels are read only to check them, where that is asked for.

    Raises:
        ConfigError: nothing is left to train or test on.
        FileNotFoundError, ValueError: what the loader raises.
    """
    data = settings.data
    if inspect.signature(LOADERS[data.name]).parameters["root"].default is inspect.Parameter.empty:
        check_root(data)
    left_out: list[LeftOut] = []

    def split(name: str | None) -> Any:
        found = load(data.name, data.root, name, **data.options)
        found.on_error, found.background = data.on_error, data.background
        left_out.extend(found.left_out)
        return found

    if data.train_split is not None:
        train, test = split(data.train_split), split(data.test_split)
    else:
        halve = split_classes if data.hold_out == "classes" else split_images
        train, test = halve(split(None), data.test_share, settings.training.seed)
    gallery = None if data.gallery_split is None else split(data.gallery_split)
    broken = 0
    kept: list[Any] = []
    for part in (train, test, gallery):
        # an evaluation must not show an image in another's place, so broken ones are left out before
        is_checked = data.check_images or (data.on_error == "skip" and part is not train)
        found = check_images(part, progress=progress) if part is not None and is_checked else []
        broken += len(found)
        kept.append(part.without(found) if part is not None and found else part)
    train, test, gallery = kept
    for name, part in (("train_split", train), ("test_split", test)):
        if len(part) < 2:
            raise ConfigError(f"data.{name}: wanted two images at least, got {len(part)}")
    train.return_index, test.return_index = True, False
    if gallery is not None:
        gallery.return_index = False
    for part in (test, gallery):
        if part is not None:
            part.on_error = "raise"
    return Sets(train, test, gallery, broken, merged(left_out))
