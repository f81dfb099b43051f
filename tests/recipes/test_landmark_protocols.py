"""Landmark protocols from files of embeddings, on tiny trees with rankings that are known."""

import csv
import json
from pathlib import Path

import pytest
import torch

from pml_suprank.recipes.__main__ import main as suprank
from pml_suprank.recipes.data.landmark_solutions import read_solutions
from pml_suprank.recipes.embedding_set import EmbeddingSet
from pml_suprank.recipes.labelled_search import evaluate_labels
from tests.recipes.data.test_revisited import GALLERY, QUERIES, lay_out
from tests.recipes.data.trees import write
from tests.reference import metrics as loops


def saved(path: Path, names: list[str], rows: list, **more) -> Path:
    paths = tuple(f"jpg/{name}.jpg" for name in names)
    EmbeddingSet(torch.tensor(rows), paths=paths, **more).save(path)
    return path


@pytest.fixture
def revisited(tmp_path: Path) -> list[str]:
    """Truth: query 0 has easy [1], hard [0], junk [2]; query 1 has hard [3]. Rows of the files in another order."""
    root = lay_out(tmp_path / "roxford5k")
    # cosines with query 0: gallery 2 (junk) > 3 (wrong) > 1 (easy) > 0 (hard)
    angle = torch.tensor([0.9, 0.6, 0.1, 0.3])
    points = torch.stack([angle.cos(), angle.sin()], 1)[[3, 1, 0, 2]].tolist()
    gallery = saved(tmp_path / "g.npz", [GALLERY[i] for i in (3, 1, 0, 2)], points)
    queries = saved(tmp_path / "q.npz", QUERIES[::-1], [[0.0, 1.0], [1.0, 0.0]])
    files = ["--queries", str(queries), "--gallery", str(gallery)]
    return ["landmarks", "revisited", str(root), *files, "--output", str(tmp_path / "out")]


def test_revisited(revisited: list[str], tmp_path: Path, capsys) -> None:
    assert suprank([*revisited, "--k", "1", "2"]) == 0
    found = json.loads((tmp_path / "out/metrics.json").read_text())
    mean = {part: {k: v["mean"] for k, v in row.items()} for part, row in found.items()}
    # easy: 1 relevant, 0 and 2 out: wrong, right; query 1 has none and is left out
    assert mean["easy"]["revisited_average_precision"] == pytest.approx((0 + 1 / 2) / 2)
    assert found["easy"]["revisited_average_precision"]["num_left_out"] == 1
    # medium: wrong, right, right; query 1 at the other end: 0, 1, 3 (right), 2
    first = ((0 + 1 / 2) / 2 + (1 / 2 + 2 / 3) / 2) / 2
    second = (0 + 1 / 3) / 2
    assert mean["medium"]["revisited_average_precision"] == pytest.approx((first + second) / 2)
    assert mean["medium"]["revisited_precision_at_2"] == pytest.approx((1 / 2 + 0) / 2)
    # hard: wrong, right
    assert mean["hard"]["revisited_average_precision"] == pytest.approx((1 / 4 + second) / 2)
    with (tmp_path / "out/queries.csv").open(newline="") as file:
        rows = {row["query"]: row for row in csv.DictReader(file)}
    assert rows[QUERIES[1]]["easy revisited_average_precision"] == ""
    assert float(rows[QUERIES[0]]["hard revisited_average_precision"]) == 0.25
    assert "medium" in capsys.readouterr().out


def fails(capsys: pytest.CaptureFixture, command: list[str]) -> str:
    assert suprank(command) == 2
    return capsys.readouterr().err


def test_wrong_embeddings(revisited: list[str], tmp_path: Path, capsys) -> None:
    saved(tmp_path / "g.npz", GALLERY[:3], [[1.0, 0.0]] * 3)
    error = fails(capsys, revisited)
    assert "gallery: wanted embeddings of all 4 images, got none of 1, such as" in error
    saved(tmp_path / "g.npz", [*GALLERY[:3], GALLERY[0]], [[1.0, 0.0]] * 4)
    assert "gallery: wanted images of different names, got some twice" in fails(capsys, revisited)
    EmbeddingSet(torch.ones(4, 2)).save(tmp_path / "g.npz")
    assert "wanted embeddings with the names of their images" in fails(capsys, revisited)
    saved(tmp_path / "g.npz", GALLERY, [[1.0, 0.0, 0.0]] * 4)
    assert "gallery: wanted 2 dimensions as in query, got 3" in fails(capsys, revisited)


