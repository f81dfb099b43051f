"""Files and folders of other people: nothing is read outside of them, and no reader waits at a pipe."""

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
import torch
from PIL import Image

from pml_suprank.hierarchy import Hierarchy, HierarchyError
from pml_suprank.integrations.plain_files import read_json, read_yaml
from pml_suprank.recipes.data.folder import all_images, load_folder
from pml_suprank.recipes.data.landmark_tables import read_chains
from pml_suprank.recipes.data.paths import is_inside, outside
from pml_suprank.recipes.data.pickles import load_plain_pickle
from pml_suprank.recipes.data.pictures import read_picture
from pml_suprank.recipes.data.registry import load
from pml_suprank.recipes.data.table import load_table
from pml_suprank.recipes.embedding_set import EmbeddingSet
from pml_suprank.recipes.engine.checkpoints import read_checkpoint
from pml_suprank.recipes.engine.encoder import read_settings
from pml_suprank.recipes.files import write_csv
from pml_suprank.recipes.gallery_search import build_index
from pml_suprank.recipes.hierarchies.encoders import encode_names
from pml_suprank.recipes.hierarchies.image_list import read_images
from pml_suprank.recipes.hierarchies.tables import read_csv
from pml_suprank.recipes.hierarchies.work_folder import digest
from pml_suprank.recipes.pages.run_folder import RunFolder
from pml_suprank.recipes.pages.thumbnails import file_thumbnail, no_image

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes and links of Unix")
SECONDS = 10
READERS: dict[str, Callable[[Path], object]] = {
    "x.csv": read_csv,
    "images.csv": read_images,
    "labels.csv": lambda path: EmbeddingSet(torch.eye(2)).with_labels(path),
    "tree.csv": Hierarchy.from_csv,
    "landmarks.csv": read_chains,
    "table.csv": lambda path: load_table(path.parent, table=path.name, levels=["a"]),
    "table.parquet": lambda path: load_table(path.parent, table=path.name, levels=["a"]),
    "x.pkl": load_plain_pickle,
    "x.json": read_json,
    "x.yaml": read_yaml,
    "x.npz": EmbeddingSet.load,
    "y.npz": lambda path: encode_names(f"file:{path}", ["a"]),
    "x.safetensors": EmbeddingSet.load,
    "x.pt": read_checkpoint,
    "x.png": read_picture,
    "digest": digest,
    "config.yaml": lambda path: read_settings(path.parent),
    "metrics.json": lambda path: RunFolder.read(path.parent),
    "Ebay_train.txt": lambda path: load("sop", path.parent),
    "images.txt": lambda path: load("cub", path.parent, "all"),
    "cars_annos.mat": lambda path: load("cars", path.parent),
    "gnd_roxford5k.pkl": lambda path: load("revisited", path.parent, "query"),
    "train2018.json": lambda path: load("inaturalist", path.parent, "train"),
    "train_clean.csv": lambda path: load("landmarks", path.parent),
}


@pytest.fixture
def in_time() -> Iterator[None]:
    """An error in place of a reader that waits for ever."""

    def stop(number: int, frame: FrameType | None) -> None:
        pytest.fail(f"a reader still waits after {SECONDS} seconds")

    was = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, was)


def special(path: Path, kind: str) -> None:
    """A file that ends never, or for which a reader waits."""
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(str(path))


