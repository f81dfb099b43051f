"""The class tree: what it answers, on random trees too, and how it stays exact."""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pml_suprank.hierarchy import Hierarchy, HierarchyError, as_level_labels, common_levels

ANIMALS = ["animal/dog/husky", "animal/dog/pug", "animal/cat/siamese", "plant/rose/tea"]


@st.composite
def parent_maps(draw, max_nodes=25):
    """child -> parent over 0..n-1, each node under an earlier one or a root."""
    count = draw(st.integers(1, max_nodes))
    parents = {}
    for node in range(count):
        above = draw(st.none() | st.integers(0, node - 1)) if node else None
        parents[node] = above
    return parents


def ancestors(node, parents):
    chain = []
    while node is not None:
        chain.append(node)
        node = parents.get(node)
    return chain[::-1]


class TestRandomTrees:
    @settings(deadline=None)
    @given(parent_maps())
    def test_common_levels_is_depth_of_lowest_common_ancestor(self, parents):
        tree = Hierarchy.from_parents(parents)
        leaves = [n for n in parents if n not in parents.values()]
        assert tree.class_ids.tolist() == sorted(leaves)
        assert tree.num_levels == max(len(ancestors(leaf, parents)) for leaf in leaves)
        shared = tree.common_levels(tree.class_ids)
        for row, one in enumerate(sorted(leaves)):
            for column, other in enumerate(sorted(leaves)):
                if one == other:
                    depth = tree.num_levels
                else:
                    pairs = zip(ancestors(one, parents), ancestors(other, parents), strict=False)
                    depth = sum(a == b for a, b in pairs)
                assert shared[row, column] == depth

    @settings(deadline=None)
    @given(parent_maps())
    def test_table_is_numbered_and_round_trips(self, parents):
        tree = Hierarchy.from_parents(parents)
        for column in tree.table.T:
            assert column.unique().tolist() == list(range(int(column.max()) + 1))
        for level in range(tree.num_levels):
            assert len(tree.node_names(level)) == int(tree.table[:, level].max()) + 1
        again = Hierarchy.from_labels(tree.table)
        assert torch.equal(again.table, tree.table)

    @settings(deadline=None)
    @given(parent_maps(), st.randoms(use_true_random=False))
    def test_all_constructors_agree(self, parents, random):
        chains = {
            leaf: [str(n) for n in ancestors(leaf, parents)]
            for leaf in parents
            if leaf not in parents.values()
        }
        leaves = sorted(chains)
        by_parents = Hierarchy.from_parents(parents)
        by_paths = Hierarchy.from_paths("/".join(chains[leaf]) for leaf in leaves)
        assert torch.equal(
            by_parents.common_levels(leaves), by_paths.common_levels(by_paths.class_ids)
        )
        networkx = pytest.importorskip("networkx", reason="networkx is not installed")
        graph = networkx.DiGraph()
        graph.add_nodes_from(parents)
        edges = [(above, below) for below, above in parents.items() if above is not None]
        random.shuffle(edges)
        graph.add_edges_from(edges)
        assert torch.equal(Hierarchy.from_networkx(graph).table, by_parents.table)


