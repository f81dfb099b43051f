"""Looking at trees, editing them, comparing them, writing them out."""

import errno
import itertools
import math
import os
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pml_suprank.hierarchy import Hierarchy, HierarchyError

PATHS = ["animal/dog/husky", "animal/dog/pug", "animal/cat/manx", "plant/rose/tea", "stone"]


@pytest.fixture
def tree() -> Hierarchy:
    return Hierarchy.from_paths(PATHS, level_names=["breed", "kind", "realm"])


@st.composite
def trees(draw) -> Hierarchy:
    """Uneven trees whose nodes have names of all kinds, some of them twice."""
    words = st.sampled_from(["a", "b", "c c", "d,e", 'f"g', "h'i", "j(k)", "ü"])
    chains = draw(
        st.lists(st.lists(words, min_size=1, max_size=4), min_size=1, max_size=12, unique_by=tuple)
    )
    whole = [c for c in chains if not any(c == o[: len(c)] and len(o) > len(c) for o in chains)]
    ids = draw(st.permutations(range(10, 10 + len(whole))))
    plain = Hierarchy.from_paths(["/".join(chain) for chain in whole])
    order = np.argsort(ids)
    return (
        Hierarchy.from_paths(["/".join(whole[i]) for i in order]) if draw(st.booleans()) else plain
    )


def chain(path: str) -> tuple[str, ...]:
    return tuple(path.split("/"))


def test_counts_and_text(tree: Hierarchy) -> None:
    assert [column.tolist() for column in tree.counts()] == [[1] * 5, [2, 1, 1, 1], [3, 1, 1]]
    items = torch.tensor([0, 0, 0, 2, 4])
    assert [c.tolist() for c in tree.counts(items)] == [[3, 0, 1, 0, 1], [3, 1, 0, 1], [4, 0, 1]]
    assert torch.equal(tree.counts(tree.expand(items))[1], tree.counts(items)[1])
    expected = """
animal (3)
├── dog (2)
│   ├── husky
│   └── pug
└── cat (1)
    └── manx
plant (1)
└── rose (1)
    └── tea
stone"""
    assert tree.to_text() == expected.strip()
    cut = "animal (4)\n├── dog (3)\n└── ... and 1 more\n... and 2 more"
    assert tree.to_text(items, max_depth=2, max_children=1) == cut
    with pytest.raises(HierarchyError, match="max_depth: wanted at least 1, got 0"):
        tree.to_text(max_depth=0)
    with pytest.raises(HierarchyError, match="labels: wanted nodes 0..4 in column 0"):
        tree.counts([[7, 0, 0]])


def test_balance(tree: Hierarchy) -> None:
    labels = torch.tensor([0] * 6 + [2, 3])
    rows = tree.balance(labels).rows
    assert [row.level for row in rows] == ["breed", "kind", "realm"]
    top = rows[2]
    assert (top.nodes, top.empty, top.single, top.smallest, top.largest) == (3, 1, 1, 0, 7)
    assert (top.mean, top.median) == (8 / 3, 1.0)
    entropy = -(7 / 8) * math.log(7 / 8) - (1 / 8) * math.log(1 / 8)
    assert top.evenness == pytest.approx(entropy / math.log(3))
    assert top.effective == pytest.approx(math.exp(entropy))
    assert tree.balance().rows[0].evenness == pytest.approx(1)
    lines = str(tree.balance()).splitlines()
    assert len(lines) == 4
    assert lines[0].split() == [
        *("level", "nodes", "empty", "single", "smallest"),
        *("median", "mean", "largest", "evenness", "effective"),
    ]
    one = Hierarchy.from_paths(["a"]).balance().rows[0]
    assert (one.evenness, one.effective) == (1.0, 1.0)


