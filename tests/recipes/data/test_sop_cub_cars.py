from pathlib import Path

import numpy as np
import pytest

from pml_suprank.recipes.data.cars import BODY_TYPES, body_type, load_cars
from pml_suprank.recipes.data.cub import load_cub
from pml_suprank.recipes.data.image_check import check_images
from pml_suprank.recipes.data.sop import load_sop
from tests.recipes.data.trees import names, picture, write

scipy_io = pytest.importorskip("scipy.io")

HEADER = "image_id class_id super_class_id path"


@pytest.fixture
def sop(tmp_path: Path) -> Path:
    rows = {
        "train": ["1 1 1 bicycle_final/a_0.JPG", "2 1 1 bicycle_final/a_1.JPG"],
        "test": ["4 11319 1 bicycle_final/c_0.JPG", "5 11320 12 toaster_final/d_0.JPG"],
    }
    rows["train"].append("3 2 12 toaster_final/b_0.JPG")
    for split, lines in rows.items():
        write(tmp_path / f"Ebay_{split}.txt", "\n".join([HEADER, *lines]) + "\n")
        for line in lines:
            picture(tmp_path / line.split()[3])
    return tmp_path


def test_sop(sop: Path) -> None:
    train, test, both = (load_sop(sop, split) for split in ("train", "test", "all"))
    assert train.hierarchy.level_names == ("product", "super_class")
    assert [names(train, i) for i in range(3)] == [
        *[("1", "bicycle")] * 2,
        ("2", "toaster"),
    ]
    assert train.labels.tolist() == [[0, 0], [0, 0], [1, 1]]
    assert [names(test, i) for i in range(2)] == [("11319", "bicycle"), ("11320", "toaster")]
    assert not set(train.hierarchy.node_names(0)) & set(test.hierarchy.node_names(0))
    assert not set(train.paths) & set(test.paths)
    assert both.paths == train.paths + test.paths
    assert both.hierarchy.num_classes == 4
    assert train[0][0].size == (6, 4)


