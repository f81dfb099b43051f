import pickle
from pathlib import Path

import numpy as np
import pytest

from pml_suprank.recipes.data.revisited import load_revisited
from tests.recipes.data.trees import names, picture

GALLERY = ["all_souls_000013", "all_souls_000026", "oxford_000001", "radcliffe_camera_000519"]
QUERIES = ["all_souls_000099", "radcliffe_camera_000520"]
TRUTH = [
    {"bbx": np.array([1.0, 2.0, 5.2, 3.9]), "easy": np.array([1]), "hard": [0], "junk": [2]},
    {"bbx": [0, 0, 6, 4], "easy": [], "hard": [3], "junk": []},
]


def lay_out(root: Path, truth: list = TRUTH, protocol: int = 2) -> Path:
    for index, name in enumerate([*GALLERY, *QUERIES]):
        picture(root / f"jpg/{name}.jpg", shade=40 * index)
    content = {"imlist": GALLERY, "qimlist": QUERIES, "gnd": truth}
    (root / "gnd_roxford5k.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
    return root


def test_query_and_gallery(tmp_path: Path) -> None:
    root = lay_out(tmp_path)
    query, gallery = load_revisited(root), load_revisited(root, "gallery")
    assert query.hierarchy == gallery.hierarchy
    assert (len(query), len(gallery)) == (2, 4)
    assert not set(query.paths) & set(gallery.paths)
    assert [names(query, i) for i in range(2)] == [("all_souls",), ("radcliffe_camera",)]
    assert [names(gallery, i) for i in (1, 2)] == [("all_souls",), ("oxford",)]
    assert query[0][0].size == (4, 2)  # the box
    assert gallery[0][0].size == (6, 4)
    assert gallery.truth == ()


def test_protocols(tmp_path: Path) -> None:
    query = load_revisited(lay_out(tmp_path))

    def judged(protocol: str) -> list:
        return [(a.tolist(), b.tolist()) for a, b in query.judged(protocol)]

    assert judged("easy") == [([1], [0, 2]), ([], [3])]
    assert judged("medium") == [([0, 1], [2]), ([3], [])]
    assert judged("hard") == [([0], [1, 2]), ([3], [])]
    with pytest.raises(ValueError, match="protocol: wanted one of 'easy', 'medium', 'hard', got"):
        query.judged("all")
    part = query.subset([1])
    assert part[0][0].size == (6, 4)
    assert [a.tolist() for a, _ in part.judged("hard")] == [[3]]


def test_errors(tmp_path: Path) -> None:
    root = lay_out(tmp_path, [{**TRUTH[0], "hard": [4]}, TRUTH[1]])
    with pytest.raises(ValueError, match=r"wanted positions 0..3, got \[4\] in hard"):
        load_revisited(root)
    lay_out(tmp_path, TRUTH[:1])
    with pytest.raises(ValueError, match="wanted 2 rows of gnd, got 1"):
        load_revisited(root)
    lay_out(tmp_path, [{"ok": [1], "junk": []}] * 2)  # the ground truth of 2007
    with pytest.raises(ValueError, match="wanted imlist, qimlist and gnd, got no 'bbx'"):
        load_revisited(root)
    lay_out(tmp_path, [Path("x")] * 2)
    with pytest.raises(ValueError, match="wanted plain data and NumPy arrays, got pathlib"):
        load_revisited(root)
    lay_out(tmp_path)
    (root / f"jpg/{QUERIES[0]}.jpg").unlink()
    with pytest.raises(FileNotFoundError, match="gnd_roxford5k.pkl: wanted its images in '.*jpg'"):
        load_revisited(root)
    (root / "gnd_roxford5k.pkl").rename(root / "gnd.pkl")
    with pytest.raises(FileNotFoundError, match="wanted '.*gnd_roxford5k.pkl' or '.*gnd_rparis6k"):
        load_revisited(root)