@given(trees(), st.data())
def test_prune_against_loops(tree: Hierarchy, data: st.DataObject) -> None:
    labels = data.draw(st.lists(st.sampled_from(tree.class_ids.tolist()), min_size=1, max_size=30))
    level = data.draw(st.integers(0, tree.num_levels - 1))
    least = data.draw(st.integers(1, 4))
    table = tree.table
    sizes = Counter(tree.expand(torch.tensor(labels))[:, level].tolist())
    kept = [row for row in range(len(tree)) if sizes[int(table[row, level])] >= least]
    if not kept:
        with pytest.raises(HierarchyError, match="min_items: wanted at most"):
            tree.prune(torch.tensor(labels), least, level)
        return
    found = tree.prune(torch.tensor(labels), least, level)
    ids = tree.class_ids[kept]
    assert torch.equal(found.class_ids, ids)
    assert torch.equal(found.common_levels(ids), tree.common_levels(ids))
    assert found.class_names == tuple(tree.class_names[row] for row in kept)
    for column in range(tree.num_levels):
        assert set(found.node_names(column)) == {
            tree.node_names(column)[int(table[row, column])] for row in kept
        }


def test_prune(tree: Hierarchy) -> None:
    assert tree.prune(None, 2, "kind").class_names == tuple(PATHS[:2])
    with pytest.raises(HierarchyError, match="min_items: wanted at least 1, got 0"):
        tree.prune(None, 0)
    with pytest.raises(HierarchyError, match="level: wanted one of .* got 'genus'"):
        tree.prune(None, 1, "genus")


def test_restrict(tree: Hierarchy) -> None:
    upper = tree.restrict(["kind", "realm"])
    assert upper.level_names == ("kind", "realm")
    assert upper.class_names == ("animal/dog", "animal/cat", "plant/rose", "stone")
    labels = tree.expand(torch.tensor([0, 1, 4]))
    assert torch.equal(upper.expand(labels[:, 1]), labels[:, 1:])
    ends = tree.restrict([0, 2])
    assert torch.equal(ends.class_ids, tree.class_ids)
    assert ends.class_names[0] == "animal/husky"
    assert ends.common_levels([0], [1, 2, 3]).tolist() == [[1, 1, 0]]
    assert tree.restrict([0, 1, 2]) == tree
    assert tree.restrict([2]).node_names(0) == ("animal", "plant", "stone")
    with pytest.raises(HierarchyError, match="levels: wanted at least one level, got none"):
        tree.restrict([])
    with pytest.raises(HierarchyError, match=r"levels: wanted 0..2, got 3"):
        tree.restrict([3])


@given(trees(), st.data())
def test_restrict_against_columns(tree: Hierarchy, data: st.DataObject) -> None:
    levels = sorted(data.draw(st.sets(st.integers(0, tree.num_levels - 1), min_size=1)))
    found = tree.restrict(levels)
    rows = tree.table[:, levels]
    expected = (rows[:, None] == rows[None]).sum(-1)
    ids = tree.class_ids if levels[0] == 0 else rows[:, 0]
    assert torch.equal(found.common_levels(ids), expected)


def test_merge(tree: Hierarchy) -> None:
    pets = tree.merge("kind", {"pet": ["dog", "cat"]})
    assert pets.class_names == (
        *("animal/pet/husky", "animal/pet/pug", "animal/pet/manx"),
        *("plant/rose/tea", "stone"),
    )
    assert pets.common_levels([0], [2, 3]).tolist() == [[2, 0]]
    alive = tree.merge(2, {"alive": ["animal", "plant"]})
    assert alive.common_levels([0], [1, 3, 4]).tolist() == [[2, 1, 0]]
    with pytest.raises(HierarchyError, match=r"wanted nodes of one parent in 'x', got those of"):
        tree.merge(1, {"x": ["cat", "rose"]})
    moved = tree.merge(1, {"x": ["cat", "rose"]}, parent="plant")
    assert moved.class_names[2:4] == ("plant/x/manx", "plant/x/tea")
    assert moved.common_levels([2], [0, 3]).tolist() == [[0, 2]]
    for level, groups, message in (
        (1, {"x": ["dog"], "y": [0]}, "wanted every node in one group, got 'dog' in 'x' and 'y'"),
        (1, {"x": ["fish"]}, "wanted the name of one node of the level 'kind', got 'fish', of 0"),
        (1, {"x": [9]}, r"groups: wanted nodes 0..3, got 9"),
        (1, {"x": []}, "wanted nodes to put into 'x', got none"),
        (0, {"x": ["pug"]}, "wanted a level above the classes, got 0"),
    ):
        with pytest.raises(HierarchyError, match=message):
            tree.merge(level, groups)


