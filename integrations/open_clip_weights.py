"""Weights of OpenCLIP models from files and packages, resized to the model as OpenCLIP resizes them."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pml_suprank.integrations import require
from pml_suprank.integrations.packaged_text import load_packaged_text
from pml_suprank.integrations.timm_weights import fill, load_packaged_weights, read_weights

__all__ = ["fitted", "load_checkpoint", "load_packaged"]

_POSITION_IDS = "text.transformer.embeddings.position_ids"
_TIMM_POSITIONS = "visual.trunk.pos_embed"


def load_checkpoint(clip: Any, path: str | os.PathLike[str]) -> None:
    """Load a checkpoint of OpenCLIP, with position embeddings of another image size or text length resized.

    Args:
        clip: OpenCLIP model.
        path: ``.pt``, ``.pth``, ``.bin`` or ``.safetensors``.

    Raises:
        WeightsError: the file is missing, unreadable or does not fit.
    """
    path = Path(path)
    fill(clip, fitted(clip, read_weights(path)), {name: name for name in clip.state_dict()}, path)


def load_packaged(clip: Any, has_text: bool) -> None:
    """Give the packaged weights to the image tower of a model and, where it is MiniLM, to the text tower.

    Raises:
        ImportError: a package is missing; names the extra.
        WeightsError: a package holds something else.
    """
    load_packaged_weights(clip.visual.trunk)
    if has_text:
        load_packaged_text(clip.text)


def fitted(clip: Any, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors of a checkpoint as a model takes them, by what OpenCLIP's own loader does.

    Checkpoints of older versions get today's names. Where the model is of another image size or text length, position
    embeddings are interpolated: those of OpenCLIP's towers by OpenCLIP, those of timm's by timm. What does not fit for
    another reason stays as it is.

    Args:
        clip: OpenCLIP model.
        tensors: by name.
    """
    model: Any = require("open_clip.model", extra="open-clip")
    convert: Any = require("open_clip.convert", extra="open-clip")
    found = convert.convert_state_dict(clip, dict(tensors))
    if "positional_embedding" in found and not hasattr(clip, "positional_embedding"):
        found = model.convert_to_custom_text_state_dict(found)
    found.pop(_POSITION_IDS, None)
    own = clip.state_dict()
    resizable = {
        name: found[name].ndim == own[name].ndim and found[name].shape[-1] == own[name].shape[-1]
        for name in own.keys() & found.keys()
        if name.endswith(("positional_embedding", "pos_embed"))
    }
    if resizable.get("visual.positional_embedding"):
        model.resize_pos_embed(found, clip)
    if resizable.get("positional_embedding") or resizable.get("text.positional_embedding"):
        model.resize_text_pos_embed(found, clip)
    if resizable.get(_TIMM_POSITIONS):
        found[_TIMM_POSITIONS] = _timm_positions(clip.visual.trunk, found[_TIMM_POSITIONS])
    return found


def _timm_positions(tower: Any, positions: torch.Tensor) -> torch.Tensor:
    """Position embeddings [1, N, D] of another square grid, resized as timm's ``set_input_size`` does."""
    if positions.shape == tower.pos_embed.shape:
        return positions
    layers: Any = require("timm.layers", extra="open-clip")
    grid = list(tower.patch_embed.grid_size)
    prefix = tower.pos_embed.shape[1] - grid[0] * grid[1]
    return layers.resample_abs_pos_embed(positions, new_size=grid, num_prefix_tokens=prefix)
