"""The tables of the pages are those of the results that docs/results keeps."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("scipy", reason="needs the recipes extra")

from studies.leaderboard import robustness
from studies.leaderboard.__main__ import DATA
from studies.leaderboard.entrants import ENTRANTS
from studies.leaderboard.memory_tables import PIVOTS

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    """``docs/_tools/leaderboard_tables.py``."""
    path = DOCS / "_tools" / "leaderboard_tables.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tables_are_those_of_the_results(tables: ModuleType) -> None:
    page = (DOCS / "leaderboard.md").read_text()
    other = (DOCS / "decomposability.md").read_text()
    assert other.count("<!-- table: ") == 1 + len(PIVOTS)
    assert all(f"<!-- table: {name} -->" in other for name in PIVOTS)
    assert tables.with_tables(other) == other
    assert tables.with_tables(page) == page, "run: python docs/_tools/leaderboard_tables.py"
    broken = page.replace("| **HAPPIER** |", "| **SupCon** |", 1)
    assert broken != page
    assert tables.with_tables(broken) == page


def test_the_leaderboard_has_every_loss_on_every_data_set(tables: ModuleType) -> None:
    boards = tables.boards()
    assert set(boards) == set(DATA)
    for board in boards.values():
        for rows in board["standings"].values():
            assert {row["loss"] for row in rows} | set(board["failures"]) == set(ENTRANTS)
            assert all(len(row["values"]["h_ap"]) == 5 for row in rows)


def test_every_field_has_every_loss_on_five_splits(tables: ModuleType) -> None:
    fields = tables.boards("robustness").values()
    found = [(field["source"]["data"], field["source"]["backbone"]) for field in fields]
    assert found == [(data, trunk) for data in robustness.DATA for trunk in robustness.BACKBONES]
    for field in fields:
        assert field["seeds"] == [0, 1, 2, 3, 4]
        assert {row["loss"] for row in field["standings"]} == set(robustness.LOSSES)
        for row in [*field["standings"], *field["recommended"]]:
            assert all(len(values) == 5 for values in row["values"].values())
    page = (DOCS / "leaderboard.md").read_text()
    names = [name for name in tables.tables() if name.startswith("robustness")]
    assert len(names) == 5
    assert all(f"<!-- table: {name} -->" in page for name in names)
