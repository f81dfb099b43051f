"""timm models as trunk and embedder, with random weights or files; never the network."""

import copy
from pathlib import Path

import pytest
import torch
from pytorch_metric_learning import losses, trainers
from torch import nn

pytest.importorskip("timm", reason="needs the timm extra")

import timm
from PIL import Image

from pml_suprank.integrations.timm_backbones import (
    Embedder,
    build_models,
    build_transforms,
    build_trunk,
)
from pml_suprank.integrations.timm_weights import WeightsError

CNN, VIT, CHANNELS_LAST = "test_resnet", "test_vit", "test_mambaout"


pytestmark = pytest.mark.usefixtures("no_network")


@pytest.mark.parametrize("name", [CNN, VIT, CHANNELS_LAST])
def test_own_pooling_equals_the_model(name: str) -> None:
    trunk = build_trunk(name).eval()
    images = torch.randn(2, *trunk.data_config["input_size"])
    features = trunk(images)
    assert features.shape == (2, trunk.out_features)
    torch.testing.assert_close(features, trunk.model(images))


@pytest.mark.parametrize("name", [CNN, CHANNELS_LAST])
def test_gem_pools_the_feature_map(name: str) -> None:
    trunk = build_trunk(name, pooling="gem", gem_p=1.0).eval()
    images = torch.randn(2, *trunk.data_config["input_size"])
    maps = trunk.model.forward_features(images)
    axes = (2, 3) if maps.shape[1] == trunk.out_features else (1, 2)
    torch.testing.assert_close(trunk(images), maps.clamp(min=1e-6).mean(axes), rtol=1e-4, atol=1e-5)
    assert any(name == "pool.p" for name, _ in trunk.named_parameters())


def test_gem_needs_a_feature_map() -> None:
    trunk = build_trunk(VIT, pooling="gem")
    with pytest.raises(ValueError, match="use pooling='model'"):
        trunk(torch.zeros(1, *trunk.data_config["input_size"]))


def test_channels_last_changes_no_value() -> None:
    trunk = build_trunk(CNN).eval()
    other = build_trunk(CNN, channels_last=True).eval()
    other.load_state_dict(trunk.state_dict())
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(trunk(images), other(images), rtol=1e-4, atol=1e-5)
    weights = next(layer.weight for layer in other.modules() if isinstance(layer, nn.Conv2d))
    assert weights.is_contiguous(memory_format=torch.channels_last)


def test_embedder() -> None:
    features = torch.randn(4, 6)
    plain, normed = Embedder(6, 3), Embedder(6, 3, layer_norm=True)
    torch.testing.assert_close(
        plain(features), features @ plain.linear.weight.T + plain.linear.bias
    )
    centred = features - features.mean(1, keepdim=True)
    centred = centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(normed(features), normed.linear(centred))
    with pytest.raises(ValueError, match="embedding_size: wanted at least 1, got 0"):
        Embedder(6, 0)


