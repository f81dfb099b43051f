"""Every check vector of the losses, value and gradient, through the loss classes."""

import pytest
import torch
from pytorch_metric_learning.distances import CosineSimilarity, DotProductSimilarity
from pytorch_metric_learning.reducers import DoNothingReducer

from pml_suprank import Hierarchy, losses
from pml_suprank.relevance import PopulationRelevance, WeightedRelevance
from tests.conftest import golden_names, load_golden

TOLERANCE = {"rtol": 1e-6, "atol": 1e-7}


def tensors(data, *names):
    return [torch.from_numpy(data[name].copy()) if name in data else None for name in names]


def plain_dot():
    return DotProductSimilarity(normalize_embeddings=False)


def rank_loss(config, **kwargs):
    config = dict(config)
    name = config.pop("name")
    config.pop("per_query", None)
    level = config.pop("hierarchy_level")
    kwargs |= {"include_self": True, "distance": plain_dot()}
    if level != "MULTI":
        kwargs["level"] = level
    if "at_k" in config:
        kwargs["k"] = config.pop("at_k")
        kwargs["temperature"] = config.pop("temp")
    if config.pop("with_hrank", False):
        kwargs["hrank"] = {key: config.pop(key) for key in ("beta", "gamma", "leak")}
    relevance_type, alpha = config.pop("relevance_type", None), config.pop("alpha", None)
    if relevance_type == "pop":
        kwargs["relevance"] = PopulationRelevance(alpha)
    elif relevance_type == "map":
        kwargs["relevance"] = WeightedRelevance(by_level=alpha[::-1])
    return getattr(losses, f"{name}Loss")(**kwargs, **config)


def largest_entry(array):
    """The documented error of the near-linear backend."""
    return {"rtol": 1e-5, "atol": 1e-5 * max(1e-3, float(abs(array).max()))}


@pytest.mark.parametrize("backend", ["dense", "blocked", "fast"])
@pytest.mark.parametrize("name", golden_names("rank_loss"))
def test_rank_loss(name, backend):
    data = load_golden(name)
    emb, labels, ref_emb, ref_labels = tensors(
        data, "embeddings", "labels", "ref_embeddings", "ref_labels"
    )
    emb.requires_grad_()
    tolerance = TOLERANCE if backend != "fast" else largest_entry(data["grad_embeddings"])
    if ref_emb is not None:
        ref_emb.requires_grad_()
    per_query = rank_loss(data["config"], backend=backend, reducer=DoNothingReducer())
    result = per_query(emb, labels, None, ref_emb, ref_labels)["loss"]
    assert result["indices"].tolist() == list(range(len(emb)))
    expected = torch.from_numpy(data["loss_per_query"])
    torch.testing.assert_close(result["losses"].detach(), expected, **tolerance)

    loss = rank_loss(data["config"], backend=backend)(emb, labels, None, ref_emb, ref_labels)
    torch.testing.assert_close(loss.item(), float(data["loss"]), **tolerance)
    loss.backward()
    expected = torch.from_numpy(data["grad_embeddings"])
    torch.testing.assert_close(emb.grad, expected, **tolerance)
    if ref_emb is not None:
        expected = torch.from_numpy(data["grad_ref_embeddings"])
        torch.testing.assert_close(ref_emb.grad, expected, **tolerance)


@pytest.mark.parametrize("name", golden_names("pair_loss"))
def test_calibration(name):
    data = load_golden(name)
    emb, labels, ref_emb, ref_labels = tensors(
        data, "embeddings", "labels", "ref_embeddings", "ref_labels"
    )
    emb.requires_grad_()
    if ref_emb is not None:
        ref_emb.requires_grad_()
    loss_fn = losses.CalibrationLoss(
        float(data["hp_pos_margin"]),
        float(data["hp_neg_margin"]),
        level=data["config"]["hierarchy_level"],
        distance=CosineSimilarity(),
    )
    loss = loss_fn(emb, labels, None, ref_emb, ref_labels)
    torch.testing.assert_close(loss.item(), float(data["loss"]), **TOLERANCE)
    loss.backward()
    torch.testing.assert_close(emb.grad, torch.from_numpy(data["grad_embeddings"]), **TOLERANCE)
    if ref_emb is not None:
        expected = torch.from_numpy(data["grad_ref_embeddings"])
        torch.testing.assert_close(ref_emb.grad, expected, **TOLERANCE)