def test_merging_under_the_name_of_a_sibling(tree: Hierarchy) -> None:
    """Two nodes of one parent and one name could not be told apart in any other form."""
    with pytest.raises(
        HierarchyError, match="groups: wanted a name that no other node of 'animal'"
    ):
        tree.merge(1, {"cat": ["dog"]})
    with pytest.raises(HierarchyError, match="groups: wanted a name that no other root"):
        tree.merge("realm", {"plant": ["animal"]})
    assert tree.merge(1, {"cat": ["dog", "cat"]}).node_names(1)[0] == "cat"  # with its own
    assert tree.merge(1, {"rose": ["dog"]}).num_classes == 5  # below another parent
    swapped = tree.merge(1, {"dog": ["cat"], "cat": ["dog"]})
    assert swapped.class_names[0] == "animal/cat/husky"


def test_trees_without_class_names() -> None:
    plain = Hierarchy.from_labels([[10, 5], [20, 5], [30, 7]])
    assert plain.prune(None, 2, 1).class_names is None
    assert plain.prune(None, 2, 1).class_ids.tolist() == [10, 20]
    assert plain.merge(1, {"all": [0, 1]}).node_names(1) == ("all",)
    assert plain.to_text().splitlines()[0] == "5 (2)"


@given(trees())
@settings(deadline=None)
def test_csv_round_trip(tmp_path_factory: pytest.TempPathFactory, tree: Hierarchy) -> None:
    path = tmp_path_factory.mktemp("csv") / "tree.csv"
    tree.to_csv(path)
    assert Hierarchy.from_csv(path, class_id_column="class_id", repeated_names=True) == tree


