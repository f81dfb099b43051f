"""One command line: what its help costs, how commands end, and what a killed one leaves."""

import argparse
import errno
import os
import re
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pml_suprank.integrations import whole_files
from pml_suprank.integrations.whole_files import remove_unfinished, write_atomic
from pml_suprank.recipes import __main__ as suprank
from pml_suprank.recipes.command_line.command import Command
from pml_suprank.recipes.command_line.errors import CommandError, explain
from pml_suprank.recipes.command_line.table import COMMANDS, GROUPS, RENAMED

HEAVY = ("torch", "timm", "torchvision", "pandas", "matplotlib", "scipy", "sklearn", "PIL", "tqdm")
HEAVY += ("pytorch_metric_learning", "faiss", "open_clip", "accelerate", "numpy", "pydantic")
LOADED = """
import sys
from pml_suprank.recipes.__main__ import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print(" ".join({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


def loaded(*words: str, code: str = LOADED) -> set[str]:
    """The top-level packages that a command line has loaded."""
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True
    )
    return set(done.stderr.splitlines()[-1].split())


def helps() -> list[list[str]]:
    steps = {"search": ("build", "query"), "landmarks": ("statistics", "revisited", "gldv2")}
    steps["build-hierarchy"] = ("names", "propose", "review", "classify", "vote", "write")
    inner = [[name, step, "--help"] for name, of in steps.items() for step in of]
    return [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS), *inner]


@pytest.mark.parametrize("words", helps(), ids=" ".join)
def test_help_loads_nothing_heavy(words: list[str]) -> None:
    assert loaded(*words).isdisjoint(HEAVY)


def test_the_check_above_can_fail() -> None:
    assert {"torch", "numpy"} <= loaded(code="import pml_suprank.hierarchy\n" + LOADED)


def test_the_list_of_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert suprank.main(["--help"]) == 0
    shown = capsys.readouterr().out
    for title, group in GROUPS.items():
        assert f"\n{title}:\n" in shown
        for name, text in group.items():
            assert re.search(rf"^  {name} +{re.escape(text)}$", shown, re.MULTILINE)
            assert "_" not in name
    assert len(COMMANDS) <= 10
    assert suprank.main([]) == 2
    assert "usage: suprank" in capsys.readouterr().err
    assert suprank.main(["--version"]) == 0
    assert re.fullmatch(r"suprank \d+\.\d+\.\d+\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("finetun", "finetune"), ("Embed", "embed"), ("build_hierarchy", "build-hierarchy")],
)
def test_an_unknown_command_has_a_near_one(
    wrong: str, near: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert suprank.main([wrong]) == 2
    assert capsys.readouterr().err.endswith(f"got {wrong!r}; did you mean {near}?\n")


def test_an_old_name_says_the_new_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert all(new[0] in COMMANDS for new in RENAMED.values())
    assert suprank.main(["landmark-statistics", "never"]) == 2
    told, error = capsys.readouterr().err.splitlines()
    assert "landmark-statistics is called landmarks statistics now" in told
    assert "root: wanted the folder of the data set, got 'never'" in error


def command(run: Callable[[argparse.Namespace], int | None], **more: object) -> Command:
    def add_options(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--output", type=Path)

    return Command("embed", add_options, run, **more)  # type: ignore[arg-type]


def raising(error: BaseException) -> Callable[[argparse.Namespace], None]:
    def run(_: argparse.Namespace) -> None:
        raise error

    return run


MENDED = {
    "value": (ValueError("x: wanted 1, got 2"), 2, "x: wanted 1, got 2"),
    "own": (CommandError("broken", status=1), 1, "broken"),
    "numbers": (FloatingPointError("loss: got NaN"), 1, "loss: got NaN"),
    "memory": (MemoryError(), 1, "not enough memory"),
    "missing": (
        ModuleNotFoundError("No module named 'pandas'", name="pandas"),
        2,
        'pandas is not installed; run: pip install "pml-suprank[recipes]"',
    ),
    "full": (
        OSError(errno.ENOSPC, "No space left on device", "a.csv"),
        1,
        "a.csv: the disk is full; make room and repeat the command",
    ),
    "read-only": (
        OSError(errno.EROFS, "Read-only file system", "a.csv"),
        2,
        "a.csv: wanted a place to write to, got one that is read-only",
    ),
    "gone": (FileNotFoundError(errno.ENOENT, "x", "a"), 2, "a: no such file or folder"),
    "folder": (IsADirectoryError(errno.EISDIR, "x", "a"), 2, "a: wanted a file, got a folder"),
    "said": (FileNotFoundError("root: wanted a folder"), 2, "root: wanted a folder"),
}


@pytest.mark.parametrize("case", MENDED)
def test_errors_are_one_line(
    case: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    error, status, text = MENDED[case]
    assert command(raising(error))([]) == status
    assert capsys.readouterr().err == f"suprank embed: {text}\n"
    with pytest.raises(type(error)):
        command(raising(error))(["--debug"])
    monkeypatch.setenv("SUPRANK_DEBUG", "1")
    with pytest.raises(type(error)):
        command(raising(error))([])


def test_a_fault_of_the_program_keeps_its_traceback() -> None:
    for error in (KeyError("x"), TypeError("x"), AttributeError("x"), RuntimeError("x")):
        assert explain(error) is None
        with pytest.raises(type(error)):
            command(raising(error))([])


def test_options_that_are_refused_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        suprank.main(["embed", "--nothing"])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("suprank embed: the following arguments are required: run")
    assert line.endswith("; see suprank embed --help")


def test_warnings_are_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(_: argparse.Namespace) -> None:
        told = warnings.WarningMessage("x.npz is old", UserWarning, __file__, 1)
        print(warnings._formatwarnmsg(told), file=sys.stderr, end="")  # type: ignore[attr-defined]

    usual = warnings.formatwarning
    assert command(run)([]) == 0
    assert capsys.readouterr().err == "suprank embed: warning: x.npz is old\n"
    assert command(run)(["--debug"]) == 0
    assert f"{__file__}:1: UserWarning: x.npz is old\n" in capsys.readouterr().err
    assert warnings.formatwarning is usual


def test_interruption_says_what_is_kept(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    stop = raising(KeyboardInterrupt())
    assert command(stop)([]) == 130
    assert capsys.readouterr().err == "\ninterrupted\n"
    kept = command(stop, interrupted=lambda options: f"{options.output} is kept")
    assert kept(["--output", str(tmp_path / "x")]) == 130
    assert capsys.readouterr().err == f"\n{tmp_path / 'x'} is kept\n"


PRINTS = """
import sys
from tests.recipes.test_command_line import command

