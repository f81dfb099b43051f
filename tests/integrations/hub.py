"""A hub without network: a cache of it on this machine, as huggingface_hub keeps one."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

REVISION = "0" * 40


class OfflineHub:
    """The folder in which huggingface_hub looks; nothing else can be had."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        from huggingface_hub import constants

        self.folder = folder
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    def add(self, name: str, config: dict[str, Any], file: str = "config.json") -> Path:
        """A model by its name in the hub; returns the folder of its files."""
        home = self.folder / f"models--{name.replace('/', '--')}"
        (home / "refs").mkdir(parents=True)
        (home / "refs" / "main").write_text(REVISION)
        files = home / "snapshots" / REVISION
        files.mkdir(parents=True)
        (files / file).write_text(json.dumps(config))
        return files

    def forget(self) -> None:
        """Empty the cache."""
        shutil.rmtree(self.folder)
