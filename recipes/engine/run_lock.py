"""One run in one folder at a time."""

import contextlib
import os
import socket
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path

from pml_suprank.recipes.engine.parsing import ConfigError

__all__ = ["LOCK", "only_run"]

LOCK = "run.lock"
_held: set[int] = set()


@contextlib.contextmanager
def only_run(folder: Path, is_main: bool = True) -> Iterator[None]:
    """Hold a run folder, which is made where needed, for this process alone.

    The system frees the lock with the process, however that ends: a file that a killed one left holds nobody up. On a
    file system without locks there is a warning instead.

    Args:
        folder: of the run.
        is_main: the other processes of a run need no lock of their own.

    Raises:
        ConfigError: another run is at work in the folder, or it cannot be written to.
    """
    if not is_main:
        yield
        return
    path = Path(folder) / LOCK
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _locked(path)
    except OSError as error:
        raise ConfigError(
            f"--output: wanted a folder to write to, got {folder} ({error})"
        ) from error
    _held.add(descriptor)
    try:
        yield
    finally:
        _held.discard(descriptor)
        with contextlib.suppress(OSError):  # Windows removes no open file
            path.unlink()
        os.close(descriptor)


def _locked(path: Path) -> int:
    """An open file that this process has locked, with its name in it."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    while True:
        descriptor = os.open(path, flags, 0o666)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(f"{path} is no regular file")
            _lock(descriptor, path)
            if _is_at(path, descriptor):  # else the run before has just ended and removed it
                os.ftruncate(descriptor, 0)
                os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    try:
        _try_lock(descriptor)
    except (BlockingIOError, PermissionError):
        with contextlib.suppress(OSError):
            holder = os.pread(descriptor, 200, 0).decode(errors="replace")
            raise ConfigError(
                f"--output: wanted a folder that no other run writes to, got {path.parent}, where {holder} is at work"
            ) from None
        raise
    except OSError as error:
        warnings.warn(
            f"{path.parent} is on a file system without locks ({error}): nothing keeps two runs from writing to it",
            stacklevel=5,
        )


def _try_lock(descriptor: int) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        os.lseek(descriptor, 1 << 20, os.SEEK_SET)  # what is locked cannot be read
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        os.lseek(descriptor, 0, os.SEEK_SET)
        return
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _let_go() -> None:
    """In a worker process that was forked: it may outlive the run, whose lock it would hold."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
