"""What a run folder holds, read back."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pml_suprank.integrations.plain_files import read_json, read_yaml

__all__ = ["RunFolder", "RunFolderError"]


class RunFolderError(ValueError):
    """A run folder that is not whole; the message names the file."""


@dataclass(frozen=True)
class RunFolder:
    """A finished run of ``finetune``, or of the quickstart as far as it goes.

    Attributes:
        path: of the folder.
        settings: dotted key to value.
        metrics: content of ``metrics.json``: before, after, and facts about the training.
        history: rows of ``history.csv``.
        evaluations: rows of ``evaluations.csv``, numbers where they are some; empty for the quickstart.
        sheets: content of ``sheets.json``; None where there is none.
    """

    path: Path
    settings: dict[str, Any]
    metrics: dict[str, Any]
    history: list[dict[str, float]]
    evaluations: list[dict[str, Any]]
    sheets: dict[str, Any] | None

    @classmethod
    def read(cls, path: Path) -> "RunFolder":
        """Read a run folder.

        Raises:
            RunFolderError: a file is missing or damaged, or the run is not finished.
        """
        path = Path(path)
        if not path.is_dir():
            raise RunFolderError(f"run: wanted a run folder, got {str(path)!r}")
        if (path / "config.yaml").exists():
            settings = _load(path / "config.yaml", read_yaml)
        else:
            settings = _load(path / "config.json", read_json)
        if not isinstance(settings, dict):
            raise RunFolderError(
                f"{path}: wanted settings as keys and values, got {settings!r:.80}"
            )
        metrics = _load(path / "metrics.json", read_json, "the run is not finished; --resume it")
        if not isinstance(metrics, dict) or not {"before", "after"} <= set(metrics):
            raise RunFolderError(
                f"{path / 'metrics.json'}: wanted metrics before and after training"
            )
        history = [
            {name: float(value) for name, value in row.items()}
            for row in _rows(path / "history.csv")
        ]
        evaluations, sheets = [], None
        if (path / "evaluations.csv").exists():
            evaluations = [
                {name: value if name == "split" else float(value) for name, value in row.items()}
                for row in _rows(path / "evaluations.csv")
            ]
        if (path / "sheets.json").exists():
            sheets = _load(path / "sheets.json", read_json)
        return cls(path, dict(_flat(settings)), metrics, history, evaluations, sheets)

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.resolve().name


def _load(path: Path, parse: Any, hint: str = "") -> Any:
    try:
        return parse(path)
    except FileNotFoundError as error:
        message = f"{path}: wanted a file of a run, got none" + (f": {hint}" if hint else "")
        raise RunFolderError(message) from error
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path}: wanted a whole file, got {error}") from error


def _rows(path: Path) -> list[dict[str, str]]:
    def parse(path: Path) -> list[dict[str, str]]:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
        if any(None in row or None in row.values() for row in rows):
            raise ValueError("a row of another length than the first")
        return rows

    return _load(path, parse)


def _flat(content: dict[str, Any], prefix: str = "") -> Any:
    for key, value in content.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
