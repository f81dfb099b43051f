"""What the emoji are encoded with: names and drawings, all without network."""

from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from pml_suprank.recipes.data.emoji import EmojiDataset
from pml_suprank.recipes.embedding_set import EmbeddingSet
from pml_suprank.recipes.engine.encoder import Encoder, build_model, model_transforms
from pml_suprank.recipes.engine.settings import ModelSettings
from pml_suprank.recipes.hierarchies.rules import RULES
from studies.clip_emoji import settings_of
from studies.emoji_runs import check_run, trained

__all__ = ["CLASSIFIERS", "ENCODERS", "train_tower", "write_efficientnet"]

ENCODERS = {
    "sentences": "sentence encoder",
    "tower": "OpenCLIP tower",
    "bag-of-words": "bag of words",
    "random": "random vectors",
}
"""Encoders of the names, and what they are called in the tables."""

CLASSIFIERS = {
    f"{images}-{against}-{rule}": (images, against, rule)
    for images, against in (("tower", "text"), ("tower", "images"), ("efficientnet", "images"))
    for rule in RULES
}
"""Encoder of the drawings, what they are compared with, and the rule."""


def train_tower(
    folder: Path, options: Namespace, seed: int, cache_dir: Path | None = None
) -> Callable[[], Path]:
    """The OpenCLIP model of ``python -m studies.clip_emoji``, trained contrastively on the emoji that keep their names.

    Args:
        folder: of the run; a finished one is kept, an interrupted one goes on.
        options: of ``clip_emoji``; its ``test_share`` is the share of the names that are hidden.
        seed: of the split and of the training.
        cache_dir: folder of the drawn emoji; None is the user's cache folder.

    Returns:
        Trains where that is still to do, and gives the folder.

    Raises:
        ConfigError: the folder holds a run of other settings.
    """
    settings = settings_of("start", options, seed, folder)
    if cache_dir is not None:
        settings = replace(settings, data=replace(settings.data, root=str(cache_dir)))
    check_run(settings, folder)

    def train() -> Path:
        trained(settings, folder)
        return folder

    return train


def write_efficientnet(path: Path, data: EmojiDataset, paths: Sequence[str]) -> None:
    """Features of all drawings by the packaged ImageNet weights, as ``suprank embed`` writes them."""
    settings = ModelSettings(
        name="tf_efficientnet_lite0",
        weights="packaged",
        embedding_size=None,
        layer_norm=False,
        image_size=64,
        eval_transform={"crop_pct": 1.0},
    )
    model = build_model(settings)
    encoder = Encoder(model, model_transforms(model, settings)[1])
    features = encoder.encode_images([data.image(index) for index in range(len(data))])
    EmbeddingSet(features, paths=tuple(paths)).save(path)