class TestContents:
    def test_names_ids_and_repr(self):
        tree = Hierarchy.from_paths(ANIMALS, level_names=["breed", "species", "kingdom"])
        assert tree.level_names == ("breed", "species", "kingdom")
        assert tree.class_names == tuple(ANIMALS)
        assert tree.node_names(1) == ("dog", "cat", "rose")
        assert tree.class_id("animal/dog/pug") == tree.class_id("pug") == 1
        assert len(tree) == tree.num_classes == 4
        assert repr(tree) == "Hierarchy(breed: 4, species: 3, kingdom: 2)"
        with pytest.raises(HierarchyError, match="name of one class, got 'fox', of 0"):
            tree.class_id("fox")
        with pytest.raises(HierarchyError, match=r"level: wanted 0\.\.2, got 3"):
            tree.node_names(3)

    def test_last_name_of_two_classes_is_refused(self):
        tree = Hierarchy.from_paths(["dog/other", "cat/other"])
        assert tree.class_id("cat/other") == 1
        with pytest.raises(HierarchyError, match="got 'other', of 2"):
            tree.class_id("other")

    def test_a_name_under_two_parents_is_two_nodes(self):
        tree = Hierarchy.from_paths(["dog/young/a", "cat/young/b"])
        assert tree.common_levels([0], [1]).item() == 0

    def test_short_branches_share_only_real_ancestors(self):
        tree = Hierarchy.from_paths(["animal/dog/husky", "animal/dog", "plant", "plant2/x"])
        assert tree.common_levels([0, 1, 2, 3]).tolist() == [
            [3, 2, 0, 0],
            [2, 3, 0, 0],
            [0, 0, 3, 0],
            [0, 0, 0, 3],
        ]

    def test_common_root_is_a_level(self):
        tree = Hierarchy.from_parents({"a": "root", "b": "root"})
        assert tree.common_levels([0], [1]).item() == 1

    def test_immutable(self):
        tree = Hierarchy.from_paths(ANIMALS)
        table, ids = tree.table, tree.class_ids
        table.fill_(7)
        ids.fill_(7)
        assert tree == Hierarchy.from_paths(ANIMALS)
        with pytest.raises(AttributeError):
            tree.table = table

    def test_source_tensors_are_copied(self):
        source = torch.tensor([[0, 0], [1, 0]])
        tree = Hierarchy.from_labels(source)
        source.fill_(9)
        assert tree.table.tolist() == [[0, 0], [1, 0]]

    def test_equal_pickled_copied_hashed(self):
        tree = Hierarchy.from_paths(ANIMALS)
        tree.expand([0])
        for other in (pickle.loads(pickle.dumps(tree)), copy.deepcopy(tree), copy.copy(tree)):
            assert other == tree
            assert hash(other) == hash(tree)
            assert type(other) is Hierarchy
        assert tree != Hierarchy.from_paths(ANIMALS[:3])
        assert tree != Hierarchy.from_paths(ANIMALS, level_names=["a", "b", "c"])
        assert tree != "tree"

    @pytest.mark.parametrize("offset", [2**24, 2**53, 2**62])
    def test_large_ids_are_not_merged(self, offset):
        tree = Hierarchy.from_labels([[offset, 0], [offset + 1, 1], [offset + 2, 1]])
        assert tree.num_classes == 3
        ids = torch.tensor([offset + 1, offset, offset + 2])
        assert tree.expand(ids).tolist() == [[1, 1], [0, 0], [2, 1]]
        assert common_levels(ids[:, None]).tolist() == torch.eye(3).tolist()
        tree = Hierarchy.from_parents({offset: "a", offset + 1: "b"})
        assert tree.expand(torch.tensor([offset + 1])).tolist() == [[1, 1]]


class TestExpand:
    @pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32])
    def test_small_integer_dtypes(self, dtype):
        tree = Hierarchy.from_labels([[10, 0], [20, 0], [30, 1]])
        rows = tree.expand(torch.tensor([30, 10], dtype=dtype))
        assert rows.tolist() == [[2, 1], [0, 0]]
        assert rows.dtype == torch.int64

    def test_empty(self):
        assert Hierarchy.from_paths(ANIMALS).expand(torch.tensor([], dtype=torch.long)).shape == (
            0,
            3,
        )

    @pytest.mark.parametrize("paths", [ANIMALS, None])
    def test_unknown_ids_are_named(self, paths):
        tree = Hierarchy.from_paths(paths) if paths else Hierarchy.from_labels([[5, 0], [9, 1]])
        with pytest.raises(HierarchyError, match=r"got 7 unknown: -3, 40, 41, 42, 43, ..."):
            tree.expand([int(tree.class_ids[0]), 40, 41, 42, 43, 44, 45, -3])

    def test_column_of_a_label_table(self):
        """PML's testers pass such views; no warning about strides."""
        rows = torch.tensor([[5, 0], [9, 1]])
        assert Hierarchy.from_labels(rows).expand(rows[:, 0]).tolist() == [[0, 0], [1, 1]]

    def test_form(self):
        tree = Hierarchy.from_paths(ANIMALS)
        with pytest.raises(HierarchyError, match=r"class_ids: wanted 1-D .* shape \(1, 1\)"):
            tree.expand([[0]])


