"""Every source of a class tree, and every way it can be wrong."""

import sys

import pytest
import torch

from pml_suprank.hierarchy import Hierarchy, HierarchyError


class TestFromLabels:
    def test_rows_of_items(self):
        tree = Hierarchy.from_labels([[30, 5], [10, 5], [20, 7], [10, 5]], level_names=["f", "c"])
        assert tree.class_ids.tolist() == [10, 20, 30]
        assert tree.table.tolist() == [[0, 0], [1, 1], [2, 0]]
        assert tree.class_names is None
        assert tree.node_names(0) == ("10", "20", "30")
        assert tree.node_names(1) == ("5", "7")
        assert tree.class_id("20") == 20

    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            ([[1, 0], [1, 1]], r"got class 1 with the rows \[1, 0\] and \[1, 1\]"),
            ([[1, 0, 0], [2, 0, 5]], "got 0 of column 1 under 0 and 5 of column 2"),
            ([1, 2], r"labels: wanted a filled \[B, L\] table, got shape \(2,\)"),
            (torch.zeros(0, 2, dtype=torch.long), r"got shape \(0, 2\)"),
            ([[1.0, float("nan")]], "labels: wanted integers.* with NaN"),
            ([["a", "b"]], "labels: wanted a tensor or array of integers"),
        ],
    )
    def test_errors(self, labels, message):
        with pytest.raises(HierarchyError, match=message):
            Hierarchy.from_labels(labels)


class TestFromParents:
    def test_string_leaves_keep_the_order_of_the_mapping(self):
        tree = Hierarchy.from_parents({"z": "A", "y": "B", "x": "A", "A": None, "B": "C"})
        assert tree.class_names == ("z", "y", "x")
        assert tree.class_ids.tolist() == [0, 1, 2]
        assert tree.common_levels([0, 1, 2]).tolist() == [[3, 0, 1], [0, 3, 0], [1, 0, 3]]

    def test_int_leaves_keep_their_ids(self):
        tree = Hierarchy.from_parents({7: "a", 3: "a", 2**60: "b"})
        assert tree.class_ids.tolist() == [3, 7, 2**60]
        assert tree.class_names == ("3", "7", str(2**60))
        assert tree.class_id("7") == 7

    def test_number_and_text_are_different_nodes(self):
        tree = Hierarchy.from_parents({10: 1, 11: "1"})
        assert tree.common_levels([10], [11]).item() == 0

    def test_deep_chain(self):
        parents = {node: node + 1 for node in range(3000)}
        assert Hierarchy.from_parents(parents).num_levels == 3001

    @pytest.mark.parametrize(
        ("parents", "message"),
        [
            ({}, "at least one node, got an empty mapping"),
            ([("a", "b")], "wanted a mapping child -> parent, got list"),
            ({"a": ["b", "c"]}, r"parent of 'a': wanted one node, got 2: \['b', 'c'\]"),
            ({"a": "b", "b": "c", "c": "b"}, "the cycle 'b' -> 'c' -> 'b'"),
            ({"a": "a"}, "the cycle 'a' -> 'a'"),
            ({"x": None, "a": "b", "b": "a"}, "the cycle 'a' -> 'b' -> 'a'"),
            ({"a": float("nan")}, "parent of 'a': wanted an int or a str, got nan"),
            ({True: "a"}, "a child: wanted an int or a str, got True"),
            ({1: "a", "b": "a"}, "all int .* or all str, got 1 and 'b'"),
            ({2**63: "a"}, "class ids: wanted values that int64 holds"),
        ],
    )
    def test_errors(self, parents, message):
        with pytest.raises(HierarchyError, match=message):
            Hierarchy.from_parents(parents)


class TestFromPaths:
    def test_separator(self):
        tree = Hierarchy.from_paths(["a > b", "a > c/d"], sep=" > ")
        assert tree.node_names(0) == ("b", "c/d")

    @pytest.mark.parametrize(
        ("paths", "message"),
        [
            ([], "at least one path, got none"),
            ("a/b", "wanted an iterable of str, got str"),
            (3, "wanted an iterable of str, got int"),
            (["a/b", 3], r"paths\[1\]: wanted a str or a sequence of str, got 3"),
            (["a//b"], r"paths\[0\]: .* got the empty name in 'a//b'"),
            (["a/b/"], "the empty name"),
            ([""], "the empty name"),
            (["a/b", "a/c", "a/b"], r"paths\[2\]: .* got 'a/b' again after paths\[0\]"),
        ],
    )
    def test_errors(self, paths, message):
        with pytest.raises(HierarchyError, match=message):
            Hierarchy.from_paths(paths)

    def test_level_names(self):
        with pytest.raises(HierarchyError, match="level_names: wanted 2 different names"):
            Hierarchy.from_paths(["a/b"], level_names=["x"])


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


