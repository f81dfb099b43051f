"""How often the children of a node can come, against trying all numbers of draws."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pml_suprank.samplers.quotas import Deck, dealt, playable


def largest_number_of_draws(visits, wanted):
    """Try all numbers M, in steps of a hundredth: M draws of distinct children need wanted * M cards."""
    steps = range(100, 100 * max(visits) + 1)
    return max(m for m in steps if sum(min(100 * v, m) for v in visits) >= wanted * m) / 100


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(1, 6)),
        min_size=1,
        max_size=4,
    )
)
def test_visits_are_cut_at_the_largest_number_of_draws(nodes):
    visits = np.array([v for node, _ in nodes for v in node], dtype=float)
    parent_of = np.repeat(np.arange(len(nodes)), [len(node) for node, _ in nodes])
    wanted = [min(k, len(node)) for node, k in nodes]
    got = playable(visits, parent_of, np.array(wanted))
    for place, (node, _) in enumerate(nodes):
        most = largest_number_of_draws(node, wanted[place])
        assert np.allclose(got[parent_of == place], np.minimum(node, most), atol=0.011)


def test_cards_come_as_often_as_the_visits_say_and_evenly_spread():
    rng = np.random.default_rng(0)
    visits = np.array([1.0, 2.5, 40.0, 7.25])
    times = []
    for _ in range(400):
        cards, places = dealt(visits, rng)
        times.append(np.bincount(cards))
        for child, number in enumerate(times[-1]):
            inside = np.sort(places[cards == child]) * number
            assert (inside.astype(int) == np.arange(number)).all()
    assert np.abs(np.mean(times, axis=0) - visits).max() < 0.1
    assert np.ptp(times, axis=0).tolist() == [0, 1, 0, 1]


def test_a_deck_gives_distinct_children_and_forgets_none():
    rng = np.random.default_rng(0)
    visits = np.array([6.0, 6.0, 3.0, 2.0, 1.0])
    deck = Deck([10, 11, 12, 13, 14], visits, rng)
    counts = dict.fromkeys(range(10, 15), 0)
    for _ in range(600):
        taken = {}
        for _ in range(3):
            child = deck.draw(taken)
            assert child not in taken
            taken[child] = 1
            counts[child] += 1
    shares = np.array(list(counts.values())) / 1800
    assert np.allclose(shares, visits / visits.sum(), atol=0.01)
    assert deck.draw(counts) is None


def test_what_was_skipped_comes_first_in_the_next_visit():
    deck = Deck([2, 2, 1, 1, 1, 0, 0], np.ones(3), np.random.default_rng(0))
    assert deck.draw({}) == 0
    assert deck.draw({0: 1}) == 1  # past a second 0
    assert deck.draw({0: 1, 1: 1}) == 2  # past two 1s
    assert [deck.draw({}), deck.draw({0: 1}), deck.draw({0: 1, 1: 1})] == [0, 1, 2]
    assert deck.draw({}) == 1
