"""Tables as large as the training set of Google Landmarks v2, made of random numbers."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

ROWS, LANDMARKS, LABELS = 4_132_914, 203_094, 78


@dataclass
class FullSize:
    """What the tables hold.

    Attributes:
        ids: [N] image ids.
        landmarks: [N] landmark of each.
        labelled: landmarks with a hierarchical label.
    """

    ids: np.ndarray
    landmarks: np.ndarray
    labelled: np.ndarray

    def kept(self, least: int) -> np.ndarray:
        """Rows of labelled landmarks with so many images."""
        counts = np.bincount(self.landmarks, minlength=LANDMARKS)
        good = np.zeros(LANDMARKS, dtype=bool)
        good[self.labelled] = True
        return np.flatnonzero((good & (counts >= least))[self.landmarks])


def write_full_size(root: Path, rows: int = ROWS) -> FullSize:
    """``train.csv`` and ``train_label_to_hierarchical.csv``; landmarks have long tails, 60% of them a label."""
    generator = np.random.default_rng(0)
    raw = generator.integers(0, 256, (rows, 8), dtype=np.uint8)
    digits = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
    text = np.stack([digits[raw >> 4], digits[raw & 15]], 2).reshape(rows, 16)
    ids = np.ascontiguousarray(text).view("S16")[:, 0].astype(str)
    landmarks = (LANDMARKS * generator.random(rows) ** 3).astype(np.int64)
    url = "https://upload.wikimedia.org/wikipedia/commons/" + "x" * 45 + ".jpg"
    table = pa.table(
        {"id": ids, "url": pa.array([url]).take(pa.array(np.zeros(rows, dtype=np.int64))),
         "landmark_id": landmarks}
    )  # fmt: skip
    root.mkdir(exist_ok=True)
    pa.csv.write_csv(table, root / "train.csv")
    labelled = np.flatnonzero(generator.random(LANDMARKS) < 0.6)
    label = np.full(LANDMARKS, "", dtype=object)
    label[labelled] = [f"label {n % LABELS}" for n in labelled]
    kind = np.full(LANDMARKS, "", dtype=object)
    kind[labelled] = ["natural" if n % LABELS < 20 else "human-made" for n in labelled]
    columns = {
        "landmark_id": np.arange(LANDMARKS),
        "category": ["http://commons.wikimedia.org/wiki/Category:X"] * LANDMARKS,
        "supercategory": label,
        "hierarchical_label": label,
        "natural_or_human_made": kind,
    }
    pa.csv.write_csv(pa.table(columns), root / "train_label_to_hierarchical.csv")
    return FullSize(ids, landmarks, labelled)
