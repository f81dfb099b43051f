"""The tables of docs/leaderboard.md and docs/decomposability.md, from docs/results/*.json.

``PYTHONPATH=. python docs/_tools/leaderboard_tables.py runs/leaderboard runs/decomposability runs/robustness
runs/untuned`` takes results and pictures of these runs into docs/ first; without folders it writes the tables from what
is there. A test keeps pages and results equal.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from studies.leaderboard import memory_tables, robustness_tables
from studies.leaderboard.ablation import table
from studies.leaderboard.ablations import ARMS
from studies.leaderboard.kinds import best_of_kinds
from studies.leaderboard.standings import CRITERIA, Standing
from studies.leaderboard.tables import markdown
from studies.untuned import tables as untuned_tables

DOCS = Path(__file__).parents[1]
PAGES, RESULTS = ("leaderboard.md", "decomposability.md"), DOCS / "results"
BOARDS = ("leaderboard", "whole_network", "random_head")
PICTURES = {
    "h_ap": "leaderboard_h_ap",
    "ap": "leaderboard_ap",
    "whole_network": "whole_network_h_ap",
    "decomposability": "decomposability",
    "robustness": "robustness",
}
"""Picture of a run to its name in docs/images."""
_TABLE = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def take(folder: Path) -> None:
    """Copy what there is of the results of a run, without what follows from them, and its pictures."""
    RESULTS.mkdir(exist_ok=True)
    for name in (*BOARDS, "ablation", "decomposability", "robustness", "untuned"):
        path = folder / f"{name}.json"
        if path.exists():
            content = json.loads(path.read_text(encoding="utf-8"))
            for row in _standings(content) if name in BOARDS else ():
                for derived in ("mean", "deviation", "title", "kind"):
                    row.pop(derived, None)
            (RESULTS / path.name).write_text(json.dumps(content) + "\n", encoding="utf-8")
    for picture, name in PICTURES.items():
        if (folder / f"{picture}.png").exists():
            shutil.copy(folder / f"{picture}.png", DOCS / "images" / f"{name}.png")


def _standings(boards: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for board in boards.values():
        for rows in board["standings"].values():
            yield from rows


def boards(name: str = "leaderboard") -> dict[str, dict[str, Any]]:
    """Data set, or field, to its results, of one of :data:`BOARDS`, "robustness" or "untuned"; none if not run."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def tables() -> dict[str, str]:
    """Name to Markdown of all tables."""
    found = {}
    for name in BOARDS:
        for data, board in boards(name).items():
            for criterion, rows in board["standings"].items():
                found[f"{data}-{criterion if name == BOARDS[0] else name}"] = markdown(
                    [_standing(row) for row in rows], board["levels"], board["trunk"], criterion
                )
    for criterion in CRITERIA:
        found[f"best-{criterion}"] = best_of_kinds(
            {
                data: [_standing(row) for row in board["standings"][criterion]]
                for data, board in boards().items()
            },
            criterion,
        )
    found["ablation"] = _ablation(
        json.loads((RESULTS / "ablation.json").read_text(encoding="utf-8"))
    )
    runs = json.loads((RESULTS / "decomposability.json").read_text(encoding="utf-8"))
    found["decomposability"] = memory_tables.table(runs)
    found |= {name: memory_tables.pivot(runs, each) for name, each in memory_tables.PIVOTS.items()}
    found |= robustness_tables.tables(boards("robustness"))
    return found | untuned_tables.tables(boards("untuned"))


def _ablation(content: dict[str, list[dict[str, Any]]]) -> str:
    arms = {(arm.part, arm.title): arm for arm in ARMS}
    return table(
        {
            data: {
                arms[row["changed"], row["value"]]: [
                    dict(zip(row["values"], seed, strict=True))
                    for seed in zip(*row["values"].values(), strict=True)
                ]
                for row in rows
            }
            for data, rows in content.items()
        }
    )


def _standing(row: dict[str, Any]) -> Standing:
    values = {metric: tuple(seeds) for metric, seeds in row["values"].items()}
    return Standing(row["loss"], row["options"], row["lr"], values, row["seconds"])


def with_tables(page: str) -> str:
    """The page with its tables made anew."""
    known = tables()
    return _TABLE.sub(lambda part: f"{part[1]}\n{known[part[2]]}\n{part[3]}", page)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        take(Path(argument))
    for name in PAGES:
        page = DOCS / name
        page.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")
