"""Listed judgements: the protocols of Google Landmarks and of revisited Oxford and Paris, against loops."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pml_suprank import metrics
from pml_suprank.metrics import judged
from pml_suprank.metrics.judged import evaluate_judged


def ranking(scores: np.ndarray, relevant: list[int], ignored: list[int]) -> list[bool]:
    """Whether each item is relevant, best first, without the ignored ones; wrong items first among equals."""
    items = [i for i in range(len(scores)) if i not in ignored]
    items.sort(key=lambda i: (-scores[i], i in relevant))
    return [i in relevant for i in items]


def revisited(scores: np.ndarray, relevant: list[int], junk: list[int], ks: list[int]):
    """The protocol in its own order: rank all, then move each positive up by the junk before it."""
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], i in relevant))
    positives = [place for place, i in enumerate(order) if i in relevant]
    junk_places = [place for place, i in enumerate(order) if i in junk]
    places = [p - sum(j < p for j in junk_places) for p in positives]
    ap = 0.0
    step = 1 / len(relevant)
    for found, place in enumerate(places):
        before = 1.0 if place == 0 else found / place
        at = (found + 1) / (place + 1)
        ap += (before + at) * step / 2
    precision = []
    for k in ks:
        depth = min(max(places) + 1, k)
        precision.append(sum(place + 1 <= depth for place in places) / depth)
    return ap, precision


def landmarks(scores: np.ndarray, relevant: list[int], ignored: list[int], k: int = 100) -> float:
    """mAP@k of Google Landmarks for one query: the precision at every hit in the first k, over min(P, k)."""
    found = ranking(scores, relevant, ignored)[:k]
    total = sum(sum(found[: i + 1]) / (i + 1) for i in range(len(found)) if found[i])
    return total / min(len(relevant), k)


def scored(scores: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings whose dot products are exactly some scores (Q, N)."""
    query = torch.eye(len(scores), dtype=torch.float64)
    return query, torch.from_numpy(scores.T.copy())


@st.composite
def cases(draw):
    queries, items = draw(st.integers(1, 4)), draw(st.integers(1, 25))
    kinds = draw(
        st.lists(
            st.lists(st.sampled_from("rrjww"), min_size=items, max_size=items),
            min_size=queries,
            max_size=queries,
        )
    )
    levels = draw(st.sampled_from([3, 1000]))  # few different scores: ties
    seed = draw(st.integers(0, 2**16))
    scores = np.random.default_rng(seed).integers(0, levels, (queries, items)) / 16
    pick = lambda kind: [[i for i, k in enumerate(row) if k == kind] for row in kinds]  # noqa: E731
    return scores, pick("r"), pick("j")


@settings(deadline=None, max_examples=150)
@given(cases(), st.integers(1, 3))
def test_against_each_protocol(case, block_size: int) -> None:
    scores, relevant, ignored = case
    ks = [1, 5, 10]
    query, gallery = scored(scores)
    found = evaluate_judged(
        query, gallery, relevant, ignored, k=[*ks, 3], similarity="dot", block_size=block_size
    )
    for q, row in enumerate(scores):
        valid = bool(relevant[q])
        for result in found.values():
            assert bool(result.valid[q]) == valid
            assert valid or result.values[q] == 0
        if not valid:
            continue
        ap, precision = revisited(row, relevant[q], ignored[q], ks)
        assert found["revisited_average_precision"].values[q] == pytest.approx(ap)
        for k, value in zip(ks, precision, strict=True):
            assert found[f"revisited_precision_at_{k}"].values[q] == pytest.approx(value)
        ranked = ranking(row, relevant[q], ignored[q])
        for k in (3, 10):
            expected = landmarks(row, relevant[q], ignored[q], k)
            assert found[f"mean_average_precision_at_{k}"].values[q] == pytest.approx(expected)
            short = ranked[:k]
            assert found[f"precision_at_{k}"].values[q] == sum(short) / min(k, len(ranked))
            assert found[f"recall_at_{k}"].values[q] == any(short)
        hits = [i for i, hit in enumerate(ranked, 1) if hit]
        expected = np.mean([n / rank for n, rank in enumerate(hits, 1)])
        assert found["mean_average_precision"].values[q] == pytest.approx(expected)


def test_junk_before_the_first_positive() -> None:
    scores = np.array([[9.0, 8.0, 7.0, 6.0, 5.0, 4.0]])
    query, gallery = scored(scores)
    one = evaluate_judged(query, gallery, [[2, 4]], [[0, 1]], k=1, similarity="dot")
    assert one["revisited_average_precision"].mean() == pytest.approx((1 + (1 / 2 + 2 / 3) / 2) / 2)
    assert one["precision_at_1"].mean() == 1.0
    other = evaluate_judged(query, gallery, [[2, 4]], k=1, similarity="dot")
    assert other["precision_at_1"].mean() == 0.0
    assert other["mean_average_precision"].mean() == pytest.approx((1 / 3 + 2 / 5) / 2)


