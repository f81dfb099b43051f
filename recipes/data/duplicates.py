"""Images that are there twice: a copy of a query is found first by any model, and one to train on has been seen."""

import hashlib
import itertools
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pml_suprank.hierarchy.regular_files import regular
from pml_suprank.recipes.data.file_check import has_files
from pml_suprank.recipes.data.images import ImageDataset
from pml_suprank.recipes.progress import progress_bar

__all__ = ["POLICIES", "check_policy", "same_bytes", "settle_copies"]

POLICIES = ("warn", "drop", "refuse")
"""What to do with copies: count them, leave out all but one of each, or stop."""

_HEAD = 1 << 14
_SHOWN = 3
_Member = tuple[str, int]


def check_policy(policy: str) -> None:
    """Refuse another value than those of :data:`POLICIES`.

    Raises:
        ValueError: names them.
    """
    if policy not in POLICIES:
        raise ValueError(f"duplicates: wanted one of {', '.join(POLICIES)}, got {policy!r}")


def same_bytes(paths: Sequence[Path], *, progress: bool = True) -> list[list[int]]:
    """Groups of files of equal content, by size first, then by their beginning, then by all of it.

    Args:
        paths: of files; those that cannot be read are in no group.
        progress: show a progress bar.

    Returns:
        Indices of the files of each group of two and more, in order.
    """
    bar = progress_bar("looking for copies", "image", total=len(paths), shown=progress)
    groups: Iterable[list[int]] = [list(range(len(paths)))]
    with bar:
        for key in (_size, _head, _content):
            groups = [
                part
                for group in groups
                for part in _parts(group, paths, key, bar if key is _size else None)
            ]
    return sorted(groups)


def settle_copies(
    parts: Mapping[str, ImageDataset], policy: str = "warn", *, progress: bool = True
) -> tuple[dict[str, ImageDataset], list[str]]:
    """Find copies within and across the parts of a data set, and do with them what the policy says.

    Args:
        parts: name ("train", "test", "gallery") to images, in the order in which copies are given up: of those in
            several parts the last part keeps one.
        policy: "warn" counts them; "drop" keeps one of each, and none where their classes differ; "refuse" stops.
        progress: show a progress bar.

    Returns:
        The parts, and sentences about what was found.

    Raises:
        ValueError: another policy, or copies with ``policy="refuse"``.
    """
    check_policy(policy)
    members: list[_Member] = [
        (name, index)
        for name, data in parts.items()
        if has_files(data)
        for index in range(len(data))
    ]
    groups = [
        [members[place] for place in group]
        for group in same_bytes(
            [parts[name].paths[index] for name, index in members], progress=progress
        )
    ]
    if not groups:
        return dict(parts), []
    found = _described(parts, groups)
    if policy == "refuse":
        raise ValueError(f"duplicates: wanted no image twice, got {found}")
    if policy == "warn":
        return dict(parts), [
            f"{found}. A copy is found first by any model, and one on both sides of the hold-out has been seen: "
            "data.duplicates drop leaves them out"
        ]
    dropped: dict[str, set[int]] = defaultdict(set)
    for group in groups:
        keeper = next(member for member in group if member[0] == group[-1][0])
        agree = len({_class_of(parts, member) for member in group}) == 1
        for name, index in group:
            if not agree or (name, index) != keeper:
                dropped[name].add(index)
    kept = {
        name: data.subset([i for i in range(len(data)) if i not in dropped[name]])
        if dropped[name]
        else data
        for name, data in parts.items()
    }
    return kept, [f"{found}. Left out: {sum(map(len, dropped.values())):,} images"]


def _described(parts: Mapping[str, ImageDataset], groups: Sequence[Sequence[_Member]]) -> str:
    copies = sum(len(group) - 1 for group in groups)
    across = sum(len({name for name, _ in group}) > 1 for group in groups)
    torn = [group for group in groups if len({_class_of(parts, m) for m in group}) > 1]
    text = f"{copies:,} images with the bytes of another one"
    if across:
        text += f", {across:,} of them on both sides of {' and '.join(parts)}"
    if torn:
        text += f", {len(torn):,} of them in two classes"
    shown = [*torn, *(group for group in groups if group not in torn)][:_SHOWN]
    pairs = ("{} = {}".format(*(_path(parts, member) for member in group[:2])) for group in shown)
    return f"{text}, such as {', '.join(pairs)}"


def _class_of(parts: Mapping[str, ImageDataset], member: _Member) -> tuple[str, ...]:
    """Names of the nodes of an image, which compare across parts that number them apart."""
    name, index = member
    tree = parts[name].hierarchy
    row = parts[name].labels[index].tolist()
    names = [tree.node_names(level)[node] for level, node in enumerate(row)]
    return tuple(key for key, _ in itertools.groupby(names))  # short branches repeat a name


def _path(parts: Mapping[str, ImageDataset], member: _Member) -> str:
    name, index = member
    return str(parts[name].paths[index])


def _parts(
    group: list[int], paths: Sequence[Path], key: Callable[[Path], Hashable], bar: Any
) -> list[list[int]]:
    found: dict[Hashable, list[int]] = defaultdict(list)
    for index in group:
        value = key(paths[index])
        if value is not None:
            found[value].append(index)
        if bar is not None:
            bar.update()
    return [part for part in found.values() if len(part) > 1]


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _head(path: Path) -> bytes | None:
    try:
        with regular(path).open("rb") as file:
            return hashlib.sha256(file.read(_HEAD)).digest()
    except (OSError, ValueError):
        return None


def _content(path: Path) -> bytes | None:
    digest = hashlib.sha256()
    try:
        with regular(path).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except (OSError, ValueError):
        return None
    return digest.digest()
