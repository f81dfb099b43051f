"""The checks before a commit are those of ``make lint``."""

import shutil
import subprocess
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml", reason="needs the recipes extra")

ROOT = Path(__file__).parents[1]


def commands(target: str) -> list[str]:
    """What make would run."""
    call = ["make", "--no-print-directory", "-n", "-o", ".venv/.ready", target, "VENV=.venv"]
    found = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True)
    return [line for line in found.stdout.splitlines() if "$(MAKE)" not in line]


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_the_hooks_check_what_lint_checks() -> None:
    content = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = {hook["id"]: hook for repo in content["repos"] for hook in repo["hooks"]}
    make, target = hooks["mypy"]["entry"].split()
    assert make == "make"
    assert hooks["mypy"]["pass_filenames"] is False
    types, lint = commands(target), commands("lint")
    assert types[-1].endswith("-m mypy")
    assert lint[-len(types) :] == types
    tree = next(line for line in types if "cp -R" in line)
    assert "recipes" in tree
    assert "integrations" in tree
    for name in ("check", "format"):
        entry = hooks[f"ruff-{name}"]["entry"].removesuffix(" --fix")
        assert any(line.startswith(entry) for line in lint)
