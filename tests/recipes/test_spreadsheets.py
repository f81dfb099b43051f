"""CSV files that people open: no cell runs in a spreadsheet, and every cell comes back as it was."""

import ast
import csv
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.hierarchy.cells import guarded, unguarded
from pml_suprank.recipes.data.columns import read_columns
from pml_suprank.recipes.files import write_csv
from pml_suprank.recipes.hierarchies.tables import read_csv
from pml_suprank.recipes.pages.run_folder import RunFolder, RunFolderError

ROOT = Path(__file__).parents[2]
FORMULAS = (
    "=1+1",
    '=HYPERLINK("https://example.org";"a")',
    "+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "\t=1+1",
    "\r=1+1",
    "'=1+1",
    "''-a",
    "-",
)
STARTS = ("=", "+", "-", "@", "\t", "\r")
cells = st.text(
    st.one_of(
        st.sampled_from("=+-@'\t\r\n,;\"|0.5e"),
        st.characters(exclude_characters="\0", exclude_categories=["Cs"]),
    ),
    max_size=8,
)


def as_read(text: str) -> str:
    """Readers take off spaces around a cell, but not those that a guard stands before."""
    return text.rstrip() if guarded(text) != text else text.strip()


@given(st.lists(st.tuples(cells, cells), max_size=6))
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_every_cell_comes_back(tmp_path: Path, pairs: list[tuple[str, str]]) -> None:
    rows = [{"=number": i, "name": one, "value": other} for i, (one, other) in enumerate(pairs)]
    write_csv(tmp_path / "a.csv", rows, ["=number", "name", "value"])
    found = read_csv(tmp_path / "a.csv", ["=number", "name", "value"])
    assert found.header == ("=number", "name", "value")
    wanted = [(str(i), as_read(one), as_read(other)) for i, (one, other) in enumerate(pairs)]
    assert [tuple(row.values()) for row in found.rows] == wanted
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        written = [cell for row in csv.reader(file) for cell in row]
    for cell in written:
        assert not cell.startswith(STARTS) or float(cell) is not None


@given(cells)
def test_guards_come_off(text: str) -> None:
    assert unguarded(guarded(text)) == text


def test_numbers_stay_numbers(tmp_path: Path) -> None:
    for value in (-0.5, 3, 1e-9, -1e300, "-0.5", "+1", "-1.5e-3", ".5", "-.5"):
        write_csv(tmp_path / "a.csv", [{"a": value}])
        assert (tmp_path / "a.csv").read_text() == f"a\n{value}\n"
    for formula in FORMULAS:
        write_csv(tmp_path / "a.csv", [{"a": formula, "b": 1}])
        assert f"'{formula}" in (tmp_path / "a.csv").read_bytes().decode().replace('""', '"')


def test_a_column_too_many_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"rows: wanted the columns \['a'\], got \['b'\] besides"):
        write_csv(tmp_path / "a.csv", [{"a": 1}, {"a": 1, "b": 2}])


def test_hierarchies(tmp_path: Path) -> None:
    names = list(dict.fromkeys(formula.strip() for formula in FORMULAS))
    tree = Hierarchy.from_paths([("@top", name) for name in names], level_names=["=leaf", "-"])
    tree.to_csv(tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as file:
        assert not any(cell.startswith(STARTS) for row in csv.reader(file) for cell in row)
    assert Hierarchy.from_csv(tmp_path / "a.csv", class_id_column="class_id") == tree


def test_columns_of_large_tables(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="does not load", exc_type=ImportError)
    rows = [{"id": i, "name": name} for i, name in enumerate(["=1+1", "''-a", "oak", "-0.5"])]
    write_csv(tmp_path / "a.csv", rows)
    found = read_columns(tmp_path / "a.csv", {"id": "int64", "name": "string"})
    assert found["name"].to_pylist() == ["=1+1", "''-a", "oak", "-0.5"]


def test_one_writer() -> None:
    for path in (ROOT / "recipes").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            is_writer = isinstance(node, ast.Attribute) and node.attr in (
                *("writer", "DictWriter", "to_csv"),
                "DictReader",
            )
            assert not is_writer or path.name == "files.py", f"{path}, line {node.lineno}"


def test_a_foreign_history_is_read_by_the_same_reader(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("a: 1")
    (tmp_path / "metrics.json").write_text('{"before": {"a": 0}, "after": {"a": 1}}')
    for text in ("loss\nx\n", "loss\nnan\n", "step\n1\n", "step,loss\n1\n", '"a\n'):
        (tmp_path / "history.csv").write_text(text)
        with pytest.raises(RunFolderError, match=r"history\.csv: wanted a whole file"):
            RunFolder.read(tmp_path)
