"""What the report of a run shows of its held-out images beside means: classes, confusions, worst queries, a map."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from pml_suprank import metrics
from pml_suprank.hierarchy import Hierarchy
from pml_suprank.integrations import require
from pml_suprank.recipes.engine.held_out import Evaluation
from pml_suprank.recipes.levels import LevelFact
from pml_suprank.recipes.pages.thumbnails import item_thumbnail
from pml_suprank.recipes.retrievals import RESULTS, first_results, shared_levels

__all__ = ["findings", "map_points"]

H_AP, AP, P_AT_1 = "hierarchical_average_precision", "mean_average_precision", "precision_at_1"
WORST = 10
"""Queries that the report shows."""
_PAIRS = 4 * 10**8
"""Most pairs of a query and an item that are ranked; of a larger test set, queries are drawn."""
_MOST_ROWS = 2000
_MOST_POINTS = 600
_FEW_POINTS = 100
_LEAST_SPREAD = 1e-6  # of collapsed embeddings there is nothing to map
_MATRIX = range(2, 13)
"""Groups of a level whose confusions are shown as a matrix."""


def findings(
    found: Evaluation, test: Any, gallery: Any, paths: Sequence[str], root: str, seed: int
) -> dict[str, Any]:
    """Scores of classes and branches, confusions, worst queries and a map, ready for JSON.

    Args:
        found: evaluation of the best weights.
        test: the held-out images.
        gallery: where was searched; None for the held-out images.
        paths: of the held-out images, below ``root``.
        root: folder of the images; "" where they have names.
        seed: of the queries that are drawn from a large set, and of the map.
    """
    items, item_labels = found.gallery or (found.embeddings, found.labels)
    rows = torch.arange(len(found.labels))
    most = max(1, _PAIRS // max(len(items), 1))
    if len(rows) > most:
        drawn = np.random.default_rng([seed, 2]).choice(len(rows), most, replace=False)
        rows = torch.from_numpy(np.sort(drawn))
    labels = found.labels[rows]
    own = rows if found.gallery is None else None
    result = _measure(found, rows, items, item_labels)
    count = min(RESULTS, len(items) - (own is not None))
    queries = normalize(found.embeddings[rows], dim=1)
    _, first = first_results(queries, normalize(items, dim=1), count, own)
    telling = [level for level, fact in enumerate(found.levels) if not fact.note]
    tree = test.hierarchy
    h_ap = result[H_AP]
    order = sorted(
        h_ap.valid.nonzero().flatten().tolist(), key=lambda row: float(h_ap.values[row])
    )[:WORST]
    return {
        "queries": len(rows),
        "left_out": {
            str(level): result[f"{AP}_level{level}"].num_left_out
            for level in range(labels.shape[1])
        },
        "classes": _scores(result, labels, 0, tree, True)[:_MOST_ROWS],
        "branches": [
            {"level": level, "rows": _scores(result, labels, level, tree, False)[:_MOST_ROWS]}
            for level in telling
            if level
        ],
        "confusion": _confusion(labels, item_labels[first[:, 0]], found.levels, tree),
        "map": map_points(found, tree, paths, seed),
        "worst": {
            "root": root,
            "queries": [
                _item(test, int(rows[row]), paths) | {"value": float(h_ap.values[row])}
                for row in order
            ],
            "results": [
                [_item(test if gallery is None else gallery, index) for index in own_first]
                for own_first in first[order].tolist()
            ],
            "levels": shared_levels(labels[order], item_labels, first[order]).tolist(),
        },
    }


def _measure(found: Evaluation, rows: Tensor, items: Tensor, item_labels: Tensor) -> Any:
    names = (H_AP, AP, P_AT_1)
    asked = (found.embeddings[rows], found.labels[rows])
    if found.gallery is not None:
        return metrics.evaluate(*asked, items, item_labels, metrics=names)
    others = torch.ones(len(items), dtype=torch.bool)
    others[rows] = False  # the queries come first among the items
    ordered = [
        torch.cat([own, every[others]])
        for own, every in zip(asked, (items, item_labels), strict=True)
    ]
    return metrics.evaluate(*asked, *ordered, metrics=names, ref_includes_query=True)


def _scores(
    result: Any, labels: Tensor, level: int, tree: Hierarchy, with_parents: bool
) -> list[dict[str, Any]]:
    """Means over the queries of each node of a level, lowest AP and H-AP first; None where no query has a value."""
    column, rows = labels[:, level], []
    shown = (result[H_AP], result[f"{AP}_level{level}"], result[f"{P_AT_1}_level{level}"])
    for node in column.unique().tolist():
        own = column == node
        values = [
            float(metric.values[own & metric.valid].mean())
            if bool((own & metric.valid).any())
            else None
            for metric in shown
        ]
        above = labels[own][0].tolist()[level + 1 :] if with_parents else []
        rows.append(
            {
                "name": tree.node_names(level)[node],
                "above": [tree.node_names(level + 1 + i)[n] for i, n in enumerate(above)],
                "classes": len(labels[own][:, 0].unique()),
                "images": int(own.sum()),
                "values": values,
            }
        )
    return sorted(
        rows, key=lambda row: [(row["values"][i] is None, row["values"][i] or 0.0) for i in (1, 0)]
    )


def _confusion(
    labels: Tensor, first: Tensor, levels: Sequence[LevelFact], tree: Hierarchy
) -> dict[str, Any]:
    """How often the first result of a query is of another group: pairs of parents, and a matrix of coarse groups."""
    found: dict[str, Any] = {"level": None, "pairs": [], "matrix": None}
    telling = [level for level, fact in enumerate(levels) if not fact.note]
    if not telling:
        return found
    level = next((each for each in telling if each), telling[0])
    names = tree.node_names(level)
    both = Counter(zip(labels[:, level].tolist(), first[:, level].tolist(), strict=True))
    totals = Counter(labels[:, level].tolist())
    found["level"] = level
    found["pairs"] = [
        {"own": names[own], "got": names[got], "count": count, "of": totals[own]}
        for (own, got), count in both.most_common()
        if own != got
    ][:40]
    small = [each for each in telling if levels[each].nodes in _MATRIX]
    if small:
        level = small[-1]
        nodes = torch.cat([labels[:, level], first[:, level]]).unique().tolist()
        counts = Counter(zip(labels[:, level].tolist(), first[:, level].tolist(), strict=True))
        found["matrix"] = {
            "level": level,
            "names": [tree.node_names(level)[node] for node in nodes],
            "counts": [[counts[own, got] for got in nodes] for own in nodes],
        }
    return found


def map_points(
    found: Evaluation, tree: Hierarchy, paths: Sequence[str], seed: int
) -> dict[str, Any]:
    """Embeddings in two dimensions: t-SNE, or PCA of few images and of those that fall on a line.

    Of a large set 600 are drawn.

    Returns:
        How, the level of the groups (the coarsest that tells images apart), and x, y, group and text of each point.
        No two points make no map.
    """
    level = next((i for i in reversed(range(len(found.levels))) if not found.levels[i].note), 0)
    count = len(found.labels)
    drawn = np.arange(count)
    if count > _MOST_POINTS:
        drawn = np.sort(np.random.default_rng([seed, 3]).choice(count, _MOST_POINTS, replace=False))
    points = normalize(found.embeddings[drawn].double(), dim=1).numpy()
    places, method = _principal(points), "PCA"
    spread = places.std(0)
    if len(drawn) >= _FEW_POINTS and spread.min() > _LEAST_SPREAD:
        method = "t-SNE"
        start = (places / spread[0] * 1e-4).astype(np.float32)
        manifold = require("sklearn.manifold", extra="recipes")
        places = manifold.TSNE(init=start, random_state=seed % 2**32).fit_transform(points)
    places = np.nan_to_num(places).round(4)
    return {
        "method": method,
        "of": count,
        "level": level,
        "x": places[:, 0].tolist(),
        "y": places[:, 1].tolist(),
        "group": [tree.node_names(level)[int(node)] for node in found.labels[drawn, level]],
        "text": [
            f"{paths[row]} ({tree.node_names(0)[int(found.labels[row, 0])]})"
            for row in drawn.tolist()
        ],
    }


def _principal(points: np.ndarray) -> np.ndarray:
    """[N, 2] coordinates along the two directions of greatest variance."""
    centred = points - points.mean(0)
    vectors = np.linalg.svd(centred, full_matrices=False)[2][:2]
    places = np.zeros((len(points), 2))
    places[:, : len(vectors)] = centred @ vectors.T
    return places


def _item(data: Any, index: int, paths: Sequence[str] | None = None) -> dict[str, Any]:
    tree = data.hierarchy
    return {
        "source": item_thumbnail(data, index),
        "names": [
            tree.node_names(level)[int(node)] for level, node in enumerate(data.labels[index])
        ],
        "path": paths[index] if paths is not None else str(data.paths[index].name),
    }
