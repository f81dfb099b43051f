import pytest
import torch

pytest.importorskip("matplotlib", reason="needs the recipes extra")

from PIL import Image

from pml_suprank.hierarchy import Hierarchy, HierarchyError
from pml_suprank.integrations.hierarchy_picture import draw_hierarchy

TREE = Hierarchy.from_paths([f"r{i % 3}/k{i % 9}/c{i}" for i in range(30)] + ["short"])


def test_pictures(tmp_path) -> None:
    draw_hierarchy(TREE, tmp_path / "tree.png", size=4)
    with Image.open(tmp_path / "tree.png") as image:
        assert image.size == (600, 600)
        assert len(image.convert("RGB").getcolors(1 << 20)) > 20
    draw_hierarchy(TREE, tmp_path / "tree.svg")
    text = (tmp_path / "tree.svg").read_text()
    for name in ("r0", "k4", "c7", "short"):
        assert f"<!-- {name} -->" in text


def test_widths_are_shares_of_the_items(tmp_path) -> None:
    draw_hierarchy(TREE, tmp_path / "tree.svg", labels=torch.tensor([0, 0, 3]))
    text = (tmp_path / "tree.svg").read_text()
    assert "<!-- c0 -->" in text
    assert "<!-- c1 -->" not in text  # no item, no width
    with pytest.raises(HierarchyError, match="got 1 unknown: 99"):
        draw_hierarchy(TREE, tmp_path / "tree.svg", labels=torch.tensor([99]))
