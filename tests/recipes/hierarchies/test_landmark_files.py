"""The pipeline on files in the layout of Google Landmarks v2, and back into its loader; the review sheet's order."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import silhouette_samples

from pml_suprank.recipes.commands.build_hierarchy import main
from pml_suprank.recipes.data.google_landmarks import load_landmarks
from pml_suprank.recipes.embedding_set import EmbeddingSet
from pml_suprank.recipes.hierarchies.encoders import write_features
from pml_suprank.recipes.hierarchies.grouping import nested_groups
from pml_suprank.recipes.hierarchies.proposal import proposed_rows
from tests.recipes.data.trees import names, picture, write
from tests.recipes.hierarchies.worlds import vector

KINDS = {"parish church": "dog", "old church": "dog", "salt lake": "oak", "fresh lake": "oak"}
LANDMARKS = {
    "5": "parish church",
    "11": "old church",
    "12": "salt lake",
    "40": "fresh lake",
    "77": "",
}


def test_from_landmark_files_to_a_training_set(tmp_path: Path) -> None:
    """Super-categories of landmarks, images by id, and labels that the loader of landmarks reads."""
    root, work = tmp_path / "gldv2", str(tmp_path / "work")
    header = "landmark_id,category,supercategory,hierarchical_label,natural_or_human_made\n"
    table = [f"{landmark},,{name},,\n" for landmark, name in LANDMARKS.items()]
    write(root / "train_label_to_hierarchical.csv", header + "".join(table))
    images = {landmark: [f"{landmark:0>4}{i}" for i in range(2)] for landmark in LANDMARKS}
    lines = [f"{landmark},{' '.join(ids)}\n" for landmark, ids in images.items()]
    write(root / "train_clean.csv", "landmark_id,images\n" + "".join(lines))
    paths, vectors = [], []
    for landmark, ids in images.items():
        for image in ids:
            paths.append(f"{image[0]}/{image[1]}/{image[2]}/{image}.jpg")
            picture(root / "train" / paths[-1])
            vectors.append(vector(KINDS.get(LANDMARKS[landmark], "oak")))
    EmbeddingSet(torch.from_numpy(np.stack(vectors)).float(), paths=tuple(paths)).save(
        tmp_path / "images.npz"
    )
    write_features(tmp_path / "names.npz", list(KINDS), np.stack([
        vector(kind, 0.1 * i) for i, kind in enumerate(KINDS.values())
    ]))  # fmt: skip
    source = str(root / "train_label_to_hierarchical.csv")
    columns = ["--class-column", "landmark_id", "--name-column", "supercategory"]
    levels = ["--levels", "hierarchical_label=2", "natural_or_human_made=1"]
    encoder = ["--encoder", f"file:{tmp_path / 'images.npz'}", "--against", "images"]
    for command in (
        ["names", work, source, *columns],
        ["propose", work, *levels, "--encoder", f"file:{tmp_path / 'names.npz'}"],
        ["review", work],
        ["classify", work, str(root / "train_clean.csv"), "--root", str(root / "train"), *encoder],
        ["vote", work],
        ["write", work, "--landmarks"],
    ):
        assert main(command) == 0
    made = (tmp_path / "work/label_to_hierarchical.csv").read_text()
    assert made.startswith(header)
    rows = {row["landmark_id"]: row for row in csv.DictReader(made.splitlines())}
    for row in rows.values():  # one coarse group; the loader wants a word it knows only for filters
        row["natural_or_human_made"] = "natural"
    text = "".join(",".join(row.values()) + "\n" for row in rows.values())
    write(root / "train_label_to_hierarchical.csv", header + text)
    data = load_landmarks(root)
    assert len(data) == 10
    found = {names(data, i)[0]: names(data, i)[1] for i in range(10)}
    assert found == {f"train:{n}": "church" if n in ("5", "11") else "lake" for n in LANDMARKS}


@pytest.mark.parametrize("seed", range(3))
def test_the_sheet_is_sorted_by_doubt(seed: int) -> None:
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(5, 6))
    points = centres[np.arange(40) % 5] + 0.6 * generator.normal(size=(40, 6))
    texts = [f"thing {i}" for i in range(40)]
    levels = {"fine": 5, "coarse": 2}
    rows = proposed_rows(texts, dict.fromkeys(texts, 1), levels, points, "ward")
    doubts = [row.doubt for row in rows]
    assert [round(d, 3) for d in doubts] == sorted((round(d, 3) for d in doubts), reverse=True)
    groups = nested_groups(points, [5, 2])
    widths = [silhouette_samples(points, column, metric="cosine") for column in groups.T]
    for row in rows:
        place = texts.index(row.name)
        worst = min(width[place] for width in widths)
        assert row.doubt == pytest.approx((1 - worst) / 2)
        level = min(range(2), key=lambda i: widths[i][place])
        title, _, other = row.nearest.partition(": ")
        assert title == list(levels)[level]
        assert other != row.groups[level]
