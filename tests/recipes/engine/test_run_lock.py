"""Two runs in one folder: the second is refused, whatever became of a first that was killed."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pml_suprank.recipes.engine import run_lock
from pml_suprank.recipes.engine.parsing import ConfigError
from pml_suprank.recipes.engine.run_lock import LOCK, only_run

HOLDER = """
import os, sys, time
from pathlib import Path
from pml_suprank.recipes.engine.run_lock import only_run
with only_run(Path(sys.argv[1])):
    worker = os.fork()
    if not worker:
        print(os.getpid(), flush=True)
    time.sleep(120)
"""


def test_a_second_run_is_refused_and_the_lock_goes_with_the_process(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        worker = int(run.stdout.readline())
        try:
            message = (
                rf"--output: wanted a folder that no other run .* process {run.pid} on .* at work"
            )
            with pytest.raises(ConfigError, match=message), only_run(tmp_path):
                pass
            run.send_signal(signal.SIGKILL)
            run.wait()
            assert (tmp_path / LOCK).exists()
            with only_run(tmp_path):  # although the worker of the killed run is still there
                os.kill(worker, 0)
        finally:
            os.kill(worker, signal.SIGKILL)
    assert not (tmp_path / LOCK).exists()


def test_one_process_after_the_other(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "run"
    for _ in range(2):
        with only_run(folder):
            assert str(os.getpid()) in (folder / LOCK).read_text()
            with pytest.raises(ConfigError, match="no other run"), only_run(folder):
                pass
            with only_run(folder, is_main=False):  # another process of this run
                pass
        assert list(folder.iterdir()) == []


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(run_lock, "_try_lock", refuse)
    with (
        pytest.warns(UserWarning, match="a file system without locks .*No locks available"),
        only_run(tmp_path),
    ):
        pass


def test_what_is_planted_in_the_place_of_the_lock(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("kept")
    (tmp_path / LOCK).symlink_to(secret)
    with (
        pytest.raises(ConfigError, match="--output: wanted a folder to write to"),
        only_run(tmp_path),
    ):
        pass
    assert secret.read_text() == "kept"
    (tmp_path / LOCK).unlink()
    os.mkfifo(tmp_path / LOCK)
    with pytest.raises(ConfigError, match="no regular file"), only_run(tmp_path):
        pass
