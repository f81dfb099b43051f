"""All metrics of embeddings, for each level and each query, and the worst queries as a page.

    suprank evaluate photos.npz --output evaluation
    suprank evaluate queries.npz --gallery gallery.npz --labels queries.csv --gallery-labels gallery.csv
    suprank evaluate runs/photos --output evaluation

Takes a file of embeddings (``suprank embed``, or any ``.npz`` with an array ``embeddings``) or a run folder, whose
held-out images are evaluated. Without a gallery every query searches among all others. Writes ``metrics.json``,
``metrics.csv`` (metric, level, mean, queries, left out), ``queries.csv`` (a row for each query) and ``worst.html``; for
a run whose images have captions, and whose model reads text, ``text_to_image.csv`` and ``image_to_text.csv`` too.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pml_suprank.recipes.command_line.command import Command
from pml_suprank.recipes.command_line.options import add_device, at_least

if TYPE_CHECKING:
    from pml_suprank.recipes.embedding_set import EmbeddingSet
    from pml_suprank.recipes.labelled_search import Evaluated

__all__ = ["main"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the command line."""
    add = parser.add_argument
    add("queries", type=Path, help="file of embeddings, or run folder")
    add("--gallery", type=Path, help="file of embeddings to search in (the queries)")
    add("--labels", type=Path, help="CSV file with a column for each level, finest first, and path")
    add("--gallery-labels", type=Path, help="the same for the gallery")
    add(
        "--repeated-names",
        action="store_true",
        help="take labels whose level has fewer names than the one above it",
    )
    add(
        "--allow-other-model",
        action="store_true",
        help="evaluate although queries and gallery are of two models",
    )
    add("--output", type=Path, default=Path("evaluation"), help="folder (evaluation)")
    add("--k", nargs="+", type=at_least(1), default=[1, 5, 10], help="depths of recall (1 5 10)")
    add("--worst", type=at_least(1), default=20, help="queries on the page (20)")
    add("--data.root", dest="data_root", type=Path, help="folder of the images, where they moved")
    add_device(add)


def run(options: argparse.Namespace) -> None:
    """Measure, and write the tables and the page."""
    from pml_suprank.recipes.devices import float64_device, tell_device
    from pml_suprank.recipes.files import write_csv, write_json, write_text
    from pml_suprank.recipes.labelled_search import evaluate_embeddings
    from pml_suprank.recipes.metric_tables import per_query, printed, summary, to_json
    from pml_suprank.recipes.pages.worst_page import render_worst, worst_queries

    tell_device(options.device, in_float64=True)
    queries, captions = _read(options.queries, options.labels, options)
    gallery = None
    if options.gallery is not None:
        gallery, _ = _read(options.gallery, options.gallery_labels, options)
    found = evaluate_embeddings(
        queries,
        gallery,
        k=options.k,
        allow_other_model=options.allow_other_model,
        device=float64_device(options.device),
    )
    if found.note:
        print(f"warning: {found.note}", file=sys.stderr)
    rows, output = summary(found), options.output
    write_csv(output / "metrics.csv", rows)
    write_csv(output / "queries.csv", per_query(found))
    write_text(output / "worst.html", render_worst(found, options.worst))
    content = to_json(found)
    texts = _by_text(queries, captions, options) if gallery is None and captions else {}
    for name, part in texts.items():
        write_csv(output / f"{name}.csv", summary(part))
        content[name] = to_json(part)
    write_json(output / "metrics.json", content)
    lost = found.queries.lost(worst_queries(found, options.worst))
    if lost:
        print(f"suprank evaluate: {lost}", file=sys.stderr)
    print(f"\n{printed(rows)}")
    for name, part in texts.items():
        print(f"\n{name.replace('_', ' ')}\n{printed(summary(part))}")
    print(f"\nper query: {output / 'queries.csv'}; worst queries: {output / 'worst.html'}")


def _by_text(
    images: "EmbeddingSet", captions: "EmbeddingSet", options: argparse.Namespace
) -> "dict[str, Evaluated]":
    """Captions search the images, and images the captions."""
    from pml_suprank.recipes.devices import float64_device
    from pml_suprank.recipes.labelled_search import evaluate_embeddings

    ways = {"text_to_image": (captions, images), "image_to_text": (images, captions)}
    return {
        name: evaluate_embeddings(*pair, k=options.k, device=float64_device(options.device))
        for name, pair in ways.items()
    }


def _read(
    path: Path, labels: Path | None, options: argparse.Namespace
) -> "tuple[EmbeddingSet, EmbeddingSet | None]":
    """A file of embeddings, or the held-out images of a run folder and their captions."""
    from pml_suprank.recipes.embedding_set import EmbeddingSet
    from pml_suprank.recipes.engine.encode_data import embed_held_out

    if path.is_dir():
        return embed_held_out(path, options.data_root, options.device)
    found = EmbeddingSet.load(path).at_root(options.data_root)
    if labels is not None:
        found = found.with_labels(labels, repeated_names=options.repeated_names)
    return found, None


main = Command(
    "evaluate",
    add_options,
    run,
    description=__doc__ or "",
)

if __name__ == "__main__":
    sys.exit(main())
