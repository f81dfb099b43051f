"""The ``suprank`` command: ``suprank <recipe> [options]`` runs ``pml_suprank.recipes.commands.<recipe>``."""

import importlib
import sys
from collections.abc import Sequence

from pml_suprank.recipes.files import tolerant_output

__all__ = ["RECIPES", "main"]

RECIPES = {
    "quickstart": "fine-tune a packaged backbone on emoji and write a report",
    "finetune": "fine-tune a timm or OpenCLIP backbone on anybody's images",
    "embed": "images to a file of embeddings, with the model of a run",
    "evaluate": "all metrics of embeddings, per level and per query, and the worst queries",
    "search": "an index of a gallery, searched by image or text",
    "report": "a page about a run, or about several side by side",
    "build-hierarchy": "groups of groups from class names and images, reviewed by a person",
    "landmark-statistics": "what a copy of Google Landmarks v2 holds, and what is left out",
    "landmarks": "mAP@100 of Google Landmarks, easy, medium and hard of revisited Oxford and Paris",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one recipe; returns its exit status."""
    tolerant_output()
    arguments = list(sys.argv[1:] if argv is None else argv)
    listing = "\n".join(f"  {name:<20} {text}" for name, text in RECIPES.items())
    usage = f"usage: suprank <recipe> [options]\n\n{listing}\n\nsuprank <recipe> --help"
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage)
        return 0 if arguments else 2
    name, *rest = arguments
    if name not in RECIPES:
        print(f"suprank: wanted one of {', '.join(RECIPES)}, got {name!r}", file=sys.stderr)
        return 2
    return importlib.import_module(f"pml_suprank.recipes.commands.{name.replace('-', '_')}").main(
        rest
    )


if __name__ == "__main__":
    sys.exit(main())
