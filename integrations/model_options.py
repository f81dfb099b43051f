"""What a model of timm or OpenCLIP may be asked for: its shape and its regularisation, never where it loads from.

The libraries pass other arguments on to their loaders of checkpoints (``checkpoint_path``, ``pretrained_cfg``,
``weights_only``), to the network, or to code that comes with a model. Make such a model with the library and wrap it in
``TimmTrunk`` or ``OpenClipTrunk``.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

__all__ = ["OPEN_CLIP_OPTIONS", "TIMM_OPTIONS", "check_open_clip_config", "check_options"]

TIMM_OPTIONS = (
    "act_layer",
    "always_partition",
    "attn_drop_rate",
    "attn_type",
    "base_width",
    "cardinality",
    "channels",
    "class_token",
    "depth",
    "depths",
    "dims",
    "drop_block_rate",
    "drop_block_size",
    "drop_path_rate",
    "drop_rate",
    "dynamic_img_pad",
    "dynamic_img_size",
    "embed_dim",
    "embed_dims",
    "fc_norm",
    "final_norm",
    "fix_init",
    "global_pool",
    "growth_rate",
    "head_init_scale",
    "heads",
    "img_size",
    "init_values",
    "layers",
    "layer_scale_init_value",
    "ls_init_value",
    "mlp_ratio",
    "mlp_ratios",
    "no_embed_class",
    "norm_eps",
    "norm_layer",
    "num_features",
    "num_heads",
    "num_reg_tokens",
    "output_stride",
    "pad_type",
    "patch_drop_rate",
    "patch_size",
    "pool_include_prefix",
    "pos_drop_rate",
    "pos_embed",
    "pre_norm",
    "proj_bias",
    "proj_drop_rate",
    "qk_norm",
    "qkv_bias",
    "reg_tokens",
    "scale_attn_norm",
    "scale_mlp_norm",
    "stem_chs",
    "stem_size",
    "stem_type",
    "stem_width",
    "strict_img_size",
    "use_rot_pos_emb",
    "weight_init",
    "width",
    "width_factor",
    "window_ratio",
    "window_size",
    "zero_init_last",
)
"""Arguments of timm's models that a settings file may give."""

OPEN_CLIP_OPTIONS = (
    "force_context_length",
    "force_custom_text",
    "force_patch_dropout",
    "force_quick_gelu",
    "init_logit_bias",
    "init_logit_scale",
    "nonscalar_logit_scale",
    "quick_gelu",
)
"""Arguments of OpenCLIP's models that a settings file may give."""

_TOKENIZER_OPTIONS = {"clean", "language", "strip_sep_token"}


def check_options(options: Iterable[str], known: Iterable[str], wrapper: str) -> None:
    """Refuse options that are not listed.

    Raises:
        ValueError: names the option and the list.
    """
    for name in options:
        if name not in known:
            raise ValueError(
                f"options.{name}: wanted one of {', '.join(known)}; got {name!r}. For others make the model with its "
                f"library and wrap it in {wrapper}"
            )


def check_open_clip_config(
    config: Any, is_timm_model: Callable[[str], bool], *, network: bool = False
) -> None:
    """Refuse a configuration of OpenCLIP that would load more than a model of OpenCLIP or timm.

    Args:
        config: with embed_dim, vision_cfg and text_cfg.
        is_timm_model: whether timm itself has a model of this name.
        network: whether a text tower may come from the hub.

    Raises:
        ValueError: names the key.
    """
    parts: list[Any] = []
    if isinstance(config, Mapping):
        parts = [config.get(name) for name in ("vision_cfg", "text_cfg")]
    if not parts or not all(isinstance(part, Mapping) for part in parts):
        raise ValueError("config: wanted a mapping with embed_dim, vision_cfg and text_cfg")
    vision, text = parts
    name = vision.get("timm_model_name")
    if name and not (isinstance(name, str) and is_timm_model(name)):
        raise ValueError(
            f"config.vision_cfg.timm_model_name: wanted a model of timm, got {name!r:.80}"
        )
    if not network:
        for part, key in ((vision, "timm_model_pretrained"), (text, "hf_model_name")):
            if part.get(key):
                raise ValueError(
                    f"config: wanted no {key} without weights from the hub, got {part[key]!r:.80}"
                )
    options = text.get("tokenizer_kwargs") or {}
    if not isinstance(options, Mapping) or not set(options) <= _TOKENIZER_OPTIONS:
        raise ValueError(
            f"config.text_cfg.tokenizer_kwargs: wanted {', '.join(sorted(_TOKENIZER_OPTIONS))}, "
            f"got {options!r:.80}"
        )
