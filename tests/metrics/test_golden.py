"""The published values, as far as their definitions hold."""

import numpy as np
import pytest
import torch

from pml_suprank import metrics
from pml_suprank.metrics import definitions
from pml_suprank.metrics.ranked_lists import RankedLists
from pml_suprank.relevance import PopulationRelevance, WeightedRelevance

FILES = ["metrics__same_source_3levels", "metrics__disjoint_2levels", "metrics__edge_singletons"]
ALPHAS = (0.5, 1.0, 2.0)


@pytest.fixture(params=FILES)
def file(request, golden):
    return golden(request.param)


@pytest.fixture
def lists(file):
    """The published rankings."""
    levels = int(file["hp_levels"])
    return RankedLists.from_sorted(torch.from_numpy(file["sorted_target"]), levels)


def evaluate(file, **kwargs):
    names = ("embeddings", "labels")
    prefixes = ("",) if file["hp_same_source"] else ("query_", "gallery_")
    inputs = [torch.from_numpy(file[prefix + name]) for prefix in prefixes for name in names]
    return metrics.evaluate(*inputs, **kwargs)


def assert_close(result, wanted, undefined):
    """Equal where the metric is defined; ``undefined`` is what the publication has elsewhere."""
    values, valid = (result.values, result.valid) if hasattr(result, "valid") else result
    wanted = np.asarray(wanted, dtype=np.float64)
    np.testing.assert_allclose(values[valid], wanted[valid], rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(wanted[~valid], undefined)
    assert torch.equal(values[~valid], torch.zeros_like(values[~valid]))


def test_rankings(file, lists):
    """The library's rankings are the published ones: same levels at the same ranks."""
    result = evaluate(file, k=[int(k) for k in file["hp_ks"]], similarity="dot")
    for level in range(lists.num_levels):
        ours = result[f"mean_average_precision_level{level}"]
        values, valid = definitions.average_precision(lists, level)
        assert torch.equal(ours.valid, valid)
        torch.testing.assert_close(ours.values, values, rtol=1e-12, atol=0)


def test_binary_metrics(file):
    depths = [int(k) for k in file["hp_ks"]]
    result = evaluate(file, k=depths)
    for level in range(int(file["hp_levels"])):
        end = f"_level{level}"
        pairs = {
            f"mean_average_precision{end}": f"ap_{end}",
            f"mean_average_precision_at_r{end}": f"map_at_R_{end}",
        }
        for k in depths:
            pairs[f"mean_average_precision_at_{k}{end}"] = f"ap_at_{k}_{end}"
            pairs[f"precision_at_{k}{end}"] = f"precision_at_{k}_{end}"
            pairs[f"recall_at_{k}{end}"] = f"recall_rate_at_{k}_{end}"
        for ours, published in pairs.items():
            assert_close(result[ours], file[f"pq__{published}"], undefined=0)


def test_share_of_positives_found(file, lists):
    """``true_recall_at_k`` is our precision at k, counted against the positives instead."""
    for level in range(lists.num_levels):
        positives = lists.num_at_least(lists.num_levels - level)
        for k in file["hp_ks"].tolist():
            values, valid = definitions.precision_at_k(lists, k, level)
            found = values * lists.lengths.clamp(max=k) / positives.clamp(max=k)
            wanted = file[f"pq__true_recall_at_{k}__level{level}"]
            assert_close((torch.where(valid, found, 0.0), valid), wanted, undefined=np.nan)


def test_ndcg_and_asi(file, lists):
    result = evaluate(file)
    assert_close(result["ndcg"], file["pq__ndcg"], undefined=np.nan)
    assert_close(result["asi"], file["pq__asi"], undefined=np.nan)
    for level in range(lists.num_levels):
        threshold = lists.num_levels - level
        binary = RankedLists.from_sorted(
            (torch.from_numpy(file["sorted_target"]) >= threshold).long(), 1
        )
        assert_close(definitions.asi(binary), file[f"pq__asi__level{level}"], undefined=np.nan)


def test_asi_to_the_end_of_the_list(file, lists):
    """``asi_full`` is ASI with one level more that all items share."""
    shifted = torch.from_numpy(file["sorted_target"]) + 1
    full = RankedLists.from_sorted(shifted, lists.num_levels + 1)
    assert_close(definitions.asi(full), file["pq__asi_full"], undefined=1)


def test_published_ndcg_at_k_is_ndcg_of_the_cut_list(file, lists):
    """Its ideal re-sorts the k retrieved items; ours takes the best k of the gallery."""
    result = evaluate(file, k=[int(k) for k in file["hp_ks"]])
    published = [
        int(name.removeprefix("pq__ndcg_at_"))
        for name in file
        if "ndcg_at" in name and "pq" in name
    ]
    assert published
    for k in published:
        ranked = torch.from_numpy(file["sorted_target"])
        cut = RankedLists.from_sorted(ranked[:, :k], lists.num_levels)
        wanted = file[f"pq__ndcg_at_{k}"]
        assert_close(definitions.ndcg(cut), wanted, undefined=np.nan)
        ours = result[f"ndcg_at_{k}"]
        defined = ours.valid & ~torch.from_numpy(np.isnan(wanted))
        assert bool((ours.values[defined] <= torch.from_numpy(wanted)[defined] + 1e-6).all())


def test_hap_with_the_published_tables(file, lists):
    for name in [key.removeprefix("pq__hap__") for key in file if key.startswith("pq__hap__")]:
        table = torch.from_numpy(file[f"relevance_table__{name}"])
        values = definitions.hierarchical_average_precision(lists, table)
        assert_close(values, file[f"pq__hap__{name}"], undefined=np.nan)


def test_published_relevance_counts_the_query(file, lists):
    """Same tables as ours up to a factor per query, if the query is counted where it is in the gallery."""
    counts = lists.counts.clone()
    counts[:, -1] += int(file["hp_same_source"])
    relevances = {f"pop_a{a:g}": PopulationRelevance(a) for a in ALPHAS}
    if "relevance_table__map" in file:
        relevances["map"] = WeightedRelevance(by_level=file["hp_map_weights"].tolist()[::-1])
    for name, relevance in relevances.items():
        wanted = file[f"relevance_table__{name}"]
        # Tables may differ where no item of the level exists; they do not enter H-AP there.
        ours = np.where(counts.numpy() > 0, relevance(counts).numpy(), 0.0)
        wanted = np.where(counts.numpy() > 0, wanted, 0.0)
        np.testing.assert_allclose(
            ours / ours.sum(1, keepdims=True), wanted / wanted.sum(1, keepdims=True), rtol=1e-6
        )


def test_hap_of_a_disjoint_gallery(golden):
    """No query in the gallery: the whole chain gives the published values."""
    file = golden("metrics__disjoint_2levels")
    for alpha in ALPHAS:
        result = evaluate(
            file, metrics="hierarchical_average_precision", relevance=PopulationRelevance(alpha)
        )
        wanted = file[f"pq__hap__pop_a{alpha:g}"]
        assert_close(result["hierarchical_average_precision"], wanted, undefined=np.nan)
    result = evaluate(
        file,
        metrics="hierarchical_average_precision",
        relevance=WeightedRelevance(by_level=file["hp_map_weights"].tolist()[::-1]),
    )
    assert_close(result["hierarchical_average_precision"], file["pq__hap__map"], undefined=np.nan)


def test_ap_of_one_level_alone(file, lists):
    """``ap_only_target``: finer items deleted, positives of exactly that level."""
    ranked = torch.from_numpy(file["sorted_target"])
    for level in range(1, lists.num_levels + 1):
        alone = torch.where(ranked > level, -1, (ranked == level).long())
        values, valid = definitions.average_precision(RankedLists.from_sorted(alone, 1))
        np.testing.assert_array_equal(valid, file[f"kept__ap_only_target{level}"])
        wanted = file[f"pq__ap_only_target{level}"]
        wanted = wanted if len(wanted) == int(valid.sum()) else wanted[valid]
        np.testing.assert_allclose(values[valid], wanted, rtol=1e-6)
