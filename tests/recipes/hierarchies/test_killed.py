"""Steps that are killed with SIGKILL, at every write of a file: done again they give the files of an unbroken run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.recipes.hierarchies.worlds import World

ALL_STEPS = """
import os, signal, sys
from pathlib import Path
from pml_suprank.recipes.hierarchies import classify, names, proposal, review, voting, writing
from tests.recipes.hierarchies.test_steps import steps
from tests.recipes.hierarchies.worlds import World

world, folder = World.__new__(World), Path(sys.argv[1])
world.__dict__.update({name: folder / "world" / f"{name}.csv" for name in ("classes", "images")})
world.root = folder / "world"
world.features, world.image_features = world.root / "names.npz", world.root / "images.npz"
sys.stdout = open(os.devnull, "w")

def in_child(work, prepare=lambda: None):
    # this process only imports: a fork of one whose libraries have started threads may never end
    child = os.fork()
    if not child:
        try:
            prepare()
            steps(world, work)
        except BaseException as error:
            os.write(2, repr(error).encode())
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]

assert in_child(folder / "unbroken") == 0

def dies_at(point, function):
    # killed with the file half written (at fsync) or just written (after replace)
    real, count = getattr(os, function), 0
    def call(*arguments):
        nonlocal count
        count += 1
        if function == "replace":
            real(*arguments)
        if count == point:
            os.kill(os.getpid(), signal.SIGKILL)
        if function == "fsync":
            real(*arguments)
    setattr(os, function, call)

for first, function in enumerate(("fsync", "replace"), 1):
    for point in range(first, 99, 2):
        work = folder / f"{function}-{point}"
        status = in_child(work, lambda: dies_at(point, function))
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
        assert in_child(work) == 0
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
def test_killed_at_every_write(tmp_path: Path) -> None:
    World(tmp_path / "world")
    command = [sys.executable, "-W", "ignore", "-c", ALL_STEPS, str(tmp_path)]
    root = Path(__file__).parents[3]
    alone = os.environ | {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, env=alone, timeout=600)
    assert done.returncode == 0, done.stderr
    killed = [p for p in tmp_path.iterdir() if p.name not in ("world", "unbroken")]
    assert len(killed) > 15
    expected = contents(tmp_path / "unbroken")
    assert len(expected) > 15
    for work in killed:
        found = contents(work)
        assert found.keys() == expected.keys(), work.name
        assert found == expected, work.name


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
