"""A run on a model of the hub is loaded and gone on with where there is no hub."""

from pathlib import Path
from typing import Any

import pytest
import torch

from pml_suprank.recipes.embedding_set import EmbeddingSet
from pml_suprank.recipes.engine.checkpoints import BEST, CheckpointError, write_checkpoint
from pml_suprank.recipes.engine.encoder import load_encoder
from pml_suprank.recipes.engine.parsing import settings_from
from pml_suprank.recipes.engine.sets import load_sets
from pml_suprank.recipes.engine.whole_run import finetune
from tests.integrations.hub import OfflineHub
from tests.recipes.engine.tiny_runs import content

CLIP = {
    "embed_dim": 16,
    "custom_text": True,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OfflineHub:
    return OfflineHub(tmp_path / "hub", monkeypatch)


def timm_model(hub: OfflineHub) -> dict[str, Any]:
    import timm

    options = {"depth": 2, "embed_dim": 32, "num_heads": 2}
    files = hub.add(
        "someone/small-vit",
        {
            "architecture": "test_vit",
            "num_features": 32,
            "model_args": options,
            "pretrained_cfg": {"input_size": [3, 64, 64], "fixed_input_size": True},
        },
    )
    model = timm.create_model("test_vit", img_size=64, num_classes=0, **options)
    torch.save(model.state_dict(), files / "pytorch_model.bin")
    return {"name": "hf-hub:someone/small-vit", "weights": "hub", "image_size": 96}


def clip_model(hub: OfflineHub) -> dict[str, Any]:
    open_clip = pytest.importorskip("open_clip", reason="needs the open-clip extra")
    config = {"model_cfg": CLIP, "preprocess_cfg": {"mean": [0.1, 0.2, 0.3]}}
    files = hub.add("someone/small-clip", config, "open_clip_config.json")
    shape = {name: value for name, value in CLIP.items() if name != "custom_text"}
    model = open_clip.CustomTextCLIP(**shape)
    torch.save(model.state_dict(), files / "open_clip_pytorch_model.bin")
    return {
        "library": "open_clip",
        "name": "hf-hub:someone/small-clip",
        "weights": "hub",
        "image_size": None,
        "train_transform": {},
    }


@pytest.mark.slow
@pytest.mark.parametrize("make", [timm_model, clip_model])
def test_a_run_needs_the_hub_once(
    make: Any, hub: OfflineHub, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_from(content(photos, model=make(hub), training={"epochs": 1}))
    run = tmp_path / "run"
    first = finetune(settings, run, progress=False)
    hub.forget()
    stored = EmbeddingSet.load(run / "embeddings.npz")
    test = load_sets(settings).test
    images = [test.image(index) for index in range(len(test))]
    found = load_encoder(run).encode_images(images)
    torch.testing.assert_close(found, stored.embeddings, rtol=1e-4, atol=1e-5)

    again = finetune(settings, run, resume=True, progress=False)
    assert again["after"] == pytest.approx(first["after"], abs=1e-6)
    raw = content(photos, model={**settings.model.__dict__, "weights": f"run:{run}"})
    second = finetune(settings_from(raw), tmp_path / "second", progress=False)
    assert second["before"] == pytest.approx(again["after"], abs=1e-5)


def test_what_a_checkpoint_says_of_its_model_is_checked(
    hub: OfflineHub, photos: Path, tmp_path: Path
) -> None:
    import yaml

    timm_model(hub)
    model = {"name": "hf-hub:someone/small-vit", "weights": "hub", "image_size": None}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content(photos, model=model)))
    for source, message in (
        (3, "source: wanted the name and options of a model, got 3"),
        ({"name": 3, "options": {}}, "source: wanted the name and options"),
        ({"name": "test_vit", "options": {"checkpoint_path": "x.pth"}}, "options.checkpoint_path"),
        ({"name": "nothing", "options": {}}, "wanted a timm model, got 'nothing'"),
        ({"name": "hf-hub:someone/small-vit", "options": {}}, "weights: wanted 'hub'"),
    ):
        write_checkpoint(tmp_path / BEST, {"model": {}, "preprocessing": {}, "source": source})
        with pytest.raises((CheckpointError, ValueError), match=message):
            load_encoder(tmp_path)
