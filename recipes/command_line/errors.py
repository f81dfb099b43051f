"""Errors that a user can mend, in a line."""

import errno
import re
import sys
from typing import Any, NamedTuple

__all__ = ["CommandError", "Told", "explain"]

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REASONS = {
    errno.ENOENT: "no such file or folder",
    errno.EISDIR: "wanted a file, got a folder",
    errno.ENOTDIR: "wanted a folder, got a file on the way",
    errno.EEXIST: "wanted a folder, got a file",
    errno.EACCES: "not permitted to read or write here",
    errno.EPERM: "not permitted to read or write here",
    errno.EROFS: "wanted a place to write to, got one that is read-only",
    errno.ENAMETOOLONG: "the name is too long",
}


class CommandError(ValueError):
    """What a command says for itself.

    Args:
        text: what is said.
        status: exit status.
    """

    def __init__(self, text: str, status: int = 2):
        super().__init__(text)
        self.status = status


class Told(NamedTuple):
    """What is said of an error, and the exit status of the command."""

    text: str
    status: int


def explain(error: BaseException, device: Any = None, extra: str = "recipes") -> Told | None:
    """What to tell a user about an error.

    Args:
        error: what was raised.
        device: where the command computes, if anywhere.
        extra: brings the libraries of the command.

    Returns:
        The text and the exit status: 2 where another command line helps, 1 where the machine or the data have to
        change. None for an error that only its traceback explains.
    """
    told = _explain(error, device, extra)
    return told and told._replace(text=re.sub(r"\[Errno \d+\] ", "", told.text))


def _explain(error: BaseException, device: Any, extra: str) -> Told | None:
    if _is_out_of_memory(error):
        return Told(f"--device: wanted one with more memory, or cpu, got {device}: {error}", 2)
    if isinstance(error, MemoryError):
        return Told(f"not enough memory{f': {error}' if str(error) else ''}", 1)
    if isinstance(error, FloatingPointError):
        return Told(str(error), 1)
    if isinstance(error, OSError):
        return _of_system(error)
    if isinstance(error, ModuleNotFoundError) and _is_ours_to_name(error):
        library = (error.name or "").partition(".")[0]
        return Told(f'{library} is not installed; run: pip install "pml-suprank[{extra}]"', 2)
    if isinstance(error, ValueError | ImportError):
        return Told(str(error) or type(error).__name__, getattr(error, "status", 2))
    return None


def _of_system(error: OSError) -> Told:
    if error.errno in _NO_ROOM:
        return Told(f"{_place(error)}the disk is full; make room and repeat the command", 1)
    if error.filename is None or error.errno not in _REASONS:
        return Told(str(error), 2)
    return Told(f"{_place(error)}{_REASONS[error.errno]}", 2)


def _is_ours_to_name(error: ModuleNotFoundError) -> bool:
    """Whether a library is missing, and the error does not say yet how to get it."""
    name = error.name or ""
    return bool(name) and not name.startswith("pml_suprank") and "pip install" not in str(error)


def _place(error: OSError) -> str:
    return "" if error.filename is None else f"{_text(error.filename)}: "


def _text(name: Any) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether an accelerator has too little memory; without torch there is none."""
    torch: Any = sys.modules.get("torch")
    return torch is not None and isinstance(error, torch.cuda.OutOfMemoryError)
