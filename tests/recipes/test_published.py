"""Published settings: what the tables of the papers say, and two steps of each on a tiny tree."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("accelerate", reason="needs the recipes extra")

from pml_suprank.recipes.engine.checks import check_settings
from pml_suprank.recipes.engine.parsing import parse_settings, settings_from
from pml_suprank.recipes.published import NAMES, published_settings
from tests.recipes.engine.test_trainer import build


def test_every_pair_is_there() -> None:
    data = [
        "sop",
        "inat_base",
        "inat_full",
        "cub",
        "cars",
        "dyml_vehicle",
        "dyml_animal",
        "dyml_product",
        "gldv2",
    ]
    losses = "supap roadmap roadmap_proxies suprecall roadratk roadratk_proxies suphap happier supndcg roadndcg"
    assert set(NAMES) == {f"{one}-{other}" for one in data for other in losses.split()}
    assert all(len(published_settings(name)["source"]) > 60 for name in NAMES)
    with pytest.raises(KeyError):
        published_settings("sop-triplet")


@pytest.mark.parametrize(
    ("name", "adam", "rates", "decay", "eta_min"),
    [
        ("sop-happier", "Adam", (5e-5, 1e-4), 1e-4, 0.0),
        ("inat_full-happier", "Adam", (1e-5, 2e-5), 4e-4, 1e-6),
        ("cub-supap", "Adam", (1e-6, 2e-6), 4e-4, 0.0),
        ("cars-roadmap", "Adam", (1e-4, 2e-4), 4e-4, 0.0),
        ("dyml_vehicle-happier", "SGD", (0.1, 0.1), 1e-4, 1e-6),
        ("dyml_product-happier", "SGD", (0.01, 0.02), 1e-4, 1e-5),
        ("gldv2-suphap", "Adam", (1e-4, 1e-4), 1e-4, 0.0),
    ],
)
def test_optimisers(
    name: str, adam: str, rates: tuple[float, float], decay: float, eta_min: float
) -> None:
    settings = settings_from(published_settings(name))
    found = settings.optimizer
    assert (found.name, (found.lr, found.head_lr), found.weight_decay) == (adam, rates, decay)
    assert settings.schedule.options["eta_min"] == eta_min
    assert settings.training.batch_size == 256
    assert settings.training.epochs == (20 if "product" in name else 100)


def test_what_differs_between_data_sets() -> None:
    def options(name: str) -> dict[str, Any]:
        return published_settings(name)["loss"]["options"]

    assert options("sop-happier")["rank_loss"]["options"]["preset"] == "sop"
    assert options("inat_base-happier")["rank_loss"]["options"]["preset"] == "inat"
    assert options("sop-happier")["weight"] == 0.1
    assert options("dyml_animal-happier")["weight"] == 0.5
    assert options("cub-roadratk")["weight"] == 0.5
    assert published_settings("sop-happier")["loss_optimizer"]["lr"] == 10.0
    assert "loss_optimizer" not in published_settings("cub-happier")
    assert "loss_optimizer" not in published_settings("sop-roadmap")
    frozen = {name: published_settings(name)["model"]["freeze_epochs"] for name in NAMES}
    assert {frozen["sop-supap"], frozen["inat_full-supap"], frozen["dyml_product-supap"]} == {5}
    assert frozen["dyml_animal-supap"] == 0


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_parsed_and_trains(name: str, photos: Path) -> None:
    words = ["--config", name, "--data.root", "here", "--training.precision", "no"]
    whole = parse_settings(words)
    check_settings(whole)
    assert whole.training.batch_size == 256
    raw = published_settings(name)
    raw["data"] = {"name": "folder", "root": str(photos), "test_share": 0.5}
    raw["model"] |= {"name": "test_resnet", "weights": None, "image_size": 32, "embedding_size": 8}
    raw["model"]["freeze_epochs"] = min(raw["model"]["freeze_epochs"], 1)
    raw["sampler"] |= {"m": 2, "group_sizes": [2, 2], "batches_per_epoch": 1}
    raw["training"] |= {"epochs": 2, "batch_size": 8, "precision": "no", "threads": 1}
    trainer = build(settings_from(raw))
    trainer._train_epoch(1)
    trainer.epoch, trainer.step = 1, 0
    trainer._train_epoch(2)
    assert [row["epoch"] for row in trainer.log.history] == [1, 2]
    has_proxies = "ProxyClusterLoss" in str(raw["loss"])
    assert bool(list(trainer.objective.parameters())) == has_proxies
    assert len(trainer.learner.optimizers) == (2 if raw.get("loss_optimizer") else 1)
