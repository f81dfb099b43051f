"""An index of a gallery, searched by image, by text or by embeddings.

    suprank search build gallery.npz --output index
    suprank search query index --model runs/photos --image cat.jpg --top 10 --output cat.html
    suprank search query index --model runs/clip --text "a red fox"
    suprank search query index --embedding queries.npz --output results.png

Prints the results and, with ``--output``, writes a contact sheet, as a page (``.html``) or a picture (``.png``).
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pml_suprank.recipes.choices import INDEX_KINDS
from pml_suprank.recipes.command_line.command import Command
from pml_suprank.recipes.command_line.options import add_device, at_least

if TYPE_CHECKING:
    from torch import Tensor

    from pml_suprank.integrations.model_identity import ModelIdentity
    from pml_suprank.recipes.pages.results_page import Query

__all__ = ["main"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the command line."""
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="index a gallery")
    build.add_argument("gallery", type=Path, help="file of embeddings")
    build.add_argument("--output", type=Path, required=True, help="folder of the index")
    build.add_argument("--kind", choices=INDEX_KINDS, default="flat", help="flat is exact (flat)")
    query = commands.add_parser("query", help="search an index")
    add = query.add_argument
    add("index", type=Path, help="folder of the index")
    add("--model", type=Path, help="run folder of the model, for images and text")
    add("--image", type=Path, nargs="+", help="images to search with")
    add("--text", nargs="+", help="texts to search with")
    add("--embedding", type=Path, help="file of embeddings to search with")
    add(
        "--top",
        type=at_least(1),
        default=10,
        help="number of results, all where the index has fewer (10)",
    )
    add("--output", type=Path, help="contact sheet, *.html or *.png")
    add(
        "--allow-other-model",
        action="store_true",
        help="search although another model has made the index",
    )
    add("--data.root", dest="data_root", type=Path, help="folder of the images, where they moved")
    add_device(add)


def run(options: argparse.Namespace) -> None:
    """Build an index or search one."""
    if options.command == "build":
        _build(options)
        return
    if not (options.image or options.text or options.embedding):
        raise ValueError("query: wanted --image, --text or --embedding, got none")
    if options.output is not None and options.output.suffix not in (".html", ".png"):
        raise ValueError(f"--output: wanted *.html or *.png, got {options.output}")
    _query(options)


def _build(options: argparse.Namespace) -> None:
    from pml_suprank.recipes.embedding_set import EmbeddingSet
    from pml_suprank.recipes.gallery_search import build_index

    gallery = EmbeddingSet.load(options.gallery)
    build_index(gallery, options.output, options.kind)
    size = gallery.embeddings.shape[1]
    print(f"{len(gallery):,} images of {size} dimensions in {options.output}")


def _query(options: argparse.Namespace) -> None:
    from pml_suprank.recipes.files import write_atomic, write_text
    from pml_suprank.recipes.gallery_search import read_index
    from pml_suprank.recipes.pages.results_page import render_picture, render_results

    gallery, index = read_index(options.index)
    embeddings, shown = _encode(options, index.model)
    scores, indices = index.search(embeddings, min(options.top, len(gallery)))
    gallery = gallery.at_root(options.data_root)
    for query, own_scores, own in zip(shown, scores.tolist(), indices.tolist(), strict=True):
        print(f"\n{query.title}" if query.title else "")
        found = [(score, row) for score, row in zip(own_scores, own, strict=True) if row >= 0]
        for rank, (score, row) in enumerate(found, 1):
            path = "" if gallery.paths is None else gallery.paths[row]
            print(f"{rank:>4}  {score:>7.4f}  {path}  {' < '.join(gallery.names(row))}")
        if len(found) < len(own):
            print(
                f"      {len(found)} of {len(own)} found: {index.kind} searches a part of the gallery"
            )
    output = options.output
    if output is None:
        return
    lost = gallery.lost(dict.fromkeys(indices.flatten().tolist()))
    if lost:
        print(f"suprank search: {lost}", file=sys.stderr)
    if output.suffix == ".png":
        picture = render_picture(shown, gallery, indices)
        write_atomic(output, lambda file: picture.save(file, "PNG"))
    else:
        write_text(output, render_results(shown, gallery, scores, indices))
    print(f"\ncontact sheet: {output}")


def _encode(
    options: argparse.Namespace, of_index: "ModelIdentity | None"
) -> "tuple[Tensor, list[Query]]":
    """Embeddings of what is asked for, by the model of the index, and how it is shown."""
    from pml_suprank.recipes.devices import tell_device
    from pml_suprank.recipes.embedding_set import EmbeddingSet
    from pml_suprank.recipes.engine.encoder import load_encoder
    from pml_suprank.recipes.gallery_search import check_model, embed_queries
    from pml_suprank.recipes.pages.results_page import Query

    if options.embedding is not None:
        found = EmbeddingSet.load(options.embedding).at_root(options.data_root)
        check_model(found.model, of_index, options.allow_other_model)
        shown = [
            Query("" if found.paths is None else found.paths[row], found.path(row))
            for row in range(len(found))
        ]
        return found.embeddings, shown
    if options.model is None:
        raise ValueError(
            "--model: wanted the run folder of a model for --image and --text, got none"
        )
    scales = (1.0,) if of_index is None else of_index.scales
    encoder = load_encoder(options.model, options.device, scales)
    check_model(encoder.identity, of_index, options.allow_other_model)
    tell_device(options.device)
    return embed_queries(encoder, options.image or (), options.text or ())


main = Command(
    "search",
    add_options,
    run,
    description=__doc__ or "",
)

if __name__ == "__main__":
    sys.exit(main())
