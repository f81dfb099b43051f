"""Every command over what a user can mend: an exit status and one message, never a traceback."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

pytest.importorskip("accelerate", reason="needs the recipes extra")
pytest.importorskip("faiss", reason="needs the recipes extra")

from PIL import Image

from pml_suprank.recipes.__main__ import main as suprank
from pml_suprank.recipes.embedding_set import EmbeddingSet
from pml_suprank.recipes.engine.parsing import settings_from
from pml_suprank.recipes.engine.whole_run import finetune
from pml_suprank.recipes.gallery_search import build_index
from tests.recipes.engine.tiny_runs import content


@pytest.fixture(scope="module")
def world(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what is right and what is wrong, each under a short name."""
    root = tmp_path_factory.mktemp("bad")
    raw = content(photos, training={"epochs": 1})
    finetune(settings_from(raw), root / "run", progress=False)
    (root / "photos").symlink_to(photos)
    for name in ("empty", "one", "folder.npz", "folder.csv", "folder.yaml", "folder.html"):
        (root / name).mkdir()
    (root / "one/cat").mkdir()
    for number in range(6):
        Image.new("RGB", (24, 24), (40 * number, 0, 0)).save(root / f"one/cat/{number}.png")
    for name in ("file", "broken.npz", "broken.safetensors", "broken.yaml", "broken.csv", "a.png"):
        (root / name).write_bytes(b"\x00\xff no such thing, \x93")
    (root / "bomb.yaml").write_text("training: [1, 2\n")
    (root / "words.yaml").write_text("training:\n  epochs: many\n")
    (root / "key.yaml").write_text("trainig:\n  epochs: 1\n")
    (root / "list.yaml").write_text("- 1\n- 2\n")
    (root / "empty.csv").write_text("")
    (root / "head.csv").write_text("path,kind\n")
    (root / "two.csv").write_text("kind\ncat\ndog\n")
    (root / "names.csv").write_text("class_id,name\n0,cat\n1,dog\n")
    (root / "twice.csv").write_text("class_id,name\n0,cat\n0,dog\n")
    points = EmbeddingSet(torch.eye(4), torch.tensor([[0], [0], [1], [1]]))
    points.save(root / "points.npz")
    EmbeddingSet(torch.eye(4), torch.zeros(4, 1).long()).save(root / "class.npz")
    EmbeddingSet(torch.eye(3), torch.zeros(3, 1).long()).save(root / "three.npz")
    EmbeddingSet(torch.eye(4)).save(root / "bare.npz")
    np.savez(root / "other.npz", points=np.eye(3))
    np.savez(root / "nan.npz", embeddings=np.full((3, 3), np.nan))
    np.savez(root / "labels.npz", embeddings=np.eye(3), labels=np.zeros(3))
    build_index(points, root / "index")
    for name, file, text in (
        ("half", "metrics.json", None),
        ("bad_json", "metrics.json", b"{"),
        ("bad_yaml", "config.yaml", b"\x00\xff"),
        ("bad_weights", "best.pt", b"PK nothing"),
        ("bad_checkpoint", "checkpoint.pt", b"PK nothing"),
        ("no_weights", "best.pt", None),
    ):
        copy(root / "run", root / name)
        (root / name / file).unlink()
        if text is not None:
            (root / name / file).write_bytes(text)
    copy(root / "index", root / "bad_index")
    (root / "bad_index/index.faiss").write_bytes(b"nothing")
    copy(root / "index", root / "bad_about")
    (root / "bad_about/index.json").write_bytes(b"[]")
    (root / "settings.yaml").write_text(yaml.safe_dump(raw))
    return root


def copy(source: Path, target: Path) -> None:
    target.mkdir()
    for path in source.iterdir():
        if path.is_file():
            (target / path.name).write_bytes(path.read_bytes())


