"""The protocols of revisited Oxford and Paris and of Google Landmarks v2, on files of embeddings."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pml_suprank import metrics
from pml_suprank.metrics.result import MetricResult
from pml_suprank.recipes.data.landmark_solutions import read_solutions
from pml_suprank.recipes.data.landmark_tables import index_file, read_listing
from pml_suprank.recipes.data.revisited import PROTOCOLS, load_revisited
from pml_suprank.recipes.embedding_set import EmbeddingError, EmbeddingSet
from pml_suprank.recipes.labelled_search import evaluate_labels
from pml_suprank.whitening import Whitening, pair_whitening, pca_whitening, random_pairs

__all__ = [
    "Results",
    "compare_with_index",
    "evaluate_gldv2",
    "evaluate_revisited",
    "learn_whitening",
    "load_embeddings",
    "printed",
    "rows_of_queries",
    "rows_of_table",
    "whitened",
]

Results = dict[str, Mapping[str, MetricResult]]
"""Part of the protocol ("medium", "private") to metric to values per query."""


def rows_of(found: EmbeddingSet, images: Sequence[str], what: str) -> list[int]:
    """The row of every image, by file name without folder and suffix.

    Raises:
        EmbeddingError: the file names no images, two rows have the same one, or some image has no row.
    """
    row = _row_of_image(found, what)
    lacking = [image for image in images if image not in row]
    if lacking:
        raise EmbeddingError(
            f"{what}: wanted embeddings of all {len(images):,} images, got none of {len(lacking):,}, "
            f"such as {lacking[:3]}"
        )
    return [row[image] for image in images]


def _row_of_image(found: EmbeddingSet, what: str) -> dict[str, int]:
    if found.paths is None:
        raise EmbeddingError(f"{what}: wanted embeddings with the names of their images, got none")
    row = {Path(path).stem: index for index, path in enumerate(found.paths)}
    if len(row) < len(found.paths):
        raise EmbeddingError(f"{what}: wanted images of different names, got some twice")
    return row


def evaluate_revisited(
    queries: EmbeddingSet,
    gallery: EmbeddingSet,
    root: Path,
    k: Sequence[int] = (1, 5, 10),
    *,
    progress: bool = True,
) -> tuple[list[str], Results]:
    """MAP and mP@k for easy, medium and hard.

    Args:
        queries: embeddings of the queries, cut to their boxes.
        gallery: embeddings of all other images.
        root: folder with ``gnd_roxford5k.pkl`` or ``gnd_rparis6k.pkl``.
        k: depths of mP@k.
        progress: whether to show progress bars.

    Returns:
        Names of the queries, and the results.

    Raises:
        EmbeddingError: images without embeddings, or widths that differ.
    """
    query_set, gallery_set = load_revisited(root), load_revisited(root, "gallery")
    names = [path.stem for path in query_set.paths]
    one = queries.embeddings[rows_of(queries, names, "queries")].float()
    stems = [path.stem for path in gallery_set.paths]
    other = gallery.embeddings[rows_of(gallery, stems, "gallery")].float()
    results: Results = {}
    for protocol in PROTOCOLS:
        judged = query_set.judged(protocol)
        results[protocol] = metrics.evaluate_judged(
            one,
            other,
            [row.relevant for row in judged],
            [row.ignored for row in judged],
            metrics=("revisited_average_precision", "revisited_precision_at_k"),
            k=tuple(k),
            progress=progress,
        )
    return names, results


def evaluate_gldv2(
    queries: EmbeddingSet, gallery: EmbeddingSet, root: Path, *, progress: bool = True
) -> tuple[list[str], Results]:
    """mAP@100 of the public and private queries, and the hierarchical metrics of all where both have labels.

    Args:
        queries: embeddings of test images, all that have a solution at least.
        gallery: embeddings of the index; nothing else is ranked.
        root: folder with ``retrieval_solution_v2.1.csv``.
        progress: whether to show progress bars.

    Returns:
        Names of the queries that have a solution, in the order of the solution file, and the results.

    Raises:
        EmbeddingError: images without embeddings, or widths that differ.
    """
    solutions = read_solutions(root)
    names = [solution.image for solution in solutions]
    rows = rows_of(queries, names, "queries")
    needed = sorted({image for solution in solutions for image in solution.relevant})
    place = dict(zip(needed, rows_of(gallery, needed, "gallery"), strict=True))
    found = metrics.evaluate_judged(
        queries.embeddings[rows].float(),
        gallery.embeddings.float(),
        [[place[image] for image in solution.relevant] for solution in solutions],
        metrics="mean_average_precision_at_100",
        progress=progress,
    )
    results: Results = {"all": found}
    for usage in sorted({solution.usage for solution in solutions}):
        keep = torch.tensor([solution.usage == usage for solution in solutions])
        results[usage.lower()] = {
            name: MetricResult(result.values, result.valid & keep) for name, result in found.items()
        }
    if queries.num_levels > 1 and gallery.num_levels > 1:
        part = _rows(queries, rows)
        results["hierarchy"] = evaluate_labels(
            part,
            gallery,
            ("hierarchical_average_precision", "ndcg", "asi"),
            progress=progress,
        )
    return names, results


def compare_with_index(gallery: EmbeddingSet, root: Path) -> tuple[str, dict[str, int] | None]:
    """Whether a gallery is the index of Google Landmarks v2: too few distractors make mAP@100 too high.

    Args:
        gallery: embeddings with the names of their images.
        root: folder of the data set, with ``index_image_to_landmark.csv`` where it is at hand.

    Returns:
        A line that tells how many images of the index are missing and how many others there are, with the first of
        each, and the numbers: "index", of its images, "missing" and "unlisted". Where there is no such file, the line
        says so and the numbers are None.

    Raises:
        EmbeddingError: the gallery names no images, has one twice, or none of the index.
        ValueError: a malformed file.
    """
    name = "index_image_to_landmark.csv"
    images = np.array([image.encode() for image in _row_of_image(gallery, "gallery")], dtype="S")
    try:
        listing = read_listing(index_file(root))
    except FileNotFoundError:
        return f"gallery: not compared with the index, there is no {name}", None
    missing = listing.ids[~np.isin(listing.ids, images)]
    other = images[~np.isin(images, listing.ids)]
    if len(other) == len(images):
        raise EmbeddingError(
            f"gallery: wanted images of {listing.file}, got none of its {len(listing.ids):,}, "
            f"but others such as {[image.decode() for image in other[:3]]}"
        )
    told = [
        f"{len(some):,} {what}, such as {some[0].decode()!r}"
        for some, what in ((missing, "missing"), (other, "not listed there"))
        if len(some)
    ]
    note = f"gallery: wanted the {len(listing.ids):,} images of {name}, got "
    counts = {"index": len(listing.ids), "missing": len(missing), "unlisted": len(other)}
    return note + ("; ".join(told) or "them all"), counts


def _rows(found: EmbeddingSet, rows: Sequence[int]) -> EmbeddingSet:
    assert found.labels is not None
    paths = None if found.paths is None else tuple(found.paths[row] for row in rows)
    index = torch.tensor(rows, dtype=torch.long)
    return replace(
        found, embeddings=found.embeddings[index], labels=found.labels[index], paths=paths
    )


def learn_whitening(train: EmbeddingSet, by: str, dim: int | None, seed: int = 0) -> Whitening:
    """Whitening from the embeddings of a training set.

    Args:
        train: with labels where ``by`` is "pairs".
        by: "pca", or "pairs" of the same finest class.
        dim: dimensions to keep; None for all.
        seed: of the draw of pairs.

    Raises:
        EmbeddingError: labels are missing.
        ValueError: too few images for so many dimensions.
    """
    values = torch.nn.functional.normalize(train.embeddings.float(), dim=1)
    if by == "pca":
        return pca_whitening(values, dim)
    if train.labels is None:
        raise EmbeddingError("whitening: wanted a training set with labels for pairs, got none")
    return pair_whitening(values, random_pairs(train.labels[:, 0], seed=seed), dim)


def load_embeddings(path: Path, device: torch.device) -> EmbeddingSet:
    """A file of embeddings, on a device.

    Raises:
        EmbeddingError: it is missing or damaged.
    """
    found = EmbeddingSet.load(path)
    return replace(found, embeddings=found.embeddings.to(device))


def whitened(found: EmbeddingSet, whitening: Whitening) -> EmbeddingSet:
    """The normalised embeddings, whitened.

    Raises:
        EmbeddingError: the whitening was learnt on embeddings of another width.
    """
    width = whitening.projection.shape[1]
    if found.embeddings.shape[1] != width:
        raise EmbeddingError(
            f"whitening: wanted a training set of {found.embeddings.shape[1]} dimensions, got {width}"
        )
    values = torch.nn.functional.normalize(found.embeddings.float(), dim=1)
    return replace(found, embeddings=whitening(values))


def rows_of_table(results: Results) -> list[dict[str, Any]]:
    """Rows for ``metrics.csv``."""
    return [
        {
            "part": part,
            "metric": name,
            "mean": result.mean(),
            "queries": result.num_valid,
            "left_out": result.num_left_out,
        }
        for part, found in results.items()
        for name, result in found.items()
    ]


def rows_of_queries(names: Sequence[str], results: Results) -> list[dict[str, Any]]:
    """Rows for ``queries.csv``; a metric that it has no value of is empty."""
    return [
        {
            "query": query,
            **{
                f"{part} {name}": float(result.values[row]) if bool(result.valid[row]) else ""
                for part, found in results.items()
                for name, result in found.items()
            },
        }
        for row, query in enumerate(names)
    ]


def printed(table: Sequence[dict[str, Any]]) -> str:
    """The rows of :func:`rows_of_table` as a table for the terminal."""
    lines = [f"{'part':<12}{'metric':<34}{'mean':>8}{'queries':>10}{'left out':>10}"]
    lines += [
        f"{row['part']:<12}{row['metric']:<34}{row['mean']:>8.4f}{row['queries']:>10,}{row['left_out']:>10,}"
        for row in table
    ]
    return "\n".join(lines)
