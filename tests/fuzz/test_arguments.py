"""Every public callable, given wrong values: a right result, or an error that names the argument.

``FUZZ_SEED`` and ``FUZZ_CALLS`` change the calls; a failure prints code that repeats it.
"""

import collections
import os
import random

import pytest
import torch

from tests.fuzz.calls import ALL, GOOD, arguments, call, code, outcome
from tests.fuzz.right_values import RIGHT, SPECIAL
from tests.fuzz.wrong_values import KINDS, Inapplicable

SEED = int(os.environ.get("FUZZ_SEED", "0"))
CALLS = int(os.environ.get("FUZZ_CALLS", "20000"))
TARGETS = ALL()
NUM_PARAMETERS = sum(len(target.parameters) for target in TARGETS.values())


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def calls_of(target):
    """Yield what is wrong in each call; one or two parameters."""
    draw = random.Random(f"{SEED} {target.name}")
    wanted = -(-CALLS * len(target.parameters) // NUM_PARAMETERS)
    while wanted:
        some = draw.sample(
            sorted(target.parameters), min(len(target.parameters), draw.choice((1, 1, 2)))
        )
        wrong = {parameter: draw.choice(KINDS) for parameter in some}
        try:
            arguments(target, wrong)
        except Inapplicable:
            continue
        wanted -= 1
        yield wrong


def test_every_parameter_has_a_maker():
    missing = {
        (target.name, parameter)
        for target in TARGETS.values()
        for parameter in target.parameters
        if parameter not in RIGHT and (target.name, parameter) not in SPECIAL
    }
    assert not missing, "tests/fuzz/right_values.py: wanted a maker for each parameter"


@pytest.mark.parametrize("name", TARGETS)
def test_right_values_are_taken(name):
    call(name)


@pytest.mark.parametrize("name", TARGETS)
def test_wrong_values(name):
    print(f"FUZZ_SEED={SEED} FUZZ_CALLS={CALLS}")
    bad = collections.Counter()
    lines = []
    for wrong in calls_of(TARGETS[name]):
        torch.manual_seed(SEED)
        found = outcome(name, wrong)
        if found.kind not in GOOD:
            bad[found.kind] += 1
            lines.append(f"{found.kind}: {code(name, wrong)}  # {found.error!r:.200}")
    assert not bad, f"{dict(bad)}\n" + "\n".join(lines)
