from pathlib import Path

import pytest
import torch

from pml_suprank.recipes.data.landmarks import load_landmarks
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
        ("7", "mountain", "natural"),
        ("1", "church", "human-made"),
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
    assert names(test, 1) == ("3", "castle / fort", "human-made")
    assert names(test, 0) == ("1", "mountain", "natural")  # 1 of train is a church


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
    write(root / "train_label_to_hierarchical.csv", "landmark_id,category\n1,x\n")
    with pytest.raises(ValueError, match=r"wanted the columns \['hierarchical_label', 'natural_or"):
        load_landmarks(root)
