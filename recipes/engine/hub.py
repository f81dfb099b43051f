"""The Hugging Face hub where it cannot be reached: what is kept of it is used, and nobody waits for minutes."""

import contextlib
import socket
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from pml_suprank.integrations import require

__all__ = ["SECONDS", "impatient_hub"]

SECONDS = 5.0
"""The hub has so long to answer."""


@contextlib.contextmanager
def impatient_hub() -> Iterator[None]:
    """Take the hub for offline meanwhile where it does not answer, which its library would try again and again.

    Through a proxy nothing is tried before.
    """
    constants: Any = require("huggingface_hub.constants", extra="recipes")
    before, seconds = constants.HF_HUB_OFFLINE, socket.getdefaulttimeout()
    if not before and not urllib.request.getproxies() and not _answers(constants.ENDPOINT):
        constants.HF_HUB_OFFLINE = True
    socket.setdefaulttimeout(SECONDS)  # weights that OpenCLIP fetches from elsewhere
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
        socket.setdefaulttimeout(seconds)


def _answers(url: str) -> bool:
    """Whether a server takes a connection; a thread asks, since looking up its name knows no limit of time."""
    found = threading.Event()
    parts = urlsplit(url)
    place = (parts.hostname, parts.port or (80 if parts.scheme == "http" else 443))

    def ask() -> None:
        with contextlib.suppress(OSError), socket.create_connection(place, SECONDS):
            found.set()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(SECONDS)
    return found.is_set()
