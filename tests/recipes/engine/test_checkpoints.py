"""Checkpoints prove themselves: no damage is silent, and what is malformed is named."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pml_suprank.integrations.whole_files import remove_unfinished
from pml_suprank.recipes.engine.checkpoints import (
    BEST,
    LAST,
    CheckpointError,
    read_checkpoint,
    write_checkpoint,
)
from pml_suprank.recipes.engine.encoder import build_model, load_best
from pml_suprank.recipes.engine.parsing import settings_from
from tests.damage import damaged
from tests.recipes.engine.test_trainer import build
from tests.recipes.engine.tiny_runs import content


def test_any_damage_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / LAST
    state = {"model": {"weight": torch.randn(30, 40), "bias": torch.randn(7).half()}, "epoch": 3}
    write_checkpoint(path, state)
    silent, count = [], 0
    for damage in damaged(path):
        count += 1
        try:
            read_checkpoint(path)
        except CheckpointError as error:
            assert str(path) in str(error)  # noqa: PT017
        else:
            silent.append(damage)
    assert count > 150
    assert silent == []
    found = read_checkpoint(path)
    assert torch.equal(found["model"]["weight"], state["model"]["weight"])
    assert found["epoch"] == 3


def test_a_checkpoint_is_an_archive_that_torch_reads(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / BEST, {"model": {"a": torch.arange(5)}})
    for mmap in (False, True):
        found = torch.load(tmp_path / BEST, weights_only=True, mmap=mmap)
        assert torch.equal(found["model"]["a"], torch.arange(5))


def test_a_checkpoint_from_before_checksums_is_read_with_a_warning(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / LAST)
    with pytest.warns(UserWarning, match=r"checkpoint.pt is of an older version, without a che"):
        assert read_checkpoint(tmp_path / LAST) == {"epoch": 3}


@pytest.mark.parametrize("value", [[1, 2], torch.zeros(3), 7, None])
def test_other_content(value: Any, tmp_path: Path) -> None:
    torch.save(value, tmp_path / LAST)
    with pytest.raises(CheckpointError, match=r"checkpoint.pt: wanted a checkpoint, got a file wi"):
        read_checkpoint(tmp_path / LAST)


def test_every_malformed_part_is_named(photos: Path, tmp_path: Path) -> None:
    settings = settings_from(content(photos))
    trainer = build(settings, tmp_path)
    trainer.save()
    whole = read_checkpoint(tmp_path / LAST)
    optional = {"sealed", "level_names"}

    def refused(key: str, change: Callable[[dict[str, Any]], None]) -> None:
        raw = dict(whole)
        change(raw)
        write_checkpoint(tmp_path / "other.pt", raw)
        with pytest.raises(CheckpointError, match=rf"other\.pt: .*{key}"):
            trainer.load(tmp_path / "other.pt")

    for key in whole.keys() - optional:
        refused(key, lambda raw, key=key: raw.pop(key))  # type: ignore[misc]
        for value in ("text", [torch.zeros(2)], {"a": 1}, -1, 2.5, False):
            if key == "scaler" and isinstance(value, dict):
                continue  # without fp16 nothing reads it
            refused(key, lambda raw, key=key, value=value: raw.update({key: value}))  # type: ignore[misc]
    for key in ("model", "objective"):
        refused(key, lambda raw, key=key: raw.update({key: {"a": torch.zeros(1)}}))  # type: ignore[misc]
    refused("optimizers", lambda raw: raw.update(optimizers=[{"state": 3}]))
    refused("step", lambda raw: raw.update(step=10**6))
    trainer.load(tmp_path / LAST)
    assert trainer.epoch == 0


def test_malformed_weights_are_named(photos: Path, tmp_path: Path) -> None:
    model = build_model(settings_from(content(photos)).model)
    whole = {"model": model.state_dict(), "preprocessing": model.preprocessing}
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("model", {}),
        ("model", whole | {"model": 3}),
        ("model", whole | {"model": {1: 2}}),
        ("preprocessing", {"model": model.state_dict()}),
        ("preprocessing", whole | {"preprocessing": "x"}),
    ]
    for key, raw in wrong:
        write_checkpoint(tmp_path / BEST, raw)
        with pytest.raises(CheckpointError, match=rf"best.pt: {key}: "):
            load_best(model, tmp_path)
    write_checkpoint(tmp_path / BEST, whole)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_best(model, tmp_path)


def test_what_a_killed_process_left_goes_and_nothing_else(tmp_path: Path) -> None:
    left = (".history.csv.ab3_d0zz", ".checkpoint.pt.abcdefgh", ".report.html.00000000")
    kept = (
        ".hidden",
        ".gitignore",
        "history.csv",
        ".notes.txt.abcdefgh",
        ".history.csv.ABC",
        "a.pt",
    )
    for name in (*left, *kept):
        (tmp_path / name).write_text("x")
    (tmp_path / ".run.csv.abcdefgh").symlink_to(tmp_path / "a.pt")
    remove_unfinished(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted((*kept, ".run.csv.abcdefgh"))
