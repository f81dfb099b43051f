"""The benchmark of a GPU runs where there is none, and keeps what it measured when it is cut off."""

import json

import pytest

from benchmarks import gpu, measuring


@pytest.mark.slow
def test_the_gpu_benchmark_runs_dry_on_a_cpu_and_keeps_its_rows(tmp_path, monkeypatch, capsys):
    def cut_off(device, results, *_):
        results.add(gpu.TRAINING, {"loss": "first", "ms": 1.0})
        raise KeyboardInterrupt

    monkeypatch.setattr(gpu, "training_step", cut_off)
    with pytest.raises(KeyboardInterrupt):
        gpu.main(["--device", "cpu", "--repeats", "1", "--output", str(tmp_path)])
    tables = json.loads((tmp_path / "gpu.json").read_text())["tables"]
    assert list(tables) == [gpu.IN_BATCH, gpu.REFERENCES, gpu.EVALUATION, gpu.TRAINING]
    names = {row["loss"] for row in tables[gpu.IN_BATCH]}
    assert {"SupHAPLoss, auto", "SupAPLoss, blocked", "PML MultiSimilarityLoss"} <= names
    assert all(row["ms"] > 0 and row["kernels"] > 0 for row in tables[gpu.IN_BATCH])
    assert {row["positives"] for row in tables[gpu.REFERENCES]} == {"a third", "11"}
    assert all(row["ratio"] > 0 for row in tables[gpu.EVALUATION])
    page = (tmp_path / "gpu.md").read_text()
    assert "not a measurement" in page
    assert "| first | 1 |" in page


def test_results_are_on_disk_after_every_row(tmp_path):
    results = measuring.Results("page", "Title", tmp_path)
    for count in (1, 2):
        results.add("Table", {"name": "a", "value": 0.25})
        assert (tmp_path / "page.md").read_text().count("| a | 0.25 |") == count
        assert len(json.loads((tmp_path / "page.json").read_text())["tables"]["Table"]) == count
