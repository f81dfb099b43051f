import csv
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pml_suprank.recipes.__main__ import main as suprank
from pml_suprank.recipes.data.google_landmarks import load_landmarks
from tests.recipes.data.full_size import write_full_size
from tests.recipes.data.trees import names, picture, write

COLUMNS = "landmark_id,category,supercategory,hierarchical_label,natural_or_human_made\n"
URL = "http://commons.wikimedia.org/wiki/Category:"
TRAIN = [
    (1, "church", "church", "human-made"),
    (7, "peak", "mountain", "natural"),
    (9, "", "", ""),
    (12, "chapel", "church", "human-made"),
]
INDEX = [
    (1, "peak", "mountain", "natural"),
    (3, "fort", "castle / fort", "human-made"),
    (4, "", "", "human-made"),
    (5, "x", "unclassified", "natural"),
]


def image(number: int) -> str:
    return f"{number * 7919:016x}"[::-1]


def place(root: Path, folder: str, number: int) -> None:
    name = image(number)
    picture(root / folder / name[0] / name[1] / name[2] / f"{name}.jpg", shade=number)


def table(rows: list) -> str:
    return COLUMNS + "".join(
        f'{n},{URL}{n},{kind},"{label}",{made}\n' for n, kind, label, made in rows
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    clean = {7: [1, 2], 1: [3], 9: [4], 12: [5]}
    lines = [f"{landmark},{' '.join(map(image, ids))}" for landmark, ids in clean.items()]
    write(tmp_path / "train_clean.csv", "landmark_id,images\n" + "\n".join(lines) + "\n")
    rows = [f"{image(i)},http://x/{i},{landmark}" for landmark, ids in clean.items() for i in ids]
    rows.append(f"{image(6)},http://x/6,1")
    write(tmp_path / "train.csv", "id,url,landmark_id\n" + "\n".join(rows) + "\n")
    write(tmp_path / "train_label_to_hierarchical.csv", table(TRAIN))
    index = {20: 3, 21: 1, 22: 3, 23: 4, 24: 5, 25: 6}
    rows = [f"{image(i)},{landmark}" for i, landmark in index.items()]
    write(tmp_path / "metadata/index_image_to_landmark.csv", "id,landmark_id\n" + "\n".join(rows))
    write(tmp_path / "metadata/index_label_to_hierarchical.csv", table(INDEX))
    solved = [
        f"{image(40)},{image(21)},Public",
        f"{image(41)},None,Ignored",
        f"{image(42)},{image(22)} {image(20)},Private",
        f"{image(43)},{image(23)},Private",
        f"{image(44)},{image(20)},Ignored",
    ]
    text = "id,images,Usage\n" + "\n".join(solved) + "\n"
    write(tmp_path / "metadata/retrieval_solution_v2.1.csv", text)
    for folder, numbers in (("train", range(1, 7)), ("index", index), ("test", range(40, 45))):
        for number in numbers:
            place(tmp_path, folder, number)
    return tmp_path


def stems(data) -> list[str]:
    return [path.stem for path in data.paths]


def test_train(root: Path) -> None:
    data = load_landmarks(root)
    assert stems(data) == [image(i) for i in (1, 2, 3, 5)]  # landmark 9 has no label
    assert [names(data, i) for i in (0, 2)] == [
        ("train:7", "mountain", "natural"),
        ("train:1", "church", "human-made"),
    ]
    assert data.labels.tolist() == [[1, 1, 1]] * 2 + [[0, 0, 0], [2, 0, 0]]
    red = data[2][0].getpixel((3, 2))[0]
    assert abs(red - 3) < 8  # the image of that id
    whole = load_landmarks(root, "train_full")
    assert stems(whole) == [image(i) for i in (1, 2, 3, 5, 6)]


def test_index_and_test(root: Path) -> None:
    index, test = load_landmarks(root, "index"), load_landmarks(root, "test")
    assert stems(index) == [image(i) for i in (20, 21, 22)]
    assert stems(test) == [image(40), image(42)]
    assert index.hierarchy == test.hierarchy
    assert torch.equal(test.labels, index.labels[[1, 2]])
    assert names(test, 1) == ("index:3", "castle / fort", "human-made")
    assert names(test, 0) == ("index:1", "mountain", "natural")  # 1 of train is a church


def test_unclassified_landmarks(root: Path) -> None:
    data = load_landmarks(root, "index", unclassified="keep")
    assert stems(data) == [image(i) for i in (20, 21, 22, 23, 24, 25)]
    shared = data.hierarchy.common_levels(data.labels)
    # 4 is known to be human-made as 3 is, 5 to be natural as 1 is; of 6 nothing is known
    assert shared[3].tolist() == [1, 0, 1, 3, 0, 0]
    assert shared[4].tolist() == [0, 1, 0, 0, 3, 0]
    assert shared[5].tolist() == [0, 0, 0, 0, 0, 3]
    test = load_landmarks(root, "test", unclassified="keep")
    assert stems(test) == [image(40), image(42), image(43)]
    assert torch.equal(test.labels[2], data.labels[3])
    with pytest.raises(ValueError, match="unclassified: wanted one of 'drop', 'keep', got 'no'"):
        load_landmarks(root, unclassified="no")


def test_labels_of_which_natural_or_human_made_is_unknown(root: Path) -> None:
    more = [(4, "", "fort", ""), (5, "", "fort", "unclassified"), (6, "", "castle / fort", "")]
    write(root / "metadata/index_label_to_hierarchical.csv", table([*INDEX[:2], *more]))
    data = load_landmarks(root, "index", unclassified="keep")
    assert stems(data) == [image(i) for i in (20, 21, 22, 23, 24, 25)]
    assert [names(data, i)[:2] for i in (0, 3, 4, 5)] == [
        ("index:3", "castle / fort"),
        ("index:4", "fort"),
        ("index:5", "fort"),
        ("index:6", "castle / fort"),
    ]
    shared = data.hierarchy.common_levels(data.labels)
    assert shared[3].tolist() == [
        0,
        0,
        0,
        3,
        2,
        0,
    ]  # 4 and 5 have one label, and it is human-made or not
    assert shared[5].tolist() == [0, 0, 0, 0, 0, 3]
    assert data.report.labels == {"castle / fort": 3, "fort": 2, "mountain": 1}
    assert (data.report.unclassified, data.report.dropped) == (0, {})
    forts = load_landmarks(root, "index", unclassified="keep", labels=["fort"])
    assert forts.hierarchy.node_names(1) == ("fort",)
    assert load_landmarks(root, "index").report.dropped == {"landmark unclassified": 3}


def test_a_landmark_of_many_images(root: Path) -> None:
    """A cell longer than the csv module reads by default."""
    ids = " ".join([image(1)] * 9000)
    write(root / "train_clean.csv", f"landmark_id,images\n7,{ids}\n")
    assert len(load_landmarks(root)) == 9000


def test_images_in_another_folder(root: Path) -> None:
    expected = stems(load_landmarks(root))
    (root / "images").mkdir()
    (root / "train").rename(root / "images/train")
    assert stems(load_landmarks(root)) == expected


@pytest.mark.parametrize(
    ("split", "name"),
    [
        ("train", "train_clean.csv"),
        ("train", "train_label_to_hierarchical.csv"),
        ("train_full", "train.csv"),
        ("index", "metadata/index_image_to_landmark.csv"),
        ("test", "metadata/index_label_to_hierarchical.csv"),
        ("test", "metadata/retrieval_solution_v2.1.csv"),
    ],
)
def test_missing_files(root: Path, split: str, name: str) -> None:
    (root / name).unlink()
    with pytest.raises(
        FileNotFoundError, match=rf"root: wanted '.*{Path(name).name}' or .* got no"
    ):
        load_landmarks(root, split)


def test_errors(root: Path) -> None:
    with pytest.raises(ValueError, match="split: wanted one of 'train', 'train_full', 'index', "):
        load_landmarks(root, "query")
    solution = f"id,images,Usage\n{image(40)},ffff,Public\n"
    write(root / "metadata/retrieval_solution_v2.1.csv", solution)
    with pytest.raises(ValueError, match="wanted index images, got 'ffff' for"):
        load_landmarks(root, "test")
    write(root / "metadata/index_image_to_landmark.csv", "id,landmark_id\n")
    with pytest.raises(ValueError, match="wanted an index image, got none"):
        load_landmarks(root, "test")
    write(root / "train_label_to_hierarchical.csv", "landmark_id,category\n1,x\n")
    with pytest.raises(ValueError, match=r"wanted the columns \['hierarchical_label', 'natural_or"):
        load_landmarks(root)


def test_report(root: Path) -> None:
    report = load_landmarks(root).report
    assert (report.split, report.rows, report.images, report.landmarks) == ("train", 5, 4, 3)
    assert report.labels == {"church": 2, "mountain": 2}
    assert report.made == {"human-made": 2, "natural": 2}
    assert report.dropped == {"landmark unclassified": 1}
    index = load_landmarks(root, "index").report
    assert (index.rows, index.images, index.landmarks) == (6, 3, 2)
    assert index.dropped == {
        "landmark not among the hierarchical labels": 1,
        "landmark unclassified": 2,
    }
    test = load_landmarks(root, "test").report
    assert (test.rows, test.images) == (5, 2)
    assert test.dropped == {
        "test image ignored by the solution file": 2,
        "landmark unclassified": 1,
    }
    kept = load_landmarks(root, "index", unclassified="keep").report
    assert (kept.images, kept.unclassified, kept.dropped) == (6, 3, {})
    lines = [line.rsplit(maxsplit=1) for line in str(index).splitlines()]
    assert ["images listed in index", "6"] in lines
    assert ["  left out: landmark unclassified", "2"] in lines
    assert ["  castle / fort", "2"] in lines
    assert load_landmarks(root).id_space == "train"
    assert test != index


def test_filters(root: Path) -> None:
    churches = load_landmarks(root, "train_full", labels=["church"])
    assert stems(churches) == [image(i) for i in (3, 5, 6)]
    assert churches.hierarchy.node_names(1) == ("church",)
    assert churches.report.dropped == {
        "landmark unclassified": 1,
        "hierarchical label not one of the 1 wanted": 2,
    }
    assert stems(load_landmarks(root, made="natural")) == [image(1), image(2)]
    two = load_landmarks(root, "train_full", min_images=2)
    assert stems(two) == [image(i) for i in (1, 2, 3, 6)]
    assert len(two.hierarchy) == 2
    assert two.report.dropped["landmark of fewer than 2 images"] == 1
    one = load_landmarks(root, "train_full", max_images=1)
    assert stems(one) == [image(i) for i in (1, 3, 5)]
    assert one.report.dropped["beyond the first 1 images of a landmark"] == 2
    index, test = (load_landmarks(root, split, min_images=2) for split in ("index", "test"))
    assert index.hierarchy == test.hierarchy  # images of the index count for both
    assert stems(test) == [image(42)]


def test_wrong_filters(root: Path) -> None:
    for options, message in (
        ({"labels": ["lake"]}, r"labels: wanted some of the 2 hierarchical labels, got \['lake'\]"),
        ({"labels": []}, "labels: wanted some of"),
        ({"made": "human"}, "made: wanted one of"),
        ({"min_images": 0}, "min_images: wanted at least 1, got 0"),
        ({"max_images": 0}, "max_images: wanted at least 1, got 0"),
        ({"min_images": 9}, "wanted at least one image of the split, got none"),
    ):
        with pytest.raises(ValueError, match=message):
            load_landmarks(root, **options)


def test_ids_of_train_and_index_are_never_equal(root: Path) -> None:
    train, index = load_landmarks(root), load_landmarks(root, "index")
    assert "train:1" in train.hierarchy.node_names(0)
    assert "index:1" in index.hierarchy.node_names(0)
    assert not set(train.hierarchy.node_names(0)) & set(index.hierarchy.node_names(0))


def test_malformed_tables(root: Path) -> None:
    write(root / "train.csv", f"id,url,landmark_id\n{image(1)},http://x,seven\n")
    with pytest.raises(ValueError, match=r"train.csv: wanted .*int64.* got .*seven"):
        load_landmarks(root, "train_full")
    write(root / "train.csv", f"id,url,landmark_id\n{image(1)},7\n")
    with pytest.raises(ValueError, match=r"train.csv: wanted .* got .*[Ee]xpected 3 columns"):
        load_landmarks(root, "train_full")
    write(root / "train.csv", f"id,url,landmark_id\n{image(1)},u,7\nab,u,7\n")
    with pytest.raises(
        ValueError, match="wanted ids of 3 ASCII characters at least, got 'ab' in row 2"
    ):
        load_landmarks(root, "train_full")
    twice = [f"{image(i)},u,{n}\n" for i, n in ((3, 1), (1, 7), (2, 7), (1, 7), (1, 1))]
    write(root / "train.csv", "id,url,landmark_id\n" + "".join(twice))
    with pytest.raises(
        ValueError, match=f"wanted each image once, got '{image(1)}' in rows 2 and 4"
    ):
        load_landmarks(root, "train_full")
    listing = root / "metadata/index_image_to_landmark.csv"
    write(listing, listing.read_text() + f"\n{image(22)},1\n")  # of another landmark
    for split in ("index", "test"):
        with pytest.raises(ValueError, match=f"once, got '{image(22)}' in rows 3 and 7"):
            load_landmarks(root, split)
    rows = [(1, "x", "church", "human-made"), (1, "x", "tower", "human-made")]
    write(root / "train_label_to_hierarchical.csv", table(rows))
    with pytest.raises(ValueError, match="wanted one row for landmark 1, got two that differ"):
        load_landmarks(root)


def test_the_command(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    output = tmp_path / "made/report.json"
    options = ["--split", "train_full", "--made", "human-made", "--output", str(output)]
    assert suprank(["landmarks", "statistics", str(root), *options]) == 0
    told = capsys.readouterr().out
    assert ["images kept", "3"] in [line.rsplit(maxsplit=1) for line in told.splitlines()]
    found = json.loads(output.read_text())
    assert (found["rows"], found["images"], found["labels"]) == (6, 3, {"church": 3})
    for options, message in (
        ([str(root / "none")], "root: wanted the folder of the data set"),
        ([str(root), "--labels", "lake"], "labels: wanted some of the 2 hierarchical labels"),
    ):
        assert suprank(["landmarks", "statistics", *options]) == 2
        assert message in capsys.readouterr().err


def slow_load(listing: Path, hierarchical: Path, least: int, most: int | None) -> list:
    """Image and class names of every image, row by row."""
    chains = {}
    with hierarchical.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["hierarchical_label"] not in ("", "unclassified"):
                chains[row["landmark_id"]] = (
                    row["hierarchical_label"],
                    row["natural_or_human_made"],
                )
    with listing.open(newline="") as file:
        rows = [(row["id"], row["landmark_id"]) for row in csv.DictReader(file)]
    counts = Counter(landmark for _, landmark in rows)
    seen: Counter = Counter()
    found = []
    for name, landmark in rows:
        if landmark in chains and counts[landmark] >= least:
            seen[landmark] += 1
            if most is None or seen[landmark] <= most:
                found.append((name, (f"train:{landmark}", *chains[landmark])))
    return found


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=30),
    st.dictionaries(
        st.integers(0, 6), st.sampled_from(["church", "lake, deep", "", "unclassified"])
    ),
    st.integers(1, 3),
    st.none() | st.integers(1, 2),
    st.randoms(),
)
def test_against_a_loop(landmarks, labels, least, most, random) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        ids = [f"{random.getrandbits(32):08x}{row:08x}" for row in range(len(landmarks))]
        rows = [f'{i},"http://x/,{n}",{n}\n' for i, n in zip(ids, landmarks, strict=True)]
        write(root / "train.csv", "id,url,landmark_id\n" + "".join(rows))
        chains = [(n, "x", label, "natural") for n, label in labels.items()]
        write(root / "train_label_to_hierarchical.csv", table(chains))
        expected = slow_load(
            root / "train.csv", root / "train_label_to_hierarchical.csv", least, most
        )
        if expected:
            picture(root / "train" / "/".join(expected[0][0][:3]) / f"{expected[0][0]}.jpg")
        else:
            (root / "train").mkdir()
        options = {"min_images": least, "max_images": most}
        if not expected:
            with pytest.raises(
                ValueError, match="wanted at least one image of the split, got none"
            ):
                load_landmarks(root, "train_full", **options)
            return
        data = load_landmarks(root, "train_full", **options)
        found = [(path.stem, names(data, row)) for row, path in enumerate(data.paths)]
        assert found == expected
        assert data.report.rows == len(rows) == len(found) + sum(data.report.dropped.values())


