"""What the fuzzer calls good: it sees what it is there to see."""

import torch

from pml_suprank import HierarchyError
from tests.fuzz import calls
from tests.fuzz.calls import Outcome, call, code, outcome
from tests.fuzz.targets import Target


def found(monkeypatch, function, kind="nan"):
    target = Target("made.up", {"tau": True}, function)
    monkeypatch.setattr(calls, "ALL", lambda: {"made.up": target})
    return outcome("made.up", {"tau": kind})


def raises(error):
    def function(tau):
        raise error

    return function


def test_outcomes(monkeypatch):
    for function, kind in {
        raises(ValueError("tau: wanted a number, got nan")): calls.NAMED,
        raises(HierarchyError("tau: wanted a number, got nan")): calls.NAMED,
        raises(ValueError("could not convert string to float")): calls.UNNAMED,
        raises(UnicodeError("tau: wanted a number")): calls.OTHER_TYPE,
        raises(AttributeError("tau")): calls.OTHER_TYPE,
        lambda tau: torch.tensor([1.0, torch.nan]): calls.NOT_FINITE,
        lambda tau: {"loss": (torch.tensor(torch.inf),)}: calls.NOT_FINITE,
        lambda tau: torch.tensor(1.0): calls.RIGHT,
    }.items():
        assert found(monkeypatch, function).kind == kind
    assert found(monkeypatch, lambda tau: 1.0, "thing") == Outcome(calls.TAKEN)


def test_a_call_that_does_not_end(monkeypatch):
    monkeypatch.setattr(calls, "SECONDS", 1)

    def function(tau):
        while True:
            pass

    assert found(monkeypatch, function).kind == calls.OTHER_TYPE


def test_the_printed_code_repeats_the_call():
    text = code("functional.SmoothRank", {"tau": "text"})
    assert outcome("functional.SmoothRank", {"tau": "text"}).kind == calls.NAMED
    try:
        exec(text, {})
    except ValueError as error:
        assert "tau: wanted a positive finite number, got 'wide'" in str(error)  # noqa: PT017
    else:
        raise AssertionError(text)
    assert call("functional.SmoothRank") is not None
