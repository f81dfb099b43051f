"""What a copy of Google Landmarks v2 holds with its hierarchical labels, and what is left out and why.

    suprank landmark-statistics gldv2 --split train --min-images 4

The options are those of the loader ``landmarks``, so that a training set can be looked at before it is trained on. Only
the CSV files and one image are read.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pml_suprank.recipes.config import at_least
from pml_suprank.recipes.data.google_landmarks import MADE, SPLITS, load_landmarks
from pml_suprank.recipes.files import write_json

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the recipe; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="suprank landmark-statistics", description=(__doc__ or "").partition("\n")[0]
    )
    add = parser.add_argument
    add("root", type=Path, help="folder of the data set")
    add("--split", choices=[*SPLITS], default="train", help="(train)")
    add("--unclassified", choices=["drop", "keep"], default="drop", help="landmarks (drop)")
    add("--labels", nargs="+", help="only these hierarchical labels")
    add("--made", choices=MADE, help="only these landmarks")
    add("--min-images", type=at_least(1), default=1, help="of a landmark (1)")
    add("--max-images", type=at_least(1), help="of a landmark (all)")
    add("--output", type=Path, help="JSON file for the same numbers")
    options = vars(parser.parse_args(argv))
    output = options.pop("output")
    try:
        report = load_landmarks(**options).report
        if output is not None:
            write_json(output, asdict(report))
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
