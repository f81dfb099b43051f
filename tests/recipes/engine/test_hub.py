"""A hub that cannot be reached is not waited for."""

import socket
import threading
import time

import pytest

pytest.importorskip("pydantic", reason="needs the recipes extra")
pytest.importorskip("huggingface_hub", reason="comes with timm")

from huggingface_hub import constants

from pml_suprank.recipes.engine import hub
from pml_suprank.recipes.engine.hub import impatient_hub


def is_offline_within() -> bool:
    with impatient_hub():
        return constants.HF_HUB_OFFLINE


def test_a_hub_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("urllib.request.getproxies", dict)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        assert is_offline_within()  # it does not listen yet
        assert constants.HF_HUB_OFFLINE is False
        server.listen()
        assert not is_offline_within()
    monkeypatch.setattr("urllib.request.getproxies", lambda: {"https": "http://proxy"})
    assert not is_offline_within()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert is_offline_within()


def test_a_name_that_is_looked_up_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("urllib.request.getproxies", dict)
    monkeypatch.setattr(hub, "SECONDS", 0.05)
    woken = threading.Event()

    def look_up(*_: object) -> None:
        woken.wait(10)
        raise OSError("no such name")

    monkeypatch.setattr(socket, "create_connection", look_up)
    start = time.monotonic()
    assert is_offline_within()
    assert time.monotonic() - start < 5
    woken.set()