def test_whitening(revisited: list[str], tmp_path: Path, capsys) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = (torch.arange(40) % 8)[:, None]
    train = EmbeddingSet(torch.randn(40, 2, generator=generator), labels)
    train.save(tmp_path / "train.npz")
    command = [*revisited, "--whitening", str(tmp_path / "train.npz")]
    plain = tmp_path / "out/metrics.json"
    for more in ([], ["--whiten-by", "pca"], ["--dim", "1"]):
        assert suprank([*command, *more]) == 0
        assert (
            0 <= json.loads(plain.read_text())["hard"]["revisited_average_precision"]["mean"] <= 1
        )
    assert "dim: wanted 1..2, got 3" in fails(capsys, [*command, "--dim", "3"])
    EmbeddingSet(train.embeddings).save(tmp_path / "train.npz")
    assert "wanted a training set with labels for pairs" in fails(capsys, command)
    EmbeddingSet(torch.randn(40, 3), labels).save(tmp_path / "train.npz")
    assert "wanted a training set of 2 dimensions, got 3" in fails(capsys, command)


SOLUTION = """id,images,Usage
q0,a b,Public
q1,None,Ignored
q2,c,Private
q3,a,Ignored
"""


@pytest.fixture
def gldv2(tmp_path: Path) -> list[str]:
    write(tmp_path / "gld/metadata/retrieval_solution_v2.1.csv", SOLUTION)
    angle = torch.tensor([0.2, 0.4, 0.6, 0.8])
    points = torch.stack([angle.cos(), angle.sin()], 1)[[3, 0, 1, 2]].tolist()
    names = (("a", "b", "c"), ("church", "lake"))
    labels = torch.tensor([[2, 1], [0, 0], [1, 0], [2, 1]])
    more = {"labels": labels, "level_names": ("landmark", "label"), "node_names": names}
    # order of the rows: d, a, b, c; for q0 best first a, b, c, d
    gallery = saved(tmp_path / "g.npz", ["d", "a", "b", "c"], points, **more)
    more["labels"] = torch.tensor([[2, 1], [0, 0]])
    queries = saved(tmp_path / "q.npz", ["q2", "q0"], [[1.0, 0.0], [1.0, 0.1]], **more)
    files = ["--queries", str(queries), "--gallery", str(gallery)]
    return ["landmarks", "gldv2", str(tmp_path / "gld"), *files, "--output", str(tmp_path / "out")]


def test_gldv2(gldv2: list[str], tmp_path: Path) -> None:
    assert suprank(gldv2) == 0
    found = json.loads((tmp_path / "out/metrics.json").read_text())
    assert found["public"]["mean_average_precision_at_100"] == {
        "mean": 1.0,
        "num_valid": 1,
        "num_left_out": 1,
    }
    assert found["private"]["mean_average_precision_at_100"]["mean"] == pytest.approx(1 / 3)
    assert found["all"]["mean_average_precision_at_100"]["mean"] == pytest.approx(2 / 3)
    # q0 of landmark a: a, b (same label), c, d; q2 of landmark c: a, b, c, d
    assert set(found["hierarchy"]) == {"hierarchical_average_precision", "ndcg", "asi"}
    log3 = 1.584962500721156  # of base 2
    ideal = 3 + 3 / log3  # c and d are of landmark c
    expected = (1.0 + (3 / 2 + 3 / 2.321928094887362) / ideal) / 2
    assert found["hierarchy"]["ndcg"]["mean"] == pytest.approx(expected)
    rankings = [2, 1, 0, 0], [0, 0, 2, 2]  # levels that q0 and q2 share with a, b, c, d
    relevance = [loops.population_relevance(row, 2) for row in rankings]
    for name, values in {
        "ndcg": [loops.ndcg(row) for row in rankings],
        "asi": [loops.asi(row) for row in rankings],
        "hierarchical_average_precision": map(loops.hierarchical_average_precision, relevance),
    }.items():
        assert found["hierarchy"][name]["mean"] == pytest.approx(sum(values) / 2)