@pytest.mark.usefixtures("in_time")
@pytest.mark.parametrize("kind", ["pipe", "device", "socket"])
@pytest.mark.parametrize("name", [*READERS])
def test_no_reader_waits(name: str, kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("f")
    if name == "metrics.json":
        (folder / "config.yaml").write_text("a: 1")
    special(folder / name, kind)
    with pytest.raises((ValueError, OSError)) as caught:
        READERS[name](folder / name)
    assert str(caught.value)


@pytest.mark.usefixtures("in_time")
def test_folders_with_pipes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "a/x.png")
    for kind in ("pipe", "device", "socket"):
        special(tmp_path / "a" / f"{kind}.png", kind)
    for data in (load_folder(tmp_path), all_images(tmp_path)):
        assert [path.name for path in data.paths] == ["x.png"]
        assert sum(item.count for item in data.left_out) == 3
    write_csv(tmp_path / "images.csv", [{"path": f"a/{k}.png", "a": "a"} for k in ("x", "pipe")])
    with pytest.raises(FileNotFoundError, match=r"got no file for 1 of 2: '.*pipe.png' \(line 3\)"):
        load_table(tmp_path, levels=["a"])
    assert file_thumbnail(tmp_path / "a/pipe.png") == no_image("cannot be read")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder, a secret beside it, and links from the one to the other."""
    (tmp_path / "photos/a").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    for path in ("photos/a/x.png", "photos/a/y.png", "secret/x.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / path)
    (tmp_path / "photos/link.png").symlink_to(tmp_path / "secret/x.png")
    (tmp_path / "photos/out").symlink_to(tmp_path / "secret")
    (tmp_path / "photos/own.png").symlink_to(tmp_path / "photos/a/x.png")
    return tmp_path / "photos"


def ways_out(photos: Path) -> list[str]:
    secret = photos.parent / "secret/x.png"
    return ["../secret/x.png", "a/../../secret/x.png", str(secret), "link.png", "out/x.png"]


def test_tables_stay_inside(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = ["a/x.png", "own.png", "a/../a/y.png"]
    for path in ways_out(photos):
        write_csv(photos / "images.csv", [{"path": p, "a": "a"} for p in (*inside, path)])
        with pytest.raises(ValueError, match=r"got 1 of 4 elsewhere: .* \(line 5\).*'follow'"):
            load_table(photos, levels=["a"])
        assert len(load_table(photos, levels=["a"], links="follow")) == 4
    write_csv(photos / "images.csv", [{"path": p, "a": "a"} for p in inside])
    assert len(load_table(photos, levels=["a"])) == 3
    monkeypatch.chdir(photos / "a")
    assert len(load_table("..", levels=["a"])) == 3
    with pytest.raises(ValueError, match="links: wanted one of 'inside', 'follow', got 'all'"):
        load_table("..", levels=["a"], links="all")


def test_published_lists_stay_inside(photos: Path) -> None:
    for path in ways_out(photos)[:3]:
        (photos / "Ebay_train.txt").write_text(
            f"image_id class_id super_class_id path\n1 1 1 a/x.png\n2 1 1 {path}\n"
        )
        with pytest.raises(ValueError, match=r"wanted (images below|one folder per)"):
            load("sop", photos)
        (photos / "images.txt").write_text(f"1 a/x.png\n2 {path}\n")
        (photos / "classes.txt").write_text("1 001.Finch\n")
        (photos / "image_class_labels.txt").write_text("1 1\n2 1\n")
        with pytest.raises(ValueError, match="wanted images below"):
            load("cub", photos, "all")


def test_inside(photos: Path) -> None:
    for path in ways_out(photos):
        assert not is_inside(photos, path)
        assert outside(photos, [photos / "a/x.png", photos / path]) == [1]
    for path in ("a/x.png", "own.png", "out/../photos/a/x.png"):
        assert is_inside(photos, path)
        assert outside(photos, [photos / path]) == []
    assert not is_inside(photos, "a\0b")


def test_an_index_is_not_written_through_links(tmp_path: Path) -> None:
    secret, folder = tmp_path / "secret", tmp_path / "index"
    secret.write_text("as it was")
    folder.mkdir()
    names = ("gallery.npz", "index.faiss", "index.json")
    for name in names:
        (folder / name).symlink_to(secret)
    build_index(EmbeddingSet(torch.from_numpy(np.eye(4, dtype=np.float32))), folder)
    assert secret.read_text() == "as it was"
    assert not any((folder / name).is_symlink() for name in names)


def test_errors_of_trees_are_of_trees(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(HierarchyError, match="wanted a regular file, got a pipe"):
        Hierarchy.from_csv(tmp_path / "a.csv")
