"""The training and test images that the settings ask for."""

import inspect
import itertools
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pml_suprank.hierarchy import HierarchyError
from pml_suprank.hierarchy.folders import LeftOut, merged
from pml_suprank.integrations import require
from pml_suprank.recipes.data.assembly import with_one_taxonomy
from pml_suprank.recipes.data.captions import empty_note, with_captions
from pml_suprank.recipes.data.duplicates import settle_copies
from pml_suprank.recipes.data.file_check import broken_files, describe_broken, has_files
from pml_suprank.recipes.data.image_check import check_images
from pml_suprank.recipes.data.images import BrokenImage, BrokenImageError
from pml_suprank.recipes.data.pictures import check_background
from pml_suprank.recipes.data.registry import LOADERS, load
from pml_suprank.recipes.data.splits import share_note, split_classes, split_images
from pml_suprank.recipes.engine.parsing import ConfigError, nearest
from pml_suprank.recipes.engine.run_paths import check_root
from pml_suprank.recipes.engine.settings import DataSettings, Settings

__all__ = ["Sets", "check_data", "check_folder", "check_loader_options", "load_sets"]


OWN_IMAGES = ("folder", "table")
"""Loaders of anybody's images, which are searched for copies unasked; published data sets are large and known."""


@dataclass(frozen=True)
class Sets:
    """Data sets without transform.

    Attributes:
        train: gives (image, labels, index).
        test: queries, (image, labels).
        gallery: where to search; None for the queries.
        broken: number of images that were found broken and left out.
        notes: sentences about the data that the reader of a result has to know.
        left_out: what lies beside the images and is not read, of all splits.
    """

    train: Any
    test: Any
    gallery: Any = None
    broken: int = 0
    notes: tuple[str, ...] = ()
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
    check_loader_options(settings.name, settings.options)
    parameters = inspect.signature(LOADERS[settings.name]).parameters
    if settings.root is None and parameters["root"].default is inspect.Parameter.empty:
        raise ConfigError(
            f"data.root: wanted the folder of the data set for {settings.name}, got null"
        )
    try:
        (settings.root or "").encode()
    except UnicodeEncodeError:
        raise ConfigError(
            "data.root: wanted a folder whose path is UTF-8, so that the run can name it, got "
            f"{settings.root!r}"
        ) from None
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


def check_folder(settings: DataSettings) -> None:
    """Refuse a folder that is not there, of a loader that cannot do without.

    Raises:
        FileNotFoundError: says where it was looked for.
    """
    root = inspect.signature(LOADERS[settings.name]).parameters["root"]
    if root.default is inspect.Parameter.empty:
        check_root(settings)


def check_loader_options(name: str, options: Mapping[str, Any], key: str = "data.options") -> None:
    """Refuse options that a loader does not take, or needs and does not get.

    Raises:
        ConfigError: names the option, and the nearest right ones.
    """
    parameters = inspect.signature(LOADERS[name]).parameters
    names = sorted(n for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY)
    for option in names:
        if option not in options and parameters[option].default is inspect.Parameter.empty:
            raise ConfigError(f"{key}.{option}: {name} needs this option, got none")
    for option in options:
        if option not in names:
            raise ConfigError(
                f"{key}.{option}: {name} has no such option; {nearest(option, names)}"
            )
        _check_type(
            f"{key}.{option}", options[option], typing.get_type_hints(LOADERS[name])[option]
        )


def _check_type(key: str, value: Any, hint: Any) -> None:
    pydantic: Any = require("pydantic", extra="recipes")
    try:
        pydantic.TypeAdapter(hint).validate_python(value)
    except pydantic.ValidationError as error:
        texts = ["a list" if f["type"] == "sequence_str" else f["msg"] for f in error.errors()]
        wanted = " or ".join(dict.fromkeys(texts)).replace("Input should be ", "")
        raise ConfigError(f"{key}: wanted {wanted}, got {value!r:.80}") from None


def load_sets(settings: Settings, *, progress: bool = True) -> Sets:
    """List images with their labels, and look at all files; pixels are read only where ``check_images`` asks for it.

    Raises:
        ConfigError: data that cannot be used, or nothing that is left to train or test on.
        BrokenImageError: broken images, with ``on_error`` "raise" and without ``check_images``.
        HierarchyError, FileNotFoundError: what the loader raises.
    """
    try:
        return _load_sets(settings, progress)
    except (ConfigError, HierarchyError, BrokenImageError, FileNotFoundError):
        raise
    except (ValueError, OSError) as error:
        raise ConfigError(f"data: {error}") from error


