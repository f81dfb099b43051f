"""Ctrl-C at places where nothing is half done, so that a run can keep what it has."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Interrupted", "Interruption"]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, where the state of the run is whole."""


class Interruption:
    """Turns the first Ctrl-C into :class:`Interrupted`; what is :meth:`held` together ends before that.

    A second Ctrl-C is a ``KeyboardInterrupt`` at once. A program that handles or ignores SIGINT itself keeps its way,
    and so does one that trains in another thread than the main one.

    Args:
        is_active: False changes nothing.
    """

    def __init__(self, is_active: bool = True):
        self.is_active = is_active
        self._is_held = self._has_come = False

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch for Ctrl-C within this context."""
        in_main = threading.current_thread() is threading.main_thread()
        usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if not (self.is_active and in_main and usual):
            yield
            return
        self._has_come = False
        signal.signal(signal.SIGINT, self._handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let what is in this context end before the run does.

        Raises:
            Interrupted: Ctrl-C has come meanwhile.
        """
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
        if self._has_come:
            raise Interrupted

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._has_come:
            raise KeyboardInterrupt
        self._has_come = True
        if not self._is_held:
            raise Interrupted