TRAIN = "finetune --output new --config settings.yaml"
LANDMARKS = "--queries points.npz --gallery points.npz"
BAD = f"""
embed
embed never photos --output o.npz
embed empty photos --output o.npz
embed file photos --output o.npz
embed bad_yaml photos --output o.npz
embed bad_weights photos --output o.npz
embed no_weights photos --output o.npz
embed run never --output o.npz
embed run empty --output o.npz
embed run file --output o.npz
embed run never --unlabelled --output o.npz
embed run empty --unlabelled --output o.npz
embed run file --unlabelled --output o.npz
embed run photos --output o.txt
embed run photos --output folder.npz
embed run photos --output file/o.npz
embed run photos --output o.npz --loader never
embed run photos --output o.npz --loader cub
embed run photos --output o.npz --loader table
embed run photos --output o.npz --options [1]
embed run photos --output o.npz --options {{"no":1}}
embed run photos --output o.npz --options no
embed run photos --output o.npz --options {{"links":3}}
embed run photos --output o.npz --split never
embed run photos --output o.npz --scales -1
embed run photos --output o.npz --workers x
embed run photos --output o.npz --device cuda:77
embed run photos --output o.npz --device what
embed run photos --output o.npz --loader table --options {{"table":"never.csv","levels":["kind"]}}
embed run . --output o.npz --loader table --options {{"table":"broken.csv","levels":["kind"]}}
embed run . --output o.npz --loader table --options {{"table":"empty.csv","levels":["kind"]}}
embed run . --output o.npz --loader table --options {{"table":"folder.csv","levels":["kind"]}}
embed run . --output o.npz --loader table --options {{"table":"two.csv","levels":["kind"]}}
embed run . --output o.npz --loader table --options {{"table":3,"levels":["kind"]}}
embed run . --output o.npz --loader table --options {{"table":"two.csv","levels":3}}
evaluate
evaluate never.npz
evaluate never
evaluate empty
evaluate broken.npz
evaluate broken.safetensors
evaluate folder.npz
evaluate other.npz
evaluate nan.npz
evaluate labels.npz
evaluate bare.npz
evaluate class.npz
evaluate file
evaluate bad_yaml
evaluate bad_weights
evaluate points.npz --gallery never.npz
evaluate points.npz --gallery three.npz
evaluate points.npz --gallery bare.npz
evaluate points.npz --gallery run
evaluate points.npz --labels never.csv
evaluate points.npz --labels broken.csv
evaluate points.npz --labels empty.csv
evaluate points.npz --labels head.csv
evaluate points.npz --labels two.csv
evaluate points.npz --labels folder.csv
evaluate points.npz --output file
evaluate points.npz --output file/under
evaluate points.npz --k 0
evaluate points.npz --nothing
evaluate run --data.root never
evaluate run --data.root empty
evaluate run --data.root one
search
search build
search build never.npz --output new_index
search build broken.npz --output new_index
search build other.npz --output new_index
search build points.npz --output file
search build points.npz --output new_index --kind never
search build points.npz --output new_index --kind ivf --nothing
search query never --embedding points.npz
search query empty --embedding points.npz
search query file --embedding points.npz
search query bad_index --embedding points.npz
search query bad_about --embedding points.npz
search query index
search query index --embedding never.npz
search query index --embedding three.npz
search query index --embedding broken.npz
search query index --image photos/animal/a/0.png
search query index --model never --image photos/animal/a/0.png
search query index --model run --image photos/animal/a/0.png
search query index --model run --image a.png
search query index --model run --text fox
search query index --embedding points.npz --output sheet.pdf
search query index --embedding points.npz --output folder.html
search query index --embedding points.npz --top 0
report
report never
report empty
report file
report half
report bad_json
report bad_yaml
report run never
report run --output empty
report run --output file/report.html
build-hierarchy
build-hierarchy never work
build-hierarchy names work never.csv
build-hierarchy names work broken.csv
build-hierarchy names work empty.csv
build-hierarchy names work folder.csv
build-hierarchy names work points.npz
build-hierarchy names work twice.csv
build-hierarchy names file names.csv
build-hierarchy names file/work names.csv
build-hierarchy propose never --levels kind=2 --encoder bag-of-words
build-hierarchy propose named --levels kind=2 --encoder never
build-hierarchy propose named --levels kind=9 --encoder bag-of-words
build-hierarchy propose named --levels kind --encoder bag-of-words
build-hierarchy propose named --levels kind=2 --encoder file:never.npz
build-hierarchy propose named --levels kind=2 --encoder file:broken.npz
build-hierarchy propose named --levels kind=2 --encoder run:never
build-hierarchy propose named --levels kind=2 --encoder run:run
build-hierarchy propose named --levels kind=2 --encoder sentences:never
build-hierarchy propose named --levels kind=2 --encoder sentences:empty
build-hierarchy propose named --levels kind=2 --encoder open_clip:never:hub
build-hierarchy propose named --levels kind=2 --encoder open_clip:ViT-B-32:never.pt
build-hierarchy propose named --levels kind=2 --encoder bag-of-words --prompts nothing
build-hierarchy review never
build-hierarchy review named
build-hierarchy classify named never.csv --encoder file:points.npz
build-hierarchy classify proposed broken.csv --encoder file:points.npz
build-hierarchy classify proposed two.csv --encoder file:points.npz
build-hierarchy vote named
build-hierarchy vote never
build-hierarchy write never
build-hierarchy write named
build-hierarchy write file
build-hierarchy write reviewed --given never.csv
build-hierarchy write reviewed --given broken.csv
build-hierarchy write reviewed --queries never.csv
landmarks
landmarks never
landmarks statistics never
landmarks statistics empty
landmarks statistics file
landmarks statistics empty --min-images 0
landmarks revisited never {LANDMARKS}
landmarks revisited empty {LANDMARKS}
landmarks revisited file {LANDMARKS}
landmarks gldv2 never {LANDMARKS}
landmarks gldv2 empty {LANDMARKS}
landmarks gldv2 empty --queries never.npz --gallery points.npz
landmarks gldv2 empty --queries points.npz --gallery broken.npz
landmarks gldv2 empty {LANDMARKS} --whitening never.npz
finetune
finetune --output new
finetune --output new --config never.yaml
finetune --output new --config folder.yaml
finetune --output new --config broken.yaml
finetune --output new --config bomb.yaml
finetune --output new --config words.yaml
finetune --output new --config key.yaml
finetune --output new --config list.yaml
finetune --output new --config
finetune --output
finetune --output new words
finetune --output file --config settings.yaml
finetune --output file/new --config settings.yaml
finetune --output run --config settings.yaml
finetune --output run --config settings.yaml --resume --training.epochs 9
finetune --output bad_checkpoint --resume
finetune --output bad_yaml --resume
finetune --output never --resume
{TRAIN} --data.root never
{TRAIN} --data.root empty
{TRAIN} --data.root file
{TRAIN} --data.root one
{TRAIN} --data.name never
{TRAIN} --data.name cub
{TRAIN} --data.name table
{TRAIN} --data.test_share 2
{TRAIN} --data.test_share 0.0001
{TRAIN} --data.options.never 1
{TRAIN} --data.options [1]
{TRAIN} --data.background never
{TRAIN} --data.train_split never --data.test_split never
{TRAIN} --data.workers -1
{TRAIN} --model.name never
{TRAIN} --model.library never
{TRAIN} --model.weights never.pt
{TRAIN} --model.weights file
{TRAIN} --model.weights run:never
{TRAIN} --model.weights packaged
{TRAIN} --model.options.never 1
{TRAIN} --model.embedding_size 0
{TRAIN} --model.image_size 0
{TRAIN} --model.image_size -5
{TRAIN} --model.library open_clip --model.name never
{TRAIN} --model.library open_clip --model.name ViT-B-32 --model.weights hub:never
{TRAIN} --model.train_transform.never 1
{TRAIN} --loss.name NeverLoss
{TRAIN} --loss.options.never 1
{TRAIN} --loss.options.tau -1
{TRAIN} --miner.name NeverMiner
{TRAIN} --optimizer.name Never
{TRAIN} --optimizer.lr -1
{TRAIN} --optimizer.options.never 1
{TRAIN} --schedule.name Never
{TRAIN} --sampler.kind never
{TRAIN} --sampler.group_sizes [0]
{TRAIN} --sampler.group_sizes [99,99]
{TRAIN} --training.epochs -1
{TRAIN} --training.epochs many
{TRAIN} --training.batch_size 0
{TRAIN} --training.batch_size 100000
{TRAIN} --training.monitor never
{TRAIN} --training.precision fp16
{TRAIN} --training.recall_at [0]
{TRAIN} --training.threads 0
{TRAIN} --memory.kind cross_batch --memory.size 3
{TRAIN} --device cuda:77
{TRAIN} --device what
quickstart --nothing
quickstart --epochs -1
quickstart --loss never
quickstart --output file --limit 8 --image-size 32
quickstart --output run --seed 3
never
"""
LINES = [line for line in BAD.splitlines() if line]


@pytest.fixture(scope="module")
def works(world: Path) -> None:
    """Work folders of build-hierarchy after one, two and three steps."""
    for last, name in enumerate(("named", "proposed", "reviewed"), 1):
        work = str(world / name)
        for words in (
            ["names", work, str(world / "names.csv")],
            ["propose", work, "--levels", "kind=2", "--encoder", "bag-of-words"],
            ["review", work],
        )[:last]:
            assert suprank(["build-hierarchy", *words]) == 0


def status_of(words: list[str]) -> int:
    try:
        return suprank(words)
    except SystemExit as error:
        return int(error.code or 0)


@pytest.mark.parametrize("line", LINES)
def test_what_a_user_can_mend(
    line: str,
    world: Path,
    works: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(world)
    before = sorted(path.name for path in world.iterdir())
    assert status_of(line.split()) in (1, 2)
    error = capsys.readouterr().err
    assert "Traceback" not in error
    messages = [text for text in error.splitlines() if text.startswith("suprank")]
    assert len(messages) == 1, error
    assert len(messages[0]) > 20
    assert "Errno" not in error
    made = set(os.listdir(world)) - set(before)
    assert not {name for name in made if name.startswith(".")}
