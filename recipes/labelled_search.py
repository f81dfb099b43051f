"""Every query searches a gallery by cosine, and is measured by the labels of both."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pml_suprank import metrics
from pml_suprank.integrations.model_identity import check_same_model
from pml_suprank.recipes.data.assembly import label_chains
from pml_suprank.recipes.embedding_set import EmbeddingError, EmbeddingSet, names_of_nodes
from pml_suprank.recipes.levels import LevelFact, level_facts
from pml_suprank.recipes.retrievals import first_results, shared_levels

__all__ = ["NAMES", "Evaluated", "evaluate_embeddings", "evaluate_labels"]

NAMES = (
    "hierarchical_average_precision",
    "ndcg",
    "asi",
    "mean_average_precision",
    "mean_average_precision_at_r",
    "precision_at_1",
    "recall_at_k",
)


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
