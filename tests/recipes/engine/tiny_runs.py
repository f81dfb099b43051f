"""Settings that train on a tiny tree of images in a second."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("accelerate", reason="needs the recipes extra")
pytest.importorskip("pydantic", reason="needs the recipes extra")


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