def run(_):
    for number in range(100_000):
        print("a line that is long enough to fill what is between two programs", number)

sys.exit(command(run)([]))
"""


def shell(line: str, code: str) -> tuple[int, str]:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "CODE": code, "PYTHON": sys.executable, "PYTHONPATH": str(root)}
    done = subprocess.run(["bash", "-c", line], env=environment, capture_output=True, text=True)
    return done.returncode, done.stderr


def test_a_reader_that_leaves_is_nothing_to_speak_of() -> None:
    assert shell('"$PYTHON" -c "$CODE" | head -1; exit ${PIPESTATUS[0]}', PRINTS) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_results_that_find_no_room() -> None:
    wanted = "suprank embed: the disk is full; make room and repeat the command\n"
    few = PRINTS.replace("100_000", "1")
    for code in (PRINTS, few):
        assert shell('"$PYTHON" -c "$CODE" > /dev/full', code) == (1, wanted)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("place", ["mkstemp", "fsync", "replace"])
def test_a_file_that_cannot_be_written_is_named(
    number: int,
    place: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    (tmp_path / "a.csv").write_text("before")
    owner = whole_files.tempfile if place == "mkstemp" else whole_files.os
    monkeypatch.setattr(owner, place, fail)
    run = command(lambda options: write_atomic(options.output, lambda file: file.write(b"after")))
    assert run(["--output", str(tmp_path / "a.csv")]) in (1, 2)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"suprank embed: {tmp_path / 'a.csv'}: ")
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
    assert (tmp_path / "a.csv").read_text() == "before"


def test_the_next_start_cleans(tmp_path: Path) -> None:
    """What a killed command has left half written goes, what another is writing stays."""
    killed = """
