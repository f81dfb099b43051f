"""Which images a run is of: names, order and labels, wherever their folder is and whenever they were copied."""

import functools
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pml_suprank.integrations.plain_files import read_json
from pml_suprank.recipes.embedding_set import names_of_nodes
from pml_suprank.recipes.engine.checkpoints import CheckpointError
from pml_suprank.recipes.files import write_text

__all__ = ["ITEMS", "RunData", "named_items"]

ITEMS = "items.json"
_SHOWN = 3


def named_items(data: Any, root: str | None) -> Iterator[list[str]]:
    """For each image its path, below ``root`` where it lies there, and the names of its nodes, finest first.

    Args:
        data: data set with ``paths``, ``labels`` and ``hierarchy``.
        root: folder of the images.
    """
    base = None if root is None else Path(root)
    names = names_of_nodes(data.hierarchy)
    for path, label in zip(data.paths, data.labels.tolist(), strict=True):
        path = Path(path)
        is_below = base is not None and path.is_relative_to(base)
        shown = path.relative_to(base).as_posix() if base and is_below else str(path)
        yield [shown, *(names[level][node] for level, node in enumerate(label))]


@dataclass(frozen=True)
class RunData:
    """The images of a run.

    Attributes:
        parts: "train", "test" and, where there is one, "gallery": data sets as :func:`named_items` takes them.
        root: folder of the images.
    """

    parts: dict[str, Any]
    root: str | None

    @functools.cached_property
    def digests(self) -> dict[str, str]:
        """SHA-256 of the items of each part, in their order."""
        found = {}
        for name, part in self.parts.items():
            digest = hashlib.sha256()
            for item in named_items(part, self.root):
                digest.update(json.dumps(item).encode() + b"\n")
            found[name] = digest.hexdigest()
        return found

    def write(self, folder: Path) -> None:
        """Write the items, so that a resumed run can say which ones differ."""
        content = {name: list(named_items(part, self.root)) for name, part in self.parts.items()}
        write_text(folder / ITEMS, json.dumps(content, ensure_ascii=False) + "\n")

    def check(self, checkpoint: Path, digests: Any) -> None:
        """Refuse to go on with other images.

        Args:
            checkpoint: beside which the items of its run are.
            digests: that it holds.

        Raises:
            CheckpointError: other images, names or labels; shows the first that differ.
        """
        if digests == self.digests:
            return
        for name in self.digests:
            if not isinstance(digests, dict) or digests.get(name) != self.digests[name]:
                told = self._difference(name, checkpoint.parent / ITEMS)
                raise CheckpointError(
                    f"{checkpoint}: items: wanted a checkpoint of the images that are there, got one of others: {told}"
                )
        raise CheckpointError(
            f"{checkpoint}: items: wanted a checkpoint of {', '.join(self.digests)}, got one of {', '.join(digests)}"
        )

    def _difference(self, name: str, path: Path) -> str:
        now = list(named_items(self.parts[name], self.root))
        try:
            before = [list(map(str, item)) for item in read_json(path, most_bytes=2**30)[name]]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return f"those to {name} differ ({path}, which would say which, is missing or damaged)"
        pairs = [(a, b) for a, b in zip(before, now, strict=False) if a != b]
        shown = [f"{_shown(a)} is now {_shown(b)}" for a, b in pairs[:_SHOWN]]
        count = len(pairs) + abs(len(before) - len(now))
        if len(before) != len(now):
            shown.append(f"there were {len(before):,} and are {len(now):,}")
        if not shown:
            return f"those to {name} differ from what {path} says"
        return f"{count:,} of {len(now):,} to {name} differ: {'; '.join(shown)}"


def _shown(item: list[str]) -> str:
    path, *names = item
    return f"{path!r} ({' < '.join(names)})"
