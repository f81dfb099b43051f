"""Learning rates by layer, freezing and checkpointing, on tiny random models."""

from typing import Any

import pytest
import torch

pytest.importorskip("timm", reason="needs the timm extra")
pytest.importorskip("open_clip", reason="needs the open-clip extra")

from pml_suprank.integrations.backbones import RetrievalModel, build_retrieval_model
from pml_suprank.integrations.fine_tuning import (
    freeze_batch_norm,
    layer_depths,
    parameter_groups,
    set_trainable,
)
from tests.integrations.test_open_clip_backbones import TINY

pytestmark = pytest.mark.usefixtures("no_network")

MODELS: dict[str, dict[str, Any]] = {
    "vit": {"library": "timm", "name": "test_vit", "embedding_size": 8},
    "resnet": {"library": "timm", "name": "test_resnet", "embedding_size": 8},
    "clip": {"library": "open_clip", "name": "tiny", "config": TINY, "embedding_size": 8},
    "clip-timm": {
        "library": "open_clip",
        "name": "tiny",
        "config": TINY | {"vision_cfg": {"timm_model_name": "test_resnet", "image_size": 32}},
        "embedding_size": 8,
    },
}


def build(name: str, **options: Any) -> RetrievalModel:
    return build_retrieval_model(**(MODELS[name] | options))


def side(name: str) -> int:
    return 160 if name == "vit" else 32


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_is_in_one_group(name: str) -> None:
    model = build(name)
    for layer_decay in (None, 0.5):
        groups = parameter_groups(
            model, 1.0, head_lr=3.0, weight_decay=0.1, layer_decay=layer_decay
        )
        found = [id(p) for group in groups for p in group["params"]]
        assert sorted(found) == sorted(id(p) for p in model.parameters())
        for group in groups:
            assert {p.ndim > 1 for p in group["params"]} == {group["weight_decay"] > 0}
            assert (group["lr"] == 3.0) == group["name"].startswith("head")
        assert len({group["name"] for group in groups}) == len(groups)


@pytest.mark.parametrize("layer_decay", [None, 0.5])
def test_the_text_tower_has_a_rate_of_its_own(layer_decay: float | None) -> None:
    model = build("clip")
    groups = parameter_groups(model, 1.0, head_lr=3.0, text_lr=0.1, layer_decay=layer_decay)
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    clip = model.trunk.clip
    assert rate[id(clip.text_projection)] == 0.1
    assert rate[id(clip.visual.proj)] == 1.0
    assert rate[id(clip.token_embedding.weight)] == pytest.approx(0.1 * (layer_decay or 1) ** 2)
    assert rate[id(model.embedder.linear.weight)] == 3.0
    assert {group["lr"] for group in parameter_groups(build("vit"), 1.0, text_lr=0.1)} == {1.0}


def test_layers_of_a_vit_by_hand() -> None:
    model = build("vit")
    groups = parameter_groups(model, 1.0, layer_decay=0.5)
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    vit = model.trunk.model
    blocks = [rate[id(block.attn.qkv.weight)] for block in vit.blocks]
    assert blocks == [0.5 ** (len(blocks) - 1 - i) for i in range(len(blocks))]
    assert rate[id(vit.patch_embed.proj.weight)] == 0.5 * blocks[0]
    assert rate[id(vit.norm.weight)] == 1.0


def test_layers_of_both_towers_of_clip() -> None:
    clip = build("clip").trunk.clip
    depths = layer_depths(build("clip").trunk)
    assert depths["clip.visual.conv1.weight"] == 0
    assert depths["clip.token_embedding.weight"] == 0
    for tower in ("clip.visual.transformer", "clip.transformer"):
        found = [depths[f"{tower}.resblocks.{i}.ln_1.weight"] for i in range(2)]
        assert found == [1, 2]
    assert depths["clip.text_projection"] == depths["clip.visual.proj"] == max(depths.values()) == 2
    assert set(depths) == {f"clip.{name}" for name, _ in clip.named_parameters()}


def test_towers_of_different_depth_end_together() -> None:
    config = TINY | {"text_cfg": TINY["text_cfg"] | {"layers": 4}}
    depths = layer_depths(build("clip", config=config).trunk)
    assert depths["clip.visual.transformer.resblocks.1.ln_1.weight"] == 4
    assert depths["clip.transformer.resblocks.3.ln_1.weight"] == 4


@pytest.mark.parametrize("name", MODELS)
def test_frozen_layers_do_not_move(name: str) -> None:
    torch.manual_seed(0)
    model = freeze_batch_norm(build(name))
    optimizer = torch.optim.SGD(parameter_groups(model, 0.1, weight_decay=0.1))
    depths = layer_depths(model.trunk)
    last = max(depths.values())
    for layers, moved in ((0, set()), (1, {last}), (None, set(depths.values()))):
        before = {n: p.detach().clone() for n, p in model.trunk.named_parameters()}
        head = model.embedder.linear.weight.detach().clone()
        set_trainable(model, layers, text=False)
        optimizer.zero_grad()
        model.train()(torch.randn(2, 3, side(name), side(name))).square().sum().backward()
        optimizer.step()
        now = dict(model.trunk.named_parameters())
        changed = {n for n in now if not torch.equal(now[n], before[n])}
        assert {depths[n] for n in changed} == moved
        assert not torch.equal(model.embedder.linear.weight, head)
        if "clip" in name:
            assert all(n.startswith("clip.visual.") for n in changed)


def test_wrong_numbers_of_layers() -> None:
    with pytest.raises(ValueError, match="layers: wanted an integer >= 0, got -1"):
        set_trainable(build("vit"), -1)


def test_frozen_batch_norm_survives_train() -> None:
    model = freeze_batch_norm(build("resnet")).train()
    images = torch.randn(4, 3, 32, 32)
    before = {n: b.clone() for n, b in model.named_buffers()}
    together, alone = model(images), torch.cat([model(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(b, before[n]) for n, b in model.named_buffers())
    usual = build("resnet").train()
    usual(images)
    moved = [
        n for n, b in usual.named_buffers() if n.endswith("running_mean") and b.abs().sum() > 0
    ]
    assert moved  # the check above can fail


@pytest.mark.parametrize("name", MODELS)
def test_checkpointing_gives_the_same_gradient(name: str) -> None:
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = freeze_batch_norm(build(name, grad_checkpointing=checkpointing)).train()
        torch.manual_seed(1)
        model(torch.randn(2, 3, side(name), side(name))).square().sum().backward()
        gradients.append([p.grad for p in model.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(gradients[1]) > 0
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_text_needs_a_shared_space() -> None:
    model = build("clip", embedding_size=None)
    assert model.has_text
    assert model.embedding_size == 16
    assert model.encode_text(model.tokenize(["a red fox"])).shape == (1, 16)
    with pytest.raises(ValueError, match="wanted embedding_size=None"):
        build("clip").tokenize(["a red fox"])
    with pytest.raises(ValueError, match="wanted a model with a text tower"):
        build("vit").encode_text(torch.zeros(1, 4))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"library": "keras"}, "library: wanted one of timm, open_clip, got 'keras'"),
        ({"pooling": "gem"}, "pooling: wanted 'model' for open_clip, got 'gem'"),
        (
            {"embedding_size": None, "layer_norm": True},
            "layer_norm: wanted False without embedding_size",
        ),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build("clip", **options)
