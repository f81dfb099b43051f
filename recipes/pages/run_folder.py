"""What a run folder holds, read back and checked: it may be anybody's."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError, model_validator

from pml_suprank.hierarchy.text_tables import open_table
from pml_suprank.integrations.plain_files import read_json, read_yaml
from pml_suprank.recipes.pages.checked import Checked, Number, finite
from pml_suprank.recipes.pages.details import Details
from pml_suprank.recipes.pages.html_page import is_picture

__all__ = ["LeftOutFact", "LevelNote", "Metrics", "RunFolder", "RunFolderError", "Sheets"]

Model = TypeVar("Model", bound=BaseModel)


class RunFolderError(ValueError):
    """A run folder that is not whole; the message names the file."""


class LevelNote(Checked):
    """A level of the held-out images, as :class:`pml_suprank.recipes.levels.LevelFact`."""

    name: str
    nodes: int
    note: str


class LeftOutFact(Checked):
    """What lay beside the images and was not read, for one reason."""

    reason: str
    count: int
    examples: list[str]


class Metrics(Checked):
    """The content of ``metrics.json``."""

    before: dict[str, Number]
    after: dict[str, Number]
    level_names: list[str] = Field([])
    levels: list[LevelNote] = Field([])
    notes: list[str] = Field([])
    left_out: list[LeftOutFact] = Field([])
    credits: list[str] = Field([])
    setup: dict[str, str] = Field({})
    training_seconds: Number | None = None
    test_set: str | None = None
    queries: int | None = None
    iterations: int | None = None
    classes: int | None = None
    training_images: int | None = None
    training_classes: int | None = None
    broken: int | None = None


class _Rows(Checked):
    queries: list[int]
    results: list[list[int]]
    levels: list[list[int]]


class Sheets(Checked):
    """The content of ``sheets.json``, see :func:`pml_suprank.recipes.pages.sheets.contact_sheet`."""

    level_names: list[str]
    images: dict[str, str]
    names: dict[str, list[str]]
    before: _Rows
    after: _Rows

    @model_validator(mode="after")
    def _is_whole(self) -> "Sheets":
        shared = range(len(self.level_names) + 1)
        if not self.level_names:
            raise ValueError("wanted a level, got none")
        if not all(map(is_picture, self.images.values())):
            raise ValueError("wanted data URIs of JPEG or PNG pictures, got something else")
        for rows in (self.before, self.after):
            shown = [*rows.queries, *(index for row in rows.results for index in row)]
            if not {str(index) for index in shown} <= self.images.keys():
                raise ValueError("wanted a picture of every image, got none of some")
            if not all(self.names.get(str(index)) for index in shown):
                raise ValueError("wanted names of every image, got none of some")
            sizes = [[len(row) for row in part] for part in (rows.results, rows.levels)]
            if sizes[0] != sizes[1] or len(sizes[0]) != len(rows.queries):
                raise ValueError("wanted results and levels of every query, got other numbers")
            if not all(count in shared for row in rows.levels for count in row):
                raise ValueError(f"wanted 0..{len(self.level_names)} shared levels, got others")
        if self.before.queries != self.after.queries:
            raise ValueError("wanted the same queries before and after, got others")
        return self


@dataclass(frozen=True)
class RunFolder:
    """A finished run of ``finetune``, or of the quickstart as far as it goes.

    Attributes:
        path: of the folder.
        settings: dotted key to value.
        metrics: before and after training, and facts about it.
        history: rows of ``history.csv``.
        evaluations: rows of ``evaluations.csv``, numbers where they are some; empty for the quickstart.
        sheets: what is retrieved; None where there is no such file.
        details: scores of classes and more; None where there is no such file.
    """

    path: Path
    settings: dict[str, Any]
    metrics: Metrics
    history: list[dict[str, float]]
    evaluations: list[dict[str, Any]]
    sheets: Sheets | None
    details: Details | None = None

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
        metrics = _checked(path / "metrics.json", Metrics, "the run is not finished; --resume it")
        history = _numbers(path / "history.csv", need=("loss",))
        evaluations, sheets, details = [], None, None
        if (path / "evaluations.csv").exists():
            evaluations = _numbers(path / "evaluations.csv", need=("epoch",), text=("split",))
        if (path / "sheets.json").exists():
            sheets = _checked(path / "sheets.json", Sheets)
        if (path / "details.json").exists():
            details = _checked(path / "details.json", Details)
        return cls(path, dict(_flat(settings)), metrics, history, evaluations, sheets, details)

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.resolve().name


def _checked(path: Path, model: type[Model], hint: str = "") -> Model:
    content = _load(path, read_json, hint)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "content"
        raise RunFolderError(
            f"{path}: {key}: wanted what a run writes ({first['msg']}), got {first['input']!r:.60}"
        ) from error


def _load(path: Path, parse: Any, hint: str = "") -> Any:
    try:
        return parse(path)
    except FileNotFoundError as error:
        message = f"{path}: wanted a file of a run, got none" + (f": {hint}" if hint else "")
        raise RunFolderError(message) from error
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path}: wanted a whole file, got {error}") from error


def _numbers(path: Path, need: tuple[str, ...], text: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Rows of a CSV file of numbers, beside columns of text."""

    def parse(path: Path) -> list[dict[str, Any]]:
        table = open_table(path)
        lacking = [name for name in need if name not in table.header]
        rows = [dict(zip(table.header, cells, strict=True)) for _, cells in table]
        if rows and lacking:
            raise ValueError(f"no column {lacking[0]!r}")
        return [
            {name: value if name in text else finite(float(value)) for name, value in row.items()}
            for row in rows
        ]

    return _load(path, parse)


def _flat(content: dict[str, Any], prefix: str = "") -> Any:
    for key, value in content.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
