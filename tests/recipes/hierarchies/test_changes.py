"""What is told of a person's changes: groups, not every name of them."""

import pytest

from pml_suprank.recipes.hierarchies.changes import changes, told_changes

LEVELS = ["kind", "realm"]
PROPOSED = {f"dog {i}": ("dog", "animal") for i in range(4)}
PROPOSED |= {f"cat {i}": ("cat", "animal") for i in range(3)}
PROPOSED |= {f"oak {i}": ("oak", "plant") for i in range(2)}


def told(**cells: tuple[str, str]) -> list[str]:
    """Lines after the groups of some names have been changed, ``dog_1`` standing for "dog 1", ``dog`` for all."""
    now = dict(PROPOSED)
    for key, row in cells.items():
        now |= {name: row for name in now if name.startswith(key.replace("_", " "))}
    found = changes(PROPOSED, now, LEVELS)
    assert {change.name for change in found} == {n for n in now if now[n] != PROPOSED[n]}
    return told_changes(found, PROPOSED, now, LEVELS)


@pytest.mark.parametrize(
    ("cells", "lines"),
    [
        ({}, []),
        ({"dog": ("hound", "animal")}, ["renamed: kind 'dog' is 'hound'"]),
        ({"dog": ("cat", "animal")}, ["merged: kind 'dog' is 'cat'"]),
        (
            {"dog_1": ("pug", "animal"), "dog_2": ("pug", "animal"), "dog_3": ("wolf", "animal")},
            ["split: kind 'dog' into 'pug' (2), 'dog' (1), 'wolf' (1)"],
        ),
        (
            {"cat_0": ("lion", "animal"), "cat_1": ("puma", "animal"), "cat_2": ("puma", "animal")},
            ["split: kind 'cat' into 'puma' (2), 'lion' (1)"],
        ),
        (  # a group that takes a name with it, and one that leaves a name behind, are still renamed
            {"dog": ("hound", "animal"), "cat_0": ("hound", "animal")},
            ["renamed: kind 'dog' is 'hound'", "moved: 'cat 0' from kind 'cat' to 'hound'"],
        ),
        (
            {"dog": ("hound", "animal"), "dog_3": ("cat", "animal")},
            ["renamed: kind 'dog' is 'hound'", "moved: 'dog 3' from kind 'dog' to 'cat'"],
        ),
        (
            {"cat": ("cat", "pet"), "oak_1": ("cat", "pet")},
            [
                "moved: 'oak 1' from kind 'oak' to 'cat'",
                "split: realm 'animal' into 'animal' (4), 'pet' (3)",
                "moved: 'oak 1' from realm 'plant' to 'pet'",
            ],
        ),
        ({"dog": ("cat", "animal"), "cat": ("dog", "animal")},
         ["renamed: kind 'dog' is 'cat'", "renamed: kind 'cat' is 'dog'"]),
        ({"dog_1": ("cat", "animal")}, ["moved: 'dog 1' from kind 'dog' to 'cat'"]),
        (
            {f"dog_{i}": ("cat", "animal") for i in range(3)},
            ["moved: 'dog 0', 'dog 1', 'dog 2' from kind 'dog' to 'cat'"],
        ),
        ({"cat": ("cat", "plant")}, ["moved: kind 'cat' (3 names) from realm 'animal' to 'plant'"]),
        (
            {"cat": ("cat", "pet"), "oak": ("oak", "tree")},
            ["split: realm 'animal' into 'animal' (4), 'pet' (3)", "renamed: realm 'plant' is 'tree'"],
        ),
        (
            {"oak_1": ("cat", "animal")},
            ["moved: 'oak 1' from kind 'oak' to 'cat'", "moved: 'oak 1' from realm 'plant' to 'animal'"],
        ),
        ({"cat": ("", "")}, ["dropped: kind 'cat' (3 names)"]),
        ({"cat_1": ("", ""), "oak_0": ("", "")}, ["dropped: 'cat 1'", "dropped: 'oak 0'"]),
    ],
)  # fmt: skip
def test_lines(cells: dict, lines: list[str]) -> None:
    assert told(**cells) == lines


def test_many_names_are_shortened() -> None:
    proposed = {f"n{i}": ("a", "x") for i in range(9)} | {"b": ("b", "x")}
    now = proposed | {f"n{i}": ("b", "x") for i in range(8)}
    found = changes(proposed, now, LEVELS)
    assert len(found) == 8
    lines = told_changes(found, proposed, now, LEVELS)
    assert lines == ["moved: 'n0', 'n1', 'n2' and 5 more from kind 'a' to 'b'"]
