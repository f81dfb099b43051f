"""The page that ``suprank report`` and every run write."""

from collections.abc import Sequence
from pathlib import Path

from pml_suprank.recipes.files import write_text
from pml_suprank.recipes.pages.comparison_page import render_comparison, tested_on
from pml_suprank.recipes.pages.run_folder import RunFolder, RunFolderError
from pml_suprank.recipes.pages.run_page import render_run

__all__ = ["write_report"]


def write_report(runs: Sequence[Path], output: Path) -> bool:
    """Write the page of one run, or of several.

    Args:
        runs: run folders.
        output: HTML file.

    Returns:
        Whether the runs compare: False where they were tested on different images.

    Raises:
        RunFolderError: a folder is not that of a finished run.
    """
    if not runs:
        raise RunFolderError("runs: wanted at least one run folder, got none")
    found = [RunFolder.read(path) for path in runs]
    write_text(output, render_run(found[0]) if len(found) == 1 else render_comparison(found))
    return not tested_on(found)