import os, signal, sys
from pathlib import Path
from pml_suprank.integrations.whole_files import write_atomic
write_atomic(Path(sys.argv[1]), lambda file: (file.write(b"half"), file.flush(), os.kill(os.getpid(), signal.SIGKILL)))
"""
    target = tmp_path / "a.npz"
    subprocess.run([sys.executable, "-c", killed, str(target)], check=False)
    (left,) = tmp_path.iterdir()
    assert left.read_bytes() == b"half"
    (tmp_path / ".b.npz.abcdefgh").write_bytes(b"of another file")

    def write(file: object) -> None:
        names = {path.name for path in tmp_path.iterdir()}
        remove_unfinished(target)  # as another command that starts meanwhile
        assert {path.name for path in tmp_path.iterdir()} == names
        assert left.name not in names

    assert command(lambda options: write_atomic(options.output, write))(["--output", str(target)]) == 0  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == [".b.npz.abcdefgh", "a.npz"]
    remove_unfinished(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]
    remove_unfinished(tmp_path / "never/a.npz")


WITHOUT = """
import sys
for name in sys.argv[1].split(","):
    sys.modules[name] = None
from pml_suprank.recipes.__main__ import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize(
    ("missing", "line"),
    [
        ("torch", "landmarks statistics ."),
        ("accelerate", "quickstart --output never"),
        ("torch", "evaluate x.npz"),
        ("faiss", "search query index --embedding x.npz"),
        ("accelerate", "finetune --output never --config cub-happier --data.root ."),
        ("sklearn", "build-hierarchy propose work --levels a=2 --encoder bag-of-words"),
    ],
)
def test_a_missing_extra_is_named(missing: str, line: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, missing, *line.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert re.fullmatch(
        rf'suprank [a-z-]+: {missing} is not installed; run: pip install "pml-suprank\[\w+\]"\n',
        done.stderr,
    ), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [
        "finetune --output new --data.root photos --model.name resnet18 --model.weights hub",
        "finetune --output new --data.root photos --model.library open_clip --model.name ViT-B-32"
        " --model.weights hub:openai",
        "finetune --output new --data.root photos --model.library open_clip --model.name ViT-B-32"
        " --model.weights hub:laion2b_s34b_b79k",
    ],
)
def test_a_hub_that_cannot_be_reached(line: str, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").symlink_to(photos)
    more = "--training.batch_size 8 --sampler.group_sizes [2,2] --data.test_share 0.5"
    done = subprocess.run(
        [sys.executable, "-m", "pml_suprank.recipes", *line.split(), *more.split()],
        cwd=tmp_path,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert "model.weights: wanted the pretrained weights of" in done.stderr
    assert "ithout network" in last
    assert "packaged" in last


def test_a_file_that_is_no_archive_is_not_advised_to_be_run(tmp_path: Path) -> None:
    from pml_suprank.recipes.embedding_set import EmbeddingError, EmbeddingSet

    path = tmp_path / "a.npz"
    path.write_bytes(b"\x80\x04]")
    assert not zipfile.is_zipfile(path)
    with pytest.raises(
        EmbeddingError, match=r"a\.npz: wanted a file of embeddings, got no archive"
    ):
        EmbeddingSet.load(path)
