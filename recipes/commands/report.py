"""A page about a run, or about several side by side.

    suprank report runs/photos --output photos.html
    suprank report runs/a runs/b runs/c --output comparison.html

Reads the run folders of ``finetune`` (and those of the quickstart as far as they go); no image is needed.
"""

import argparse
import sys
from pathlib import Path

from pml_suprank.recipes.command_line.command import Command

__all__ = ["main"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the command line."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folders")
    parser.add_argument(
        "--output", type=Path, default=Path("report.html"), help="page (report.html)"
    )


def run(options: argparse.Namespace) -> None:
    """Write the page."""
    from pml_suprank.recipes.pages.report_file import write_report

    if not write_report(options.runs, options.output):
        print("warning: the runs were tested on different images; none is best", file=sys.stderr)
    print(f"report: {options.output}")


main = Command(
    "report",
    add_options,
    run,
    description=__doc__ or "",
)

if __name__ == "__main__":
    sys.exit(main())
