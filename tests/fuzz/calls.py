"""One call of a public callable with some wrong arguments, and what becomes of it."""

import contextlib
import dataclasses
import functools
import io
import re
import signal
import warnings
from typing import Any, NamedTuple

import torch

from pml_suprank import HierarchyError
from tests.fuzz.targets import COMPANIONS, Target, targets
from tests.fuzz.wrong_values import NEVER_RIGHT, Inapplicable, wrong_value

SECONDS = 20
"""The most that a call takes."""
RIGHT, NAMED = "right", "named"
UNNAMED, OTHER_TYPE, NOT_FINITE, TAKEN = "unnamed", "other type", "not finite", "taken"
GOOD = {RIGHT, NAMED}
CALLED = {
    *("embed", "get_batch", "knn_func", "kmeans_func", "label_comparison_fn", "relevance", "miner"),
    *("metric", "reducer", "embedding_regularizer"),
}
"""Parameters that are called."""
DOCUMENTED_WARNINGS = (
    ".* samples are left out",
    ".*the first . rows of ref_emb are the embeddings",
    ".* is old and goes with the next release",
)
ALL = functools.cache(targets)


class Outcome(NamedTuple):
    """What became of a call."""

    kind: str
    error: BaseException | None = None


def call(name: str, **wrong: str) -> Any:
    """Call a target with right values but for ``wrong``, by parameter the kind of a wrong value."""
    target = ALL()[name]
    result = target.call(**arguments(target, wrong))
    return differentiated(result)


def code(name: str, wrong: dict[str, str]) -> str:
    """Return code that repeats a call."""
    options = ", ".join(f"{parameter!r}: {kind!r}" for parameter, kind in wrong.items())
    return f"from tests.fuzz.calls import call; call({name!r}, **{{{options}}})"


def arguments(target: Target, wrong: dict[str, str]) -> dict[str, Any]:
    """Return what a target is given."""
    given = {name for name, needed in target.parameters.items() if needed} | set(wrong)
    for name in wrong:
        given |= set(COMPANIONS.get(name, ())) & set(target.parameters)
    found = {name: target.right(name) for name in sorted(given)}
    if any(name in CALLED and kind in ("function", "module") for name, kind in wrong.items()):
        raise Inapplicable  # errors of a function that is given are its own
    return found | {name: wrong_value(kind, found[name]) for name, kind in wrong.items()}


def differentiated(result):
    """Return a result, with the gradients of a loss in it if it has any."""
    tensors = [t for t in tensors_in(result) if t.is_floating_point() and t.requires_grad]
    if tensors and all(t.grad_fn is not None for t in tensors):
        sum(t.sum() for t in tensors).backward()
    return result


def tensors_in(result):
    """Return all tensors of a result."""
    if torch.is_tensor(result):
        return [result]
    if dataclasses.is_dataclass(result) and not isinstance(result, type):
        result = [getattr(result, field.name) for field in dataclasses.fields(result)]
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, tuple | list):
        return [t for each in result for t in tensors_in(each)]
    return []


class TooSlow(BaseException):
    """A call that does not end."""


@contextlib.contextmanager
def limited():
    """Raise in a call that takes too long."""

    def stop(*_):
        raise TooSlow

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def outcome(name: str, wrong: dict[str, str]) -> Outcome:
    """Make a call and say what becomes of it."""
    target = ALL()[name]
    given = arguments(target, wrong)
    leaves = [v for v in given.values() if torch.is_tensor(v) and v.requires_grad and v.is_leaf]
    try:
        with limited(), contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
            for message in DOCUMENTED_WARNINGS:
                warnings.filterwarnings("ignore", message=message)
            result = differentiated(target.call(**given))
    except (ValueError, TypeError) as error:
        if type(error) not in (ValueError, TypeError) and not isinstance(error, HierarchyError):
            return Outcome(OTHER_TYPE, error)
        files = tuple(str(given[name]) for name in ("path", "root") if name in given)
        is_named = names(error, target, wrong) or (files and str(error).startswith(files))
        return Outcome(NAMED if is_named else UNNAMED, error)
    except OSError as error:  # a file that is not there
        names_file = {"path", "root"} & set(wrong) and error.filename is not None
        return Outcome(NAMED if names_file else OTHER_TYPE, error)
    except (Exception, TooSlow) as error:
        return Outcome(OTHER_TYPE, error)
    found = tensors_in(result) + [leaf.grad for leaf in leaves if leaf.grad is not None]
    if not all(is_finite(t) for t in found):
        return Outcome(NOT_FINITE)
    if set(wrong.values()) & NEVER_RIGHT:
        return Outcome(TAKEN)
    return Outcome(RIGHT)


def is_finite(tensor: torch.Tensor) -> bool:
    """Whether there is neither NaN nor infinity."""
    if tensor.device.type == "meta" or tensor.is_sparse:
        return True
    return not tensor.is_floating_point() or bool(tensor.isfinite().all())


def names(error: BaseException, target: Target, wrong: dict[str, str]) -> bool:
    """Whether an error names a wrong argument, or begins with the name of another of the call."""
    text = str(error)
    words = set(re.findall(r"\w+", text))
    if words & set(wrong):
        return True
    subject = re.findall(r"\w+", text.split(":")[0] if ":" in text else text.partition(" ")[0])
    return bool(set(subject) & set(target.parameters))
