"""The folder of a hierarchy in the making, and which of its steps are done."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pml_suprank.hierarchy.regular_files import regular
from pml_suprank.integrations.plain_files import read_json
from pml_suprank.recipes.files import write_json
from pml_suprank.recipes.hierarchies.tables import TableError

__all__ = ["WorkFolder", "digest"]


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with regular(path).open("rb") as file:
        total = hashlib.sha256()
        while block := file.read(1 << 20):
            total.update(block)
        return total.hexdigest()


_STEPS = "steps.json"
_PARTS = "image_features"
_HALF_WRITTEN = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{8}")
"""Names of the temporary files of :func:`write_atomic`."""
_PART = re.compile(r"\d{5}\.npz")
_UNRECORDED = ("review.csv", "uncertain.csv", "label_to_hierarchical.csv", "queries.csv")
"""Files that steps write beside those of the record."""


class WorkFolder:
    """Files of the steps, and a record of what each was made from.

    A step is done when the record holds its settings and the digests of its inputs and outputs as they are now:
    then it need not run again, and what an interrupted one left behind is made anew. Files are written whole or
    not at all.

    Args:
        root: the folder; it is made when the first file is written.
    """

    def __init__(self, root: Path):
        self.root = Path(root)
        self.steps_file = self.root / _STEPS

    def __truediv__(self, name: str) -> Path:
        return self.root / name

    def record_of(self, step: str) -> dict[str, Any] | None:
        """Settings, inputs and outputs of a step that was done once.

        Raises:
            TableError: the record is damaged.
        """
        return self._records().get(step)

    def _records(self) -> dict[str, dict[str, Any]]:
        if not self.steps_file.exists():
            return {}
        try:
            return dict(read_json(self.steps_file).items())
        except (ValueError, AttributeError, OSError) as error:
            raise TableError(
                f"{self.steps_file}: wanted the record of the steps, got {error}"
            ) from None

    def is_done(self, step: str, settings: Mapping[str, Any], inputs: Sequence[Path]) -> bool:
        """Whether a step has been run with these settings on these files, and its files are still there."""
        record = self.record_of(step)
        if record is None or record["settings"] != json.loads(json.dumps(settings)):
            return False
        return record["inputs"] == self._digests(inputs) and self._whole(record)

    def record(
        self,
        step: str,
        settings: Mapping[str, Any],
        inputs: Sequence[Path],
        outputs: Sequence[Path],
    ) -> None:
        """Note that a step is done, and remove what killed ones left half written; other files stay."""
        content = self._records()
        content[step] = {
            "settings": dict(settings),
            "inputs": self._digests(inputs),
            "outputs": self._digests(outputs),
        }
        write_json(self.steps_file, content)
        own = {
            _STEPS,
            *_UNRECORDED,
            *(name for step in content.values() for name in step["outputs"]),
        }
        for path in [*self.root.glob(".*"), *(self.root / _PARTS).glob(".*")]:
            match = _HALF_WRITTEN.fullmatch(path.name)
            if match and (match["name"] in own or _PART.fullmatch(match["name"])):
                path.unlink(missing_ok=True)

    def need(self, step: str) -> None:
        """Raise unless a step is done and nothing it was made from has changed since, by whatever steps.

        Raises:
            TableError: says which step to run.
        """
        record = self.record_of(step)
        if record is None:
            raise TableError(f"{self.root}: wanted the files of the step {step!r}; run it first")
        for kind in ("inputs", "outputs"):
            for name, known in record[kind].items():
                path = self.root / name  # an absolute name stays what it is
                if not path.exists() or digest(path) != known:
                    what = "changed since" if path.exists() else "is gone since"
                    raise TableError(
                        f"{path}: {what} the step {step!r}; run that step again before this one"
                    )
        for earlier, other in self._records().items():
            if earlier != step and record["inputs"].keys() & other["outputs"].keys():
                self.need(earlier)

    def _whole(self, record: Mapping[str, Any]) -> bool:
        paths = {name: self.root / name for name in record["outputs"]}
        return all(
            path.exists() and digest(path) == record["outputs"][n] for n, path in paths.items()
        )

    def _digests(self, paths: Sequence[Path]) -> dict[str, str]:
        return {self._name(path): digest(path) for path in paths}

    def _name(self, path: Path) -> str:
        path, root = Path(path).resolve(), self.root.resolve()
        return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
