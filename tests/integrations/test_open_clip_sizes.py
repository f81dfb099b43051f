"""Weights of another image size or text length are resized as OpenCLIP's own loader resizes them."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("open_clip", reason="needs the open-clip extra")

import open_clip

from pml_suprank.integrations.backbones import build_retrieval_model
from pml_suprank.integrations.open_clip_backbones import build_open_clip
from pml_suprank.integrations.timm_weights import WeightsError

pytestmark = pytest.mark.usefixtures("no_network")

TEXT = {"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
OWN = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": TEXT,
}
TIMM = {
    "embed_dim": 16,
    "vision_cfg": {
        "image_size": 160,
        "timm_model_name": "test_vit",
        "timm_pool": "",
        "timm_proj": "linear",
    },
    "text_cfg": TEXT,
}


def folder_of(config: dict[str, Any], path: Path) -> Path:
    """A folder with a configuration and the weights of a model of it."""
    path.mkdir()
    (path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    trunk = build_open_clip("any", config=copy.deepcopy(config))
    torch.save(trunk.clip.state_dict(), path / "open_clip_pytorch_model.bin")
    return path


def loaded_by_open_clip(folder: Path, **options: Any) -> dict[str, torch.Tensor]:
    clip = open_clip.create_model(f"local-dir:{folder}", **options)
    return clip.state_dict()


@pytest.mark.parametrize("config", [OWN, TIMM], ids=["own", "timm"])
@pytest.mark.parametrize("size", [16, 48, 192])
def test_another_image_size(config: dict[str, Any], size: int, tmp_path: Path) -> None:
    folder = folder_of(config, tmp_path / "model")
    wanted = loaded_by_open_clip(folder, force_image_size=size)
    file = folder / "open_clip_pytorch_model.bin"
    found = build_open_clip("any", config=copy.deepcopy(config), weights=file, image_size=size)
    assert found.preprocess["size"] in (size, (size, size))
    state = found.clip.state_dict()
    assert state.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert torch.equal(tensor, state[name]), name
    there = build_open_clip(f"local-dir:{folder}", image_size=size)
    assert all(torch.equal(wanted[n], t) for n, t in there.clip.state_dict().items())


def test_another_text_length(tmp_path: Path) -> None:
    folder = folder_of(OWN, tmp_path / "model")
    wanted = loaded_by_open_clip(folder, force_context_length=12)
    file = folder / "open_clip_pytorch_model.bin"
    options = {"force_context_length": 12}
    found = build_open_clip("any", config=copy.deepcopy(OWN), weights=file, **options)
    assert torch.equal(found.clip.positional_embedding, wanted["positional_embedding"])
    assert found.tokenize(["a red fox"]).shape == (1, 12)


def test_weights_of_one_class_of_model_for_the_other(tmp_path: Path) -> None:
    file = folder_of(OWN, tmp_path / "model") / "open_clip_pytorch_model.bin"
    found = build_open_clip(
        "any", config=copy.deepcopy(OWN), weights=file, force_custom_text=True
    ).eval()
    tokens = found.tokenize(["a red fox"])
    same = build_open_clip("any", config=copy.deepcopy(OWN), weights=file).eval()
    assert torch.equal(found.encode_text(tokens), same.encode_text(tokens))


@pytest.mark.parametrize("config", [OWN, TIMM], ids=["own", "timm"])
def test_the_state_of_a_run(config: dict[str, Any], tmp_path: Path) -> None:
    folder = folder_of(config, tmp_path / "model")
    native = build_retrieval_model("open_clip", f"local-dir:{folder}", embedding_size=4)
    larger = build_retrieval_model(
        "open_clip", "any", image_size=64, config=copy.deepcopy(config), embedding_size=4
    )
    larger.load_state_dict(larger.fitted(native.state_dict()))
    wanted = loaded_by_open_clip(folder, force_image_size=64)
    assert all(torch.equal(wanted[n], t) for n, t in larger.trunk.clip.state_dict().items())
    assert torch.equal(larger.embedder.linear.weight, native.embedder.linear.weight)


def test_another_width_is_refused(tmp_path: Path) -> None:
    file = folder_of(OWN, tmp_path / "model") / "open_clip_pytorch_model.bin"
    wide = OWN | {"vision_cfg": OWN["vision_cfg"] | {"width": 48}, "text_cfg": TEXT | {"width": 32}}
    with pytest.raises(WeightsError, match="does not fit CLIP: .* shapes .* instead of"):
        build_open_clip("any", config=copy.deepcopy(wide), weights=file)
