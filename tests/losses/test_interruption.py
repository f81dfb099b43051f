"""A run that is killed loses at most the step it was in: resumed, it ends where an uninterrupted one does."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow

STEPS = 12
PROGRAM = """
import sys
from pathlib import Path

import torch

from pml_suprank import losses
from pml_suprank.recipes.files import write_atomic

kind, path, steps = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
generator = torch.Generator().manual_seed(0)
points = torch.randn(60, 8, generator=generator)
labels = torch.stack([torch.arange(60) // 5, torch.arange(60) // 20], 1)
torch.manual_seed(1)
model = torch.nn.Sequential(torch.nn.Linear(8, 6), torch.nn.Dropout(0.2))
loss = losses.SupHAPLoss()
if kind == "data set":
    memory = losses.DatasetMemory(loss, 60, 6)
else:
    memory = losses.CrossBatchMemory(loss, 6, 32)
optimizer = torch.optim.Adam(model.parameters(), 0.01)
parts = {"model": model, "memory": memory, "optimizer": optimizer}
first = 0
if path.exists():
    state = torch.load(path)
    first = state.pop("step")
    torch.set_rng_state(state.pop("rng"))
    for name, part in parts.items():
        part.load_state_dict(state[name])
print("start", first, flush=True)
for step in range(first, steps):
    items = torch.randperm(60)[:16]
    where = {"indices": items} if kind == "data set" else {}
    optimizer.zero_grad()
    value = memory(model(points[items]), labels[items], **where)
    value.backward()
    optimizer.step()
    state = {name: part.state_dict() for name, part in parts.items()}
    state |= {"step": step + 1, "rng": torch.get_rng_state()}
    write_atomic(path, lambda file: torch.save(state, file))
    print("done", step + 1, flush=True)
"""


def start(kind: str, path: Path) -> subprocess.Popen:
    command = [sys.executable, "-c", PROGRAM, kind, str(path), str(STEPS)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


@pytest.mark.parametrize("kind", ["data set", "cross batch"])
def test_a_killed_run_loses_at_most_one_step(kind, tmp_path):
    whole = start(kind, tmp_path / "whole.pt")
    assert whole.communicate()[0].splitlines()[-1] == f"done {STEPS}"
    killed = start(kind, tmp_path / "killed.pt")
    for line in killed.stdout:
        if line == "done 5\n":
            killed.send_signal(signal.SIGKILL)
            break
    seen = [line.split() for line in killed.communicate()[0].splitlines()]
    last = max([5, *(int(step) for word, step in seen if word == "done")])
    assert killed.returncode == -signal.SIGKILL
    resumed = start(kind, tmp_path / "killed.pt").communicate()[0].splitlines()
    first = int(resumed[0].split()[1])
    assert last <= first <= last + 1
    assert resumed[-1] == f"done {STEPS}"
    states = [torch.load(tmp_path / f"{name}.pt") for name in ("whole", "killed")]
    assert_same(*states)


def assert_same(one, other):
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, (list, tuple)):
        for first, second in zip(one, other, strict=True):
            assert_same(first, second)
    elif torch.is_tensor(one):
        assert torch.equal(one, other)
    else:
        assert one == other