class TestLabelForms:
    tree = Hierarchy.from_paths(ANIMALS)

    def test_three_forms(self):
        ids = torch.tensor([3, 0])
        assert as_level_labels(ids).tolist() == [[3], [0]]
        rows = as_level_labels(ids, self.tree)
        assert rows.tolist() == [[3, 2, 1], [0, 0, 0]]
        assert torch.equal(as_level_labels(rows), rows)
        assert torch.equal(as_level_labels(rows, self.tree, length=2), rows)
        assert as_level_labels(np.array([3, 0])).tolist() == [[3], [0]]

    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            (torch.tensor([1.0, 2.0]), "ref_labels: wanted integers .* got dtype float32$"),
            (torch.tensor([1.0, float("nan")]), "got dtype float32 with NaN"),
            (torch.tensor([True]), "ref_labels: wanted integers, got dtype bool"),
            (torch.tensor([1j]), "got dtype complex64"),
            (torch.tensor(1), r"wanted 1-D class labels \[B\] or 2-D labels .* got shape \(\)"),
            (torch.zeros(1, 1, 1, dtype=torch.long), r"got shape \(1, 1, 1\)"),
            (torch.zeros(2, 2, dtype=torch.long), "wanted 3 columns, .* got 2 columns"),
            (torch.zeros(2, 0, dtype=torch.long), "at least one level"),
            (["a"], "wanted a tensor or array of integers, got list"),
            (torch.tensor([7]), "ref_labels: wanted ids of the 4 classes .* got 1 unknown: 7"),
            (torch.tensor([2**63], dtype=torch.uint64), "got larger uint64"),
        ],
    )
    def test_errors(self, labels, message):
        with pytest.raises(HierarchyError, match=message):
            as_level_labels(labels, self.tree, name="ref_labels")

    def test_length(self):
        with pytest.raises(HierarchyError, match="labels: wanted 3 rows, got 2"):
            as_level_labels(torch.tensor([0, 1]), length=3)

    def test_common_levels_errors(self):
        rows = torch.zeros(2, 2, dtype=torch.long)
        with pytest.raises(HierarchyError, match=r"labels: wanted 2-D labels \[B, L\], got 1-D"):
            common_levels(rows[0])
        with pytest.raises(HierarchyError, match=r"ref_labels: wanted 2 levels .* got 1"):
            common_levels(rows, rows[:, :1])
        with pytest.raises(HierarchyError, match="ref_labels: wanted ids of the 4"):
            self.tree.common_levels([0], [9])


class TestTableChecks:
    def make(self, table, class_ids=(0, 1), node_names=(("a", "b"), ("c",)), **kwargs):
        return Hierarchy(table, class_ids, node_names=node_names, **kwargs)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"table": [[0, 0], [1, 1]]}, "node_names: wanted 2 names in column 1"),
            ({"table": [[0, 0], [1, 2]]}, r"wanted the ids 0\.\.n-1 in column 1"),
            ({"table": [[1, 0], [0, 0]]}, "column 0"),
            ({"table": [0, 1]}, r"table: wanted \[num_classes, num_levels\]"),
            ({"class_ids": [1, 0]}, "class_ids: wanted 2 increasing ids"),
            ({"class_ids": [0]}, "class_ids: wanted 2 increasing ids"),
            ({"class_names": ["a", "a"]}, "class_names: wanted 2 different"),
            ({"node_names": [["a", "b"]]}, "node_names: wanted one list for each of 2 levels"),
            ({"level_names": ["x", "x"]}, "level_names: wanted 2 different names"),
        ],
    )
    def test_errors(self, change, message):
        with pytest.raises(HierarchyError, match=message):
            self.make(**({"table": [[0, 0], [1, 0]]} | change))

    def test_inner_node_with_two_parents(self):
        with pytest.raises(HierarchyError, match="got 0 of column 1 under 0 and 1 of column 2"):
            self.make([[0, 0, 0], [1, 0, 1]])
