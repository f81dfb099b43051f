"""The metrics on an accelerator give the values they give on the CPU."""

import pytest
import torch

from pml_suprank import metrics
from pml_suprank.accuracy_calculator import AccuracyCalculator

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator"),
]


def problem():
    """Embeddings whose products are exact in float32, with many ties."""
    embeddings = torch.randint(-16, 17, (300, 32)) / 16
    fine = torch.randint(40, (300,))
    return embeddings, torch.stack([fine, fine // 5, fine // 20], 1)


def test_evaluate():
    embeddings, labels = problem()
    here = metrics.evaluate(embeddings, labels, k=(1, 10), similarity="dot")
    there = metrics.evaluate(embeddings.cuda(), labels.cuda(), k=(1, 10), similarity="dot")
    for name, result in here.items():
        assert there[name].values.device.type == "cpu"
        assert torch.equal(result.valid, there[name].valid)
        torch.testing.assert_close(result.values, there[name].values, rtol=1e-12, atol=0)


def test_calculator():
    embeddings, labels = problem()
    options = {"exclude": ("AMI", "NMI"), "similarity": "dot"}
    here = AccuracyCalculator(device="cpu", **options).get_accuracy(embeddings, labels)
    there = AccuracyCalculator(device="cuda", **options).get_accuracy(embeddings, labels)
    assert there == pytest.approx(here, rel=1e-12)


@pytest.mark.parametrize("similarity", ["euclidean", "cosine", "dot"])
@pytest.mark.parametrize("offset", [0, 1000])
def test_hard_embeddings_and_products_in_tf32(similarity, offset):
    """What the caller allows other products changes no ranking; an offset neither."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(300, 32, generator=generator) + offset
    labels = torch.arange(300) % 20
    wanted = metrics.mean_average_precision(points.double(), labels, similarity=similarity)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        there = metrics.mean_average_precision(points.cuda(), labels.cuda(), similarity=similarity)
        listed = [
            [item for item in range(query % 20, 300, 20) if item != query] for query in range(300)
        ]
        judged = metrics.evaluate_judged(
            points.cuda(),
            points.cuda(),
            listed,
            [[query] for query in range(300)],
            metrics="mean_average_precision",
            similarity=similarity,
        )["mean_average_precision"]
    finally:
        torch.set_float32_matmul_precision(before)
    for found in (there, judged):
        assert abs(found.mean() - wanted.mean()) < 2e-5
