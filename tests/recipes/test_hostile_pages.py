"""No text that reaches a page runs there: names of classes, files, levels and runs, settings, files of other people."""

import ast
import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.recipes.embedding_set import EmbeddingSet
from pml_suprank.recipes.hierarchies.proposal import Proposed
from pml_suprank.recipes.labelled_search import evaluate_embeddings
from pml_suprank.recipes.pages.comparison_page import render_comparison
from pml_suprank.recipes.pages.hierarchy_page import render_hierarchy
from pml_suprank.recipes.pages.html_page import page
from pml_suprank.recipes.pages.results_page import Query, render_results
from pml_suprank.recipes.pages.review_page import render_review, render_uncertain
from pml_suprank.recipes.pages.run_folder import RunFolder, RunFolderError
from pml_suprank.recipes.pages.run_page import render_run
from pml_suprank.recipes.pages.thumbnails import no_image
from pml_suprank.recipes.pages.worst_page import render_worst
from tests.recipes.hostile import ATTACKS, HOSTILE, HOSTILE_NAME, Page

RECIPES = Path(__file__).parents[2] / "recipes"


def squeezed(text: str) -> str:
    return " ".join(text.split())


def foreign_run(folder: Path) -> Path:
    """A run folder as somebody may have written it."""
    folder.mkdir(parents=True)
    metrics = {
        "hierarchical_average_precision": 0.25,
        "mean_average_precision_level0": 0.5,
        f"{HOSTILE}_level1": 1,
        HOSTILE: 0.125,
    }
    about = {
        "before": metrics,
        "after": metrics,
        "level_names": [HOSTILE, "kind"],
        "levels": [
            {"name": HOSTILE, "nodes": 3, "note": HOSTILE},
            {"name": "kind", "nodes": 2, "note": ""},
        ],
        "notes": [HOSTILE],
        "credits": [HOSTILE],
        "left_out": [{"reason": HOSTILE, "count": 2, "examples": [HOSTILE]}],
        "test_set": HOSTILE,
        "queries": 3,
        "iterations": 2,
    }
    rows = {"queries": [0], "results": [[1]], "levels": [[1]]}
    sheets = {
        "level_names": [HOSTILE, "kind"],
        "images": {"0": no_image("a"), "1": no_image("b")},
        "names": {"0": [HOSTILE, HOSTILE], "1": [HOSTILE, "kind"]},
        "before": rows,
        "after": rows,
    }
    settings = {"loss": {"name": HOSTILE, HOSTILE: HOSTILE}, "data": {"root": HOSTILE}}
    score = {"name": HOSTILE, "above": [HOSTILE], "classes": 1, "images": 2}
    item = {"source": no_image("c"), "names": [HOSTILE, "kind"], "path": HOSTILE}
    points = {"x": [0.0, 1, 2], "y": [0.0, 1, 0], "group": [HOSTILE] * 3, "text": [HOSTILE] * 3}
    details = {
        "queries": 3,
        "left_out": {"0": 1, HOSTILE: 1},
        "classes": [score | {"values": [0.5, None, 1]}],
        "branches": [{"level": 1, "rows": [score | {"values": [0.5, None, 1]}]}],
        "confusion": {
            "level": 1,
            "pairs": [{"own": HOSTILE, "got": HOSTILE, "count": 1, "of": 3}],
            "matrix": {"level": 1, "names": [HOSTILE, HOSTILE], "counts": [[1, 0], [2, 3]]},
        },
        "map": {"method": HOSTILE, "of": 3, "level": 1} | points,
        "worst": {
            "root": HOSTILE,
            "queries": [item | {"value": 0.5}],
            "results": [[item]],
            "levels": [[1]],
        },
    }
    (folder / "details.json").write_text(json.dumps(details))
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    (folder / "metrics.json").write_text(json.dumps(about))
    (folder / "sheets.json").write_text(json.dumps(sheets))
    (folder / "history.csv").write_text("step,epoch,loss\n1,1,0.5\n2,1,0.25\n")
    columns = ",".join(f'"{name}"'.replace('""', '"') for name in list(metrics)[:2])
    (folder / "evaluations.csv").write_text(f"epoch,split,{columns}\n0,test,1,1\n1,test,1,1\n")
    return folder


def test_run(tmp_path: Path) -> None:
    found = RunFolder.read(foreign_run(tmp_path / HOSTILE_NAME))
    shown = Page(render_run(found))
    assert squeezed(HOSTILE_NAME) in shown.text
    assert shown.text.count(squeezed(HOSTILE)) > 30
    other = RunFolder.read(foreign_run(tmp_path / "other"))
    path = other.path / "config.yaml"
    path.write_text(path.read_text().replace("alert(1)", "alert(2)"))
    shown = Page(render_comparison([found, RunFolder.read(other.path)]))
    assert shown.text.count(squeezed(HOSTILE)) >= 5
    assert squeezed(HOSTILE).replace("alert(1)", "alert(2)") in shown.text


@pytest.mark.parametrize(
    "source",
    [
        *ATTACKS,
        'x" onerror="alert(1)',
        "data:image/svg+xml;base64,PHN2Zz4=",
        "data:text/html,a",
        "file:///etc/passwd",
        "https://example.org/a.png",
        "data:image/png;base64,AA\n",
        'data:image/png;base64,AA" onerror="alert(1)',
    ],
)
def test_pictures_are_pictures(source: str, tmp_path: Path) -> None:
    folder = foreign_run(tmp_path / "run")
    sheets = json.loads((folder / "sheets.json").read_text())
    sheets["images"]["1"] = source
    (folder / "sheets.json").write_text(json.dumps(sheets))
    with pytest.raises(RunFolderError, match=r"sheets\.json: content: .*data URIs"):
        RunFolder.read(folder)
    with pytest.raises(ValueError, match="picture: wanted a data URI"):
        page("results.html", **results(source=source))
    with pytest.raises(ValueError, match="link: wanted one to a file"):
        page("results.html", **results(href=source if "etc" not in source else "file://a/b"))


