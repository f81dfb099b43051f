"""The emoji as the pipeline's input: their names, their drawings as files, and the taxonomy that it does not get."""

import io
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

from tqdm import tqdm

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.recipes.data.captions import name_in_words
from pml_suprank.recipes.data.emoji import LEVEL_NAMES, VENDORS, EmojiDataset
from pml_suprank.recipes.files import write_atomic, write_csv
from pml_suprank.recipes.hierarchies.names import make_names
from pml_suprank.recipes.hierarchies.proposal import propose
from pml_suprank.recipes.hierarchies.review import apply_review
from pml_suprank.recipes.hierarchies.work_folder import WorkFolder

__all__ = ["group_names", "with_taxonomy", "write_images", "write_names", "write_taxonomy"]


def write_names(path: Path, data: EmojiDataset, hidden: Collection[int] = ()) -> None:
    """A CSV file for *names*: the class ids 0, 1, ... and the names of the emoji.

    Args:
        path: the file.
        data: the emoji.
        hidden: classes whose name is left empty.
    """
    names = ["" if i in hidden else name_in_words(item.name) for i, item in enumerate(data.emoji)]
    write_csv(path, [{"class_id": i, "name": name} for i, name in enumerate(names)])


def write_taxonomy(path: Path, data: EmojiDataset) -> None:
    """A CSV file for *write* to compare with: class_id, subgroup and group by Unicode."""
    rows = [
        {"class_id": i, LEVEL_NAMES[1]: item.subgroup, LEVEL_NAMES[2]: item.group}
        for i, item in enumerate(data.emoji)
    ]
    write_csv(path, rows)


def write_images(folder: Path, data: EmojiDataset) -> Path:
    """Every drawing as a PNG file, and ``images.csv`` for *classify*; files that are there stay.

    Returns:
        ``images.csv``, written last.
    """
    rows = []
    for index in tqdm(range(len(data)), desc="writing images", unit="image"):
        name = f"{index // 2}-{VENDORS[index % 2].lower()}.png"
        rows.append({"path": name, "class_id": index // 2})
        if not (folder / name).exists():
            png = io.BytesIO()
            data.image(index).save(png, "PNG")
            write_atomic(folder / name, partial(_write, png.getvalue()))
    write_csv(folder / "images.csv", rows)
    return folder / "images.csv"


def _write(content: bytes, file: BinaryIO) -> None:
    file.write(content)


def group_names(work: WorkFolder, names: Path, levels: Mapping[str, int], encoder: str) -> str:
    """The steps *names*, *propose* and *review*, without a person's changes.

    Args:
        work: the work folder.
        names: see :func:`write_names`.
        levels: name to number of groups, finest first.
        encoder: of the names, see :data:`pml_suprank.recipes.choices.ENCODERS`.

    Returns:
        What was done, in lines.
    """
    told = [make_names(work, names), propose(work, levels, encoder), apply_review(work)]
    return "\n".join(told)


def with_taxonomy(data: EmojiDataset, tree: Hierarchy) -> EmojiDataset:
    """The same emoji and drawings in the groups of another tree.

    Args:
        data: the emoji.
        tree: classes 0, 1, ... below subgroups and groups.

    Raises:
        ValueError: a tree of other classes or of another number of levels.
    """
    wanted = list(range(len(data.emoji)))
    if sorted(tree.class_ids.tolist()) != wanted or tree.num_levels != len(LEVEL_NAMES):
        raise ValueError(
            f"tree: wanted classes 0..{len(wanted) - 1} at {len(LEVEL_NAMES)} levels, "
            f"got {len(tree)} classes at {tree.num_levels}"
        )
    subgroups, groups = tree.node_names(1), tree.node_names(2)
    emoji = [
        replace(item, subgroup=subgroups[subgroup], group=groups[group])
        for item, (_, subgroup, group) in zip(data.emoji, tree.expand(wanted).tolist(), strict=True)
    ]
    return EmojiDataset(
        emoji,
        data.rasters,
        data.transform,
        label_form=data.label_form,
        return_index=data.return_index,
    )
