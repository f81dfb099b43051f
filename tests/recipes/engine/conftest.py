"""A tiny tree of images, and settings that train on it in a second."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("accelerate", reason="needs the recipes extra")
pytest.importorskip("jsonargparse", reason="needs the recipes extra")

import numpy as np
from PIL import Image

CLASSES = [f"{kind}/{name}" for kind in ("animal", "plant", "tool") for name in "abcd"]


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve classes of three kinds, six noisy images of each."""
    root = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for name in CLASSES:
        folder = root / name
        folder.mkdir(parents=True)
        colour = generator.integers(0, 200, 3)
        for number in range(6):
            pixels = colour + generator.integers(0, 55, (24, 24, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    return root


def content(photos: Path, **groups: dict[str, Any]) -> dict[str, Any]:
    """Settings of a run on a tiny random model, with changes to some groups."""
    settings: dict[str, Any] = {
        "data": {"name": "folder", "root": str(photos), "test_share": 0.5},
        "model": {
            "name": "test_resnet",
            "weights": None,
            "embedding_size": 8,
            "image_size": 32,
            "train_transform": {"scale": [0.6, 1.0]},
        },
        "loss": {"name": "HAPPIERLoss"},
        "sampler": {"group_sizes": [2, 2], "batches_per_epoch": 4},
        "optimizer": {"lr": 1e-3},
        "training": {"epochs": 2, "batch_size": 8, "threads": 1},
    }
    for group, changes in groups.items():
        settings[group] = (
            settings.get(group, {}) | changes if isinstance(changes, dict) else changes
        )
    return settings
