"""Two passes have the gradient of one, random numbers included."""

import copy

import pytest
import torch
from torch import nn

from pml_suprank import losses
from pml_suprank.recipes.engine.steps import gradient_step

LABELS = torch.arange(6).repeat_interleave(4)


class Towers(nn.Module):
    """Images and captions through towers of their own, with dropout and batch norm."""

    def __init__(self, dropout: float = 0.0):
        super().__init__()
        self.image = nn.Sequential(
            nn.Linear(5, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Dropout(dropout), nn.Linear(16, 8)
        )
        self.text = nn.Sequential(
            nn.Linear(3, 16), nn.Tanh(), nn.Dropout(dropout), nn.Linear(16, 8)
        )

    def forward(self, images: torch.Tensor, tokens: torch.Tensor | None = None) -> torch.Tensor:
        found = self.image(images)
        return found if tokens is None else torch.cat([found, self.text(tokens)])


def build(dropout: float = 0.0) -> tuple[Towers, nn.Module]:
    torch.manual_seed(0)
    model = Towers(dropout).double()
    model(torch.randn(50, 5, dtype=torch.double))  # batch norm with statistics of its own
    model.train()
    model.image[1].eval()
    loss = losses.DecomposableRankLoss(losses.SupAPLoss(), losses.ProxyClusterLoss(6, 8))
    return model, loss.double()


def inputs(captions: bool) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(24, 5, generator=generator, dtype=torch.double)
    tokens = torch.randn(24, 3, generator=generator, dtype=torch.double)
    return (images, tokens) if captions else (images,)


def gradients(model: nn.Module, loss: nn.Module) -> list[torch.Tensor | None]:
    return [p.grad for module in (model, loss) for p in module.parameters()]


@pytest.mark.parametrize("captions", [False, True])
@pytest.mark.parametrize("micro_batch_size", [1, 5, 8, 23])
def test_two_passes_equal_one(micro_batch_size: int, captions: bool) -> None:
    model, loss = build()
    labels = LABELS.repeat(2) if captions else LABELS
    results = []
    for size in (None, micro_batch_size):
        here, own = copy.deepcopy((model, loss))
        value = gradient_step(
            here, inputs(captions), lambda e, own=own: own(e, labels), micro_batch_size=size
        )
        results.append((value, gradients(here, own)))
    (one, wanted), (two, found) = results
    assert two.item() == pytest.approx(one.item(), abs=1e-12)
    assert not two.requires_grad
    for a, b in zip(wanted, found, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(b, a, rtol=0, atol=1e-6 * a.abs().max().item())


@pytest.mark.parametrize("micro_batch_size", [4, 7])
def test_dropout_is_replayed(micro_batch_size: int) -> None:
    """One pass in parts, with the graph of all parts, draws the same masks as two passes."""
    model, loss = build(dropout=0.5)
    (images,) = inputs(captions=False)
    other, own = copy.deepcopy((model, loss))
    torch.manual_seed(3)
    whole = torch.cat([other(part) for part in images.split(micro_batch_size)])
    wanted = own(whole, LABELS)
    wanted.backward()
    after = torch.rand(3)
    torch.manual_seed(3)
    found = gradient_step(
        model, (images,), lambda e: loss(e, LABELS), micro_batch_size=micro_batch_size
    )
    assert torch.equal(torch.rand(3), after)  # random numbers go on as after one pass
    assert found.item() == pytest.approx(wanted.item(), abs=1e-12)
    for a, b in zip(gradients(other, own), gradients(model, loss), strict=True):
        if a is not None:
            torch.testing.assert_close(b, a, rtol=0, atol=1e-6 * a.abs().max().item())
    model.zero_grad()
    gradient_step(model, (images,), lambda e: loss(e, LABELS), micro_batch_size=micro_batch_size)
    masks_differ = [
        not torch.allclose(a, b)
        for a, b in zip(gradients(other, own), gradients(model, loss), strict=True)
        if a is not None
    ]
    assert any(masks_differ)  # other masks have another gradient: the check above can fail


def test_a_loss_that_draws_leaves_the_generator_where_one_pass_does() -> None:
    model, loss = build(dropout=0.5)
    after = []
    for size in (24, 7):
        torch.manual_seed(3)
        for part in inputs(captions=False)[0].split(size):
            model(part)
        torch.rand(2)  # what the loss draws
        wanted = torch.rand(3)
        torch.manual_seed(3)
        gradient_step(
            model,
            inputs(captions=False),
            lambda e: loss(e, LABELS) * torch.rand(2).sum(),
            micro_batch_size=size,
        )
        after.append(torch.equal(torch.rand(3), wanted))
    assert after == [True, True]


def test_gradients_add_up() -> None:
    model, loss = build()
    for size in (None, 5):
        model.zero_grad()
        for _ in range(2):
            gradient_step(model, inputs(False), lambda e: loss(e, LABELS), micro_batch_size=size)
        twice = model.image[0].weight.grad.clone()
        model.zero_grad()
        gradient_step(model, inputs(False), lambda e: loss(e, LABELS), micro_batch_size=size)
        torch.testing.assert_close(twice, 2 * model.image[0].weight.grad)


def test_wrong_sizes() -> None:
    model, loss = build()
    with pytest.raises(ValueError, match="micro_batch_size: wanted an integer >= 1, got 0"):
        gradient_step(model, inputs(False), lambda e: loss(e, LABELS), micro_batch_size=0)
    with pytest.raises(ValueError, match="inputs: wanted at least one row"):
        gradient_step(model, (torch.empty(0, 5),), lambda e: loss(e, LABELS))
