"""A page about a run, or about several side by side.

    suprank report runs/photos --output photos.html
    suprank report runs/a runs/b runs/c --output comparison.html

Reads the run folders of ``finetune`` (and those of the quickstart as far as they go); no image is needed.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pml_suprank.recipes.files import write_text
from pml_suprank.recipes.pages.comparison_page import render_comparison, tested_on
from pml_suprank.recipes.pages.run_folder import RunFolder, RunFolderError
from pml_suprank.recipes.pages.run_page import render_run

__all__ = ["main", "write_report"]


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


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the recipe; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="suprank report", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folders")
    parser.add_argument(
        "--output", type=Path, default=Path("report.html"), help="page (report.html)"
    )
    options = parser.parse_args(argv)
    try:
        do_compare = write_report(options.runs, options.output)
    except RunFolderError as error:
        parser.error(str(error))
    if not do_compare:
        print("warning: the runs were tested on different images; none is best", file=sys.stderr)
    print(f"report: {options.output}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
