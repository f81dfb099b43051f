"""Paired timings, peak memory in a process of its own, and tables as Markdown and JSON."""

import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_metric_learning
import torch

ROOT = Path(__file__).parents[1]


def seconds(function: Callable[[], object]) -> float:
    """Return the seconds of one call, work on a GPU included."""
    start = time.perf_counter()
    function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def paired_medians(functions: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Run the functions in turn, so that noise hits all of them, and return median seconds.

    Short ones are run more often: up to ten times ``repeats``, or for two seconds.
    """
    times: dict[str, list[float]] = {name: [] for name in functions}
    round_ = sum(seconds(function) for function in functions.values())
    for _ in range(max(repeats, min(10 * repeats, int(2 / round_)))):
        for name, function in functions.items():
            times[name].append(seconds(function))
    return {name: statistics.median(values) for name, values in times.items()}


def peak_memory(module: str, *arguments: object) -> float:
    """Run ``module.peak(*arguments)`` in a fresh process and return the MiB it took above its inputs."""
    if module == "__main__":  # what ``python -m`` runs; the other process needs its real name
        module = sys.modules[module].__spec__.name
    code = f"import {module} as m; print(m.peak(*{list(map(str, arguments))!r}))"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return float(result.stdout.split()[-1])


def memory_of(function: Callable[[], object]) -> float:
    """Return the MiB by which a call raises the resident memory of this process at its peak."""
    # makes the present memory the peak, whatever was taken to build the inputs
    Path("/proc/self/clear_refs").write_text("5")
    before = _peak_resident()
    function()
    return _peak_resident() - before


def _peak_resident() -> float:
    # not ru_maxrss: a new process inherits that of its parent
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/status: wanted a line VmHWM, got none")


def machine() -> dict[str, Any]:
    """Return what the numbers were measured on."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True
    )
    return {
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "pytorch-metric-learning": pytorch_metric_learning.__version__,
        "commit": commit.stdout.strip() or "unknown",
    }


def _processor() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    names = [
        line.split(":")[1].strip()
        for line in (info.read_text().splitlines() if info.exists() else [])
        if line.startswith("model name")
    ]
    return f"{names[0]}, {len(names)} cores" if names else platform.processor()


class Results:
    """Tables that are on disk, as Markdown and JSON, as soon as they have a row.

    Args:
        name: of the files, in ``folder``.
        title: of the page.
        folder: ``benchmarks/results`` by default.
        note: a line below the title.
    """

    def __init__(
        self, name: str, title: str, folder: Path | None = None, note: str | None = None
    ) -> None:
        self.path = (folder or ROOT / "benchmarks" / "results") / name
        self.title, self.note = title, note
        self.tables: dict[str, list[Mapping[str, Any]]] = {}
        self.about = machine()

    def add(self, heading: str, row: Mapping[str, Any]) -> None:
        """Append a row to the table under a heading, and write the files."""
        self.tables.setdefault(heading, []).append(row)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = {"machine": self.about, "tables": self.tables}
        self.path.with_suffix(".md").write_text(self.page())
        self.path.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n")

    def page(self) -> str:
        """Return the Markdown."""
        about = ", ".join(f"{key} {value}" for key, value in self.about.items()) + "."
        lines = [f"# {self.title}", "", about]
        lines += ["", self.note] if self.note else []
        for heading, rows in self.tables.items():
            columns = list(rows[0])
            lines += ["", f"## {heading}", "", _row(columns), _row(["---"] * len(columns))]
            lines += [_row([_text(row[column]) for column in columns]) for row in rows]
        return "\n".join(lines) + "\n"


def write(name: str, title: str, tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Print the tables, and write ``benchmarks/results/<name>.md`` and ``.json``."""
    results = Results(name, title)
    for heading, rows in tables.items():
        for row in rows:
            results.add(heading, row)
    print(results.page())


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _text(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