def test_csv_errors(tmp_path) -> None:
    odd = Hierarchy.from_paths(["a/ b"])
    with pytest.raises(HierarchyError, match="wanted text without spaces around it"):
        odd.to_csv(tmp_path / "tree.csv")
    named = Hierarchy.from_paths(["a"], level_names=["class_id"])
    with pytest.raises(HierarchyError, match="level_names: wanted none named 'class_id'"):
        named.to_csv(tmp_path / "tree.csv")


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_csv_is_whole_or_as_it_was(tree: Hierarchy, tmp_path, monkeypatch, where: str) -> None:
    path = tmp_path / "tree.csv"
    path.write_text("what was there")

    def fails(*_: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(os, where, fails)
        with pytest.raises(OSError, match="disk full"):
            tree.to_csv(path)
    assert path.read_text() == "what was there"
    assert list(tmp_path.iterdir()) == [path]
    path.chmod(0o640)
    link = tmp_path / "link.csv"
    link.symlink_to(path)
    tree.to_csv(link)
    assert Hierarchy.from_csv(path, class_id_column="class_id") == tree
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    with pytest.raises(OSError, match="none"):
        tree.to_csv(tmp_path / "none/tree.csv")


@pytest.mark.parametrize("where", ["open", "replace"])
@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.EBUSY])
def test_csv_in_a_folder_that_cannot_be_written_to(
    tree: Hierarchy, tmp_path, monkeypatch, where: str, code: int
) -> None:
    path = tmp_path / "tree.csv"
    path.write_text("what was there" * 100)
    open_file = Path.open

    def opened(self: Path, mode: str = "r", *args: object, **more: object):
        if "x" in mode:
            raise OSError(code, os.strerror(code), str(self))
        return open_file(self, mode, *args, **more)

    def replaced(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    if where == "open":
        monkeypatch.setattr(Path, "open", opened)
    else:
        monkeypatch.setattr(os, "replace", replaced)
    tree.to_csv(path)
    assert Hierarchy.from_csv(path, class_id_column="class_id") == tree
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(OSError, match=re.escape(os.strerror(code))):
        tree.to_csv(tmp_path / "new.csv")
    assert list(tmp_path.iterdir()) == [path]


def test_csv_to_a_pipe(tree: Hierarchy, tmp_path) -> None:
    reading, writing = os.pipe()
    tree.to_csv(f"/dev/fd/{writing}")
    os.close(writing)
    tree.to_csv(tmp_path / "tree.csv")
    with open(reading, "rb") as pipe:
        assert pipe.read() == (tmp_path / "tree.csv").read_bytes()


def same_shape(one: Hierarchy, other: Hierarchy) -> bool:
    """Equal up to the numbers of classes: the same chains of names as often, related alike."""
    return Counter(map(str, shape(one))) == Counter(map(str, shape(other)))


def shape(tree: Hierarchy) -> list[list[int]]:
    return [sorted(row) for row in tree.common_levels(tree.class_ids).tolist()]


@given(trees())
@settings(deadline=None)  # the first one imports networkx
def test_networkx_and_parents_round_trip(tree: Hierarchy) -> None:
    graph = tree.to_networkx()
    again = Hierarchy.from_networkx(graph)
    assert same_shape(again, tree)
    assert again == Hierarchy.from_parents(tree.to_parents())
    leaves = {node for node in graph if not graph.out_degree(node)}
    assert sorted(graph.nodes[leaf]["class_id"] for leaf in leaves) == tree.class_ids.tolist()
    assert {graph.nodes[node]["level"] for node in graph} <= set(tree.level_names)


def test_parents_of_equal_names() -> None:
    tree = Hierarchy.from_paths(["a/x", "b/x", "c"])
    assert tree.to_parents() == {"a": None, "a/x": "a", "b": None, "b/x": "b", "c": None}


@pytest.mark.parametrize(
    ("chains", "keys"),
    [
        (["a|x", "b|x", "a/x"], ["a", "a/x", "b", "b/x", r"a\/x"]),  # a path and a name
        (["a|b/c", "a/b|c", "c", "d|b/c"],
         ["a", r"a/b\/c", r"a\/b", r"a\/b/c", "c", "d", r"d/b\/c"]),  # two paths
        (["a|x", "b|x", "castle / fort"], ["a", "a/x", "b", "b/x", "castle / fort"]),  # no two alike
    ],
)  # fmt: skip
def test_keys_of_names_with_slashes(chains: list[str], keys: list[str]) -> None:
    tree = Hierarchy.from_paths(chains, sep="|")
    assert list(tree.to_parents()) == keys
    assert sorted(tree.to_networkx()) == sorted(keys)


@given(
    st.lists(
        st.lists(
            st.sampled_from(["a", "b", "a/b", "b/a", "/", "\\", "a\\"]), min_size=1, max_size=3
        ),
        min_size=1,
        max_size=10,
        unique_by=tuple,
    )
)
def test_keys_are_all_different(chains: list[list[str]]) -> None:
    chains = [c for c in chains if all(one != two for one, two in itertools.pairwise(c))]
    starts = {tuple(c[:n]) for c in chains for n in range(1, len(c))}
    chains = [c for c in chains if tuple(c) not in starts] or [["a/b"]]
    nodes = {tuple(c[:n]) for c in chains for n in range(1, len(c) + 1)}
    tree = Hierarchy.from_paths(map("|".join, chains), sep="|")
    keys = tree.to_parents()
    assert len(keys) == len(nodes)
    assert same_shape(Hierarchy.from_parents(keys), tree)
    if not any("/" in name for chain in chains for name in chain):
        names = Counter(node[-1] for node in nodes)
        assert set(keys) == {n[-1] if names[n[-1]] == 1 else "/".join(n) for n in nodes}


def test_a_child_of_its_parents_name_is_no_short_branch(tmp_path) -> None:
    tree = Hierarchy.from_paths(["new york/new york", "texas/austin"])
    assert tree.to_newick() == "(('new york')'new york',(austin)texas);"
    short = Hierarchy.from_paths(["new york", "texas/austin"])
    assert short.to_newick() == "('new york',(austin)texas);"
    tree.to_csv(tmp_path / "tree.csv")
    assert Hierarchy.from_csv(tmp_path / "tree.csv", class_id_column="class_id") == tree


def parse_newick(text: str) -> list:
    """Chains of a Newick tree, by recursive descent."""
    token = re.compile(r"'(?:[^']|'')*'|[(),;]|[^(),;']+")
    tokens = iter(token.findall(text))

    def label(piece: str) -> str:
        return piece[1:-1].replace("''", "'") if piece.startswith("'") else piece

    def node(first: str) -> tuple[str, list, str]:
        children = []
        if first == "(":
            after = ","
            while after == ",":
                name, inside, after = node(next(tokens))
                children.append((name, inside))
            assert after == ")"
            first = next(tokens)
        name = ""
        if first not in "(),;":
            name, first = label(first), next(tokens)
        return name, children, first

    name, children, end = node(next(tokens))
    assert end == ";"

    def chains(name: str, children: list, above: tuple) -> list:
        own = (*above, name) if name else above
        return [c for n, i in children for c in chains(n, i, own)] if children else [own]

    return chains(name, children, ())


@given(trees())
def test_newick_against_a_parser(tree: Hierarchy) -> None:
    found = parse_newick(tree.to_newick())
    assert sorted(found) == sorted(chain(name) for name in tree.class_names)


def test_diff(tree: Hierarchy) -> None:
    same = tree.diff(Hierarchy.from_paths(reversed(PATHS), level_names=tree.level_names))
    assert not same
    assert same.agreement == 1.0
    other = Hierarchy.from_paths(
        ["animal/dog/husky", "animal/wolf/pug", "animal/cat/manx", "stone/tea", "animal/cat/lion"],
        level_names=["breed", "kind", "realm"],
    )
    found = tree.diff(other)
    assert found
    assert (found.only_left, found.only_right) == (("stone",), ("lion",))
    assert found.moved == (
        ("pug", ("animal", "dog"), ("animal", "wolf")),
        ("tea", ("plant", "rose"), ("stone", "tea")),
    )
    text = str(found)
    assert "only left (1): stone" in text
    assert "  pug: animal / dog | animal / wolf" in text
    by_id = tree.diff(other, on="id")
    assert by_id.only_left == ()
    with pytest.raises(HierarchyError, match="on: wanted 'name' or 'id', got 'path'"):
        tree.diff(other, on="path")
    twice = Hierarchy.from_paths(["a/x", "b/x"])
    with pytest.raises(HierarchyError, match="right: wanted classes of different names"):
        tree.diff(twice)


@given(trees(), st.integers(0, 100))
def test_agreement_against_loops(tree: Hierarchy, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(tree))
    other = Hierarchy.from_paths([tree.class_names[i] for i in order])
    found = tree.diff(other, on="id")
    one, two = (t.common_levels(t.class_ids) for t in (tree, other))
    pairs = list(itertools.combinations(range(len(tree)), 2))
    expected = np.mean([bool(one[i, j] == two[i, j]) for i, j in pairs]) if pairs else 1.0
    assert found.agreement == pytest.approx(expected)


def test_agreement_of_trees_of_other_depth() -> None:
    flat = Hierarchy.from_paths(["a", "b", "c"])
    deep = Hierarchy.from_paths(["x/a", "x/b", "y/c"])
    found = flat.diff(deep)
    assert found.agreement == pytest.approx(2 / 3)
    assert str(found).startswith("levels: level_0 | level_0, level_1")


def test_tools_leave_the_tree_alone(tree: Hierarchy) -> None:
    before = Hierarchy.from_paths(PATHS, level_names=tree.level_names)
    tree.merge(1, {"pet": ["dog", "cat"]})
    tree.prune(None, 2, 1)
    tree.restrict([1])
    assert tree == before
