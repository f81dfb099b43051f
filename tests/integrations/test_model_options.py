"""Options of models reach no loader, no network and no code of others."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("timm", reason="needs the timm extra")
pytest.importorskip("open_clip", reason="needs the open-clip extra")

import open_clip
import timm

from pml_suprank.integrations.backbones import build_retrieval_model
from pml_suprank.integrations.model_options import OPEN_CLIP_OPTIONS, TIMM_OPTIONS
from pml_suprank.integrations.open_clip_backbones import NAMED_CONFIGS, build_open_clip
from pml_suprank.integrations.timm_backbones import build_trunk
from pml_suprank.integrations.timm_weights import WeightsError


class Touch:
    """Unpickled, it writes a marker."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return Path.touch, (self.marker,)


def poisoned(tmp_path: Path) -> tuple[Path, Path]:
    marker, file = tmp_path / "marker", tmp_path / "weights.pth"
    torch.save({"state_dict": {"x": Touch(marker)}}, file)
    torch.load(file, weights_only=False)
    assert marker.exists()  # the payload works
    marker.unlink()
    return marker, file


@pytest.mark.parametrize(
    "options",
    [
        {"checkpoint_path": "FILE"},
        {"pretrained_cfg": {"file": "FILE"}},
        {"pretrained_cfg_overlay": {"file": "FILE"}},
        {"pretrained": True},
        {"cache_dir": "x"},
        {"num_classes": 3},
        {"features_only": True},
        {"pretrained_custom_load": True},
        {"block": "x"},
    ],
)
@pytest.mark.parametrize("library", ["timm", "open_clip"])
def test_options_beside_the_list_are_refused(
    library: str, options: dict[str, Any], tmp_path: Path
) -> None:
    marker, file = poisoned(tmp_path)
    options = json.loads(json.dumps(options).replace("FILE", str(file)))
    name = "test_resnet" if library == "timm" else "small-vit"
    with pytest.raises((ValueError, TypeError), match=next(iter(options))):
        build_retrieval_model(library, name, **options)
    assert not marker.exists()


@pytest.mark.parametrize(
    "option",
    [
        "weights_only",
        "pretrained_image_path",
        "pretrained_text_path",
        "pretrained_image",
        "pretrained_hf",
        "vision_cfg",
        "text_cfg",
        "jit",
        "require_pretrained",
    ],
)
def test_openclip_has_a_list_of_its_own(option: str) -> None:
    with pytest.raises(ValueError, match=f"options.{option}: wanted one of config, force_"):
        build_open_clip("ViT-B-32", **{option: False})


def test_options_of_the_lists_work() -> None:
    assert {"drop_path_rate", "img_size", "global_pool"} <= set(TIMM_OPTIONS)
    trunk = build_trunk("test_vit", drop_path_rate=0.3, img_size=64, qk_norm=True)
    assert trunk(torch.zeros(1, 3, 64, 64)).shape == (1, trunk.out_features)
    assert "init_logit_scale" in OPEN_CLIP_OPTIONS
    clip = build_open_clip("small-vit", init_logit_scale=1.5).clip
    assert float(clip.logit_scale) == 1.5


@pytest.mark.parametrize("suffix", ["pth", "pt", "bin"])
def test_weights_of_others_run_nothing(suffix: str, tmp_path: Path) -> None:
    marker, file = poisoned(tmp_path)
    with pytest.raises(ValueError, match="cannot be read"):
        build_trunk("test_resnet", weights=file.rename(tmp_path / f"w.{suffix}"))
    assert not marker.exists()


def folder(tmp_path: Path, **changes: Any) -> Path:
    """A model of OpenCLIP in a folder, as others share it."""
    config = json.loads(json.dumps(NAMED_CONFIGS["small-vit"]))
    for part, values in changes.items():
        config[part] |= values
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    return tmp_path


def test_a_folder_of_others_runs_nothing(tmp_path: Path) -> None:
    marker, file = poisoned(tmp_path)
    file.rename(tmp_path / "open_clip_pytorch_model.bin")
    name = f"local-dir:{folder(tmp_path)}"
    with pytest.raises(ValueError, match="options.weights_only: wanted one of"):
        build_open_clip(name, weights_only=False)
    with pytest.raises(WeightsError, match="wanted tensors alone"):
        build_open_clip(name)
    assert not marker.exists()
    whole = open_clip.CLIP(**NAMED_CONFIGS["small-vit"]).state_dict()
    torch.save(whole, tmp_path / "open_clip_pytorch_model.bin")
    trunk = build_open_clip(name)
    assert torch.equal(trunk.clip.state_dict()["logit_scale"], whole["logit_scale"])
    assert trunk.tokenize(["a red fox"]).shape == (1, 32)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"text_cfg": {"tokenizer_kwargs": {"trust_remote_code": True}}},
            "tokenizer_kwargs: wanted clean, language, strip_sep_token, got",
        ),
        ({"text_cfg": {"hf_model_name": "x/y"}}, "wanted no hf_model_name without"),
        (
            {"vision_cfg": {"timm_model_name": "local-dir:/x"}},
            "timm_model_name: wanted a model of timm, got 'local-dir:/x'",
        ),
        (
            {"vision_cfg": {"timm_model_name": "test_vit", "timm_model_pretrained": True}},
            "wanted no timm_model_pretrained without",
        ),
    ],
)
def test_configurations_of_others_load_nothing_else(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    place = folder(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        build_open_clip(f"local-dir:{place}")
    config = json.loads((place / "open_clip_config.json").read_text())["model_cfg"]
    with pytest.raises(ValueError, match=message):
        build_open_clip("given", config=config)


def test_the_code_of_a_tokenizer_stays_unread(tmp_path: Path) -> None:
    """A tokenizer that comes with code of its own is refused, without a question at the terminal."""
    pytest.importorskip("transformers", reason="needs the sentences extra")
    place = folder(tmp_path, text_cfg={"hf_tokenizer_name": "theirs"})
    marker = tmp_path / "marker"
    torch.save(
        open_clip.CLIP(**NAMED_CONFIGS["small-vit"]).state_dict(),
        place / "open_clip_pytorch_model.bin",
    )
    code = {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["evil.Evil", None]}}
    (place / "tokenizer_config.json").write_text(json.dumps(code))
    (place / "config.json").write_text("{}")
    (place / "evil.py").write_text(f"open({str(marker)!r}, 'w')\nclass Evil: pass\n")
    with pytest.raises(Exception, match="trust_remote_code|tokenizer"):
        build_open_clip(f"local-dir:{place}")
    assert not marker.exists()


def test_timm_is_one_that_loads_weights_only(tmp_path: Path) -> None:
    marker, file = poisoned(tmp_path)
    with pytest.raises(RuntimeError, match="weights_only"):
        timm.create_model("test_resnet", checkpoint_path=str(file))
    assert not marker.exists()