class TestFromFolder:
    def test_nested(self, tmp_path):
        touch(
            tmp_path, "plant/rose/1.jpg", "animal/dog/pug/1.PNG", "animal/dog/husky/1.png",
            "animal/dog-like/2.png", "animal/.hidden/1.png", ".git/config", "README.md",
            "animal/notes.txt", "plant/rose/.DS_Store",
        )  # fmt: skip
        tree = Hierarchy.from_folder(tmp_path, level_names=["breed", "species", "kingdom"])
        assert tree.class_names == (
            "animal/dog/husky",
            "animal/dog/pug",
            "animal/dog-like",
            "plant/rose",
        )
        assert tree.class_ids.tolist() == [0, 1, 2, 3]
        assert tree.common_levels([0]).shape == (1, 1)
        assert tree.common_levels([0], [0, 1, 2, 3]).tolist() == [[3, 2, 1, 0]]
        assert Hierarchy.from_folder(str(tmp_path)).table.tolist() == tree.table.tolist()

    def test_any_file_counts(self, tmp_path):
        touch(tmp_path, "a/x.npy", "b/x.npy")
        assert Hierarchy.from_folder(tmp_path, extensions=None).num_classes == 2
        assert Hierarchy.from_folder(tmp_path, extensions=[".NPY"]).num_classes == 2
        with pytest.raises(
            HierarchyError, match=r"(?s)with image files .* got none.*2  files \.npy"
        ):
            Hierarchy.from_folder(tmp_path)

    def test_a_leaf_without_files_is_left_out(self, tmp_path, caplog):
        touch(tmp_path, "a/x.png")
        (tmp_path / "b").mkdir()
        assert Hierarchy.from_folder(tmp_path).class_names == ("a",)
        assert "1  folders without a file to read: b" in caplog.text

    def test_files_beside_folders(self, tmp_path):
        touch(tmp_path, "a/b/x.png", "a/y.png", "c/d/x.png", "c/z.png", "c/e/.z.png", "logo.png")
        with pytest.raises(HierarchyError, match=r"(?s)got both in 2 folders .*'a': 1 files .*'c'"):
            Hierarchy.from_folder(tmp_path)
        assert Hierarchy.from_folder(tmp_path, stray="skip").class_names == ("a/b", "c/d")
        tree = Hierarchy.from_folder(tmp_path, stray="class")
        assert tree.class_names == ("a", "a/b", "c", "c/d")
        assert tree.common_levels([0, 0], [0, 1]).tolist() == [[2, 1], [2, 1]]
        with pytest.raises(ValueError, match="stray: wanted one of 'refuse', .* got 'x'"):
            Hierarchy.from_folder(tmp_path, stray="x")

    def test_no_class_folders(self, tmp_path):
        touch(tmp_path, "x.png")
        with pytest.raises(
            HierarchyError,
            match=r"wanted class folders with image files in .* got 1 files in no folder",
        ):
            Hierarchy.from_folder(tmp_path)
        with pytest.raises(HierarchyError, match="root: wanted a folder, got"):
            Hierarchy.from_folder(tmp_path / "nowhere")

    def test_links(self, tmp_path, caplog):
        touch(tmp_path, "real/a/x.png", "data/b/x.png")
        data = tmp_path / "data"
        (data / "a").symlink_to(tmp_path / "real" / "a", target_is_directory=True)
        (data / "b" / "y.png").symlink_to(tmp_path / "nothing.png")
        assert Hierarchy.from_folder(data).class_names == ("b",)
        assert "1  links that leave the folder (links 'follow' reads them): a" in caplog.text
        assert "1  links to nothing: b/y.png" in caplog.text
        assert Hierarchy.from_folder(data, links="follow").class_names == ("a", "b")
        (data / "c").symlink_to(data, target_is_directory=True)
        (data / "b" / "up").symlink_to(tmp_path, target_is_directory=True)
        caplog.clear()
        assert Hierarchy.from_folder(data, links="follow").class_names == ("a", "b")
        assert "links to folders that are read anyway: b/up/data, b/up/real/a, c" in caplog.text
        with pytest.raises(ValueError, match="links: wanted one of 'inside', 'follow', got 'all'"):
            Hierarchy.from_folder(data, links="all")


