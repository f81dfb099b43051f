"""Cars-196: 196 models of cars."""

from typing import Any

from pml_suprank.integrations import require
from pml_suprank.recipes.data.assembly import assemble
from pml_suprank.recipes.data.images import ImageDataset
from pml_suprank.recipes.data.layout import PathLike, choose, need, read_parents

__all__ = ["BODY_TYPES", "body_type", "load_cars"]

BODY_TYPES = (
    *("Cab", "Convertible", "Coupe", "Hatchback", "Minivan"),
    *("Sedan", "SUV", "Van", "Wagon"),
)
_UNSAID = {  # models whose names tell no body type
    "Coupe": (
        *("Integra Type R", "Cobalt SS", "Corvette Ron Fellows", "Corvette ZR1"),
        *("Challenger SRT8", "XK XKR", "Superleggera"),
    ),
    "Sedan": ("TL Type-S", "Regal GS", "300 SRT-8", "Charger SRT-8"),
    "Hatchback": ("500 Abarth",),
    "SUV": ("TrailBlazer SS",),
    "Wagon": ("HHR SS",),
}
_SPLITS = {"train": (True,), "test": (False,), "all": (True, False)}
_LAST_TRAINING_CLASS = 98


def body_type(model: str) -> str:
    """The body type that the name of a model says: the last of its words that is one.

    Args:
        model: such as "Audi TTS Coupe 2012". All pickups are "Cab". The fourteen models of the
            data set that say nothing are known by name.

    Returns:
        One of :data:`BODY_TYPES`, or "other".
    """
    for word in reversed(model.split()):
        for name in BODY_TYPES:
            if word == name or (name == "Cab" and word == "SuperCab"):
                return name
    known = (kind for kind, models in _UNSAID.items() if any(part in model for part in models))
    return next(known, "other")


def load_cars(
    root: PathLike,
    split: str = "train",
    *,
    taxonomy: PathLike | None = None,
    zero_shot: bool = True,
    **items: Any,
) -> ImageDataset:
    """Cars-196 with the levels model < body type, or those of a taxonomy.

    Reads ``cars_annos.mat`` (``annotations`` with relative_im_path, class and test;
    ``class_names``) and the images at those paths (``car_ims/000001.jpg``). The distribution has
    no taxonomy; the body type comes from the name of the model (:func:`body_type`).

    Args:
        root: the folder of ``cars_annos.mat``.
        split: "train", "test" or "all".
        taxonomy: CSV file with the column class_id (1 to 196) and one column per coarser level,
            finer first.
        zero_shot: models 1-98 train and 99-196 test, as in metric learning; otherwise the
            distribution's own split of every model.
        **items: arguments of :class:`ImageDataset`, such as ``transform``.

    Returns:
        Images in the order of the annotations.

    Raises:
        ValueError: another split, or a file without these fields.
        FileNotFoundError: a missing file, or a missing first image.
        ImportError: SciPy is not installed.
    """
    sides = choose("split", split, _SPLITS)
    file = need(root, "cars_annos.mat")
    content = require("scipy.io", extra="recipes").loadmat(file, squeeze_me=True)
    try:
        rows = content["annotations"][["relative_im_path", "class", "test"]].reshape(-1).tolist()
        models = dict(enumerate(content["class_names"].reshape(-1).tolist(), 1))
    except (KeyError, IndexError) as error:
        raise ValueError(f"{file}: wanted annotations and class_names, got no {error}") from None
    levels: tuple[str, ...] = ("body_type",)
    parents: dict[int, tuple[str, ...]] = {
        number: (body_type(model),) for number, model in models.items()
    }
    if taxonomy is not None:
        levels, parents = read_parents(taxonomy, models)
    paths, chains = [], []
    for path, number, test in rows:
        if number not in models:
            raise ValueError(f"{file}: wanted classes 1..{len(models)}, got {number}")
        if (number <= _LAST_TRAINING_CLASS if zero_shot else not test) in sides:
            paths.append(file.parent / path)
            chains.append((*parents[number], models[number]))
    return assemble(paths, chains, ("model", *levels), file, items, root=root)
