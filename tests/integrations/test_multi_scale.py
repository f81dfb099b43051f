import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate, normalize

from pml_suprank.integrations.multi_scale import SCALES, MultiScale


def backbone() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


@pytest.mark.parametrize("power", [1.0, 3.0])
def test_against_one_scale_after_the_other(power: float) -> None:
    model, images = backbone(), torch.rand(2, 3, 20, 30)
    found = MultiScale(model, SCALES, power)(images)
    parts = []
    for scale in SCALES:
        size = (round(20 * scale), round(30 * scale))
        resized = interpolate(images, size, mode="bilinear", antialias=True)
        parts.append(normalize(model(images if scale == 1 else resized), dim=1) ** power)
    expected = normalize(torch.stack(parts).mean(0) ** (1 / power), dim=1)
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(found, normalize(model(images), dim=1), atol=1e-4)


def test_one_scale_is_the_model() -> None:
    model, images = backbone(), torch.rand(2, 3, 20, 30)
    torch.testing.assert_close(MultiScale(model, (1.0,))(images), normalize(model(images), dim=1))


def test_errors() -> None:
    fixed = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))
    with pytest.raises(
        ValueError, match="scales: wanted a model that takes images of 6 x 6 pixels"
    ):
        MultiScale(fixed)(torch.rand(1, 3, 8, 8))
    with pytest.raises(ValueError, match=r"scales: wanted one or more factors > 0, got \[\]"):
        MultiScale(fixed, ())
    with pytest.raises(ValueError, match="power: wanted > 0, got 0"):
        MultiScale(fixed, power=0)
    with pytest.raises(ValueError, match="power: wanted 1 for embeddings with negative entries"):
        MultiScale(fixed, (1.0,), power=3)(torch.randn(1, 3, 8, 8))
    with pytest.raises(RuntimeError):  # an error of the model itself stays what it is
        MultiScale(fixed, (1.0, 2.0))(torch.rand(1, 3, 9, 9))