FULL_SIZE = """
import re, sys, time
from pathlib import Path
from pml_suprank.recipes.data.google_landmarks import load_landmarks

def peak():  # not ru_maxrss: that begins with the size of the parent process
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

before, start = peak(), time.perf_counter()
data = load_landmarks(sys.argv[1], "train_full", min_images=2)
seconds = time.perf_counter() - start
part = data.subset(range(0, len(data), 1000))
found = len(data), data.report.rows, len(data.hierarchy), part.paths[-1].stem
print(*found, (peak() - before) // 1024, seconds)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory from /proc")
def test_four_million_rows(tmp_path: Path) -> None:
    """As many rows and landmarks as the whole training set has, in bounded memory."""
    made = write_full_size(tmp_path)
    keep = made.kept(least=2)
    first = keep[0]
    picture(tmp_path / "train" / "/".join(made.ids[first][:3]) / f"{made.ids[first]}.jpg")
    done = subprocess.run(
        [sys.executable, "-c", FULL_SIZE, str(tmp_path)], capture_output=True, text=True, check=True
    )
    images, rows, classes, last, mebibytes, seconds = done.stdout.split()
    assert (int(images), int(rows)) == (len(keep), 4_132_914)
    assert int(classes) == len(set(made.landmarks[keep].tolist()))
    assert last == made.ids[keep[(len(keep) - 1) // 1000 * 1000]]
    assert int(mebibytes) < 1536  # 750
    assert float(seconds) < 60  # 6 on one core