def _load_sets(settings: Settings, progress: bool) -> Sets:
    data = settings.data
    check_data(data)
    check_folder(data)
    options = dict(data.options)
    if "duplicates" in inspect.signature(LOADERS[data.name]).parameters:
        options.setdefault("duplicates", data.duplicates)
    policy = options.get("duplicates", data.duplicates)
    left_out: list[LeftOut] = []

    def split(name: str | None) -> Any:
        found = load(data.name, data.root, name, **options)
        found.on_error, found.background = data.on_error, data.background
        left_out.extend(found.left_out)
        return found

    names = {"train": data.train_split, "gallery": data.gallery_split, "test": data.test_split}
    if data.train_split is None:
        parts = {"all": split(None)}
    else:
        parts = {part: split(name) for part, name in names.items() if name is not None}
    notes: list[str] = []
    if policy != "warn":  # before the hold-out, which is a share of what is left
        parts, notes = settle_copies(parts, policy, progress=progress)
    if data.train_split is None:
        halve = split_classes if data.hold_out == "classes" else split_images
        train, test = halve(parts["all"], data.test_share, settings.training.seed)
        parts = {"train": train, "test": test}
        notes.append(share_note(train, test, data.hold_out, data.test_share))
    found = {name: _broken(part, data, name == "train", progress) for name, part in parts.items()}
    if data.on_error == "raise" and not data.check_images:
        _refuse_broken(list(itertools.chain(*found.values())), sum(map(len, parts.values())))
    broken = 0
    for name, bad in found.items():
        part = parts[name]
        if bad and data.on_error == "skip" and name == "train" and not data.check_images:
            notes.append(f"other images are shown in place of {describe_broken(bad, len(part))}")
            continue
        broken += len(bad)
        parts[name] = part.without(bad) if bad else part
    if (
        policy == "warn" and data.name in OWN_IMAGES
    ):  # copies on both sides of the hold-out are the worst
        parts, copies = settle_copies(parts, policy, progress=progress)
        notes += copies
    train, test, gallery = parts["train"], parts["test"], parts.get("gallery")
    if settings.training.captions == "joint":
        notes += _caption_notes(train, test)
        train = with_captions(train)
    if gallery is not None:
        test, gallery = with_one_taxonomy(test, gallery)
    _check_parts(train, test, gallery, data)
    train.return_index, test.return_index = True, False
    if gallery is not None:
        gallery.return_index = False
    for part in (test, gallery):
        if part is not None:
            part.on_error = "raise"
    return Sets(train, test, gallery, broken, tuple(filter(None, notes)), merged(left_out))


def _broken(part: Any, data: DataSettings, is_train: bool, progress: bool) -> list[BrokenImage]:
    """Images that cannot be read: all where they are decoded, else those whose files do not begin as images do."""
    # an evaluation must not show an image in another's place, so broken ones are left out before
    if data.check_images or (data.on_error == "skip" and not is_train):
        return check_images(part, progress=progress)
    return broken_files(part, progress=progress) if has_files(part) else []


def _caption_notes(train: Any, test: Any) -> list[str]:
    """What has to be known about images without a caption.

    Raises:
        ConfigError: no image has one.
    """
    for part in (train, test):
        if not any(caption.strip() for caption in part.captions or ()):
            raise ConfigError(
                "training.captions: wanted none for a data set without captions, got joint; folder takes "
                "data.options.caption_from (name, file), table data.options.caption_column"
            )
    return [
        empty_note(train, "images to train on", "are left out"),
        empty_note(test, "held-out images", "are searched for by the captions of others alone"),
    ]


def _refuse_broken(broken: Sequence[BrokenImage], total: int) -> None:
    """Name the broken images of all parts in one error.

    Raises:
        BrokenImageError: there are some.
    """
    if broken:
        raise BrokenImageError(
            f"data: wanted a readable image, got none in {describe_broken(broken, total)}"
        )


def _check_parts(train: Any, test: Any, gallery: Any, data: DataSettings) -> None:
    for name, part in (("train_split", train), ("test_split", test)):
        if len(part) < 2:
            raise ConfigError(f"data.{name}: wanted two images at least, got {len(part)}")
    hint = "" if data.train_split is not None else f" (data.test_share is {data.test_share:g})"
    for name, part in (("train", train), ("test", test)):
        labels = part.labels if name == "train" or gallery is None else gallery.labels
        if len(labels[:, 0].unique()) < 2 and len(part.labels[:, 0].unique()) < 2:
            node = int(part.labels[0, 0])
            raise ConfigError(
                f"data: wanted images of two classes at least to {name} on, got {len(part):,} of one, "
                f"{part.hierarchy.node_names(0)[node]!r}{hint}"
            )
