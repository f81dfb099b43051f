import numpy as np
import pytest
import torch

from pml_suprank.whitening import Whitening, pair_whitening, pca_whitening, random_pairs


def data(count: int = 200, width: int = 6, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(width, width, generator=generator, dtype=torch.float64)
    return torch.randn(count, width, generator=generator, dtype=torch.float64) @ mixing + 3


def unnormalised(whitening: Whitening, values: torch.Tensor) -> torch.Tensor:
    return (values - whitening.mean) @ whitening.projection.T


def same_up_to_signs(one: torch.Tensor, other: np.ndarray) -> None:
    np.testing.assert_allclose(np.abs(one.numpy()), np.abs(other), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("dim", [None, 3])
def test_pca_is_that_of_scikit_learn(dim: int | None) -> None:
    decomposition = pytest.importorskip("sklearn.decomposition")
    values = data()
    whitening = pca_whitening(values, dim)
    reference = decomposition.PCA(dim, whiten=True, svd_solver="full").fit(values.numpy())
    same_up_to_signs(unnormalised(whitening, values), reference.transform(values.numpy()))
    expected = reference.transform(values.numpy())
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    same_up_to_signs(whitening(values), expected)


def test_the_covariance_after_pca_is_the_identity() -> None:
    values = data()
    projected = unnormalised(pca_whitening(values, 4), values)
    torch.testing.assert_close(projected.T.cov(), torch.eye(4, dtype=torch.float64))


def slow_pair_whitening(values: np.ndarray, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Column vectors, as the paper writes it."""
    x = values.T
    mean = x[:, pairs[:, 0]].mean(1, keepdims=True)
    d = x[:, pairs[:, 0]] - x[:, pairs[:, 1]]
    p = np.linalg.inv(np.linalg.cholesky(d @ d.T / d.shape[1]))
    y = p @ (x - mean)
    value, vector = np.linalg.eig(y @ y.T)
    return mean[:, 0], vector[:, value.argsort()[::-1]].T @ p


def test_pair_whitening_against_the_paper() -> None:
    values, labels = data(), torch.arange(200) % 40
    pairs = random_pairs(labels)
    whitening = pair_whitening(values, pairs)
    mean, projection = slow_pair_whitening(values.numpy(), pairs.numpy())
    np.testing.assert_allclose(whitening.mean, mean)
    same_up_to_signs(whitening.projection, projection)
    short = pair_whitening(values, pairs, 2)
    torch.testing.assert_close(short.projection, whitening.projection[:2])
    difference = (values[pairs[:, 0]] - values[pairs[:, 1]]) @ whitening.projection.T
    covariance = difference.T @ difference / len(pairs)
    torch.testing.assert_close(covariance, torch.eye(6, dtype=torch.float64))


def test_pair_whitening_separates_classes_better() -> None:
    """Noise along two axes hides the classes; the pairs tell which axes these are."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(300) % 10
    centres = torch.randn(10, 5, generator=generator)
    values = centres[labels] + 0.1 * torch.randn(300, 5, generator=generator)
    values[:, :2] += 50 * torch.randn(300, 2, generator=generator)

    def nearest(points: torch.Tensor) -> float:
        scores = torch.nn.functional.normalize(points, dim=1)
        scores = scores @ scores.T
        scores.fill_diagonal_(-2)
        return float((labels[scores.argmax(1)] == labels).float().mean())

    train = torch.arange(300) < 150
    whitening = pair_whitening(values[train], random_pairs(labels[train]))
    assert nearest(values) < 0.5
    assert nearest(whitening(values)) > 0.95


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_dtypes_and_state(dtype: torch.dtype) -> None:
    values = data().to(dtype)
    whitening = pca_whitening(values, 3)
    found = whitening(values)
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert bool(found.isfinite().all())
    torch.testing.assert_close(found.norm(dim=1), torch.ones(200, dtype=found.dtype))
    other = Whitening(torch.zeros(6, dtype=found.dtype), torch.zeros(3, 6, dtype=found.dtype))
    other.load_state_dict(whitening.state_dict())
    assert torch.equal(other(values), found)
    assert str(whitening) == "Whitening(6, 3)"


def test_random_pairs() -> None:
    labels = torch.tensor([5, 7, 5, 5, 9])
    assert random_pairs(labels).tolist() == [[0, 2], [0, 3], [2, 3]]
    many = torch.zeros(1000, dtype=torch.long)
    pairs = random_pairs(many, per_class=20, seed=3)
    assert pairs.shape == (20, 2)
    assert len(pairs.unique(dim=0)) == 20
    assert bool((pairs[:, 0] < pairs[:, 1]).all())
    assert torch.equal(pairs, random_pairs(many, per_class=20, seed=3))
    assert not torch.equal(pairs, random_pairs(many, per_class=20, seed=4))
    mixed = torch.arange(60) % 7
    found = random_pairs(mixed, per_class=5)
    assert bool((mixed[found[:, 0]] == mixed[found[:, 1]]).all())
    assert (mixed[found[:, 0]].bincount() == 5).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pca_whitening(data(), 7), "dim: wanted 1..6, got 7"),
        (lambda: pca_whitening(data(1)), "embeddings: wanted two rows at least, got 1"),
        (lambda: pca_whitening(data(4), 5), "wanted 5 directions with a variance, got 3"),
        (lambda: pca_whitening(torch.ones(9, 3)), "wanted 3 directions with a variance, got"),
        (lambda: pca_whitening(torch.full((4, 2), torch.nan)), "embeddings: wanted finite"),
        (lambda: pair_whitening(data(), [[0, 1]]), "pairs that differ in all 6 dimensions, got 1"),
        (lambda: pair_whitening(data(), [[0, 200]]), r"pairs: wanted rows 0..199, got 0..200"),
        (lambda: pair_whitening(data(), [0, 1]), r"pairs: wanted \(P, 2\), P > 0"),
        (lambda: random_pairs(torch.arange(4)), "labels: wanted a class with two items, got none"),
        (lambda: random_pairs(torch.ones(2, 2).long()), "labels: wanted 1-D class labels"),
        (lambda: random_pairs([0, 0], 0), "per_class: wanted at least 1, got 0"),
        (lambda: Whitening(torch.ones(3), torch.ones(2, 4)), r"projection: wanted \(d, D\)"),
    ],
)
def test_wrong_arguments(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
