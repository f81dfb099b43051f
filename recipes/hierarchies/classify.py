"""Step *classify*: the images of classes without a name, each put into a group of names."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pml_suprank.hierarchy.regular_files import regular
from pml_suprank.recipes.data.paths import outside
from pml_suprank.recipes.files import write_atomic
from pml_suprank.recipes.hierarchies.encoders import clip_encoder, encode_names, files_of
from pml_suprank.recipes.hierarchies.image_features import (
    can_be_read,
    image_features,
    stored_features,
)
from pml_suprank.recipes.hierarchies.image_list import read_images
from pml_suprank.recipes.hierarchies.names import FILE as NAMES
from pml_suprank.recipes.hierarchies.names import read_names
from pml_suprank.recipes.hierarchies.review import GROUPS, read_groups
from pml_suprank.recipes.hierarchies.rules import RULES, Decided
from pml_suprank.recipes.hierarchies.tables import TableError
from pml_suprank.recipes.hierarchies.work_folder import WorkFolder, digest
from pml_suprank.recipes.progress import progress_bar

__all__ = ["PREDICTIONS", "classify", "read_predictions"]

PREDICTIONS, CACHE = "predictions.parquet", "image_features"
_BLOCK = 4096


def classify(
    work: WorkFolder,
    images: Path,
    root: Path,
    encoder: str,
    *,
    rule: str = "clip",
    against: str = "text",
    prompts: Sequence[str] = (),
    device: str = "cpu",
    links: str = "inside",
    workers: int = 0,
    progress: bool = True,
) -> str:
    """Put every image of a class without a reviewed name into the finest group of a name.

    Image embeddings are kept in ``image_features``, part by part; images that could not be read and now can are read
    when the step runs again. The table is ``predictions.parquet``: path,
    class_id, name (the most similar one), group, score.

    Args:
        work: the work folder, after *review*.
        images: CSV file, see :func:`read_images`.
        root: folder of the images.
        encoder: "open_clip:NAME:WEIGHTS", "run:FOLDER", or "file:IMAGES.npz", a file of ``suprank embed``.
        rule: "clip" or "knn", see :mod:`pml_suprank.recipes.hierarchies.rules`.
        against: "text" compares with the embeddings of the names by the same encoder, "images" with the mean embedding
            of the images of the classes that have the name.
        prompts: see :func:`encode_names`.
        device: where to compute.
        links: "inside" refuses images that do not lie below ``root``, "follow" takes them.
        workers: loading processes.
        progress: whether to show progress bars.

    Returns:
        What was done, in lines.

    Raises:
        TableError: an earlier step has to run first, images outside of ``root``, or a class that is not in
            ``names.csv``.
        ValueError: another rule or ``against``, or no image that can be read.
    """
    if rule not in RULES:
        raise ValueError(f"rule: wanted one of {', '.join(RULES)}, got {rule!r}")
    if against not in ("text", "images"):
        raise ValueError(f"against: wanted 'text' or 'images', got {against!r}")
    if encoder.startswith("file:") and against == "text":
        raise ValueError("against: wanted 'images' with a file of embeddings, got 'text'")
    names = read_names(work)
    _levels, groups = read_groups(work)
    listed = read_images(images)
    unknown = sorted(set(listed.class_ids) - names.keys())
    if unknown:
        raise TableError(
            f"{images}: wanted classes of names.csv, got {len(unknown)} others: {unknown[:5]}"
        )
    root = Path(os.path.abspath(root))  # *vote* may be run from elsewhere
    elsewhere = [] if links == "follow" else outside(root, [root / path for path in listed.paths])
    if elsewhere:
        raise TableError(
            f"{images}: wanted images below {str(root)!r}, got {len(elsewhere):,} elsewhere, such as "
            f"{listed.paths[elsewhere[0]]!r}; --links follow takes them"
        )
    settings = {
        "root": str(root),
        "encoder": encoder,
        "rule": rule,
        "against": against,
        "prompts": list(prompts),
    }
    inputs = [work / NAMES, work / GROUPS, images, *files_of(encoder)]
    if work.is_done("classify", settings, inputs):
        table = read_predictions(work)
        broken = [] if encoder.startswith("file:") else table.loc[table["group"] == "", "path"]
        if not can_be_read(root / path for path in broken):
            return _told(table, names, groups)
    nameless = [names[class_id] not in groups for class_id in listed.class_ids]
    wanted = [row for row, is_nameless in enumerate(nameless) if is_nameless or against == "images"]
    paths = [listed.paths[row] for row in wanted]
    if not any(nameless):
        raise TableError(f"{images}: wanted images of classes without a name, got none")
    if encoder.startswith("file:"):
        features, whole = stored_features(Path(encoder.removeprefix("file:")), paths)
        text = None
    else:
        clip = clip_encoder(encoder, device)
        about = f"{encoder} {[digest(path) for path in files_of(encoder)]}"
        features, whole = image_features(
            clip, paths, root, work / CACHE, about, workers=workers, progress=progress
        )
        text = encode_names(encoder, list(groups), prompts, device) if against == "text" else None
    owner = [names[listed.class_ids[row]] for row in wanted]
    if text is None:
        known, vectors = _prototypes(owner, features, whole, groups)
    else:
        known, vectors = list(groups), torch.from_numpy(text)
    finest = sorted({groups[name][0] for name in known})
    number = {group: index for index, group in enumerate(finest)}
    group_of = torch.tensor([number[groups[name][0]] for name in known])
    rows = [i for i, row in enumerate(wanted) if nameless[row]]
    found = _decide(rule, features[rows], vectors, group_of, progress)
    readable = whole[rows].numpy()
    table = pd.DataFrame(
        {
            "path": [paths[i] for i in rows],
            "class_id": [listed.class_ids[wanted[i]] for i in rows],
            "name": np.array(known, dtype=object)[found.name],
            "group": np.array(finest, dtype=object)[found.group],
            "score": found.score.numpy().round(6),
        }
    )
    table.loc[~readable, ["name", "group"]] = ""
    table.loc[~readable, "score"] = 0.0
    write_atomic(work / PREDICTIONS, lambda file: table.to_parquet(file, index=False))
    work.record("classify", settings, inputs, [work / PREDICTIONS])
    return _told(table, names, groups)


def _prototypes(
    owner: Sequence[str], features: Tensor, whole: Tensor, groups: Mapping[str, tuple[str, ...]]
) -> tuple[list[str], Tensor]:
    """Mean embedding of the images of each reviewed name that has any."""
    known = sorted(
        {name for name, ok in zip(owner, whole.tolist(), strict=True) if ok} & set(groups)
    )
    if not known:
        raise TableError("images: wanted readable images of a class with a name, got none")
    number = {name: index for index, name in enumerate(known)}
    place = torch.tensor([number.get(name, -1) for name in owner])
    rows = (whole & (place >= 0)).nonzero().flatten()
    sums = torch.zeros(len(known), features.shape[1])
    sums.index_add_(0, place[rows], features[rows].float())
    return known, sums


def _decide(rule: str, features: Tensor, names: Tensor, groups: Tensor, progress: bool) -> Decided:
    parts = progress_bar("classifying", "block", features.split(_BLOCK), shown=progress)
    return Decided(
        *map(torch.cat, zip(*(RULES[rule](part, names, groups) for part in parts), strict=True))
    )


def read_predictions(work: WorkFolder) -> pd.DataFrame:
    """The table of the images; name and group are empty for one that could not be read.

    Raises:
        TableError: *classify* has to run first.
    """
    work.need("classify")
    return pd.read_parquet(regular(work / PREDICTIONS))


def _told(table: pd.DataFrame, names: Mapping[str, str], groups: Mapping[str, tuple]) -> str:
    broken = table.loc[table["group"] == "", "path"].tolist()
    nameless = {class_id for class_id, name in names.items() if name not in groups}
    without = len(nameless - set(table["class_id"]))
    lines = [
        f"{len(table) - len(broken):,} images of {table['class_id'].nunique():,} classes without a name; "
        f"cannot be read: {len(broken):,}; classes without an image: {without:,}"
    ]
    return "\n".join([*lines, *(f"cannot be read: {path}" for path in broken[:10])])
