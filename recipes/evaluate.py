"""All metrics of embeddings, for each level and each query, and the worst queries as a page.

    suprank evaluate photos.npz --output evaluation
    suprank evaluate queries.npz --gallery gallery.npz --labels queries.csv --gallery-labels gallery.csv
    suprank evaluate runs/photos --output evaluation

Takes a file of embeddings (``suprank embed``, or any ``.npz`` with an array ``embeddings``) or a run folder, whose
held-out images are evaluated. Without a gallery every query searches among all others. Writes ``metrics.json``,
``metrics.csv`` (metric, level, mean, queries, left out), ``queries.csv`` (a row for each query) and ``worst.html``.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pml_suprank import metrics
from pml_suprank.hierarchy import HierarchyError
from pml_suprank.integrations.model_identity import check_same_model
from pml_suprank.metrics.catalogue import split_level
from pml_suprank.recipes.config import at_least
from pml_suprank.recipes.data.assembly import label_chains
from pml_suprank.recipes.devices import add_device, float64_device, tell_device
from pml_suprank.recipes.embeddings import EmbeddingError, EmbeddingSet, names_of_nodes
from pml_suprank.recipes.files import write_csv, write_json, write_text
from pml_suprank.recipes.levels import LevelFact, level_facts, telling
from pml_suprank.recipes.pages.worst_page import render_worst, worst_queries
from pml_suprank.recipes.retrievals import first_results, shared_levels

__all__ = ["NAMES", "Evaluated", "evaluate_embeddings", "evaluate_labels", "main"]

NAMES = (
    "hierarchical_average_precision",
    "ndcg",
    "asi",
    "mean_average_precision",
    "mean_average_precision_at_r",
    "precision_at_1",
    "recall_at_k",
)


_COLUMNS = (
    "query",
    "path",
    "first_wrong_rank",
    "first_wrong_path",
    "first_wrong_class",
    "first_wrong_score",
)
"""Of ``queries.csv``, beside levels and metrics."""


@dataclass(frozen=True)
class Evaluated:
    """What queries and gallery have been measured at.

    Attributes:
        queries: with labels numbered as those of the gallery.
        gallery: where was searched; the queries themselves where there was no other.
        result: metric to values per query.
        scores: [Q, k] cosine of the first results.
        indices: [Q, k] the first results.
        shared: [Q, k] levels that they share with the query.
        levels: what each level says about queries and gallery, finest first.
        note: what is to be said about the models of both.
    """

    queries: EmbeddingSet
    gallery: EmbeddingSet
    result: metrics.EvaluationResult
    scores: Tensor
    indices: Tensor
    shared: Tensor
    levels: tuple[LevelFact, ...] = ()
    note: str = ""


def evaluate_embeddings(
    queries: EmbeddingSet,
    gallery: EmbeddingSet | None = None,
    *,
    k: Sequence[int] = (1, 5, 10),
    results: int = 10,
    progress: bool = True,
    allow_other_model: bool = False,
    device: torch.device | None = None,
) -> Evaluated:
    """Rank the gallery for every query by cosine, and measure.

    Args:
        queries: with labels.
        gallery: with labels; None ranks the queries among each other. Where both have names, nodes are
            matched by name, else by number.
        k: depths of recall.
        results: number of first results to keep.
        progress: whether to show a progress bar.
        allow_other_model: whether queries and gallery may be of two models.
        device: where to rank and measure, with float64; None for where the queries are.

    Raises:
        EmbeddingError: labels are missing, of different levels or all of one class, or embeddings of different widths.
        ModelMismatchError: queries and gallery are of two models.
    """
    for name, part in (("queries", queries), ("gallery", gallery)):
        if part is not None and part.labels is None:
            raise EmbeddingError(f"{name}: wanted labels, got none; give a CSV file of them")
    is_own, note = gallery is None, ""
    if gallery is None:
        gallery = queries
    else:
        if queries.model is not None or gallery.model is not None:  # else files of others
            note = check_same_model(queries.model, gallery.model, allow_other=allow_other_model)
        queries, gallery = _same_numbers(queries, gallery)
    if queries.embeddings.shape[1] != gallery.embeddings.shape[1]:
        raise EmbeddingError(
            f"gallery: wanted embeddings of {queries.embeddings.shape[1]} dimensions as the queries, "
            f"got {gallery.embeddings.shape[1]}"
        )
    if is_own and len(queries) < 2:
        raise EmbeddingError("queries: wanted two at least without a gallery, got one")
    assert queries.labels is not None
    assert gallery.labels is not None
    labels = queries.labels if is_own else torch.cat([queries.labels, gallery.labels])
    facts = level_facts(labels, queries.names_of_levels())
    if all(fact.note for fact in facts):
        raise EmbeddingError(
            f"labels: wanted images of two classes at least, got one, {queries.class_name(0)!r}"
        )
    one = queries.embeddings.to(device, torch.float32)
    other = one if is_own else gallery.embeddings.to(one.device, torch.float32)
    arguments = (one, queries.labels) if is_own else (one, queries.labels, other, gallery.labels)
    found = metrics.evaluate(*arguments, metrics=NAMES, k=tuple(k), progress=progress)
    count = min(results, len(gallery) - is_own)
    normalize = torch.nn.functional.normalize
    own = torch.arange(len(queries)) if is_own else None
    first = first_results(normalize(one, dim=1), normalize(other, dim=1), count, own)
    scores, indices = (part.cpu() for part in first)
    shared = shared_levels(queries.labels, gallery.labels, indices)
    return Evaluated(queries, gallery, found, scores, indices, shared, facts, note)


def evaluate_labels(
    queries: EmbeddingSet, gallery: EmbeddingSet, names: Sequence[str], *, progress: bool = True
) -> metrics.EvaluationResult:
    """Some metrics of queries in another gallery, by the labels of both.

    Args:
        queries: with labels.
        gallery: with labels; nodes are matched by name where both have names, else by number.
        names: of the metrics.
        progress: whether to show a progress bar.

    Raises:
        EmbeddingError: labels of different levels.
    """
    queries, gallery = _same_numbers(queries, gallery)
    return metrics.evaluate(
        queries.embeddings.float(),
        queries.labels,
        gallery.embeddings.float(),
        gallery.labels,
        metrics=names,
        progress=progress,
    )


def _same_numbers(
    queries: EmbeddingSet, gallery: EmbeddingSet
) -> tuple[EmbeddingSet, EmbeddingSet]:
    """Number nodes of the same name alike."""
    if queries.num_levels != gallery.num_levels:
        raise EmbeddingError(
            f"gallery: wanted {queries.num_levels} levels of labels as the queries, got {gallery.num_levels}"
        )
    if queries.node_names is None or gallery.node_names is None:
        return queries, gallery
    levels = range(queries.num_levels)
    chains = [
        [part.class_name(row, level) for level in reversed(levels)]
        for part in (queries, gallery)
        for row in range(len(part))
    ]
    tree, labels = label_chains(chains, queries.level_names)
    names = names_of_nodes(tree)
    parts = labels.split([len(queries), len(gallery)])
    return tuple(
        replace(part, labels=own, node_names=names)
        for part, own in zip((queries, gallery), parts, strict=True)
    )  # type: ignore[return-value]


def summary(found: Evaluated) -> list[dict[str, Any]]:
    """Rows for ``metrics.csv``."""
    names = found.queries.names_of_levels()
    rows = []
    for key, metric in found.result.items():
        base, level = split_level(key)
        note = "" if level is None else found.levels[level].note
        rows.append(
            {
                "metric": base,
                "level": "" if level is None else names[level],
                "mean": "" if note else metric.mean(),
                "queries": metric.num_valid,
                "left_out": metric.num_left_out,
                "note": note,
            }
        )
    return rows


def to_json(found: Evaluated) -> dict[str, Any]:
    """The content of ``metrics.json``; metrics of a level that says nothing have a note in place of a mean."""
    content: dict[str, Any] = {}
    for row, (key, metric) in zip(summary(found), found.result.items(), strict=True):
        content[key] = metric.to_dict()
        if row["note"]:
            content[key] |= {"mean": None, "note": row["note"]}
    return content


def per_query(found: Evaluated) -> list[dict[str, Any]]:
    """Rows for ``queries.csv``; a metric that a query has no value of is empty.

    A level that is called as another column, such as "query", gets " (level)" behind its name.
    """
    queries, gallery = found.queries, found.gallery
    others = {*_COLUMNS, *found.result}
    levels = list(enumerate(_free_names(queries.names_of_levels(), others)))
    wrong = (found.shared < queries.num_levels).int()
    rows = []
    for row in range(len(queries)):
        first = int(wrong[row].argmax()) if bool(wrong[row].any()) else None
        index = None if first is None else int(found.indices[row, first])
        values = {
            key: float(metric.values[row]) if bool(metric.valid[row]) else ""
            for key, metric in found.result.items()
            if telling(found.levels, key)
        }
        rows.append(
            {
                "query": row,
                "path": "" if queries.paths is None else queries.paths[row],
                **{name: queries.class_name(row, level) for level, name in levels},
                **values,
                "first_wrong_rank": "" if first is None else first + 1,
                "first_wrong_path": ""
                if index is None or gallery.paths is None
                else gallery.paths[index],
                "first_wrong_class": "" if index is None else gallery.class_name(index),
                "first_wrong_score": "" if first is None else float(found.scores[row, first]),
            }
        )
    return rows


def _free_names(names: Sequence[str], taken: set[str]) -> list[str]:
    """Names that differ from those that are taken, and from each other."""
    taken, free = set(taken), []
    for name in names:
        while name in taken:
            name += " (level)"
        taken.add(name)
        free.append(name)
    return free


def _read(path: Path, labels: Path | None, options: argparse.Namespace) -> EmbeddingSet:
    """A file of embeddings, or the held-out images of a run folder."""
    root, device = options.data_root, options.device
    if not path.is_dir():
        found = EmbeddingSet.load(path).at_root(root)
        if labels is None:
            return found
        return found.with_labels(labels, repeated_names=options.repeated_names)
    from pml_suprank.recipes.embed import embed_images
    from pml_suprank.recipes.engine.encoder import load_encoder, read_settings
    from pml_suprank.recipes.engine.run_paths import at_root
    from pml_suprank.recipes.engine.sets import load_sets

    settings = at_root(read_settings(path), root)
    sets = load_sets(settings)
    if sets.gallery is not None:
        raise EmbeddingError(
            f"queries: wanted a run without a gallery split, got {path}; use suprank embed"
        )
    folder = None if settings.data.root is None else Path(settings.data.root)
    found, broken = embed_images(load_encoder(path, device), sets.test, root=folder)
    if broken:
        print(f"{len(broken)} broken images left out", file=sys.stderr)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the recipe; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="suprank evaluate", description=(__doc__ or "").partition("\n")[0]
    )
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
    options = parser.parse_args(argv)
    try:
        tell_device(options.device, in_float64=True)
        queries = _read(options.queries, options.labels, options)
        gallery = None
        if options.gallery is not None:
            gallery = _read(options.gallery, options.gallery_labels, options)
        found = evaluate_embeddings(
            queries,
            gallery,
            k=options.k,
            allow_other_model=options.allow_other_model,
            device=float64_device(options.device),
        )
    except (EmbeddingError, HierarchyError, OSError, ValueError) as error:
        parser.error(str(error))
    except torch.cuda.OutOfMemoryError as error:
        parser.error(
            f"--device: wanted one with more memory, or cpu, got {options.device}: {error}"
        )
    if found.note:
        print(f"warning: {found.note}", file=sys.stderr)
    rows = summary(found)
    output = options.output
    write_csv(output / "metrics.csv", rows)
    write_csv(output / "queries.csv", per_query(found))
    write_text(output / "worst.html", render_worst(found, options.worst))
    write_json(output / "metrics.json", to_json(found))
    lost = found.queries.lost(worst_queries(found, options.worst))
    if lost:
        print(f"suprank evaluate: {lost}", file=sys.stderr)
    print(f"\n{'metric':<34}{'level':<16}{'mean':>8}{'queries':>10}{'left out':>10}")
    for row in rows:
        mean = f"{'–':>8}" if row["note"] else f"{row['mean']:>8.4f}"
        line = f"{row['metric']:<34}{row['level']:<16}{mean}{row['queries']:>10,}{row['left_out']:>10,}"
        print(f"{line}  {row['note']}".rstrip())
    print(f"\nper query: {output / 'queries.csv'}; worst queries: {output / 'worst.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
