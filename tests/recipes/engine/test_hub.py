"""A hub that cannot be reached is not waited for."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

pytest.importorskip("pydantic", reason="needs the recipes extra")
pytest.importorskip("huggingface_hub", reason="comes with timm")

from huggingface_hub import constants

from pml_suprank.recipes.engine import hub
from pml_suprank.recipes.engine.hub import ask_hub, impatient_hub


class Refusing(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_error(403)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def a_hub() -> Iterator[str]:
    """A server that answers, if with a refusal."""
    with HTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def is_offline_within() -> bool:
    with impatient_hub() as silent:
        assert not silent or (constants.HF_HUB_OFFLINE and constants.ENDPOINT in silent)
        return constants.HF_HUB_OFFLINE


def test_a_hub_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("urllib.request.getproxies", dict)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        assert is_offline_within()  # it does not listen yet
        assert constants.HF_HUB_OFFLINE is False
    with a_hub() as url:
        monkeypatch.setattr(constants, "ENDPOINT", url)
        assert not is_offline_within()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert is_offline_within()


@pytest.mark.parametrize(
    ("proxies", "is_asked"),
    [
        ({"http": "http://proxy"}, False),
        ({"all": "socks5://proxy"}, False),
        ({"https": "http://proxy"}, True),
        ({"no": "example.org"}, True),
        ({"http": "http://proxy", "no": "127.0.0.1"}, True),
    ],
)
def test_a_hub_behind_a_proxy_is_not_asked(
    proxies: dict[str, str], is_asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in proxies.items():
        monkeypatch.setenv(f"{name}_proxy", value)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))  # it does not listen
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        assert is_offline_within() == is_asked


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


def test_a_hub_that_takes_connections_and_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("urllib.request.getproxies", dict)
    monkeypatch.setattr(hub, "SECONDS", 0.05)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        start = time.monotonic()
        assert is_offline_within()
        assert time.monotonic() - start < 5


def test_an_answer_that_was_asked_for_beforehand_holds_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("urllib.request.getproxies", dict)
    with a_hub() as url:
        monkeypatch.setattr(constants, "ENDPOINT", url)
        ask_hub()
        hub._asked[0].is_answered()
    assert not is_offline_within()
    assert is_offline_within()
