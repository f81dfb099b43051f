"""What a model retrieves: a query, its first results, and how much of the hierarchy they share."""

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pml_suprank.hierarchy import common_levels
from pml_suprank.recipes.data.emoji import LEVEL_NAMES, VENDORS, EmojiDataset

__all__ = ["STYLE", "Retrieval", "choose_queries", "legend", "retrieve", "sheets"]

RESULTS = 10

# Colours of 0..3 shared levels: apart in lightness too, and every frame carries dots as well.
STYLE = """
.sheet { padding: 18px 0; border-top: 1px solid var(--rule); display: grid;
  grid-template-columns: 150px minmax(0, 1fr); gap: 6px 22px; }
.sheet .query { text-align: center; grid-row: span 2; }
.sheet .query img { width: 72px; height: 72px; }
.sheet .query b { display: block; margin-top: 4px; overflow-wrap: anywhere; line-height: 1.3; }
.sheet .query small { color: var(--muted); display: block; line-height: 1.4; }
.row { display: flex; gap: 7px; align-items: center; }
.row .when { width: 48px; flex: none; color: var(--muted); font-size: 13px; }
.hit { flex: 0 1 74px; min-width: 0; margin: 0; text-align: center; }
.hit img { width: 100%; aspect-ratio: 1; border: 4px solid; border-radius: 9px; padding: 3px;
  box-sizing: border-box; display: block; background: #fff; }
.hit span, .legend .dots { font-size: 10px; letter-spacing: 2px; line-height: 15px; }
.s3 img, .legend .s3 { border-color: #0b5d57; } .s3 span { color: #0b5d57; }
.s2 img, .legend .s2 { border-color: #2fa8a0; } .s2 span { color: #1d857e; }
.s1 img, .legend .s1 { border-color: #f2b84b; } .s1 span { color: #9a6700; }
.s0 img, .legend .s0 { border-color: #dfe3e8; } .s0 span { color: #8a94a3; }
.legend { display: flex; flex-wrap: wrap; gap: 8px 22px; margin: 10px 0 18px; padding: 0; }
.legend li { display: flex; align-items: center; gap: 8px; list-style: none; }
.legend i { width: 22px; height: 22px; border: 4px solid; border-radius: 7px;
  box-sizing: border-box; }
@media (max-width: 720px) { .sheet { grid-template-columns: 1fr; }
  .row { gap: 3px; } .hit img { border-width: 3px; padding: 1px; } }
"""


@dataclass(frozen=True)
class Retrieval:
    """First results of some queries: indices into the data set and shared levels, best first."""

    queries: list[int]
    results: list[list[int]]
    levels: list[list[int]]


def choose_queries(data: EmojiDataset, seed: int) -> list[int]:
    """One random image of each group, so that no one picks the pretty ones.

    Returns:
        Indices into ``data``, in the order of the groups.
    """
    generator = np.random.default_rng([seed, 1])
    groups = data.level_labels[:, -1].numpy()
    return [int(generator.choice(np.flatnonzero(groups == g))) for g in np.unique(groups)]


def retrieve(
    data: EmojiDataset, embeddings: torch.Tensor, queries: Sequence[int], k: int = RESULTS
) -> Retrieval:
    """The k images closest to each query among all others of the data set.

    Args:
        data: test half.
        embeddings: [N, D], normalised, one for each image of ``data``.
        queries: indices into ``data``.
        k: number of results.
    """
    chosen = torch.tensor(list(queries))
    scores = embeddings[chosen] @ embeddings.T
    scores[torch.arange(len(chosen)), chosen] = -torch.inf
    results = scores.topk(min(k, len(data) - 1), dim=1).indices
    shared = common_levels(data.level_labels[chosen], data.level_labels)
    return Retrieval(list(queries), results.tolist(), shared.gather(1, results).tolist())


def legend() -> str:
    """The meaning of the frames, as an HTML list."""
    emoji, subgroup, group = LEVEL_NAMES
    meanings = {
        3: f"same {emoji}, other vendor",
        2: f"same {subgroup}",
        1: f"same {group}",
        0: "nothing in common",
    }
    items = (
        f'<li><i class="s{shared}"></i><span>{text} <span class="dots">{_dots(shared)}</span></span></li>'
        for shared, text in meanings.items()
    )
    return f'<ul class="legend">{"".join(items)}</ul>'


def sheets(data: EmojiDataset, before: Retrieval, after: Retrieval) -> str:
    """One sheet for each query, as HTML: results before and after training."""
    parts = []
    for i, query in enumerate(before.queries):
        emoji = data.emoji[query // 2]
        parts.append(
            f'<div class="sheet"><div class="query">{_image(data, query)}'
            f"<b>{html.escape(_words(emoji.name))}</b>"
            f"<small>{html.escape(_words(emoji.subgroup))} · {html.escape(emoji.group)}<br>"
            f"{VENDORS[query % 2]}</small></div>"
            f"{_row(data, 'before', before.results[i], before.levels[i])}"
            f"{_row(data, 'after', after.results[i], after.levels[i])}</div>"
        )
    return "\n".join(parts)


def _row(data: EmojiDataset, when: str, results: list[int], levels: list[int]) -> str:
    hits = (
        f'<figure class="hit s{shared}">{_image(data, index)}<span>{_dots(shared)}</span></figure>'
        for index, shared in zip(results, levels, strict=True)
    )
    return f'<div class="row"><span class="when">{when}</span>{"".join(hits)}</div>'


def _dots(shared: int) -> str:
    return "●" * shared + "○" * (len(LEVEL_NAMES) - shared)


def _words(name: str) -> str:
    return name.replace("_", " ").replace("-", " ")


def _image(data: EmojiDataset, index: int) -> str:
    emoji = data.emoji[index // 2]
    buffer = io.BytesIO()
    data.image(index).save(buffer, "PNG", optimize=True)
    source = base64.b64encode(buffer.getvalue()).decode()
    text = f"{_words(emoji.name)} ({VENDORS[index % 2]}; {emoji.subgroup}, {emoji.group})"
    return (
        f'<img src="data:image/png;base64,{source}" alt="{html.escape(text)}" '
        f'title="{html.escape(text)}">'
    )
