"""Runs side by side: the best is marked only where all were tested on the same images."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("accelerate", reason="needs the recipes extra")

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.recipes.__main__ import main as suprank
from pml_suprank.recipes.data.images import ImageDataset
from pml_suprank.recipes.engine.results import id_of_test_set


def run(path: Path, value: float, **facts: Any) -> str:
    path.mkdir()
    metrics = {"hierarchical_average_precision": value, "precision_at_1_level0": value / 2}
    content = {"before": metrics, "after": metrics, "level_names": ["breed", "kind"], **facts}
    (path / "metrics.json").write_text(json.dumps(content))
    (path / "config.yaml").write_text(f"loss: {{name: {path.name}}}\n")
    (path / "history.csv").write_text("step,epoch,loss\n1,1,0.5\n")
    return str(path)


def compared(tmp_path: Path, capsys: pytest.CaptureFixture[str], *runs: str) -> tuple[str, str]:
    page = tmp_path / "page.html"
    assert suprank(["report", *runs, "--output", str(page)]) == 0
    return page.read_text(), capsys.readouterr().err


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"queries": 153}, {"queries": 61}),
        ({"queries": 153, "test_set": "a"}, {"queries": 153, "test_set": "b"}),
        ({"queries": 153, "test_set": "a"}, {"queries": 61}),
    ],
)
def test_different_tests_crown_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], one: dict, other: dict
) -> None:
    runs = run(tmp_path / "high", 0.8, **one), run(tmp_path / "low", 0.2, **other)
    page, warning = compared(tmp_path, capsys, *runs)
    assert "tested on different images" in page
    assert f"high: {one['queries']}, low: {other['queries']}" in page
    assert 'class="number best"' not in page
    assert 'class="bars"' not in page
    assert "0.800" in page
    assert "warning: the runs were tested on different images" in warning


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"queries": 61, "test_set": "a"}, {"queries": 61, "test_set": "a"}),
        ({"queries": 61, "test_set": "a"}, {"queries": 61}),
        ({}, {"queries": 61}),
    ],
)
def test_the_same_test_has_a_best(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], one: dict, other: dict
) -> None:
    runs = run(tmp_path / "high", 0.8, **one), run(tmp_path / "low", 0.2, **other)
    page, warning = compared(tmp_path, capsys, *runs)
    assert page.count('class="number best"') == 3  # of two metrics, and among the bars
    assert 'class="bars"' in page
    assert "different images" not in page + warning


def test_the_id_of_a_test_set() -> None:
    tree = Hierarchy.from_paths(["dog/pug", "dog/husky", "cat/tabby"])

    def data(root: str, classes: list[int], tree: Hierarchy = tree) -> ImageDataset:
        paths = [Path(root) / f"{number}.png" for number in range(len(classes))]
        return ImageDataset(paths, tree.table[classes], tree)

    first = id_of_test_set(data("a", [0, 1, 2]), root="a")
    assert first == id_of_test_set(data("elsewhere/a", [0, 1, 2]), root="elsewhere/a")
    assert first == id_of_test_set(data("a", [0, 1, 2]).subset([2, 0, 1]), root="a")
    turned = Hierarchy.from_paths(["cat/tabby", "dog/husky", "dog/pug"])  # numbered otherwise
    assert first == id_of_test_set(data("a", [2, 1, 0], turned), root="a")
    others = [
        id_of_test_set(data("a", [0, 1, 2]), root=None),
        id_of_test_set(data("a", [0, 1]), root="a"),
        id_of_test_set(data("a", [0, 2, 2]), root="a"),
        id_of_test_set(data("a", [0, 1, 2]), data("a", [0, 1, 2]), root="a"),
    ]
    assert len({first, *others}) == 5


def test_charts_are_titled_and_settings_that_read_alike_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = run(tmp_path / "a", 0.8), run(tmp_path / "b", 0.2)
    for path, nothing in zip(runs, ("{}", "null"), strict=True):
        with open(f"{path}/config.yaml", "a") as file:
            file.write(f"data: {{options: {nothing}}}\n")
    page, _ = compared(tmp_path, capsys, *runs)
    assert "<td>loss.name</td>" in page
    assert "data.options" not in page
    assert page.count("<h3>") == page.count('<svg class="plot"') > 0
