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