class TestFromCsv:
    def read(self, tmp_path, text, **kwargs):
        path = tmp_path / "tree.csv"
        path.write_text(text, encoding="utf-8")
        return Hierarchy.from_csv(path, **kwargs)

    def test_items(self, tmp_path):
        tree = self.read(
            tmp_path, '\ufeffspecies,kingdom\n"rose, red",plant\ndog,animal\n"rose, red",plant\n\n'
        )
        assert tree.level_names == ("species", "kingdom")
        assert tree.class_names == ("plant/rose, red", "animal/dog")
        assert tree.table.tolist() == [[0, 0], [1, 1]]

    def test_coarsest_first_with_delimiter_and_ids(self, tmp_path):
        tree = self.read(
            tmp_path, "species;id;breed\ndog;9;pug\ndog;4;husky\ncat;5;siamese\n",
            delimiter=";", finest_first=False, class_id_column="id",
        )  # fmt: skip
        assert tree.level_names == ("breed", "species")
        assert tree.class_ids.tolist() == [4, 5, 9]
        assert tree.common_levels([9], [4, 5, 9]).tolist() == [[1, 0, 2]]

    def test_short_branch(self, tmp_path):
        tree = self.read(tmp_path, "b,s,k\npug,dog,animal\n,,plant\n,cat,animal\n")
        assert tree.class_names == ("animal/dog/pug", "plant", "animal/cat")
        assert tree.common_levels([0, 1, 2]).tolist() == [[3, 0, 1], [0, 3, 0], [1, 0, 3]]

    @pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
    @pytest.mark.parametrize(
        "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252"]
    )
    def test_delimiters_and_encodings_are_recognised(self, tmp_path, delimiter, encoding, caplog):
        rows = [("breed", "art"), ("Müller; Größe, 3", "Hünd\x80"), ("käfer|x", "Hünd\x80")]
        text = "\r\n".join(delimiter.join(f'"{cell}"' for cell in row) for row in rows)
        path = tmp_path / "tree.csv"
        path.write_bytes(text.replace("\x80", "€").encode(encoding))
        tree = Hierarchy.from_csv(path)
        assert tree.level_names == ("breed", "art")
        assert tree.node_names(0) == ("Müller; Größe, 3", "käfer|x")
        assert tree.node_names(1) == ("Hünd€",)
        assert ("read as cp1252" in caplog.text) == (encoding == "cp1252")
        if encoding == "cp1252":
            with pytest.raises(HierarchyError, match=r"tree.csv: wanted utf-8 text, got"):
                Hierarchy.from_csv(path, encoding="utf-8")

    def test_excels_first_line(self, tmp_path):
        tree = self.read(tmp_path, "sep=|\na,b|kind\nx|y\nz|y\n")
        assert tree.level_names == ("a,b", "kind")
        with pytest.raises(HierarchyError, match="tree.csv, line 4: wanted 2 cells"):
            self.read(tmp_path, "sep=|\na|b\nx|y\nz\n")

    def test_text_that_turns_out_to_be_of_another_encoding(self, tmp_path):
        path = tmp_path / "tree.csv"
        path.write_bytes(b"a,b\n" + b"x,y\n" * 300_000 + b"\xff,y\n")
        with pytest.raises(HierarchyError, match=r"tree.csv, line 29\d+ or soon after: wanted utf"):
            Hierarchy.from_csv(path, encoding="utf-8")
        with pytest.raises(HierarchyError, match="encoding: wanted a name such as 'utf-8'"):
            Hierarchy.from_csv(path, encoding="utf-9")

    def test_reversed_levels(self, tmp_path):
        text = "kind,breed\ndog,husky\ndog,pug\ncat,tabby\n"
        with pytest.raises(HierarchyError, match=r"got 'dog' of 'kind' under 'husky', 'pug' of"):
            self.read(tmp_path, text)
        tree = self.read(tmp_path, text, finest_first=False)
        assert tree.class_names == ("dog/husky", "dog/pug", "cat/tabby")
        with pytest.raises(HierarchyError, match="finest_first=True reads the other order"):
            self.read(tmp_path, "breed,kind\nhusky,dog\npug,dog\ntabby,cat\n", finest_first=False)
        text = "side,hand\nleft,a\nright,a\nleft,b\nright,b\nleft,c\n"
        sides = self.read(tmp_path, text, repeated_names=True)
        assert sides.num_classes == 5

    def test_a_name_with_a_slash_is_one_name(self, tmp_path):
        tree = self.read(tmp_path, "band,genre\nAC/DC,rock\nB\\C,rock\nDC,AC\n")
        assert tree.class_names == (r"rock/AC\/DC", r"rock/B\\C", "AC/DC")
        assert (
            tree.class_id("rock/AC\\/DC") == 0 == Hierarchy.from_paths(["AC/DC"]).class_id("AC/DC")
        )
        assert self.read(tmp_path, "band\nAC/DC\n").class_names == ("AC/DC",)
        assert tree.restrict([0, 1]) == tree
        assert tree.prune(None, 1) == tree
        assert Hierarchy.from_paths([("a/b", "c"), ("a", "b/c")]).class_names == (r"a\/b/c", r"a/b\/c")  # fmt: skip

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "wanted a first line with one name per level"),
            ("a,\nx,y\n", "wanted a first line"),
            ("a,a\nx,y\n", "wanted a first line"),
            ("a,b\n", "at least one row under the header, got none"),
            ("a,b\nx,y\nx\n", "line 3: wanted 2 cells, got 1"),
            (
                "a,b\nx,y\nx,y,z\n",
                r"tree.csv, line 3: wanted 2 cells, got 3 \(separated by commas\)",
            ),
            (
                "a;b\nx;y\nx\n",
                r"tree.csv, line 3: wanted 2 cells, got 1 \(separated by semicolons\)",
            ),
            ("a,b\ny,\n", "tree.csv, line 2: wanted empty cells at the finest levels only"),
            ('a,b\nx,"y\nz,y\n', "tree.csv, line 3: wanted CSV, got unexpected end of data"),
        ],
    )
    def test_errors(self, tmp_path, text, message):
        with pytest.raises(HierarchyError, match=message):
            self.read(tmp_path, text)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("a,b\nx,y\n", r"class_id_column: wanted one of \['a', 'b'\], got 'id'"),
            ("id\n1\n", "at least one level column"),
            ("a,id\nx,one\n", "line 2: wanted an integer in 'id', got 'one'"),
            ("a,id\nx,1\nx,2\n", "line 3: wanted one id per class, got 2 for 'x', which has 1"),
            ("b,a,id\ny,x,1\ny,z,1\n", "line 3: .* got class 1 under 'z/y' and 'x/y'"),
        ],
    )
    def test_class_id_errors(self, tmp_path, text, message):
        with pytest.raises(HierarchyError, match=message):
            self.read(tmp_path, text, class_id_column="id")


