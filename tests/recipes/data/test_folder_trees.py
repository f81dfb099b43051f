"""Folders as people have them: what can be read is read, the rest is told once, doubtful labels are refused."""

import os
import socket
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from pml_suprank.hierarchy import Hierarchy, HierarchyError
from pml_suprank.hierarchy.folders import LeftOut, merged
from pml_suprank.recipes.data.folder import all_images, load_folder
from pml_suprank.recipes.data.image_check import check_images
from pml_suprank.recipes.data.images import ImageDataset
from tests.recipes.data.trees import names, picture, write

READ = {
    "animal/dog/husky/1.png": ("husky", "dog", "animal"),
    "animal/dog/husky/2.PNG": ("husky", "dog", "animal"),
    "animal/dog/pug/a.tif": ("pug", "dog", "animal"),
    "animal/cat/c.jfif": ("cat", "cat", "animal"),
    "plant/oak/x.webp": ("oak", "oak", "plant"),
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for name in READ:
        picture(root / name)
    picture(root / "logo.png")
    picture(root / "__MACOSX/animal/dog/husky/1.png")
    picture(root / "animal/@eaDir/1.png")
    picture(root / "animal/dog/husky/.ipynb_checkpoints/1-checkpoint.png")
    picture(root / "animal/dog/pug/._a.png")
    write(root / "animal/Thumbs.db", "")
    write(root / "animal/cat/notes.txt", "")
    write(root / "animal/cat/raw.CR2", "")
    write(root / "animal/cat/README", "")
    write(root / "animal/cat/phone.heic", "")
    (root / "animal/empty/inner").mkdir(parents=True)
    (root / "plant/broken.png").symlink_to(root / "nothing.png")
    (root / "plant/outside").symlink_to(picture(tmp_path / "secret/s.png").parent)
    (root / "plant/oak/secret.png").symlink_to(tmp_path / "secret/s.png")
    (root / "plant/up").symlink_to(root)
    os.mkfifo(root / "plant/oak/pipe.png")
    return root


def found(data: ImageDataset) -> dict[str, tuple[int, tuple[str, ...]]]:
    return {item.reason: (item.count, item.examples) for item in data.left_out}


def test_what_can_be_read_is_read_and_the_rest_told_once(
    tree: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = load_folder(tree)
    shown = {str(p.relative_to(tree)): names(data, i) for i, p in enumerate(data.paths)}
    assert shown == READ
    assert check_images(data, progress=False) == []
    told = found(data)
    if find_spec("pillow_heif") is None:
        heic = (1, ("animal/cat/phone.heic",))
        assert told.pop("files .heic, which needs the package pillow-heif") == heic
    assert told == {
        "put there by a system": (3, ("__MACOSX", "animal/@eaDir", "animal/Thumbs.db")),
        "hidden": (2, ("animal/dog/husky/.ipynb_checkpoints", "animal/dog/pug/._a.png")),
        "folders without a file to read": (2, ("animal/empty/inner", "animal/empty")),
        "links that leave the folder (links 'follow' reads them)": (
            2,
            ("plant/oak/secret.png", "plant/outside"),
        ),
        "at the root, so in no class": (1, ("logo.png",)),
        "files .cr2": (1, ("animal/cat/raw.CR2",)),
        "files .txt": (1, ("animal/cat/notes.txt",)),
        "files without a suffix": (1, ("animal/cat/README",)),
        "links to folders that are read anyway": (1, ("plant/up",)),
        "links to nothing": (1, ("plant/broken.png",)),
        "no regular files (pipes, sockets, devices)": (1, ("plant/oak/pipe.png",)),
    }
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert all(reason in record.message for reason in told)
    assert "17 files and folders" in record.message
    part = data.subset([0, 1]).with_transform(np.asarray)
    assert part.left_out == data.left_out


def test_several_processes_tell_once(
    tree: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for rank in "012":
        monkeypatch.setenv("RANK", rank)
        assert load_folder(tree).left_out
    assert len(caplog.records) == 1


def test_what_several_splits_leave_out_is_one_list() -> None:
    parts = [LeftOut("a", 2, ("x", "y")), LeftOut("b", 3, ("z",)), LeftOut("a", 5, ("v", "w", "u"))]
    assert merged(parts) == (LeftOut("a", 7, ("x", "y", "v")), LeftOut("b", 3, ("z",)))


def test_the_tree_of_names_is_the_same(tree: Path) -> None:
    (tree / "animal/cat/phone.heic").unlink()  # a name is no pixels
    assert Hierarchy.from_folder(tree) == load_folder(tree).hierarchy


def test_a_clean_tree_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    picture(tmp_path / "a/b/1.png")
    assert load_folder(tmp_path).left_out == ()
    assert not caplog.records


def test_links_are_followed_where_an_option_says_so(tree: Path) -> None:
    (tree / "plant/up").unlink()
    data = load_folder(tree, links="follow")
    assert sorted(str(p.relative_to(tree)) for p in data.paths) == sorted(
        [*READ, "plant/oak/secret.png", "plant/outside/s.png"]
    )


def test_a_split_may_link_to_another_part_of_the_data_set(tmp_path: Path) -> None:
    picture(tmp_path / "pool/a/1.png")
    picture(tmp_path / "train/b/1.png")
    (tmp_path / "train/a").symlink_to("../pool/a")
    assert load_folder(tmp_path, "train").hierarchy.class_names == ("a", "b")


def test_all_doubtful_folders_are_refused_in_one_error(tmp_path: Path) -> None:
    for name in ("a", "b/c", "d"):
        for inside in ("x", "y"):
            picture(tmp_path / name / inside / "1.png")
    for stray in ("a/s.png", "b/c/s.png", "b/c/t.png"):
        picture(tmp_path / stray)
    picture(tmp_path / "logo.png")
    with pytest.raises(HierarchyError, match="got both in 2 folders") as error:
        load_folder(tmp_path)
    for wanted in (
        "'a': 1 files (s.png, ...) beside 2 folders (x, ...)",
        "'b/c': 2 files (s.png, ...) beside 2 folders",
        "the option stray",
        "1  at the root, so in no class: logo.png",
    ):
        assert wanted in str(error.value)
    skipped = load_folder(tmp_path, stray="skip")
    assert len(skipped) == 6
    reason = "beside folders with files (stray 'skip')"
    assert found(skipped)[reason] == (3, ("a/s.png", "b/c/s.png", "b/c/t.png"))
    data = load_folder(tmp_path, stray="class")
    assert data.hierarchy.class_names == ("a", "a/x", "a/y", "b/c", "b/c/x", "b/c/y", "d/x", "d/y")
    place = {str(path.relative_to(tmp_path)): i for i, path in enumerate(data.paths)}
    assert names(data, place["a/s.png"]) == ("a", "a", "a")
    assert names(data, place["b/c/t.png"]) == ("c", "c", "b")
    shared = data.hierarchy.common_levels(data.labels[:, 0])
    assert int(shared[place["b/c/t.png"], place["b/c/x/1.png"]]) == 2  # c and b
    assert int(shared[place["b/c/t.png"], place["a/s.png"]]) == 0


@pytest.mark.parametrize("option", ["stray", "links"])
def test_options_are_checked(tmp_path: Path, option: str) -> None:
    picture(tmp_path / "a/1.png")
    with pytest.raises(ValueError, match=f"{option}: wanted one of '.*', got 'x'"):
        load_folder(tmp_path, **{option: "x"})


def empty(root: Path) -> None:
    root.mkdir()


def only_at_the_root(root: Path) -> None:
    picture(root / "1.png")


def only_texts(root: Path) -> None:
    write(root / "a/1.txt", "")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (empty, "got none$"),
        (only_at_the_root, "got 1 files in no folder$"),
        (only_texts, r"(?s)got none\n.*1  files \.txt: a/1\.txt"),
    ],
)
def test_nothing_to_read(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    make(tmp_path / "root")
    with pytest.raises(HierarchyError, match=message):
        load_folder(tmp_path / "root")


def test_folders_of_drawings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a/1.svg", '<svg xmlns="http://www.w3.org/2000/svg" width="2" height="2"/>')
    picture(tmp_path / "b/1.png")
    if find_spec("resvg_py") is not None:
        data = load_folder(tmp_path)
        assert (len(data), data[0][0].size) == (2, (512, 512))
    module = "pml_suprank.recipes.data.folder.readable_suffixes"
    monkeypatch.setattr(module, lambda: frozenset({".png"}))
    data = load_folder(tmp_path)
    assert len(data) == 1
    assert found(data)["files .svg, which needs the package resvg-py"] == (1, ("a/1.svg",))


def test_all_images_of_a_folder(tree: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = all_images(tree)
    shown = [str(path.relative_to(tree)) for path in data.paths]
    assert shown == sorted([*READ, "logo.png"], key=lambda name: Path(name).parts)
    assert "no regular files (pipes, sockets, devices)" in found(data)
    assert len(caplog.records) == 1
    dead = tree / "dead"
    dead.mkdir()
    (dead / "a.png").symlink_to("nothing.png")
    with pytest.raises(FileNotFoundError, match=r"(?s)wanted images below .* got none.*links to n"):
        all_images(dead)


def test_sockets_are_left_out(tmp_path: Path) -> None:
    picture(tmp_path / "a/1.png")
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(tmp_path / "a")  # the name of a socket has to be short
        try:
            server.bind("s.png")
        finally:
            os.chdir(here)
        assert "no regular files (pipes, sockets, devices)" in found(load_folder(tmp_path))


def test_links_to_folders_that_are_hidden_in_the_tree_are_read(tmp_path: Path) -> None:
    picture(tmp_path / ".store/7f/1.png")
    picture(tmp_path / "cat/1.png")
    (tmp_path / "animal").mkdir()
    for name, target in (("dog", "../.store/7f"), ("hound", "../.store/7f"), ("cat", "../cat")):
        (tmp_path / "animal" / name).symlink_to(target)
    (tmp_path / ".store/7f/up").symlink_to(tmp_path)
    data = load_folder(tmp_path)
    assert data.hierarchy.class_names == ("animal/dog", "cat")
    told = found(data)["links to folders that are read anyway"]
    assert told == (3, ("animal/cat", "animal/dog/up", "animal/hound"))


def test_many_links_to_each_other_stay_few(tmp_path: Path) -> None:
    for name in "abcdefghij":
        picture(tmp_path / "real" / name / "1.png")
        for other in "abcdefghij":
            (tmp_path / "real" / name / other).symlink_to(tmp_path / "real" / other)
    (tmp_path / "data").mkdir()
    for name in "abcdefghij":
        (tmp_path / "data" / name).symlink_to(tmp_path / "real" / name)
    data = load_folder(tmp_path / "data", links="follow", stray="class")
    assert len(data) == 10


def test_a_deep_tree_ends(tmp_path: Path) -> None:
    picture(tmp_path / "/".join("d" * 90) / "1.png")
    assert load_folder(tmp_path).hierarchy.num_levels == 90
    picture(tmp_path / "b" / "/".join("d" * 500) / "1.png")
    assert "below 100 other folders" in found(load_folder(tmp_path))


def test_a_png_without_pixels_is_broken_not_left_out(tmp_path: Path) -> None:
    write(tmp_path / "a/1.png", "")
    picture(tmp_path / "a/2.png")
    data = load_folder(tmp_path)
    assert len(data) == 2
    assert [item.index for item in check_images(data, progress=False)] == [0]