# PML's trainer formats the loss while it still requires a gradient.
@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad=True:UserWarning")
def test_models_train_in_pml() -> None:
    models = build_models(CNN, 8, layer_norm=True)
    before = copy.deepcopy(models["embedder"].state_dict())
    size = 32
    data = [(torch.randn(3, size, size), i // 2) for i in range(8)]
    trainer = trainers.MetricLossOnly(
        models=models,
        optimizers={
            f"{name}_optimizer": torch.optim.SGD(model.parameters(), lr=0.1)
            for name, model in models.items()
        },
        batch_size=8,
        loss_funcs={"metric_loss": losses.ContrastiveLoss()},
        dataset=data,
        data_device=torch.device("cpu"),
        dataloader_num_workers=0,
        freeze_trunk_batchnorm=True,
    )
    trainer.train(num_epochs=1)
    assert not torch.equal(before["linear.weight"], models["embedder"].linear.weight)


def test_transforms_follow_the_model() -> None:
    trunk = build_trunk(CNN)
    train, evaluate = build_transforms(trunk)
    channels, side, _ = trunk.data_config["input_size"]
    white = Image.new("RGB", (200, 100), "white")
    for transform in (train, evaluate):
        assert transform(white).shape == (channels, side, side)
    mean, std = (torch.tensor(trunk.data_config[key]) for key in ("mean", "std"))
    torch.testing.assert_close(evaluate(white)[:, 0, 0], (1 - mean) / std)


def test_transforms_at_another_size_and_with_options() -> None:
    trunk = build_trunk(CNN)
    train, evaluate = build_transforms(
        trunk,
        48,
        train_options={"color_jitter": None, "hflip": 0.0},
        eval_options={"crop_pct": 1.0},
    )
    left_black = Image.new("RGB", (48, 48), "white")
    left_black.paste("black", (0, 0, 24, 48))
    shown = evaluate(left_black)
    assert shown.shape == train(left_black).shape == (3, 48, 48)
    assert shown[0, :, 0].unique().numel() == 1  # crop_pct=1 keeps the border
    assert shown[0, 0, 0] < shown[0, 0, -1]


def test_fixed_input_size() -> None:
    trunk = build_trunk(VIT)
    own = trunk.data_config["input_size"][-1]
    build_transforms(trunk, own)
    with pytest.raises(
        ValueError, match=rf"image_size: wanted {own} .* got {own + 16}.*image_size={own + 16}"
    ):
        build_transforms(trunk, own + 16)
    with pytest.raises(ValueError, match="image_size: wanted at least 1, got 0"):
        build_transforms(build_trunk(CNN), 0)


def test_local_checkpoint(tmp_path: Path) -> None:
    source = timm.create_model(CNN, pretrained=False)  # with its classifier
    wrapped = {"state_dict": {f"module.{k}": v for k, v in source.state_dict().items()}}
    for name, content in (("plain.pth", source.state_dict()), ("wrapped.pth", wrapped)):
        torch.save(content, tmp_path / name)
        trunk = build_trunk(CNN, weights=tmp_path / name)
        for key, value in trunk.model.state_dict().items():
            assert torch.equal(value, source.state_dict()[key])


def test_safetensors_checkpoint(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch", reason="needs safetensors")
    source = timm.create_model(CNN, pretrained=False)
    safetensors.save_file(source.state_dict(), tmp_path / "w.safetensors")
    trunk = build_trunk(CNN, weights=str(tmp_path / "w.safetensors"))
    assert torch.equal(
        next(trunk.model.parameters()), source.get_parameter(next(iter(source.state_dict())))
    )
    (tmp_path / "bad.safetensors").write_bytes(b"no header")
    with pytest.raises(WeightsError, match=r"bad.safetensors cannot be read"):
        build_trunk(CNN, weights=tmp_path / "bad.safetensors")


def _without_first(state: dict[str, torch.Tensor]) -> None:
    del state[next(iter(state))]


def _with_another(state: dict[str, torch.Tensor]) -> None:
    state["surprise.weight"] = torch.zeros(1)


def _reshaped(state: dict[str, torch.Tensor]) -> None:
    name = next(iter(state))
    state[name] = state[name][:1]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (_without_first, "1 missing"),
        (_with_another, "1 left over .surprise"),
        (_reshaped, "1 shapes"),
    ],
)
def test_local_checkpoint_that_does_not_fit(tmp_path: Path, change, fault: str) -> None:
    state = timm.create_model(CNN, pretrained=False).state_dict()
    change(state)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=rf"w.pth does not fit .*{fault}"):
        build_trunk(CNN, weights=tmp_path / "w.pth")


def test_unreadable_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"gone.pth does not exist"):
        build_trunk(CNN, weights=tmp_path / "gone.pth")
    (tmp_path / "text.pth").write_text("not a checkpoint")
    with pytest.raises(WeightsError, match=r"text.pth cannot be read"):
        build_trunk(CNN, weights=tmp_path / "text.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match=r"list.pth must hold tensors by name"):
        build_trunk(CNN, weights=tmp_path / "list.pth")


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match=r"name: wanted a timm model, got 'resnet5O'"):
        build_trunk("resnet5O")
    with pytest.raises(ValueError, match=r"pooling: wanted 'model' or 'gem', got 'max'"):
        build_trunk(CNN, pooling="max")
    with pytest.raises(ValueError, match=r"weights='packaged': wanted .*efficientnet_lite0"):
        build_trunk(CNN, weights="packaged")


def test_a_model_on_the_hub_needs_the_network() -> None:
    with pytest.raises(ValueError, match="weights: wanted 'hub' for 'hf-hub:org/model'"):
        build_trunk("hf-hub:org/model")


@pytest.mark.parametrize("weights", ["none", "file"])
def test_a_vision_transformer_takes_another_image_size(weights: str, tmp_path: Path) -> None:
    file = tmp_path / "vit.pth"
    torch.save(timm.create_model("test_vit", num_classes=0).state_dict(), file)
    trunk = build_trunk("test_vit", weights=None if weights == "none" else str(file), image_size=96)
    _, evaluate = build_transforms(trunk, 96)
    images = evaluate(Image.new("RGB", (200, 100), "red"))[None]
    assert images.shape == (1, 3, 96, 96)
    assert trunk.data_config["input_size"] == (3, 96, 96)
    assert trunk(images).shape == (1, trunk.out_features)


def test_image_size_and_img_size_agree() -> None:
    trunk = build_trunk("test_vit", image_size=96, img_size=96)
    assert trunk(torch.zeros(1, 3, 96, 96)).shape == (1, trunk.out_features)
    with pytest.raises(ValueError, match="image_size: wanted img_size=64 or none .* got 96"):
        build_trunk("test_vit", image_size=96, img_size=64)
    with pytest.raises(ValueError, match="image_size: wanted at least 1, got 0"):
        build_trunk("test_vit", image_size=0)
