"""The class tree: what it answers, on random trees too, and how it stays exact."""

import copy
import itertools
import pickle
import time
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pml_suprank.hierarchy import (
    Hierarchy,
    HierarchyError,
    as_joint_labels,
    as_level_labels,
    check_tree,
    common_levels,
    ignored_rows,
    known_trees,
)
from pml_suprank.hierarchy import labels as label_forms
from pml_suprank.hierarchy.labels import index_tensor, integer_tensor

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
            (torch.tensor([1.0, 2.5]), "ref_labels: wanted integers.* got dtype float32 with 2.5$"),
            (torch.tensor([1.0, float("nan")]), "got dtype float32 with NaN"),
            (torch.tensor([float("inf")]), "got dtype float32 with inf"),
            (torch.tensor([2.0**24]), "integers below 16777216 .* float32 with 1.67772e"),
            (torch.tensor([-(2.0**24)]).double(), "got dtype float64 with -1.67"),
            (torch.tensor([2048.0]).half(), "integers below 2048 .* got dtype float16 with 2048"),
            (torch.tensor([256.0]).bfloat16(), "integers below 256 .* bfloat16 with 256"),
            (torch.tensor([1j]), "got dtype complex64"),
            (torch.tensor(1), r"wanted 1-D class labels \[B\] or 2-D labels .* got shape \(\)"),
            (torch.zeros(1, 1, 1, dtype=torch.long), r"got shape \(1, 1, 1\)"),
            (torch.zeros(2, 2, dtype=torch.long), "wanted 3 columns, .* got 2 columns"),
            (torch.zeros(2, 0, dtype=torch.long), "at least one level"),
            (["a"], "wanted a tensor or array of integers, got list.*by Hierarchy.ids"),
            ([[1], [1, 2]], "wanted a tensor or array of integers, got list"),
            (None, "wanted a tensor or array of integers, got NoneType"),
            (torch.tensor([7]), "ref_labels: wanted ids of the 4 classes .* got 1 unknown: 7"),
            (torch.tensor([2**63], dtype=torch.uint64), "got larger uint64"),
        ],
    )
    def test_errors(self, labels, message):
        with pytest.raises(HierarchyError, match=message):
            as_level_labels(labels, self.tree, name="ref_labels")

    @pytest.mark.parametrize(
        "kind",
        [
            *("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
            *("float16", "bfloat16", "float32", "float64"),
        ],
    )
    def test_every_dtype_of_whole_numbers_is_int64_from_here(self, kind):
        values = [3, 0, 100]
        for each in (values, [[3, 0], [100, 0]]):
            found = integer_tensor(torch.tensor(each).to(getattr(torch, kind)), "labels")
            assert found.dtype == torch.int64
            assert found.tolist() == each
        if kind != "bfloat16":
            assert integer_tensor(np.array(values, dtype=kind), "labels").tolist() == values
            big = np.array(values, dtype=np.dtype(kind).newbyteorder(">"))
            assert integer_tensor(big, "labels").tolist() == values

    def test_whole_numbers_as_floats_up_to_where_ids_merge(self):
        largest = [2.0**24 - 1, -(2.0**24) + 1]
        assert integer_tensor(largest, "labels").tolist() == [2**24 - 1, -(2**24) + 1]
        assert integer_tensor(torch.tensor(largest), "labels").tolist() == [2**24 - 1, 1 - 2**24]

    def test_bool_lists_and_arrays_of_any_layout(self):
        assert integer_tensor(torch.tensor([True, False]), "labels").tolist() == [1, 0]
        assert integer_tensor([True, False], "labels").tolist() == [1, 0]
        assert integer_tensor([], "labels").dtype == torch.int64
        backwards, fixed = np.arange(4)[::-1], np.arange(3)
        fixed.flags.writeable = False  # torch would warn
        assert integer_tensor(backwards, "labels").tolist() == [3, 2, 1, 0]
        assert integer_tensor(fixed, "labels").tolist() == [0, 1, 2]
        assert integer_tensor([torch.tensor(2), torch.tensor(1)], "labels").tolist() == [2, 1]

    @pytest.mark.parametrize("values", [[True, False], [1.0, 0.0], np.array([True])])
    def test_indices_are_neither_masks_nor_floats(self, values):
        with pytest.raises(HierarchyError, match="own: wanted integers, got dtype"):
            index_tensor(values, "own")
        assert index_tensor([], "own").tolist() == []
        assert index_tensor([3, -1], "own").tolist() == [3, -1]

    def test_rows_have_to_be_a_tree(self):
        rows = torch.tensor([[0, 0], [1, 0], [0, 1]])
        with pytest.raises(HierarchyError, match="labels: wanted a tree.* 0 of column 0 under 0 a"):
            as_level_labels(rows)
        assert as_level_labels(rows, check=False) is rows
        assert as_level_labels(rows[:2]) is not None

    @pytest.mark.parametrize("dtype", [torch.int64, torch.float32, torch.bool])
    def test_one_hot_rows_are_told_from_a_tree(self, dtype):
        one_hot = torch.nn.functional.one_hot(torch.arange(4)).to(dtype)
        hint = r"wanted .* the rows look one-hot: give class ids, rows.argmax\(dim=1\)"
        with pytest.raises(HierarchyError, match=hint):
            as_level_labels(one_hot, name="rows")
        with pytest.raises(HierarchyError, match="wanted 3 columns.*rows look one-hot"):
            as_level_labels(one_hot, self.tree, name="rows")
        several = one_hot + one_hot.roll(1, 0) > 0
        with pytest.raises(HierarchyError, match=r"wanted a tree((?!one-hot).)*$"):
            as_level_labels(several)

    @given(st.integers(0, 2**31), st.integers(1, 12), st.integers(1, 4))
    @settings(max_examples=60, deadline=None)
    def test_a_tree_is_one_parent_for_each_id(self, seed, size, num_levels):
        generator = torch.Generator().manual_seed(seed)
        rows = torch.randint(0, 4, (size, num_levels), generator=generator)
        parents: dict[tuple[int, int], set[int]] = {}
        for row in rows.tolist():
            for level, (fine, coarse) in enumerate(itertools.pairwise(row)):
                parents.setdefault((level, fine), set()).add(coarse)
        if all(len(above) == 1 for above in parents.values()):
            check_tree(rows)
        else:
            with pytest.raises(HierarchyError, match="wanted a tree"):
                check_tree(rows)

    def test_both_together_are_a_tree(self):
        rows, others = torch.tensor([[0, 0], [1, 0]]), torch.tensor([[2, 1], [0, 0]])
        labels, ref_labels = as_joint_labels(rows, others)
        assert labels is rows
        assert ref_labels is others
        labels, ref_labels = as_joint_labels(rows.tolist(), others.numpy(), lengths=(2, 2))
        assert torch.equal(labels, rows)
        assert torch.equal(ref_labels, others)
        with pytest.raises(HierarchyError, match="labels and ref_labels: wanted a tree"):
            as_joint_labels(rows, torch.tensor([[2, 1], [0, 1]]))
        with pytest.raises(HierarchyError, match="ref_labels: wanted a tree"):
            as_joint_labels(rows, torch.tensor([[2, 1], [2, 0]]))
        with pytest.raises(HierarchyError, match="^labels: wanted a tree"):
            as_joint_labels(torch.tensor([[2, 1], [2, 0]]), rows)
        with pytest.raises(HierarchyError, match="ref_labels: wanted 2 label columns as in labels"):
            as_joint_labels(rows, [0, 1])
        with pytest.raises(HierarchyError, match="ref_labels: wanted 1 rows, got 2"):
            as_joint_labels(rows, others, lengths=(2, 1))

    def test_what_a_hierarchy_expands_is_not_checked(self, monkeypatch):
        ids, rows = torch.tensor([3, 0]), self.tree.expand([3, 0])
        checked = []
        monkeypatch.setattr(label_forms, "is_tree", lambda each: checked.append(len(each)) or True)
        both = as_joint_labels(ids, [1, 2], self.tree)
        assert [each.tolist() for each in both] == [rows.tolist(), [[1, 0, 0], [2, 1, 0]]]
        as_level_labels(ids, self.tree)
        as_joint_labels(ids, ids)
        assert checked == []
        same = as_joint_labels(rows, rows, self.tree)
        assert same[0] is same[1]
        assert checked == [2]
        as_joint_labels(ids, rows, self.tree)
        assert checked == [2, 4]

    def test_ignored_rows_are_neither_looked_up_nor_checked(self):
        ids = torch.tensor([3, -1, 0, -1])
        assert ignored_rows(ids, None) is None
        assert ignored_rows(ids, -1).tolist() == [False, True, False, True]
        rows = as_level_labels(ids, self.tree, ignore_index=-1)
        assert rows.tolist() == [[3, 2, 1], [-1] * 3, [0, 0, 0], [-1] * 3]
        given_rows = torch.tensor([[-1, 0, 0], [3, 2, 1], [-1, 5, 1]])
        assert ignored_rows(given_rows, -1).tolist() == [True, False, True]
        assert as_level_labels(given_rows, ignore_index=-1) is given_rows
        with pytest.raises(HierarchyError, match="wanted a tree"):
            as_level_labels(given_rows)
        with pytest.raises(HierarchyError, match="got 1 unknown: -1"):
            as_level_labels(ids, self.tree)
        # a class id is no node id: 255 is ignored, not the node 255 of a large tree
        tree = Hierarchy.from_labels(torch.arange(1000, 1300)[:, None].expand(-1, 2))
        ids = torch.tensor([1255, 255])
        assert as_level_labels(ids, tree, ignore_index=255).tolist() == [[255] * 2, [255] * 2]
        assert ignored_rows(ids, 255).tolist() == [False, True]
        as_joint_labels(given_rows, torch.tensor([[3, 2, 1], [-1, 7, 7]]), ignore_index=-1)
        with pytest.raises(HierarchyError, match="labels and ref_labels: wanted a tree"):
            as_joint_labels(given_rows, torch.tensor([[3, 1, 1]]), ignore_index=-1)

    @pytest.mark.parametrize("wrong", [True, 0.5, "none"])
    def test_ignore_index_is_an_integer(self, wrong):
        assert label_forms.checked_ignore_index(np.int64(-1)) == -1
        assert label_forms.checked_ignore_index(None) is None
        with pytest.raises(ValueError, match="ignore_index: wanted an integer, or None, got"):
            label_forms.checked_ignore_index(wrong)

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


class TestIds:
    tree = Hierarchy.from_paths(ANIMALS)

    def test_names_become_ids(self):
        names = [ANIMALS[2], ANIMALS[0], ANIMALS[2]]
        for each in (names, np.array(names), tuple(names), np.array(names, dtype=object)):
            found = self.tree.ids(each)
            assert found.dtype == torch.int64
            assert found.tolist() == [2, 0, 2]
        assert self.tree.ids([]).tolist() == []
        assert self.tree.ids([[ANIMALS[1]], [ANIMALS[0]]]).tolist() == [[1], [0]]
        for index, name in enumerate(self.tree.node_names(0)):
            assert self.tree.ids([name]).tolist() == [index] == [self.tree.class_id(name)]

    def test_ids_are_those_that_expand_knows(self):
        tree = Hierarchy.from_parents({30: "a", 10: "a", 20: "b"})
        assert tree.ids(["10", "30"]).tolist() == [10, 30]
        tree = Hierarchy.from_labels([[30, 5], [10, 5]])
        assert tree.ids(["30", "10"]).tolist() == [30, 10]

    @pytest.mark.parametrize(
        ("names", "message"),
        [
            (["animal/dog/pug", "pugg", "pugg"], "got 1 others: 'pugg' .nearest: 'pug'."),
            (["x"], "names: wanted names of the 4 classes of the hierarchy, got 1 others: 'x'$"),
            (list("abcdef"), "got 6 others: 'a', 'b', 'c', 'd', 'e', ...$"),
            ("pug", "wanted a list or an array of names, got 'pug'"),
            ([1], "wanted names of classes, got 1 of type int"),
            ([["pug"], []], "wanted names of classes, got .'pug'. of type list"),
        ],
    )
    def test_unknown_names(self, names, message):
        with pytest.raises(HierarchyError, match=message):
            self.tree.ids(names)

    def test_a_name_of_several_classes(self):
        tree = Hierarchy.from_paths(["cat/other", "dog/other"])
        assert tree.ids(["dog/other"]).tolist() == [1]
        with pytest.raises(HierarchyError, match="'other' .2 classes; give the full name."):
            tree.ids(["other"])

    def test_a_million_names(self):
        tree = Hierarchy.from_paths([f"g{i % 100}/c{i}" for i in range(10_000)])
        ids = torch.randint(0, 10_000, (10**6,))
        names = np.array([f"c{i}" for i in range(10_000)])[ids.numpy()]
        start = time.process_time()
        assert torch.equal(tree.ids(names), ids)
        assert time.process_time() - start < 10  # a second or so; a scan for each would take hours


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


class TestKnownTrees:
    """What has been checked is not checked again, unless it changed."""

    @pytest.fixture
    def looks(self, monkeypatch):
        looks, is_tree = [], label_forms.is_tree
        monkeypatch.setattr(label_forms, "is_tree", lambda rows: looks.append(1) or is_tree(rows))
        return looks

    def rows(self):
        return torch.tensor([[0, 0], [1, 0], [2, 1]])

    def test_a_tensor_is_checked_once(self, looks):
        rows, others = self.rows(), self.rows()
        for _ in range(3):
            as_level_labels(rows)
            as_joint_labels(rows, rows)
        assert len(looks) == 1
        for _ in range(2):
            as_joint_labels(rows, others)
        assert len(looks) == 2
        as_level_labels(others)
        as_joint_labels(others, rows)
        as_level_labels(rows, ignore_index=2)
        assert len(looks) == 5

    @pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
    def test_a_change_in_place_is_seen(self, dtype, looks):
        by_torch, array = self.rows().to(dtype), self.rows().to(dtype).numpy()
        by_numpy = torch.from_numpy(array)
        for rows in (by_torch, by_numpy):
            as_level_labels(rows)
            as_level_labels(rows)
        assert len(looks) == 2
        by_torch[2, 0] = 0
        array[2, 0] = 0
        for rows in (by_torch, by_numpy):
            with pytest.raises(HierarchyError, match="wanted a tree"):
                as_level_labels(rows)

    def test_what_is_no_tree_is_refused_again(self):
        rows = torch.tensor([[0, 0], [0, 1]])
        for _ in range(2):
            with pytest.raises(HierarchyError, match="wanted a tree"):
                as_level_labels(rows)
            with pytest.raises(HierarchyError, match="wanted a tree"):
                as_joint_labels(self.rows(), rows)

    def test_what_cannot_be_told_is_checked_each_time(self, looks, monkeypatch):
        monkeypatch.setattr(known_trees, "MOST_ON_CPU", 6)
        with torch.inference_mode():
            unversioned = self.rows()
        large = torch.cat([self.rows(), self.rows()])
        for rows in (unversioned, large, self.rows().tolist()):
            as_level_labels(rows)
            as_level_labels(rows)
        assert len(looks) == 6

    def test_rows_of_a_hierarchy_are_never_checked(self, looks):
        ids, others = torch.tensor([10, 30, 10]), torch.tensor([20, 30])
        tree = Hierarchy.from_labels([[10, 5, 1], [20, 5, 1], [30, 7, 1]])
        looks.clear()
        for hierarchy in (tree, None):
            rows = as_level_labels(ids, tree)
            as_level_labels(rows, hierarchy)
            as_joint_labels(rows, rows, hierarchy)
            both = as_joint_labels(ids, others, tree)
            as_joint_labels(*both, hierarchy)
            ignored = as_level_labels(torch.tensor([10, 5]), tree, ignore_index=5)
            as_level_labels(ignored, hierarchy, ignore_index=5)
        assert looks == []
        rows[0, 1] = 9
        with pytest.raises(HierarchyError, match="wanted a tree"):
            as_level_labels(rows)

    def test_labels_are_not_kept_alive(self):
        rows = self.rows()
        as_level_labels(rows)
        gone = weakref.ref(rows)
        del rows
        assert gone() is None

    def test_the_last_few_are_remembered(self, looks):
        several = [self.rows() for _ in range(known_trees.KEPT)]
        for _ in range(2):
            for rows in several:
                as_level_labels(rows)
        assert len(looks) == len(known_trees._known) == known_trees.KEPT
