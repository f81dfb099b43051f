"""A small world of classes, names, images and embeddings, whose right hierarchy is known."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pml_suprank.recipes.embedding_set import EmbeddingSet
from pml_suprank.recipes.files import write_csv
from pml_suprank.recipes.hierarchies.encoders import write_features

KINDS = {
    "dog husky": ("dog", "animal"),
    "dog pug": ("dog", "animal"),
    "cat tabby": ("cat", "animal"),
    "cat manx": ("cat", "animal"),
    "rose damask": ("rose", "plant"),
    "rose tea": ("rose", "plant"),
    "oak red": ("oak", "plant"),
    "oak cork": ("oak", "plant"),
}
FINE = ["dog", "cat", "rose", "oak"]


def vector(fine: str, shift: float = 0.0) -> np.ndarray:
    """Close within a fine group, less close within a coarse one."""
    found = np.zeros(8)
    place = FINE.index(fine)
    found[place], found[4 + place // 2], found[7] = 1.0, 1.5, shift
    return found


class World:
    """Ten named classes, "k" and "l" among them with names of others; three without a name.

    The images of "11" are oaks, those of "12" a dog and a rose, "13" has none.
    """

    def __init__(self, root: Path):
        self.root = root
        root.mkdir(exist_ok=True)
        names = list(KINDS)
        self.names = {str(i): name for i, name in enumerate(names)}
        self.names |= {"8": "dog_pug", "9": "oak  cork", "11": "", "12": "", "13": ""}
        self.classes = root / "classes.csv"
        write_csv(self.classes, [{"class_id": c, "name": n} for c, n in self.names.items()])
        self.features = root / "names.npz"
        vectors = [vector(KINDS[name][0], 0.1 * (i % 2)) for i, name in enumerate(names)]
        write_features(self.features, names, np.stack(vectors))
        shown = {"0": "dog", "4": "rose", "7": "oak", "11": "oak oak oak", "12": "dog rose"}
        shown |= {"2": "cat"}
        rows, embeddings = [], []
        generator = np.random.default_rng(0)
        for class_id, kinds in shown.items():
            for number, kind in enumerate(kinds.split()):
                rows.append({"path": f"{class_id}-{number}.png", "class_id": class_id})
                embeddings.append(vector(kind) + generator.normal(0, 0.01, 8))
                pixels = generator.integers(0, 255, (16, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / rows[-1]["path"])
        self.images = root / "images.csv"
        write_csv(self.images, rows)
        self.image_features = root / "images.npz"
        paths = tuple(row["path"] for row in rows)
        tensor = torch.from_numpy(np.stack(embeddings)).float()
        EmbeddingSet(tensor, paths=paths).save(self.image_features)

    @property
    def text(self) -> str:
        """Encoder of names."""
        return f"file:{self.features}"

    @property
    def pictures(self) -> str:
        """Encoder of images."""
        return f"file:{self.image_features}"
