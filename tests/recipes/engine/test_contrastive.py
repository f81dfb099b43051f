"""OpenCLIP's loss in the shape of a PML loss."""

import pytest
import torch

pytest.importorskip("open_clip", reason="needs the open-clip extra")

from pml_suprank.recipes.engine import contrastive
from pml_suprank.recipes.engine.components import Context
from pml_suprank.recipes.engine.contrastive import ClipLoss
from pml_suprank.recipes.engine.objective import Objective
from pml_suprank.recipes.engine.parsing import settings_from
from tests.recipes.engine.test_components import TREE


def points() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images, captions = torch.randn(2, 6, 5, generator=generator).unbind()
    return images, captions


def by_hand(images: torch.Tensor, captions: torch.Tensor, temperature: float) -> torch.Tensor:
    """Mean of the cross-entropies of rows and of columns, pair i being the right one."""
    images = images / images.norm(dim=1, keepdim=True)
    captions = captions / captions.norm(dim=1, keepdim=True)
    logits = images @ captions.T / temperature
    rows = logits.logsumexp(1) - logits.diag()
    columns = logits.logsumexp(0) - logits.diag()
    return (rows.mean() + columns.mean()) / 2


def test_the_formula() -> None:
    images, captions = points()
    loss = ClipLoss(temperature=0.2)
    torch.testing.assert_close(loss(torch.cat([images, captions])), by_hand(images, captions, 0.2))
    loss(torch.cat([images, captions])).backward()
    assert loss.logit_scale.grad.abs() > 0
    with torch.no_grad():
        loss.logit_scale.fill_(99.0)
    torch.testing.assert_close(loss(torch.cat([images, captions])), by_hand(images, captions, 0.01))
    with pytest.raises(ValueError, match="temperature: wanted a number >= 0.01, got 0"):
        ClipLoss(0)


def test_the_order_of_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    images, captions = points()
    loss = ClipLoss(temperature=0.2)
    monkeypatch.setattr(contrastive, "is_distributed", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    gathered = torch.cat([images[:3], captions[:3], images[3:], captions[3:]])
    torch.testing.assert_close(loss(gathered), by_hand(images, captions, 0.2))


def test_captions_are_queries_and_references_of_a_rank_loss() -> None:
    images, captions = points()
    raw = {"loss": {"name": "SupHAPLoss"}, "training": {"captions": "joint"}}
    objective = Objective(settings_from(raw), Context(TREE, 5, 12))
    labels, both = TREE.table[[0, 1, 4, 5, 8, 9]], torch.cat([images, captions])
    found = objective(both, labels, torch.arange(6))
    torch.testing.assert_close(found, objective.loss(both, torch.cat([labels, labels])))
    raw["memory"] = {"kind": "dataset"}
    objective = Objective(settings_from(raw), Context(TREE, 5, 12))
    objective(both, labels, torch.arange(6) + 3)
    assert objective.loss.is_filled.nonzero().flatten().tolist() == [*range(3, 9), *range(15, 21)]
    torch.testing.assert_close(objective.loss.embedding_memory[15], captions[0])
