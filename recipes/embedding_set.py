"""Embeddings of images in one file, with labels and where the images are."""

import itertools
import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pml_suprank.hierarchy import Hierarchy, HierarchyError
from pml_suprank.integrations.model_identity import ModelIdentity
from pml_suprank.integrations.plain_files import json_data
from pml_suprank.integrations.whole_files import DamagedFileError
from pml_suprank.recipes.data.assembly import label_chains
from pml_suprank.recipes.data.paths import is_inside
from pml_suprank.recipes.embedding_files import SUFFIXES, read_arrays, write_arrays
from pml_suprank.recipes.label_columns import read_label_columns

__all__ = ["EmbeddingError", "EmbeddingSet", "check_file_name", "names_of_nodes"]


class EmbeddingError(ValueError):
    """Embeddings that are damaged, not finite, or do not fit their labels."""


@dataclass(frozen=True)
class EmbeddingSet:
    """Embeddings and what they are of.

    Attributes:
        embeddings: [N, D], float32 or float16, finite.
        labels: [N, L] int64, column 0 finest, nodes of each level numbered from 0; None where unknown.
        paths: [N] image files, relative to ``root`` or absolute; None where unknown.
        level_names: L names, finest first.
        node_names: for each level the names of its nodes.
        root: folder of the images.
        model: that made the embeddings; None where it is not known.

    Raises:
        EmbeddingError: shapes that do not fit, or numbers that are not finite.
    """

    embeddings: Tensor
    labels: Tensor | None = None
    paths: tuple[str, ...] | None = None
    level_names: tuple[str, ...] | None = None
    node_names: tuple[tuple[str, ...], ...] | None = None
    root: str = ""
    model: ModelIdentity | None = None

    def __post_init__(self) -> None:
        if self.embeddings.ndim != 2 or 0 in self.embeddings.shape:
            raise EmbeddingError(f"embeddings: wanted [N, D], got {list(self.embeddings.shape)}")
        if not self.embeddings.is_floating_point():
            raise EmbeddingError(f"embeddings: wanted floating point, got {self.embeddings.dtype}")
        broken = (~self.embeddings.isfinite().all(1)).nonzero().flatten().tolist()
        if broken:
            raise EmbeddingError(f"embeddings: wanted finite rows, got others at {broken[:5]}")
        count = len(self.embeddings)
        if self.paths is not None and len(self.paths) != count:
            raise EmbeddingError(f"paths: wanted {count}, one for each row, got {len(self.paths)}")
        if self.labels is None:
            return
        if self.labels.ndim != 2 or len(self.labels) != count or self.labels.dtype != torch.int64:
            shape = list(self.labels.shape)
            raise EmbeddingError(
                f"labels: wanted int64 [{count}, L], got {self.labels.dtype} {shape}"
            )
        levels = self.labels.shape[1]
        for name in ("level_names", "node_names"):
            value = getattr(self, name)
            if value is not None and len(value) != levels:
                raise EmbeddingError(
                    f"{name}: wanted {levels}, one for each level, got {len(value)}"
                )
        for level, names in enumerate(self.node_names or ()):
            if int(self.labels[:, level].max()) >= len(names) or int(self.labels.min()) < 0:
                raise EmbeddingError(
                    f"labels: wanted 0..{len(names) - 1} at level {level}, got others"
                )

    def __len__(self) -> int:
        return len(self.embeddings)

    @property
    def num_levels(self) -> int:
        """L, or 0 without labels."""
        return 0 if self.labels is None else self.labels.shape[1]

    def class_name(self, row: int, level: int = 0) -> str:
        """Name of the node that a row belongs to; its number where there are no names."""
        if self.labels is None:
            return ""
        node = int(self.labels[row, level])
        return str(node) if self.node_names is None else self.node_names[level][node]

    def names(self, row: int) -> list[str]:
        """Names of the nodes of a row, finest first; those that a short branch repeats only once."""
        names = (self.class_name(row, level) for level in range(self.num_levels))
        return [name for name, _ in itertools.groupby(names)]

    def path(self, row: int) -> Path | None:
        """The image of a row; None where there is no such file, or where it lies outside of ``root``.

        A file of embeddings comes from anywhere, and pages show the images that it names: neither ``..`` nor a link
        leads out of the folder of the images.
        """
        if self.paths is None or self.is_outside(row):
            return None
        path = Path(self.root) / self.paths[row]
        return path if path.is_file() else None

    def is_outside(self, row: int) -> bool:
        """Whether the path of a row leads out of the folder of the images."""
        assert self.paths is not None
        return not is_inside(self.root, self.paths[row])

    def at_root(self, root: Path | None) -> "EmbeddingSet":
        """The same embeddings, their images in another folder; None changes nothing."""
        return self if root is None else replace(self, root=os.path.abspath(root))

    def lost(self, rows: Iterable[int]) -> str:
        """What to tell about images that are not where they were; empty where all are, or where they have no files.

        Args:
            rows: whose images are shown.
        """
        rows = list(rows)
        gone = [row for row in rows if self.has_file(row) and self.path(row) is None]
        if not gone:
            return ""
        assert self.paths is not None
        outside = [row for row in gone if self.is_outside(row)]
        if outside:
            return (
                f"{len(gone):,} of {len(rows):,} images to show not shown: {self.paths[outside[0]]!r} lies outside of "
                f"the folder of the images, {self.root!r}"
            )
        place = os.path.abspath(Path(self.root) / self.paths[gone[0]])
        return (
            f"{len(gone):,} of {len(rows):,} images to show not found, the first at {place!r}; "
            "pass --data.root with the folder where they are"
        )

    def has_file(self, row: int) -> bool:
        """Whether the image of a row is, or was, a file; others are kept in packages and have names."""
        return self.paths is not None and bool(self.root or os.path.isabs(self.paths[row]))

    def names_of_levels(self) -> tuple[str, ...]:
        """Level names, or level_0, ... where there are none."""
        return self.level_names or tuple(f"level_{i}" for i in range(self.num_levels))

    def save(self, path: Path) -> None:
        """Write ``.npz`` or ``.safetensors`` with a checksum, atomically.

        Raises:
            EmbeddingError: another suffix.
        """
        path = check_file_name(path)
        tensors = {"embeddings": self.embeddings.contiguous()}
        if self.labels is not None:
            tensors["labels"] = self.labels.contiguous()
        content = {
            name: getattr(self, name) for name in ("paths", "level_names", "node_names", "root")
        }
        content["model"] = None if self.model is None else self.model.to_dict()
        write_arrays(path, tensors, content)

    @classmethod
    def load(cls, path: Path) -> "EmbeddingSet":
        """Read what :meth:`save` wrote, or any file with ``embeddings`` [N, D] and, if known, ``labels``.

        Raises:
            EmbeddingError: the file is missing, damaged or of another form.
        """
        path = check_file_name(path)
        if not path.is_file():
            raise EmbeddingError(f"{path}: wanted a file of embeddings, got no such file")
        try:
            tensors, about, has_checksum = read_arrays(path)
            content = json_data(about) if about else {}
            texts = {name: _texts(name, content.get(name)) for name in ("paths", "level_names")}
            nodes, root = content.get("node_names"), content.get("root", "")
            if nodes is not None:
                nodes = tuple(_texts("node_names", names) or () for names in nodes)
            if not isinstance(root, str):
                raise ValueError(f"root: wanted text, got {type(root).__name__}")
            model = ModelIdentity.from_dict(content.get("model"))
            labels = tensors.get("labels")
            if labels is not None:
                if labels.is_floating_point() or labels.is_complex():
                    raise ValueError(f"labels: wanted integers, got {labels.dtype}")
                labels = labels.long().reshape(len(labels), -1)
            if content.get("sealed") and not has_checksum:
                raise DamagedFileError("a file without its checksum")
        except Exception as error:  # zip, numpy and safetensors have their own for damaged files
            raise EmbeddingError(f"{path}: wanted a file of embeddings, got {error}") from error
        if about and not has_checksum:
            warnings.warn(
                f"{path} is of an older version, without a checksum: damage to it would not be noticed",
                stacklevel=2,
            )
        if "embeddings" not in tensors:
            raise EmbeddingError(f"{path}: wanted an array named embeddings, got {sorted(tensors)}")
        embeddings = tensors["embeddings"]
        return cls(embeddings, labels, texts["paths"], texts["level_names"], nodes, root, model)

    def with_labels(
        self, table: Path, levels: list[str] | None = None, *, repeated_names: bool = False
    ) -> "EmbeddingSet":
        """The same embeddings with the labels of a CSV file.

        Args:
            table: CSV or a relative of it, with a row for each embedding; its column ``path``, where both have paths,
                says which, else the order does. The other columns are the levels, finest first; empty cells at the
                finest ones make a short branch.
            levels: names of the columns to take; None takes all but ``path``.
            repeated_names: whether a level may have fewer names than the one above it; else that is taken for levels
                in reversed order.

        Raises:
            EmbeddingError: a missing file, column or row, a row of another length, an empty cell above a filled one,
                two rows for a path that differ, or levels in reversed order.
        """
        try:
            chains, names = read_label_columns(
                Path(table), levels, self.paths, len(self), repeated_names=repeated_names
            )
        except OSError as error:
            raise EmbeddingError(f"labels: wanted a CSV file, got {error}") from error
        except HierarchyError as error:
            raise EmbeddingError(str(error)) from error
        depth = max(map(len, chains))
        names = names[len(names) - depth :]
        tree, labels = label_chains(chains, names)
        return replace(
            self, labels=labels, level_names=tuple(names), node_names=names_of_nodes(tree)
        )


def names_of_nodes(tree: Hierarchy) -> tuple[tuple[str, ...], ...]:
    """For each level the names of its nodes."""
    return tuple(tree.node_names(level) for level in range(tree.num_levels))


def check_file_name(path: Path) -> Path:
    """The path of a file of embeddings.

    Raises:
        EmbeddingError: another suffix.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise EmbeddingError(f"embeddings: wanted a file *{' or *'.join(SUFFIXES)}, got {path}")
    return path


def _texts(name: str, value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{name}: wanted a list of texts, got {value!r:.80}")
    return tuple(value)