def test_landmarks_of_train_and_index_are_never_the_same() -> None:
    """Landmark 1 of train is another than landmark 1 of the index; their labels can be the same."""
    labels = torch.zeros(2, 2, dtype=torch.long)
    sets = []
    for side in ("train", "index"):
        names = ((f"{side}:1",), ("church",))
        sets.append(EmbeddingSet(torch.eye(2), labels, None, ("landmark", "label"), names))
    found = evaluate_labels(*sets, names=("mean_average_precision",), progress=False)
    assert found["mean_average_precision_level0"].num_valid == 0
    assert found["mean_average_precision_level1"].num_valid == 2


def test_gldv2_without_labels(gldv2: list[str], tmp_path: Path, capsys) -> None:
    saved(tmp_path / "q.npz", ["q0", "q2"], [[1.0, 0.1], [1.0, 0.0]])
    assert suprank(gldv2) == 0
    assert "hierarchy" not in json.loads((tmp_path / "out/metrics.json").read_text())
    saved(tmp_path / "q.npz", ["q0"], [[1.0, 0.0]])
    assert "queries: wanted embeddings of all 2 images, got none of 1" in fails(capsys, gldv2)
    saved(tmp_path / "q.npz", ["q0", "q2"], [[1.0, 0.1], [1.0, 0.0]])
    saved(tmp_path / "g.npz", ["a", "b", "d"], [[1.0, 0.0]] * 3)
    assert "gallery: wanted embeddings of all 3 images, got none of 1" in fails(capsys, gldv2)


def test_the_gallery_is_compared_with_the_index(gldv2: list[str], tmp_path: Path, capsys) -> None:
    def counted() -> list[int] | None:
        found = json.loads((tmp_path / "out/metrics.json").read_text())["gallery"]
        return found and [found[name] for name in ("index", "missing", "unlisted")]

    def told(images: str) -> str:
        lines = "".join(f"{image},1\n" for image in images.split())
        write(tmp_path / "gld/metadata/index_image_to_landmark.csv", f"id,landmark_id\n{lines}")
        assert suprank(gldv2) == 0
        return next(x for x in capsys.readouterr().out.splitlines() if x.startswith("gallery"))

    assert suprank(gldv2) == 0
    assert "gallery: not compared with the index, there is no index_im" in capsys.readouterr().out
    assert counted() is None
    rows = [[1.0, 0.1], [1.0, 0.2], [1.0, 0.3], [1.0, 0.4]]
    write(tmp_path / "gld/metadata/retrieval_solution_v2.1.csv", "id,images,Usage\nq0,aaa,Public\n")
    saved(tmp_path / "q.npz", ["q0"], [[1.0, 0.0]])
    saved(tmp_path / "g.npz", ["bbb", "aaa", "dddd", "ccc"], rows)
    wanted = "images of index_image_to_landmark.csv, got"
    assert told("dddd aaa ccc bbb") == f"gallery: wanted the 4 {wanted} them all"
    assert counted() == [4, 0, 0]
    assert told("aaa ccc ggg fff bbb dddd") == (
        f"gallery: wanted the 6 {wanted} 2 missing, such as 'ggg'"
    )
    assert counted() == [6, 2, 0]
    assert told("aaa zzz ccc") == (
        f"gallery: wanted the 3 {wanted} 1 missing, such as 'zzz'; "
        "2 not listed there, such as 'bbb'"
    )
    assert counted() == [3, 1, 2]
    write(tmp_path / "gld/metadata/index_image_to_landmark.csv", "id,landmark_id\nzzz,1\nbbbb,1\n")
    error = fails(capsys, gldv2)
    assert "got none of its 2, but others such as ['bbb', 'aaa', 'dddd']" in error


def test_solutions(tmp_path: Path) -> None:
    file = tmp_path / "retrieval_solution_v2.1.csv"
    write(file, SOLUTION)
    assert [tuple(solution) for solution in read_solutions(tmp_path)] == [
        ("q0", ("a", "b"), "Public"),
        ("q2", ("c",), "Private"),
    ]
    write(file, "id,images,Usage\nq0,a a,Public\n")
    with pytest.raises(ValueError, match="wanted each index image once, got some twice for 'q0'"):
        read_solutions(tmp_path)
    write(file, "id,images,Usage\nq0,None,Public\n")
    with pytest.raises(ValueError, match="wanted a test image with a solution, got none"):
        read_solutions(tmp_path)
