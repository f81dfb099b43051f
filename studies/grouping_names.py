"""How well groups of names agree with groups that everybody knows: nouns of four kinds, and Unicode's emoji.

    python -m studies.grouping_names --output runs/grouping_names

Prompts, linkage and the share of the variance were chosen on other nouns and on one half of the emoji; the table has
these lists, and those that were looked at afterwards: the nouns of four kinds and the other half. The number of groups
is the true one, and in the last rows that with the highest silhouette. Also: the nouns as folders are named.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.metrics import adjusted_mutual_info_score

from pml_suprank.recipes.data.captions import name_in_words
from pml_suprank.recipes.data.emoji_sources import list_emoji
from pml_suprank.recipes.files import write_text
from pml_suprank.recipes.hierarchies.encoders import PROMPTS, encode_names
from pml_suprank.recipes.hierarchies.grouping import chosen_sizes, main_directions, nested_groups

__all__ = [
    "CHOSEN_ON",
    "NOUNS",
    "WAYS",
    "Names",
    "Way",
    "agreements",
    "main",
    "name_lists",
]

NOUNS = {
    "animals": "sparrow butterfly horse cat dog elephant goldfish frog snake bee rabbit shark penguin spider tiger cow "
    "monkey eagle turtle mouse",
    "plants and food": "rose oak tulip cactus fern apple banana carrot bread cheese tomato mushroom rice pizza onion "
    "strawberry pine sunflower potato cake",
    "vehicles": "car bus sailboat train bicycle airplane helicopter truck tractor canoe motorcycle tram submarine van "
    "scooter ferry rocket ambulance taxi yacht",
    "tools and furniture": "ladder hammer chair table saw screwdriver sofa bed wardrobe wrench drill bookcase shovel "
    "desk pliers stool rake cupboard axe lamp",
}
CHOSEN_ON = {
    "clothing": "shirt trousers skirt coat scarf glove sock shoe hat dress sweater belt boot tie jacket apron",
    "musical instruments": "piano violin drum flute trumpet guitar harp cello clarinet organ accordion trombone "
    "tambourine banjo oboe saxophone",
    "buildings": "church castle hospital school factory barn lighthouse tower museum house library hotel mosque "
    "windmill stadium cottage",
    "people": "teacher baker doctor soldier farmer child judge nurse pilot singer king painter plumber waiter sailor "
    "dancer",
    "parts of the body": "arm knee ear nose foot tongue shoulder finger eye hair tooth elbow stomach neck lip ankle",
    "land and weather": "mountain river island desert rain snow lake cloud valley storm beach glacier waterfall fog "
    "volcano wind",
}


class Names(NamedTuple):
    """A list with its groups, finest first."""

    title: str
    names: list[str]
    groups: dict[str, list[str]]


class Way(NamedTuple):
    """A way to group names."""

    title: str
    prompts: tuple[str, ...]
    variance: float
    linkage: str


_ALONE = ("{}",)
_SENTENCES = PROMPTS["sentences"]
WAYS = (
    Way("name alone, Ward (before)", _ALONE, 1.0, "ward"),
    Way("name alone, average", _ALONE, 1.0, "average"),
    Way("name alone, main directions, average", _ALONE, 0.5, "average"),
    Way("sentences, Ward", _SENTENCES, 1.0, "ward"),
    Way("sentences, main directions, Ward", _SENTENCES, 0.5, "ward"),
    Way("sentences, main directions, average (now)", _SENTENCES, 0.5, "average"),
)


def name_lists(limit: int | None = None) -> tuple[list[Names], list[Names]]:
    """The lists that settings were chosen on, and the others.

    Args:
        limit: number of emoji, for a quick try.
    """
    emoji = list_emoji()[0][:limit]
    order = np.random.default_rng(0).permutation(len(emoji))
    halves = []
    for title, rows in (("emoji, one half", order[: len(order) // 2]),
                        ("emoji, other half", order[len(order) // 2 :])):  # fmt: skip
        part = [emoji[row] for row in rows]
        groups = {"subgroup": [e.subgroup for e in part], "group": [e.group for e in part]}
        halves.append(Names(title, [name_in_words(e.name) for e in part], groups))
    return [_nouns("other nouns", CHOSEN_ON), halves[0]], [_nouns("nouns", NOUNS), halves[1]]


def _nouns(title: str, kinds: dict[str, str]) -> Names:
    pairs = [(noun, kind) for kind, text in kinds.items() for noun in text.split()]
    return Names(title, [noun for noun, _ in pairs], {"kind": [kind for _, kind in pairs]})


def agreements(way: Way, source: Names, encoder: str, *, given: bool = True) -> dict[str, float]:
    """Adjusted mutual information with the true groups, level by level.

    Args:
        way: how to group.
        source: names and true groups.
        encoder: see :func:`encode_names`.
        given: whether the numbers of groups are the true ones; otherwise those with the highest silhouette.

    Returns:
        Level to AMI; with numbers that were chosen, level and number.
    """
    points = main_directions(encode_names(encoder, source.names, way.prompts), way.variance)
    sizes = [len(set(truth)) for truth in source.groups.values()]
    if not given:
        sizes = chosen_sizes(points, [None] * len(sizes), way.linkage)
    found = nested_groups(points, sizes, way.linkage)
    return {
        f"{source.title}: {level}" + ("" if given else f" ({len(set(truth))}) by {size}"):
            adjusted_mutual_info_score(truth, column)
        for (level, truth), column, size in zip(source.groups.items(), found.T, sizes, strict=True)
    }  # fmt: skip


def _table(rows: Sequence[dict[str, str]]) -> str:
    heads = list(rows[0])
    lines = [heads, ["---"] * len(heads), *(list(row.values()) for row in rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the study; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m studies.grouping_names", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--output", type=Path, default=Path("runs/grouping_names"), help="folder")
    parser.add_argument("--encoder", default="sentences", help="of the names (sentences)")
    parser.add_argument("--limit", type=int, help="use only so many emoji (all)")
    options = parser.parse_args(argv)
    chosen_on, others = name_lists(options.limit)
    rows = []
    for way in WAYS:
        found: dict[str, float] = {}
        for source in (*chosen_on, *others):
            found |= agreements(way, source, options.encoder)
        rows.append({"grouping": way.title} | {k: f"{ami:.3f}" for k, ami in found.items()})
        print(rows[-1], flush=True)
    tables = [_table(rows)]
    nouns = others[0]
    spellings = {
        "fire truck": nouns.names,
        "012.Fire_Truck": [f"{i:03}.{noun.title()}" for i, noun in enumerate(nouns.names)],
        "fire trucks": [_plural(noun) for noun in nouns.names],
    }
    rows = []
    for spelling, names in spellings.items():
        (ami,) = agreements(WAYS[-1], nouns._replace(names=names), options.encoder).values()
        rows.append({"nouns written as": spelling, "AMI": f"{ami:.3f}"})
    tables.append(_table(rows))
    rows = [
        {"number of groups by silhouette": where, "AMI": f"{ami:.3f}"}
        for source in (*chosen_on, *others)
        for where, ami in agreements(WAYS[-1], source, options.encoder, given=False).items()
    ]
    tables.append(_table(rows))
    text = "\n".join(tables)
    write_text(options.output / "grouping_names.md", text)
    print(text)
    return 0


def _plural(noun: str) -> str:
    """Of the nouns above."""
    if noun == "mouse":
        return "mice"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{noun[:-1]}ies"
    return noun + ("es" if noun.endswith(("s", "ch", "sh", "x", "o")) else "s")


if __name__ == "__main__":
    sys.exit(main())
