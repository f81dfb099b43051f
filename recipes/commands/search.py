"""An index of a gallery, searched by image, by text or by embeddings.

    suprank search build gallery.npz --output index
    suprank search query index --model runs/photos --image cat.jpg --top 10 --output cat.html
    suprank search query index --model runs/clip --text "a red fox"
    suprank search query index --embedding queries.npz --output results.png

Prints the results and, with ``--output``, writes a contact sheet, as a page (``.html``) or a picture (``.png``).
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pml_suprank.integrations.faiss_index import KINDS, GalleryIndex, IndexFileError
from pml_suprank.integrations.model_identity import (
    ModelIdentity,
    ModelMismatchError,
    check_same_model,
)
from pml_suprank.recipes.config import at_least
from pml_suprank.recipes.data.pictures import BrokenImageError, read_picture
from pml_suprank.recipes.devices import add_device, tell_device
from pml_suprank.recipes.embedding_set import EmbeddingError, EmbeddingSet
from pml_suprank.recipes.files import write_atomic, write_text
from pml_suprank.recipes.pages.results_page import Query, render_picture, render_results

__all__ = ["build_index", "main", "search_index"]

GALLERY = "gallery.npz"


def build_index(gallery: EmbeddingSet, folder: Path, kind: str = "flat") -> GalleryIndex:
    """Index a gallery by cosine and write index and gallery into a folder."""
    index = GalleryIndex.build(gallery.embeddings, kind, model=gallery.model)
    gallery.save(folder / GALLERY)
    index.save(folder)
    return index


def search_index(
    folder: Path,
    queries: Tensor,
    top: int,
    *,
    model: ModelIdentity | None = None,
    allow_other_model: bool = False,
) -> tuple[EmbeddingSet, Tensor, Tensor]:
    """The gallery, and scores and indices [Q, top] of the nearest items; an index of -1 where fewer were found.

    Args:
        folder: of the index.
        queries: [Q, D].
        top: number of results.
        model: that made the queries; None where it is not known.
        allow_other_model: whether it may be another one than that of the index.

    Raises:
        IndexFileError, EmbeddingError: the folder holds no whole index.
        ModelMismatchError: queries of another model.
        ValueError: queries of another width, or ``top`` above the size of the gallery.
    """
    gallery, index = _read_index(folder)
    _check_model(model, index.model, allow_other_model)
    return gallery, *index.search(queries, top)


def _read_index(folder: Path) -> tuple[EmbeddingSet, GalleryIndex]:
    gallery = EmbeddingSet.load(folder / GALLERY)
    return gallery, GalleryIndex.load(folder, gallery.embeddings)


def _check_model(
    queries: ModelIdentity | None, gallery: ModelIdentity | None, allow_other: bool
) -> None:
    try:
        note = check_same_model(queries, gallery, allow_other=allow_other)
    except ModelMismatchError as error:
        raise ModelMismatchError(
            f"{error}; search with the model of the index, or pass --allow-other-model"
        ) from None
    if note:
        print(f"warning: {note}", file=sys.stderr)


def _encode(
    options: argparse.Namespace, of_index: ModelIdentity | None
) -> tuple[Tensor, list[Query]]:
    """Embeddings of what is asked for, by the model of the index, and how it is shown."""
    if options.embedding is not None:
        found = EmbeddingSet.load(options.embedding).at_root(options.data_root)
        _check_model(found.model, of_index, options.allow_other_model)
        shown = [
            Query("" if found.paths is None else found.paths[row], found.path(row))
            for row in range(len(found))
        ]
        return found.embeddings, shown
    if options.model is None:
        raise ValueError(
            "--model: wanted the run folder of a model for --image and --text, got none"
        )
    from pml_suprank.recipes.engine.encoder import load_encoder

    scales = (1.0,) if of_index is None else of_index.scales
    encoder: Any = load_encoder(options.model, options.device, scales)
    _check_model(encoder.identity, of_index, options.allow_other_model)
    tell_device(options.device)
    parts, shown = [], []
    if options.image:
        images = []
        for path in options.image:
            try:
                images.append(read_picture(path, encoder.background))
            except BrokenImageError as error:
                raise ValueError(
                    f"--image: wanted an image, got {str(path)!r} ({error.reason})"
                ) from error
            shown.append(Query(path.name, path))
        parts.append(encoder.encode_images(images))
    if options.text:
        parts.append(encoder.encode_text(options.text))
        shown += [Query(text, None) for text in options.text]
    return torch.cat(parts), shown


def _build(options: argparse.Namespace) -> None:
    gallery = EmbeddingSet.load(options.gallery)
    build_index(gallery, options.output, options.kind)
    size = gallery.embeddings.shape[1]
    print(f"{len(gallery):,} images of {size} dimensions in {options.output}")


def _query(options: argparse.Namespace) -> None:
    gallery, index = _read_index(options.index)
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


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the recipe; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="suprank search", description=(__doc__ or "").partition("\n")[0]
    )
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="index a gallery")
    build.add_argument("gallery", type=Path, help="file of embeddings")
    build.add_argument("--output", type=Path, required=True, help="folder of the index")
    build.add_argument("--kind", choices=KINDS, default="flat", help="flat is exact (flat)")
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
    options = parser.parse_args(argv)
    try:
        if options.command == "build":
            _build(options)
        else:
            if not (options.image or options.text or options.embedding):
                raise ValueError("query: wanted --image, --text or --embedding, got none")
            if options.output is not None and options.output.suffix not in (".html", ".png"):
                raise ValueError(f"--output: wanted *.html or *.png, got {options.output}")
            _query(options)
    except (EmbeddingError, IndexFileError, ValueError, OSError) as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