def test_sop_errors(sop: Path) -> None:
    with pytest.raises(ValueError, match="split: wanted one of 'train', 'test', 'all', got 'val'"):
        load_sop(sop, "val")
    bad = "9 2 1 toaster_final/b_0.JPG"
    text = (sop / "Ebay_train.txt").read_text()
    write(sop / "Ebay_train.txt", text + bad + "\n")
    with pytest.raises(ValueError, match="wanted one folder per super_class_id, got 'bicycle'"):
        load_sop(sop)
    write(sop / "Ebay_train.txt", text + "9 2 1 bicycle_final/b_0.JPG\n")
    with pytest.raises(ValueError, match="wanted one super_class_id per class_id, got 12 and 1"):
        load_sop(sop)
    write(sop / "Ebay_train.txt", text.replace("class_id", "klass"))
    with pytest.raises(ValueError, match=r"Ebay_train.txt: wanted the columns \['class_id', 'sup"):
        load_sop(sop)
    (sop / "Ebay_train.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"root: wanted '.*Ebay_train.txt', got no such"):
        load_sop(sop)


def test_a_corrupt_image_of_a_published_set(sop: Path) -> None:
    (sop / "bicycle_final/a_1.JPG").write_bytes(b"no image")
    data = load_sop(sop, on_error="skip", return_index=True)
    assert data[1][2] == 2
    assert [item.path.name for item in check_images(data, progress=False)] == ["a_1.JPG"]


SPECIES = {
    99: "099.Ovenbird",
    100: "100.Brown_Pelican",
    101: "101.White_Pelican",
    200: "200.Common_Yellowthroat",
}


@pytest.fixture
def cub(tmp_path: Path) -> Path:
    base = tmp_path / "CUB_200_2011"
    images, labels, sides = [], [], []
    for number, name in SPECIES.items():
        for index in range(2):
            path = f"{name}/{name[4:]}_{index}.jpg"
            picture(base / "images" / path)
            images.append(f"{len(images) + 1} {path}")
            labels.append(f"{len(images)} {number}")
            sides.append(f"{len(images)} {index}")
    write(base / "images.txt", "\n".join(images) + "\n")
    write(base / "image_class_labels.txt", "\n".join(labels) + "\n")
    write(base / "train_test_split.txt", "\n".join(sides) + "\n")
    write(base / "classes.txt", "".join(f"{number} {name}\n" for number, name in SPECIES.items()))
    return base


def test_cub(cub: Path) -> None:
    train, test = load_cub(cub), load_cub(cub.parent, "test")
    assert set(train.hierarchy.node_names(0)) == {"099.Ovenbird", "100.Brown_Pelican"}
    assert set(test.hierarchy.node_names(0)) == {"101.White_Pelican", "200.Common_Yellowthroat"}
    assert [names(train, i)[1] for i in range(4)] == ["Ovenbird"] * 2 + ["Pelican"] * 2
    assert train.labels[:, 0].tolist() == [0, 0, 1, 1]
    both = load_cub(cub, "all")
    assert both.labels.tolist() == [[0, 0]] * 2 + [[1, 1]] * 2 + [[2, 1]] * 2 + [[3, 2]] * 2


def test_cub_by_image(cub: Path) -> None:
    train, test = (load_cub(cub, split, zero_shot=False) for split in ("train", "test"))
    assert [path.stem[-1] for path in train.paths] == ["1"] * 4
    assert [path.stem[-1] for path in test.paths] == ["0"] * 4
    assert train.hierarchy == test.hierarchy


def test_cub_with_a_taxonomy(cub: Path) -> None:
    families = {99: "Parulidae", 100: "Pelecanidae", 101: "Pelecanidae", 200: "Parulidae"}
    orders = {"Parulidae": "Passeriformes", "Pelecanidae": "Pelecaniformes"}
    rows = "".join(f"{number},{name},{orders[name]}\n" for number, name in families.items())
    file = write(cub / "taxonomy.csv", "class_id,family,order\n" + rows)
    data = load_cub(cub, "all", taxonomy=file)
    assert data.hierarchy.level_names == ("species", "family", "order")
    assert names(data, 7) == ("200.Common_Yellowthroat", "Parulidae", "Passeriformes")
    assert data.labels[[0, 7], 1:].tolist() == [[0, 0]] * 2
    write(file, "class_id,family\n99,Parulidae\n")
    with pytest.raises(ValueError, match=r"wanted a row for every class_id, got none for \[100"):
        load_cub(cub, taxonomy=file)
    write(file, "class_id\n99\n")
    with pytest.raises(ValueError, match="wanted class_id and a column per level"):
        load_cub(cub, taxonomy=file)
    with pytest.raises(FileNotFoundError, match="taxonomy: wanted a CSV file, got 'nothing.csv'"):
        load_cub(cub, taxonomy="nothing.csv")


@pytest.mark.parametrize("name", ["images.txt", "image_class_labels.txt", "classes.txt"])
def test_cub_missing_files(cub: Path, name: str) -> None:
    (cub / name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"root: wanted '.*{name}'.*got no such file"):
        load_cub(cub)


def test_cub_errors(cub: Path) -> None:
    write(cub / "image_class_labels.txt", "1 99\n2 99\n")
    with pytest.raises(ValueError, match="wanted a class and a side of image 3, got none"):
        load_cub(cub)
    write(cub / "image_class_labels.txt", "1 first\n")
    with pytest.raises(
        ValueError, match="labels.txt, line 1: wanted 'number value', got '1 first'"
    ):
        load_cub(cub)
    write(cub / "image_class_labels.txt", "".join(f"{i} 5\n" for i in range(1, 9)))
    with pytest.raises(ValueError, match=r"wanted the classes of classes.txt, got \[5\]"):
        load_cub(cub)


FIELDS = ["relative_im_path", *(f"bbox_{side}" for side in ("x1", "y1", "x2", "y2"))]
FIELDS += ["class", "test"]


def write_cars(root: Path, numbers: list[int], fields: list[str] = FIELDS) -> Path:
    models = np.array([f"Make {number} Sedan 2012" for number in range(1, 197)], dtype=object)
    models[0], models[98] = "AM General Hummer SUV 2000", "Ford Ranger SuperCab 2011"
    rows = np.zeros((1, len(numbers)), dtype=[(field, object) for field in fields])
    for index, number in enumerate(numbers):
        path = f"car_ims/{index + 1:06d}.jpg"
        picture(root / path)
        rows[0, index] = (path, 1, 2, 3, 4, number, index % 2)[: len(fields)]
    scipy_io.savemat(root / "cars_annos.mat", {"annotations": rows, "class_names": models[None]})
    return root


def test_cars(tmp_path: Path) -> None:
    write_cars(tmp_path, [1, 1, 98, 99, 99, 196])
    train, test = load_cars(tmp_path), load_cars(tmp_path, "test")
    assert [names(train, i) for i in (0, 2)] == [
        ("AM General Hummer SUV 2000", "SUV"),
        ("Make 98 Sedan 2012", "Sedan"),
    ]
    assert names(test, 0) == ("Ford Ranger SuperCab 2011", "Cab")
    assert (train.labels[:, 0].tolist(), test.labels[:, 0].tolist()) == ([0, 0, 1], [0, 0, 1])
    assert not set(train.paths) & set(test.paths)
    assert train[2][0].size == (6, 4)
    by_image = load_cars(tmp_path, "test", zero_shot=False)
    assert [path.stem for path in by_image.paths] == ["000002", "000004", "000006"]
    with pytest.raises(FileNotFoundError, match="cars_annos.mat"):
        load_cars(tmp_path / "car_ims")


def test_cars_of_one_image_and_of_another_file(tmp_path: Path) -> None:
    assert len(load_cars(write_cars(tmp_path, [5]))) == 1
    write_cars(tmp_path, [5], FIELDS[:-1])
    with pytest.raises(ValueError, match="wanted annotations and class_names, got no .*test"):
        load_cars(tmp_path)
    write_cars(tmp_path, [500])
    with pytest.raises(ValueError, match=r"wanted classes 1..196, got 500"):
        load_cars(tmp_path)


def test_body_types() -> None:
    said = {
        "Bentley Continental Supersports Conv. Convertible 2012": "Convertible",
        "Rolls-Royce Phantom Drophead Coupe Convertible 2012": "Convertible",
        "Ram C/V Cargo Van Minivan 2012": "Minivan",
        "Ford E-Series Wagon Van 2012": "Van",
        "Infiniti G Coupe IPL 2012": "Coupe",
        "Dodge Ram Pickup 3500 Quad Cab 2009": "Cab",
        "Acura TL Type-S 2008": "Sedan",
        "Jaguar XK XKR 2012": "Coupe",
        "Chevrolet HHR SS 2010": "Wagon",
        "A Boat 2012": "other",
    }
    assert {model: body_type(model) for model in said} == said
    assert len(set(BODY_TYPES)) == 9