def results(source: str = no_image(""), href: str = "") -> dict[str, Any]:
    hit = {"source": source, "score": 1.0, "names": "", "path": "", "href": href}
    query = {"title": "", "source": "", "hits": [hit]}
    return {"title": "", "queries": [query], "size": 1, "lost": ""}


def test_search_and_worst_queries(tmp_path: Path) -> None:
    name = f"{HOSTILE_NAME}.png"
    Image.new("RGB", (4, 4)).save(tmp_path / name)
    labels = torch.tensor([[0, 0], [0, 0], [1, 0]])
    names = ((HOSTILE, f"{HOSTILE}2"), (HOSTILE,))
    found = EmbeddingSet(
        torch.eye(3), labels, (name, HOSTILE, "none"), (HOSTILE, "kind"), names, str(tmp_path)
    )
    indices = torch.tensor([[0, 1, 2]])
    queries = [Query(HOSTILE, tmp_path / name)]
    shown = Page(render_results(queries, found, torch.zeros(1, 3), indices))
    assert shown.text.count(squeezed(HOSTILE)) > 5
    assert squeezed(name) in shown.text
    assert sum(reference.startswith("file:") for reference in shown.references) == 1
    shown = Page(render_worst(evaluate_embeddings(found, progress=False)))
    assert shown.text.count(squeezed(HOSTILE)) > 5
    assert any(reference.startswith("file:") for reference in shown.references)


def test_hierarchies(tmp_path: Path) -> None:
    rows = [Proposed(f"{HOSTILE}{i}", 1, (HOSTILE, "b", HOSTILE), 0.9, HOSTILE) for i in range(3)]
    shown = Page(render_review(rows, [HOSTILE, "middle", "top"]))
    assert shown.text.count(squeezed(HOSTILE)) > 10
    row = dict.fromkeys(("class_id", "group", "runner_up", "decision", "votes"), HOSTILE)
    shown = Page(render_uncertain([row | {"images": 2}], lambda _: [tmp_path / HOSTILE_NAME]))
    assert shown.text.count(squeezed(HOSTILE)) == 5
    assert squeezed(HOSTILE_NAME) in shown.text
    tree = Hierarchy.from_paths(
        [(HOSTILE, HOSTILE, "a"), (HOSTILE, HOSTILE, "b")], level_names=["leaf", "x", HOSTILE]
    )
    report = {
        "classes": 2,
        "sources": {"name": 2, "images": 0, "person": 0, "none": 0},
        "agreement": [{"level": HOSTILE, "AMI": 0.5}],
        "queries": {"kept": 1, "dropped": {HOSTILE: 1}},
        "left_out": {HOSTILE: [HOSTILE]},
    }
    shown = Page(render_hierarchy(tree, report, b"png"))
    assert shown.text.count(squeezed(HOSTILE)) >= 7


def places(content: Any) -> Iterator[tuple[Any, ...]]:
    """Every place in JSON."""
    if isinstance(content, dict | list):
        items = content.items() if isinstance(content, dict) else enumerate(content)
        for key, value in items:
            yield (key,)
            for rest in places(value):
                yield (key, *rest)


@pytest.mark.parametrize("name", ["metrics.json", "sheets.json", "details.json"])
def test_files_of_another_form_are_said_or_shown(name: str, tmp_path: Path) -> None:
    folder = foreign_run(tmp_path / "run")
    content = json.loads((folder / name).read_text())
    refused = 0
    for place in [(), *places(content)]:
        for value in (None, "x", [], {}, 10**30, float("nan"), [{}]):
            changed = {"": copy.deepcopy(content)}
            parent: Any = changed
            for key in ("", *place)[:-1]:
                parent = parent[key]
            parent[("", *place)[-1]] = value
            (folder / name).write_text(json.dumps(changed[""]))
            try:
                Page(render_run(RunFolder.read(folder)))
                message = name
            except RunFolderError as error:
                message = str(error)
                refused += 1
            assert name in message
    assert refused > 100


def test_no_python_writes_html() -> None:
    tags = "html|head|body|style|script|h[1-6]|p|b|i|br|div|span|small|table|t[rdh]|d[ltd]|[uo]l|li|figure|img|a"
    tag = re.compile(rf"</?({tags})\b[^<]*>|<!DOCTYPE|(style|href|src)=\"", re.I)
    for path in RECIPES.rglob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                text = "".join(v.value for v in node.values if isinstance(v, ast.Constant))
                assert not tag.search(text), f"{path}, line {node.lineno}: {text!r}"
        assert "markupsafe" not in path.read_text() or path.name == "html_page.py"
    templates = list((RECIPES / "pages/templates").glob("*"))
    assert len(templates) > 8
    for path in templates:
        assert not re.search(r"\|\s*safe|autoescape|Markup", path.read_text()), path


def test_the_reader_of_pages_can_fail() -> None:
    made = SimpleNamespace(text="")
    for attack in ATTACKS[:3]:
        with pytest.raises(AssertionError):
            made = Page(f"<p>{attack}</p>")
    with pytest.raises(AssertionError):
        Page(f'<p title="{ATTACKS[5]}">a</p>')
    assert made.text == ""