class TestFromNetworkx:
    def test_graph(self):
        networkx = pytest.importorskip("networkx", reason="networkx is not installed")
        graph = networkx.DiGraph([("dog", "pug"), ("dog", "husky"), ("cat", "siamese")])
        graph.add_node("stone")
        tree = Hierarchy.from_networkx(graph, level_names=["breed", "species"])
        assert tree.class_names == ("pug", "husky", "siamese", "stone")
        assert tree.common_levels([0], [0, 1, 2, 3]).tolist() == [[2, 1, 0, 0]]

    def test_errors(self):
        networkx = pytest.importorskip("networkx", reason="networkx is not installed")
        two_parents = networkx.DiGraph([("a", "c"), ("b", "c")])
        with pytest.raises(HierarchyError, match="got 'c' with the parents 'a', 'b'"):
            Hierarchy.from_networkx(two_parents)
        with pytest.raises(HierarchyError, match="the cycle"):
            Hierarchy.from_networkx(networkx.DiGraph([("a", "b"), ("b", "a")]))
        with pytest.raises(HierarchyError, match=r"wanted a networkx.DiGraph .* got Graph"):
            Hierarchy.from_networkx(networkx.Graph([("a", "b")]))
        with pytest.raises(HierarchyError, match="got an empty mapping"):
            Hierarchy.from_networkx(networkx.DiGraph())

    def test_without_networkx(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "networkx", None)
        with pytest.raises(ImportError, match="pip install networkx"):
            Hierarchy.from_networkx(None)
