"""The losses on an accelerator give the values and gradients they give on the CPU."""

import pytest
import torch

from tests.losses.cases import ALL_LOSSES, SURROGATE_LOSSES, batch, make, value_and_gradient

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator"),
]


def check(loss_fn, twin):
    embeddings, labels = batch(40, dtype=torch.float64)
    torch.manual_seed(1)
    expected = value_and_gradient(loss_fn.double(), embeddings, labels)
    torch.manual_seed(1)
    loss, gradient = value_and_gradient(twin.double().cuda(), embeddings.cuda(), labels.cuda())
    torch.testing.assert_close((loss.cpu(), gradient.cpu()), expected)


@pytest.mark.parametrize("name", ALL_LOSSES)
def test_losses(name):
    check(make(name), make(name))


@pytest.mark.parametrize("name", SURROGATE_LOSSES)
def test_mixup(name):
    check(make(name, mixup=True), make(name, mixup=True))
