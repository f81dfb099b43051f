"""How many samples of a batch each child of a node gives."""

from __future__ import annotations

import itertools
from collections.abc import Collection

import numpy as np


class Deck:
    """Children of a node in a random order that holds each as often as its samples need, evenly spread.

    Args:
        cards: the children in such an order, see ``dealt``; at least one of each.
        visits: how often each child should come until all come again, >= 1; fractions are rounded at random.
        rng: generator.
    """

    __slots__ = ("_cards", "_first", "_held", "_rng", "_skipped", "_visits")

    def __init__(self, cards: list[int], visits: np.ndarray, rng: np.random.Generator) -> None:
        self._cards, self._visits, self._rng = cards, visits, rng
        self._first = min(cards)
        self._held: list[int] = []  # skipped in earlier visits, the oldest last
        self._skipped: list[int] = []  # in this visit

    def draw(self, taken: Collection[int]) -> int | None:
        """Return the next child that is not among those taken in this visit, or None if all are."""
        if len(taken) == len(self._visits):
            return None
        if self._skipped and not taken:
            self._held.extend(reversed(self._skipped))
            self._skipped.clear()
        while True:
            if not self._held and not self._cards:
                self._shuffle()
            child = self._held.pop() if self._held else self._cards.pop()
            if child not in taken:
                return child
            self._skipped.append(child)

    def _shuffle(self) -> None:
        cards, places = dealt(self._visits, self._rng)
        self._cards = (cards[places.argsort()] + self._first).tolist()


class Quotas:
    """The children of all nodes of one level, and what each can give.

    Args:
        parent_of: (n,) node above each child, ascending from 0.
        capacity: (n,) samples of each child.
        only_even: (n,) whether a child can give even numbers only.
        group_size: children to draw for a node, >= 1.
        size: samples to draw from a child, >= 1.
        minimum: least number of samples from a child, 1 or 2.
        rng: generator.
    """

    def __init__(
        self,
        parent_of: np.ndarray,
        capacity: np.ndarray,
        only_even: np.ndarray,
        group_size: int,
        size: int,
        minimum: int,
        rng: np.random.Generator,
    ) -> None:
        self._capacity: list[int] = capacity.tolist()
        self._only_even: list[bool] = only_even.tolist()
        self._size, self._minimum, self._rng = size, minimum, rng
        self._enough = max(minimum, (size + 1) // 2)
        counts = np.bincount(parent_of)
        self._bounds: list[int] = np.concatenate([[0], np.cumsum(counts)]).tolist()
        visits = np.maximum(1.0, capacity / size)
        visits = playable(visits, parent_of, np.minimum(group_size, counts))
        cards, places = dealt(visits, rng)
        cards = cards[np.lexsort((places, parent_of[cards]))]
        ends = np.searchsorted(parent_of[cards], np.arange(len(counts)), side="right").tolist()
        all_cards = cards.tolist()
        of_node = zip(itertools.pairwise([0, *ends]), itertools.pairwise(self._bounds), strict=True)
        self._decks = [
            Deck(all_cards[begin:end], visits[first:last], rng)
            for (begin, end), (first, last) in of_node
        ]

    def split(self, node: int, quota: int) -> dict[int, int]:
        """Return samples for each of some children of a node, which add up to the quota.

        Each child gives ``size``, or what it has. What is missing comes from one more child if it is at least half of
        ``size``, else from those drawn, as evenly as they can; and from further children if they cannot.

        Args:
            node: id of the node.
            quota: samples of the node, a number that it can give: at most its capacity, and even if only even ones are.
        """
        deck, capacity = self._decks[node], self._capacity
        drawn: dict[int, int] = {}
        left = quota
        while left >= self._enough and (child := deck.draw(drawn)) is not None:
            given = self._size if self._size < left else left
            if capacity[child] < given or self._only_even[child]:
                given = self._most(child, given)
            drawn[child] = given
            left -= given
        if left:
            self._complete(node, drawn, left)
        return drawn

    def _complete(self, node: int, drawn: dict[int, int], left: int) -> None:
        """Add what is left of a quota: to the children drawn, then to further ones."""
        left = self._spread(drawn, left)
        while left >= self._minimum and (child := self._decks[node].draw(drawn)) is not None:
            drawn[child] = self._most(child, left)
            left -= drawn[child]
        if left:
            self._place_last(node, drawn)

    def _most(self, child: int, wanted: int) -> int:
        given = min(wanted, self._capacity[child])
        return given - given % 2 if self._only_even[child] else given

    def _spread(self, drawn: dict[int, int], left: int) -> int:
        """Add samples to the children drawn, and return how many found no room."""
        before = None
        while left and left != before:
            before = left
            room = [child for child in drawn if drawn[child] < self._capacity[child]]
            for place, child in enumerate(room):
                share = -(-left // (len(room) - place))
                share += share % 2 if self._only_even[child] else 0
                total = self._most(child, drawn[child] + min(left, share))
                left -= total - drawn[child]
                drawn[child] = total
        return left

    def _place_last(self, node: int, drawn: dict[int, int]) -> None:
        """Place one last sample, where only children that give even numbers have room, if any has.

        A child that gives all it has, three or more, gives one less, and another one two more. Without such a child, a
        further one gives three, and one of those drawn two less.
        """
        even, capacity = self._only_even, self._capacity
        giver = next((child for child in drawn if not even[child]), None)
        if giver is not None:
            drawn[giver] -= 1
            room = (child for child in drawn if even[child] and drawn[child] < capacity[child])
            child = next(room, None)
            child = self._decks[node].draw(drawn) if child is None else child
            assert child is not None, "a quota above the capacity of its node"
            drawn[child] = drawn.get(child, 0) + 2
            return
        children = range(*self._bounds[node : node + 2])
        others = [child for child in children if not even[child]]
        giver = next(iter(drawn))
        drawn[giver] -= 2
        if not drawn[giver]:
            del drawn[giver]
        drawn[int(self._rng.choice(others))] = 3


def dealt(visits: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return cards, each position as often as ``visits`` says, and a random place in [0, 1) for each card.

    Fractions are rounded at random. The n cards of a position lie in n equal parts of the deck, one in each, so that
    none is long in coming.
    """
    times = np.floor(visits + rng.random(len(visits))).astype(int)
    cards = np.repeat(np.arange(len(visits)), times)
    part = np.arange(len(cards)) - (np.cumsum(times) - times)[cards]
    return cards, (part + rng.random(len(cards))) / times[cards]


def playable(visits: np.ndarray, parent_of: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Lower the visits of children that no deck could place, as one draw never takes a child twice.

    With k distinct children in each draw, M draws take min(visits, M) of a child at most. The visits are cut at the
    largest M for which these add up to k M: for the i smallest of n visits, their sum is at least (k - n + i) M.

    Args:
        visits: (n,) >= 1.
        parent_of: (n,) ascending from 0.
        wanted: k for each parent, at most its children.
    """
    count = np.bincount(parent_of)
    start = np.cumsum(count) - count
    total = np.cumsum(visits[np.lexsort((visits, parent_of))])
    before = np.concatenate([[0.0], total])[start]
    times = (wanted - count)[parent_of] + np.arange(1, len(visits) + 1) - start[parent_of]
    most = np.where(times > 0, (total - before[parent_of]) / np.maximum(times, 1), np.inf)
    return np.minimum(visits, np.minimum.reduceat(most, start)[parent_of])