@pytest.mark.parametrize("name", [n for n in golden_names("proxy_loss") if "cluster" in n])
def test_proxy_cluster(name):
    data = load_golden(name)
    emb, labels, weight = tensors(data, "embeddings", "labels", "weight")
    emb.requires_grad_()
    config = data["config"]
    centers = config.get("num_centers", 1) or 1
    loss_fn = losses.ProxyClusterLoss(
        len(weight) // centers,
        emb.shape[1],
        config["temperature"],
        centers_per_class=centers,
        center_temperature=config.get("temperature_centers") or 0.1,
        level=config["hierarchy_level"],
        distance=plain_dot(),
    )
    with torch.no_grad():
        loss_fn.W.data = weight.t().clone()
    loss = loss_fn(emb, labels)
    torch.testing.assert_close(loss.item(), float(data["loss"]), **TOLERANCE)
    loss.backward()
    torch.testing.assert_close(emb.grad, torch.from_numpy(data["grad_embeddings"]), **TOLERANCE)
    torch.testing.assert_close(
        loss_fn.W.grad.t(), torch.from_numpy(data["grad_weight"]), **TOLERANCE
    )


@pytest.mark.parametrize("name", [n for n in golden_names("proxy_loss") if "csl" in n])
def test_csl(name):
    data = load_golden(name)
    emb, labels, weight, proxy_labels = tensors(
        data, "embeddings", "labels", "weight", "proxy_labels"
    )
    emb.requires_grad_()
    config = data["config"]
    loss_fn = losses.CSLLoss(
        Hierarchy.from_labels(proxy_labels),
        emb.shape[1],
        config["margins"],
        config["scale"],
        reduce_levels=config["reduce_type"],
        distance=plain_dot(),
    ).double()
    with torch.no_grad():
        loss_fn.W.copy_(weight)
    loss = loss_fn(emb, labels[:, 0])
    torch.testing.assert_close(loss.item(), float(data["loss"]), **TOLERANCE)
    loss.backward()
    torch.testing.assert_close(emb.grad, torch.from_numpy(data["grad_embeddings"]), **TOLERANCE)
    torch.testing.assert_close(loss_fn.W.grad, torch.from_numpy(data["grad_weight"]), **TOLERANCE)


@pytest.mark.parametrize("backend", ["dense", "blocked"])
def test_roadmap(backend):
    data = load_golden("roadmap__batch")
    config = data["config"]
    loss_fn = losses.ROADMAPLoss(
        weight=config["weights"][1], preset="sop", include_self=True, backend=backend
    )
    check_composite(data, loss_fn, tangential=True)
    # the published rank loss does not normalise, the published calibration loss does
    rank_loss = losses.SupAPLoss(
        preset="sop", include_self=True, backend=backend, distance=plain_dot()
    )
    calibration = losses.CalibrationLoss()
    check_composite(data, losses.DecomposableRankLoss(rank_loss, calibration, weight=0.1))


@pytest.mark.parametrize("backend", ["dense", "blocked"])
def test_happier(backend):
    data = load_golden("happier__batch")
    weight = torch.from_numpy(data["weight"].copy())
    loss_fn = losses.HAPPIERLoss(
        *weight.shape,
        weight=data["config"]["weights"][1],
        preset="sop",
        include_self=True,
        backend=backend,
        distance=plain_dot(),
    )
    loss_fn.decomposability_loss.W.data = weight.t().clone()
    check_composite(data, loss_fn)
    expected = torch.from_numpy(data["grad_weight"])
    got = loss_fn.decomposability_loss.W.grad.t()
    torch.testing.assert_close(got, expected, **TOLERANCE)


def check_composite(data, loss_fn, tangential=False):
    emb, labels = tensors(data, "embeddings", "labels")
    emb.requires_grad_()
    for part, name in ((loss_fn.rank_loss, "first"), (loss_fn.decomposability_loss, "second")):
        torch.testing.assert_close(
            part(emb, labels).item(), float(data[f"loss_{name}"]), **TOLERANCE
        )
    loss = loss_fn(emb, labels)
    torch.testing.assert_close(loss.item(), float(data["loss"]), **TOLERANCE)
    loss.backward()
    expected = torch.from_numpy(data["grad_embeddings"])
    if tangential:
        unit = emb.detach()
        expected = expected - (expected * unit).sum(dim=1, keepdim=True) * unit
    torch.testing.assert_close(emb.grad, expected, **TOLERANCE)


def test_every_loss_vector_is_checked():
    kinds = ("rank_loss", "pair_loss", "proxy_loss", "composite_loss")
    assert sum(len(golden_names(kind)) for kind in kinds) == 57
