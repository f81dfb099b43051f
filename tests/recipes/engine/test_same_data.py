"""A run goes on with its own images alone, wherever they are, and whatever their names."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from pml_suprank.recipes.commands.finetune import main
from pml_suprank.recipes.engine.checkpoints import LAST, CheckpointError
from pml_suprank.recipes.engine.data_identity import ITEMS
from pml_suprank.recipes.engine.parsing import settings_from
from tests.recipes.engine.test_trainer import build
from tests.recipes.engine.tiny_runs import content


def swap(root: Path) -> None:
    (root / "animal/a").rename(root / "animal/x")
    (root / "animal/b").rename(root / "animal/a")
    (root / "animal/x").rename(root / "animal/b")
    (root / "animal/a" / "7.png").write_bytes((root / "animal/a" / "0.png").read_bytes())


CHANGES: dict[str, Any] = {
    "a class folder renamed": lambda root: (root / "plant/c").rename(root / "plant/zz"),
    "class folders swapped between groups": lambda root: [
        (root / "animal/a").rename(root / "x"),
        (root / "plant/a").rename(root / "animal/plant_a"),
        (root / "x").rename(root / "plant/animal_a"),
    ],
    "an image more": swap,
    "an image renamed": lambda root: [
        (root / name / "3.png").rename(root / name / "9.png") for name in ("tool/a", "tool/b")
    ],
    "a group renamed": lambda root: (root / "tool").rename(root / "things"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_other_images_are_refused_and_named(change: str, photos: Path, tmp_path: Path) -> None:
    root = shutil.copytree(photos, tmp_path / "photos")
    trainer = build(settings_from(content(root)), tmp_path / "run")
    trainer.data.write(tmp_path / "run")
    trainer.save()
    CHANGES[change](root)
    other = build(settings_from(content(root)), tmp_path / "run")
    message = r"checkpoint.pt: items: .* got one of others: .* to (train|test) differ: '.*' \(.* < .*\) is now '"
    with pytest.raises(CheckpointError, match=message):
        other.load(tmp_path / "run" / LAST)
    (tmp_path / "run" / ITEMS).write_text("{")
    with pytest.raises(CheckpointError, match=r"items.json, which would say which, is missing"):
        other.load(tmp_path / "run" / LAST)


def test_the_same_images_elsewhere_and_touched_are_taken(photos: Path, tmp_path: Path) -> None:
    root = shutil.copytree(photos, tmp_path / "photos")
    build(settings_from(content(root)), tmp_path / "run").save()
    moved = root.rename(tmp_path / "moved")
    for path in moved.rglob("*.png"):
        os.utime(path, (1, 1))
    build(settings_from(content(moved)), tmp_path / "run").load(tmp_path / "run" / LAST)


def test_names_that_are_no_utf_8(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = shutil.copytree(photos, tmp_path / "photos")
    try:
        for group in ("animal", "plant", "tool"):
            for name in "abcd":
                odd = os.fsdecode(name.encode() + b"\xff\xe9")
                (root / group / name).rename(root / group / odd)
                (root / group / odd / "0.png").rename(root / group / odd / os.fsdecode(b"\xfe.png"))
    except OSError:
        pytest.skip("the file system takes no such names")
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(content(root, training={"epochs": 1})))
    run = tmp_path / "run"
    with (tmp_path / "log").open(
        "w", encoding="utf-8"
    ) as log:  # refuses surrogates, as a terminal does
        monkeypatch.setattr("sys.stdout", log)
        assert main(["--output", str(run), "--config", str(tmp_path / "a.yaml")]) == 0
        print(os.fsdecode(b"\xff"))
    monkeypatch.undo()
    assert main(["--output", str(run), "--resume"]) == 0
    items = json.loads((run / ITEMS).read_text(encoding="utf-8"))
    assert all((root / path).is_file() for part in items.values() for path, *_ in part)
    assert any("\udcff" in path for path, *_ in items["train"])
    sheets = json.loads((run / "sheets.json").read_text(encoding="utf-8"))
    assert any("\udcff" in name for names in sheets["names"].values() for name in names)
    assert "\\udcff" in (run / "report.html").read_text(encoding="utf-8")

    from pml_suprank.recipes.commands.evaluate import main as evaluate
    from pml_suprank.recipes.embedding_set import EmbeddingSet

    found = EmbeddingSet.load(run / "embeddings.npz")
    assert all(found.path(row) is not None for row in range(len(found)))
    assert evaluate([str(run / "embeddings.npz"), "--output", str(tmp_path / "out")]) == 0
    for name in ("queries.csv", "worst.html"):
        assert "\\udcff" in (tmp_path / "out" / name).read_text(encoding="utf-8")