def test_the_denominator_of_google_landmarks() -> None:
    """120 relevant items, the first 100 of them in front: mAP@100 is 1, AP is not."""
    scores = np.linspace(1, 0, 500)[None]
    relevant = [[*range(100), *range(480, 500)]]
    query, gallery = scored(scores)
    found = evaluate_judged(query, gallery, relevant, k=100, similarity="dot")
    assert found["mean_average_precision_at_100"].mean() == 1.0
    assert found["mean_average_precision"].mean() < 0.9


def test_equal_to_evaluate_where_labels_say_it() -> None:
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(30, 6, generator=generator)
    gallery = torch.randn(80, 6, generator=generator)
    labels = torch.randint(0, 5, (30,), generator=generator)
    gallery_labels = torch.randint(0, 5, (80,), generator=generator)
    relevant = [(gallery_labels == label).nonzero().flatten() for label in labels]
    for similarity in ("cosine", "dot", "euclidean"):
        one = evaluate_judged(query, gallery, relevant, k=7, similarity=similarity)
        other = metrics.evaluate(query, labels, gallery, gallery_labels, k=7, similarity=similarity)
        for name in ("mean_average_precision", "mean_average_precision_at_7", "precision_at_7"):
            torch.testing.assert_close(one[name].values, other[f"{name}_level0"].values)


def test_perfect_and_worst() -> None:
    query, gallery = scored(np.array([[3.0, 2.0, 1.0]]))
    best = evaluate_judged(query, gallery, [[0, 1]], similarity="dot")
    assert all(result.mean() == 1 for name, result in best.items() if name != "precision_at_5"
               and not name.startswith("precision_at_10"))  # fmt: skip
    tied = evaluate_judged(query, torch.zeros(3, 1, dtype=torch.float64), [[0]], similarity="dot")
    assert tied["mean_average_precision"].mean() == pytest.approx(
        1 / 3
    )  # ties count against the model


def test_half_precision_and_one_item() -> None:
    found = evaluate_judged(torch.ones(2, 4).half(), torch.ones(1, 4).half(), [[0], []])
    assert found["mean_average_precision"].values.tolist() == [1, 0]
    assert found["mean_average_precision"].num_left_out == 1
    assert all(math.isfinite(result.mean()) for result in found.values())


def test_all_items_ignored_or_relevant() -> None:
    query, gallery = scored(np.array([[3.0, 2.0, 1.0]]))
    found = evaluate_judged(query, gallery, [[]], [[0, 1, 2]], similarity="dot")
    assert found["mean_average_precision"].num_left_out == 1
    found = evaluate_judged(query, gallery, [[0, 1, 2]], similarity="dot", k=3)
    assert set(found.mean().values()) == {1.0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"relevant": [[0]]}, "relevant: wanted positions for 2 queries, got 1"),
        ({"relevant": [[0], [3]]}, r"relevant\[1\]: wanted 0..2, got 3..3"),
        ({"relevant": [[0], [-1]]}, r"relevant\[1\]: wanted 0..2, got -1..-1"),
        ({"relevant": [[0], [1, 1]]}, r"relevant\[1\]: wanted each position once, got some twice"),
        ({"relevant": [[0], [0.5]]}, r"relevant\[1\]: wanted integers"),
        ({"relevant": 3}, "relevant: wanted positions for each of 2 queries, got int"),
        ({"relevant": [[0], [[1]]]}, r"relevant\[1\]: wanted 1-D positions, got shape \(1, 1\)"),
        ({"ignored": [[1], [0]]}, r"wanted items that are not relevant, got \[0\] of query 1"),
        ({"metrics": "ndcg"}, "metrics: wanted names out of .* got 'ndcg'"),
        ({"metrics": []}, "metrics: wanted names out of .* got none"),
        ({"metrics": "precision_at_0"}, "metrics: wanted one or more integers >= 1"),
        ({"k": 0}, "k: wanted one or more integers >= 1, got 0"),
        ({"block_size": 0}, "block_size: wanted at least 1, got 0"),
        ({"gallery": torch.ones(3, 5)}, "gallery: wanted 4 dimensions as in query, got 5"),
        ({"query": torch.full((2, 4), torch.nan)}, "query: wanted finite numbers"),
        ({"similarity": "l1"}, "similarity: wanted one of"),
    ],
)
def test_wrong_arguments(changes: dict, message: str) -> None:
    arguments = {"query": torch.ones(2, 4), "gallery": torch.ones(3, 4), "relevant": [[0], [0]]}
    arguments |= changes
    with pytest.raises(ValueError, match=message):
        evaluate_judged(**arguments)


def test_blocks_hold_a_bounded_number_of_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    real = judged._ranked

    def ranked(scores, *rest):
        sizes.append(scores.shape)
        return real(scores, *rest)

    monkeypatch.setattr(judged, "_ranked", ranked)
    monkeypatch.setattr(judged, "PAIRS_PER_BLOCK", 100)
    evaluate_judged(torch.ones(10, 2), torch.ones(30, 2), [[0]] * 10, similarity="dot")
    assert sizes == [(3, 30)] * 3 + [(1, 30)]
