"""The Hugging Face hub where it cannot be reached: what is kept of it is used, and nobody waits for minutes."""

import contextlib
import http.client
import socket
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

from pml_suprank.integrations import require

__all__ = ["SECONDS", "ask_hub", "impatient_hub"]

SECONDS = 4.0
"""The hub has so long to answer; its name is looked up, or a lost packet sent again, within two or three."""


class _Question:
    """Asks a server for its first page, in a thread: looking up its name knows no limit of time."""

    def __init__(self, url: str):
        self._end = time.monotonic() + SECONDS
        self._is_answered = False
        self._thread = threading.Thread(target=self._ask, args=(url,), daemon=True)
        self._thread.start()

    def _ask(self, url: str) -> None:
        request = urllib.request.Request(url, method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=SECONDS):
                self._is_answered = True
        except (urllib.error.HTTPError, http.client.HTTPException):
            self._is_answered = True
        except urllib.error.URLError as error:  # who has a certificate of his own is there
            self._is_answered = isinstance(error.reason, ssl.SSLCertVerificationError)
        except OSError:
            pass

    def is_answered(self) -> bool:
        """Whether it has answered; waits for what is left of the time."""
        self._thread.join(max(0.0, self._end - time.monotonic()))
        return self._is_answered


_asked: list[_Question] = []


def ask_hub() -> None:
    """Ask the hub beforehand: the next :func:`impatient_hub` waits the less, whatever is done in between."""
    _asked[:] = _ask()


@contextlib.contextmanager
def impatient_hub() -> Iterator[str]:
    """Take the hub for offline meanwhile where it does not answer, which its library would try again and again.

    Through a proxy nothing is tried before.

    Yields:
        Who does not answer, in words; "" where somebody does, or nobody was asked.
    """
    constants: Any = require("huggingface_hub.constants", extra="recipes")
    before, seconds = constants.HF_HUB_OFFLINE, socket.getdefaulttimeout()
    questions = _asked.copy() or _ask()
    _asked.clear()
    silent = ""
    if not before and not all(question.is_answered() for question in questions):
        silent = f"{constants.ENDPOINT} did not answer within {SECONDS:g} seconds"
        constants.HF_HUB_OFFLINE = True
    socket.setdefaulttimeout(SECONDS)  # weights that OpenCLIP fetches from elsewhere
    try:
        yield silent
    finally:
        constants.HF_HUB_OFFLINE = before
        socket.setdefaulttimeout(seconds)


def _ask() -> list[_Question]:
    """The question, or none where the hub is not to be asked."""
    constants: Any = require("huggingface_hub.constants", extra="recipes")
    address = urllib.parse.urlsplit(constants.ENDPOINT)
    proxies = urllib.request.getproxies()  # with "no", whom to ask without
    is_near = bool(urllib.request.proxy_bypass(address.hostname or ""))
    has_proxy = bool(proxies.keys() & {address.scheme, "all"}) and not is_near
    return [] if constants.HF_HUB_OFFLINE or has_proxy else [_Question(constants.ENDPOINT)]
