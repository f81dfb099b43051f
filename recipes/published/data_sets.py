"""Data, model, sampler and optimiser of each data set, as published with HAPPIER and SupRank."""

from typing import Any

__all__ = ["DATA_SETS"]

PAPERS = (
    "Ramzi et al., arXiv 2207.04873 (HAPPIER) and arXiv 2309.08250, settings of the authors' code"
)
"""Where all settings come from: a part of every ``source``."""
_CROPS = {"scale": [0.16, 1.0], "ratio": [0.75, 1.33], "hflip": 0.5, "color_jitter": None}
_EVALUATION = {"crop_pct": 0.875}


def _model(
    name: str = "resnet50", weights: str | None = "hub", freeze: int = 5, **changes: Any
) -> dict[str, Any]:
    """A ResNet with average pooling, layer norm without affine and a linear layer to 512 dimensions."""
    return {
        "library": "timm",
        "name": name,
        "weights": weights,
        "pooling": "model",
        "embedding_size": 512,
        "layer_norm": True,
        "image_size": 224,
        "freeze_batch_norm": weights is not None,
        "freeze_epochs": freeze,
        "train_transform": _CROPS,
        "eval_transform": _EVALUATION,
    } | changes


def _training(epochs: int = 100, **changes: Any) -> dict[str, Any]:
    """Batches of 256, mixed precision; ``fp16`` needs a GPU, ``--training.precision no`` does not."""
    return {
        "epochs": epochs,
        "batch_size": 256,
        "precision": "fp16",
        "evaluate_every": 20,
        "seed": 0,
    } | changes


def _adam(lr: float, head_lr: float, weight_decay: float) -> dict[str, Any]:
    return {
        "name": "Adam",
        "lr": lr,
        "head_lr": head_lr,
        "loss_lr": head_lr,
        "weight_decay": weight_decay,
    }


def _nesterov(lr: float, head_lr: float) -> dict[str, Any]:
    options = {"momentum": 0.9, "nesterov": True}
    return _adam(lr, head_lr, 1e-4) | {"name": "SGD", "options": options}


def _cosine(eta_min: float = 0.0) -> dict[str, Any]:
    return {"name": "CosineAnnealingLR", "interval": "epoch", "options": {"eta_min": eta_min}}


def _zero_shot(name: str, **options: Any) -> dict[str, Any]:
    return {"name": name, "train_split": "train", "test_split": "test", "options": options}


_FOUR = {"kind": "m_per_class", "m": 4}


def _entry(source: str, **settings: Any) -> dict[str, Any]:
    return {"source": source, "settings": {"sampler": _FOUR} | settings}


def _inat(what: str, levels: str) -> dict[str, Any]:
    return _entry(
        f"iNaturalist-2018, {what}, Smooth-AP's split: {PAPERS}.",
        data=_zero_shot("inaturalist", levels=levels),
        model=_model(),
        optimizer=_adam(1e-5, 2e-5, 4e-4),
        schedule=_cosine(1e-6),
        training=_training(recall_at=[1, 4, 16, 32]),
    )


def _fine_grained(name: str, source: str, optimizer: dict[str, Any]) -> dict[str, Any]:
    return _entry(
        source,
        data=_zero_shot(name),
        model=_model(freeze=0),
        optimizer=optimizer,
        schedule=_cosine(),
        training=_training(recall_at=[1, 2, 4, 8]),
    )


def _dyml_from_scratch(name: str) -> dict[str, Any]:
    return _entry(
        f"{name}, evaluated here at the fine level: {PAPERS}.",
        data={
            "name": "dyml",
            "train_split": "train",
            "test_split": "query_fine",
            "gallery_split": "gallery_fine",
        },
        model=_model("resnet34", None, freeze=0),
        optimizer=_nesterov(0.1, 0.1),
        schedule=_cosine(1e-6),
        training=_training(recall_at=[1, 10, 20]),
    )


DATA_SETS: dict[str, dict[str, Any]] = {
    "sop": _entry(
        f"Stanford Online Products: {PAPERS}. The sampler draws 4 images of 32 products of 2 of the 12 "
        "super-classes; 330 batches are 5 for each pair of super-classes.",
        data=_zero_shot("sop"),
        model=_model(),
        sampler={"kind": "hierarchical", "group_sizes": [4, 32], "batches_per_epoch": 330},
        optimizer=_adam(5e-5, 1e-4, 1e-4),
        schedule=_cosine(),
        training=_training(recall_at=[1, 10, 100, 1000]),
    ),
    "inat_base": _inat("species and super-category", "base"),
    "inat_full": _inat("all seven ranks", "full"),
    "cub": _fine_grained(
        "cub",
        f"CUB-200-2011: {PAPERS}. The published third level needs data.options.taxonomy.",
        _adam(1e-6, 2e-6, 4e-4),
    ),
    "cars": _fine_grained("cars", f"Cars-196: {PAPERS}.", _adam(1e-4, 2e-4, 4e-4)),
    "dyml_vehicle": _dyml_from_scratch("DyML-Vehicle"),
    "dyml_animal": _dyml_from_scratch("DyML-Animal"),
    "dyml_product": _entry(
        f"DyML-Product: {PAPERS}.",
        data=_zero_shot("dyml"),
        model=_model("resnet34"),
        optimizer=_nesterov(0.01, 0.02),
        schedule=_cosine(1e-5),
        training=_training(20, recall_at=[1, 10, 20]),
    ),
    "gldv2": _entry(
        f"Google Landmarks v2 with the hierarchical labels (H-GLDv2): {PAPERS}, with learnable GeM "
        "pooling. An epoch has 1,000 batches, as the authors' 1024-pixel variant does; their limit of 8 images of a "
        "class in an epoch is not kept.",
        data=_zero_shot("landmarks") | {"gallery_split": "index"},
        model=_model(pooling="gem", freeze=0),
        sampler=_FOUR | {"batches_per_epoch": 1000},
        optimizer=_adam(1e-4, 1e-4, 1e-4),
        schedule=_cosine(),
        training=_training(),
    ),
}
"""Data set to ``source`` and ``settings``."""
