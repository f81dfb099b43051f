"""Files that are whole or not there, and archives that prove by a checksum that they are as they were written."""

import contextlib
import hashlib
import io
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

try:
    import fcntl
except ImportError:  # Windows, which removes no file that is open
    _HAS_LOCKS = False
else:
    _HAS_LOCKS = True

__all__ = ["DamagedFileError", "is_sealed", "remove_unfinished", "write_atomic", "write_sealed"]

_MARK = b"sha256:"
_SEAL = len(_MARK) + 64
_END = 22
"""Bytes of the last record of a ZIP archive without a comment; the last two are the length of the comment."""
_BLOCK = 1 << 20


class DamagedFileError(ValueError):
    """A file that is not as it was written."""


def write_atomic(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write a file through a temporary neighbour, so that no reader ever sees half of it.

    A link in the place of the file is replaced, never written through.

    Args:
        path: the file; its folder is made where needed.
        write: gets the open binary file. When it fails, ``path`` keeps what it had.

    Raises:
        OSError: the folder cannot be made or written to, or the disk is full; names ``path``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise _about(error, path) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            _mark_as_at_work(file.fileno())
            write(file)
            file.flush()
            os.fsync(file.fileno())
            if _HAS_LOCKS:  # another start must not find the file before it has its name
                _name(temporary, path)
        if not _HAS_LOCKS:
            _name(temporary, path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename in (None, temporary):
            raise _about(error, path) from None
        raise


def _name(temporary: str, path: Path) -> None:
    os.chmod(temporary, 0o666 & ~_umask())
    os.replace(temporary, path)


def _about(error: OSError, path: Path) -> OSError:
    """The same error, of the file that was to be written, whatever its temporary name."""
    return type(error)(error.errno, error.strerror, str(path))


def remove_unfinished(place: Path) -> None:
    """Remove what killed processes have left of files that they were writing, and that nobody is writing now.

    Args:
        place: a folder, for the files in it, or the one file.
    """
    if place.is_dir():
        folder, name = place, r".+\.(csv|faiss|html|json|npz|png|pt|safetensors|svg|yaml)"
    else:
        folder, name = place.parent, re.escape(place.name)
    is_ours = re.compile(rf"\.{name}\.[a-z0-9_]{{8}}").fullmatch
    with contextlib.suppress(OSError):  # no such folder, or one that others may write to
        for path in folder.iterdir():
            if is_ours(path.name) and path.is_file() and not path.is_symlink():
                _remove_if_left(path)


def _remove_if_left(path: Path) -> None:
    with path.open("rb") as file:
        if _HAS_LOCKS:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:  # somebody is at work on it
                return
            except OSError:  # no locks on this file system
                pass
    path.unlink(missing_ok=True)


def _mark_as_at_work(descriptor: int) -> None:
    """Lock a file; the system unlocks it when the process ends, however that is."""
    if _HAS_LOCKS:
        with contextlib.suppress(OSError):  # no locks on this file system
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def write_sealed(path: Path, write: Callable[[Any], Any]) -> None:
    """Write a ZIP archive (``torch.save``, ``np.savez``) atomically, its SHA-256 as the comment that ends it.

    Any reader of such archives reads it; :func:`is_sealed` checks it.

    Args:
        path: the file.
        write: gets a file to write to, which cannot seek.

    Raises:
        OSError: as :func:`write_atomic`.
    """

    def seal(file: BinaryIO) -> None:
        sealing = _Sealing(file)
        write(sealing)
        sealing.finish()

    write_atomic(path, seal)


def is_sealed(path: Path) -> bool:
    """Whether an archive ends with a checksum, which then is right.

    Raises:
        DamagedFileError: the file is not what the checksum is of.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END) - _SEAL
        if size < 0:
            return False
        file.seek(size)
        seal = file.read()
        if not seal.startswith(_MARK):
            return False
        if _hash(file, size).encode() != seal.removeprefix(_MARK):
            raise DamagedFileError("a damaged file: its checksum is of other content")
    return True


class _Sealing(io.RawIOBase):
    """Passes an archive on and hashes it; its last record is kept until the comment follows."""

    def __init__(self, file: BinaryIO):
        self._file, self._digest, self._last = file, hashlib.sha256(), b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        if len(view) < _END:
            joined = self._last + bytes(view)
            self._pass_on(joined[:-_END])
            self._last = joined[-_END:]
        else:
            self._pass_on(self._last)
            self._pass_on(view[:-_END])
            self._last = bytes(view[-_END:])
        return len(view)

    def finish(self) -> None:
        self._pass_on(self._last[:-2] + _SEAL.to_bytes(2, "little"))
        self._file.write(_MARK + self._digest.hexdigest().encode())

    def _pass_on(self, part: bytes | memoryview) -> None:
        self._digest.update(part)
        self._file.write(part)


def _hash(file: BinaryIO, size: int) -> str:
    """Of the first bytes of a file."""
    file.seek(0)
    digest = hashlib.sha256()
    while size > 0 and (block := file.read(min(size, _BLOCK))):
        digest.update(block)
        size -= len(block)
    return digest.hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
