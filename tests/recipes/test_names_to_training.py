"""From a list of names and folders of images to a trained model, by the commands alone."""

import json
from pathlib import Path

import pytest
import yaml

pytest.importorskip("accelerate", reason="needs the recipes extra")
pytest.importorskip("sklearn", reason="needs the recipes extra")

from pml_suprank.recipes.__main__ import main as suprank
from pml_suprank.recipes.embedding_set import EmbeddingSet
from pml_suprank.recipes.engine.encoder import read_settings
from tests.recipes.data.trees import write
from tests.recipes.engine.tiny_runs import content

CLASSES = [
    f"{colour} {kind}" for kind in ("dog", "cat", "rose", "oak") for colour in ("red", "old", "wet")
]


@pytest.fixture
def flat(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Class folders without a taxonomy, and a list of their names, below the current folder."""
    monkeypatch.chdir(tmp_path)
    sources = sorted({path.parent for path in photos.glob("**/*.png")})
    for source, name in zip(sources, CLASSES, strict=True):
        folder = tmp_path / "flat" / name.replace(" ", "_")
        folder.parent.mkdir(exist_ok=True)
        folder.symlink_to(source, target_is_directory=True)
    write(tmp_path / "names.txt", "".join(f"{name}\n" for name in CLASSES))
    return tmp_path


@pytest.mark.parametrize("loader", ["folder", "table"])
def test_from_names_to_a_model(flat: Path, loader: str, capsys: pytest.CaptureFixture) -> None:
    assert suprank(["build-hierarchy", "names", "work", "names.txt"]) == 0
    propose = ["--levels", "kind=4", "realm=2", "--encoder", "bag-of-words"]
    assert suprank(["build-hierarchy", "propose", "work", *propose]) == 0
    assert suprank(["build-hierarchy", "review", "work"]) == 0
    assert suprank(["build-hierarchy", "write", "work"]) == 0
    options = {"hierarchy": "work/hierarchy.csv", "links": "follow"}
    if loader == "table":
        paths = sorted(path.relative_to(flat / "flat") for path in flat.glob("flat/*/*.png"))
        lines = [f"{path},{path.parent.name}\n" for path in map(Path, paths)]
        write(flat / "flat/images.csv", "path,label\n" + "".join(lines))
        options |= {"levels": ["label"]}
    settings = content(Path("flat"), data={"name": loader}, training={"epochs": 1})
    Path("run.yaml").write_text(yaml.safe_dump(settings))
    words = [f"--data.options.{name}={json.dumps(value)}" for name, value in options.items()]
    assert suprank(["finetune", "--config", "run.yaml", "--output", "run", *words]) == 0
    assert read_settings(flat / "run").data.options["hierarchy"] == str(flat / "work/hierarchy.csv")
    found = EmbeddingSet.load(flat / "run/embeddings.npz")
    assert found.level_names == ("class", "kind", "realm")
    assert {"dog", "cat", "rose", "oak"} == set(found.node_names[1])
    assert suprank(["evaluate", "run", "--output", "evaluation"]) == 0
    given = json.dumps(options)
    embed = ["embed", "run", "flat", "--loader", loader, "--options", given, "--output", "all.npz"]
    assert suprank(embed) == 0
    whole = EmbeddingSet.load(flat / "all.npz")
    assert len(whole) == 72
    assert len(whole.node_names[0]) == 12
    (flat / "flat/wet_oak").rename(flat / "flat/wet_okay")
    given = json.dumps({"hierarchy": "work/hierarchy.csv", "links": "follow"})
    assert suprank(["embed", "run", "flat", "--options", given, "--output", "x.npz"]) == 2
    assert "got none for 1: 'wet_okay' (nearest: 'wet oak')" in capsys.readouterr().err
