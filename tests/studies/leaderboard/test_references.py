"""What the arms of the decomposability study rank a batch against."""

import math
from itertools import repeat

import pytest
import torch
from torch import nn

from pml_suprank.functional import SupRank, hierarchical_average_precision
from pml_suprank.relevance import PopulationRelevance, level_relevance
from studies.leaderboard import references as module
from studies.leaderboard.log_precision import log_precision
from studies.leaderboard.references import IDEALS, REMEDIES, references

from ...reference.rank_losses import sup_step
from .worlds import features

STEP = SupRank(tau=0.1)
ROWS = torch.tensor([0, 1, 4, 5])  # of the classes 0 and 1, which are siblings; 32 rows in all


@pytest.fixture
def head():
    torch.manual_seed(0)
    return nn.Linear(12, 5)


def embedded(head, train, rows):
    return head(train.views[rows, 0])


def ranked(found):
    """(B, N): which references each query ranks, its own place left out."""
    query, positive, other_query, negative = found["indices_tuple"]
    pairs = torch.zeros(len(found["self_indices"]), len(found["ref_emb"]), dtype=torch.int)
    pairs.index_put_((query, positive), torch.tensor(1, dtype=torch.int), accumulate=True)
    pairs.index_put_((other_query, negative), torch.tensor(1, dtype=torch.int), accumulate=True)
    assert pairs.max() == 1  # no pair twice
    return pairs.bool()


@pytest.mark.parametrize("arm", IDEALS + REMEDIES)
def test_queries_stand_where_their_places_say(arm, head):
    train = features()
    find = references(arm, head, train, train.labels, repeat(torch.arange(8)), 0)
    for _ in range(3):
        embeddings = embedded(head, train, ROWS)
        found = find(embeddings, ROWS)
        own = found["self_indices"]
        torch.testing.assert_close(found["ref_emb"][own], embeddings)
        assert torch.equal(found["ref_labels"][own], train.labels[ROWS])
        assert len(found["ref_emb"]) == len(found["ref_labels"])


@pytest.mark.parametrize("labels", ["tree", "finest"])
@pytest.mark.parametrize(
    ("arm", "level"), [("whole memory, positives alone", 0), ("whole memory, relatives alone", -1)]
)
def test_parts_of_a_memory(arm, level, labels, head):
    train = features()
    levels = train.labels if labels == "tree" else train.labels[:, :1]
    seen = levels if labels == "tree" else levels[:, 0]
    found = references(arm, head, train, seen, iter(()), 0)(embedded(head, train, ROWS), ROWS)
    mask = ranked(found)
    for query, row in enumerate(ROWS.tolist()):
        for item in range(32):
            is_related = levels[row, level] == levels[item, level]
            wanted = item != row and (item in ROWS.tolist() or bool(is_related))
            assert mask[query, item] == wanted
    query, positive, other_query, negative = found["indices_tuple"]
    assert (levels[ROWS[query], -1] == levels[positive, -1]).all()
    assert (levels[ROWS[other_query], -1] != levels[negative, -1]).all()


def test_an_old_embedding_is_there_as_often_as_its_weight_says(head, monkeypatch):
    monkeypatch.setattr(module, "HALF_LIFE", 2)
    train = features()
    find = references("whole memory, weights by age", head, train, train.labels, iter(()), 0)
    counts = torch.zeros(32)
    find.age.fill_(99)
    found = find(
        embedded(head, train, ROWS), ROWS
    )  # what is written anew is there, however old it was
    assert torch.equal(found["ref_labels"][found["self_indices"]], train.labels[ROWS])
    find.age.fill_(1)
    for _ in range(600):
        age = find.age.clone()
        found = find(embedded(head, train, ROWS[:1]), ROWS[:1])
        counts += torch.isin(torch.arange(32), kept_rows(find, found))
        find.age = age
    assert counts[0] == 600
    assert counts[1:].mean().item() / 600 == pytest.approx(0.5, abs=0.02)  # two steps old by then


def kept_rows(memory, found):
    """Which rows of a memory are among references, by their embeddings."""
    same = (memory.stored[:, None] == found["ref_emb"]).all(dim=2)
    return same.any(dim=1).nonzero().flatten()


def test_the_slow_encoder_follows_the_head(head, monkeypatch):
    monkeypatch.setattr(module, "MOMENTUM", 0.75)
    train = features(views=1)
    find = references("whole set, momentum encoder", head, train, train.labels, iter(()), 0)
    first = head.weight.detach().clone()
    find(embedded(head, train, ROWS), ROWS)  # the slow one starts where the head is
    with torch.no_grad():
        head.weight.add_(1.0)
    found = find(embedded(head, train, ROWS), ROWS)
    slow = nn.Linear(12, 5)
    slow.load_state_dict({"weight": first + 0.25, "bias": head.bias})
    others = torch.tensor([row for row in range(32) if row not in ROWS.tolist()])
    torch.testing.assert_close(found["ref_emb"][others], embedded(slow, train, others))


def test_four_batches_hold_no_row_twice_and_have_gradients(head):
    train = features()
    batches = iter([torch.tensor([1, 2, 3]), torch.tensor([3, 9]), torch.tensor([10, 0])])
    find = references("four batches, with gradient", head, train, train.labels, batches, 0)
    found = find(embedded(head, train, ROWS).detach(), ROWS)
    assert torch.equal(found["ref_labels"], train.labels[[0, 1, 4, 5, 2, 3, 9, 10]])
    found["ref_emb"].sum().backward()
    assert head.weight.grad.abs().sum() > 0


def tree_scores(seed):
    draw = torch.Generator().manual_seed(seed)
    train = features(seed)
    scores = torch.rand(4, 32, generator=draw, dtype=torch.float64).requires_grad_()
    shared = (train.labels[ROWS, None] == train.labels).sum(dim=2)
    shared[torch.arange(4), ROWS] = -1
    return scores, shared, level_relevance(PopulationRelevance(), shared, 3)


@pytest.mark.parametrize("seed", range(3))
def test_log_precision_is_that_of_a_loop(seed):
    scores, shared, relevance = tree_scores(seed)
    found = log_precision(scores, shared, relevance, surrogate=STEP, backend="auto")
    for query in range(4):
        own = relevance.table[query].tolist()
        rows = [item for item in range(32) if shared[query, item] >= 0]
        total = logarithm = 0.0
        for item in rows:
            level = int(shared[query, item])
            if level == 0:
                continue
            rank, numerator = 1.0, own[level]
            for other in set(rows) - {item}:
                gap = float(scores[query, other] - scores[query, item])
                of_other = int(shared[query, other])
                rank += sup_step(gap, tau=0.1) if of_other < level else float(gap > 0)
                numerator += (gap > 0) * min(own[level], own[of_other])
            total += own[level]
            logarithm += own[level] * math.log(numerator / (own[level] * rank))
        assert found[query].item() == pytest.approx(1 + logarithm / total)


def test_log_precision_has_the_gradient_of_differences():
    scores, shared, relevance = tree_scores(7)

    def of(values):
        return log_precision(values, shared, relevance, surrogate=STEP, backend="auto")

    assert torch.autograd.gradcheck(of, scores)


def test_log_precision_is_at_most_h_ap():
    scores, shared, relevance = tree_scores(5)
    found = log_precision(scores, shared, relevance, surrogate=STEP, backend="auto")
    h_ap = hierarchical_average_precision(scores, shared, relevance, surrogate=STEP)
    assert (found < h_ap).all()
    best = 100.0 * shared.double()
    found = log_precision(best, shared, relevance, surrogate=STEP, backend="auto")
    assert found.tolist() == [1.0] * 4
