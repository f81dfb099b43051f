"""The settings of the quickstart: ``suprank finetune --config quickstart``."""

from typing import Any

from pml_suprank.recipes.choices import RECOMMENDED

__all__ = ["QUICKSTART"]

QUICKSTART: dict[str, Any] = {
    "data": {"name": "emoji", "train_split": "train", "test_split": "test", "options": {"seed": 0}},
    "model": {
        "name": "tf_efficientnet_lite0",
        "weights": "packaged",
        "embedding_size": 256,
        "layer_norm": False,
        "image_size": 64,
        "train_transform": {"scale": [0.6, 1.0], "color_jitter": 0.2},
        "eval_transform": {"crop_pct": 1.0},
        "options": {"channels_last": True},  # twice as fast on a CPU
    },
    "loss": {"name": "HAPPIERLoss", "options": RECOMMENDED},
    "sampler": {"kind": "hierarchical", "group_sizes": [2, 4]},
    "optimizer": {"name": "AdamW", "lr": 4e-4, "head_lr": 1.2e-3, "weight_decay": 1e-4},
    "loss_optimizer": {"name": "AdamW", "lr": 4e-3, "weight_decay": 1e-4},
    "schedule": {"name": "CosineAnnealingLR", "interval": "step", "warmup": 10},
    # evaluated once, so that the held-out half chooses nothing
    "training": {"epochs": 15, "batch_size": 128, "evaluate_every": 15, "seed": 0},
    "source": "The quickstart: emoji and weights of pip packages. The learning rate was found on another split.",
}
"""Nested settings, as a YAML file would hold them."""
