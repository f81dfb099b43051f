"""GeM against the formula, written with NumPy loops in float64."""

import numpy as np
import pytest
import torch

from pml_suprank.integrations.pooling import GeM


def gem_by_loops(features: np.ndarray, p: float, eps: float) -> np.ndarray:
    pooled = np.zeros(features.shape[:2])
    for b, c in np.ndindex(*pooled.shape):
        powers = [max(value, eps) ** p for value in features[b, c].ravel()]
        pooled[b, c] = (sum(powers) / len(powers)) ** (1 / p)
    return pooled


@pytest.mark.parametrize("p", [0.5, 1.0, 3.0, 7.5])
def test_formula(p: float) -> None:
    features = torch.randn(2, 3, 4, 5, dtype=torch.float64, generator=torch.manual_seed(0))
    expected = gem_by_loops(features.numpy(), p, 1e-6)
    np.testing.assert_allclose(GeM(p)(features).detach().numpy(), expected, rtol=1e-6)


def test_average_and_maximum_are_the_ends() -> None:
    features = torch.rand(2, 3, 4, 4, dtype=torch.float64) + 0.1
    average, maximum = GeM(1.0)(features), GeM(200.0)(features)
    torch.testing.assert_close(average, features.mean((2, 3)))
    torch.testing.assert_close(maximum, features.amax((2, 3)), rtol=0.02, atol=0)


def test_p_learns() -> None:
    features = torch.rand(2, 3, 4, 4, dtype=torch.float64).requires_grad_()
    pool = GeM(3.0).double()
    assert torch.autograd.gradcheck(
        lambda x, p: (pool, setattr(pool.p, "data", p.data))[0](x), (features, pool.p)
    )
    pool(features).sum().backward()
    assert pool.p.grad is not None
    assert pool.p.grad.abs() > 0


def test_fixed_p_is_saved_but_not_trained() -> None:
    pool = GeM(2.5, learnable=False)
    assert list(pool.parameters()) == []
    assert pool.state_dict()["p"] == 2.5


def test_half_precision_stays_finite() -> None:
    features = torch.full((1, 2, 3, 3), 200.0, dtype=torch.float16)  # 200^3 overflows float16
    pooled = GeM(3.0)(features)
    assert pooled.dtype == torch.float16
    torch.testing.assert_close(pooled, torch.full((1, 2), 200.0, dtype=torch.float16))


@pytest.mark.parametrize("bad", [{"p": 0.0}, {"p": float("nan")}, {"eps": -1.0}])
def test_bad_arguments(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=rf"{next(iter(bad))}: wanted a positive finite number"):
        GeM(**bad)


def test_bad_shape() -> None:
    with pytest.raises(ValueError, match=r"features: wanted shape \[B, C, H, W\], got \(2, 3\)"):
        GeM()(torch.zeros(2, 3))
