"""Step *names*: a name for every class where one is known."""

import re
from pathlib import Path

from pml_suprank.recipes.files import write_csv
from pml_suprank.recipes.hierarchies.tables import TableError, read_csv, read_lines
from pml_suprank.recipes.hierarchies.work_folder import WorkFolder

__all__ = ["NO_GROUP", "classes_by_name", "clean", "make_names", "read_names", "spoken"]

FILE = "names.csv"
NO_GROUP = "(no group) "
"""How the name of a class that is kept without a group begins in the tree."""

_HUMPS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NUMBERED = re.compile(r"\s*\d+\s*[._-]|\s*0\d+\b")


def clean(name: str) -> str:
    """A name as it is compared: single spaces, no underscores."""
    return " ".join(name.replace("_", " ").split())


def spoken(name: str) -> str:
    """A name as one would say it: words in lower case, without the number that a folder begins with.

    Example:
        >>> [spoken(name) for name in ("001.Black_footed_Albatross", "FireTruck", "B-52", "2")]
        ['black footed albatross', 'fire truck', 'b 52', '2']
    """
    words = re.sub(r"[^\w']|_", " ", _HUMPS.sub(" ", name)).lower().split()
    if any(map(str.isalpha, "".join(words[1:]))) and _NUMBERED.match(name):
        words = words[1:]
    return " ".join(words) or name


def make_names(
    work: WorkFolder, source: Path, class_column: str = "class_id", name_column: str = "name"
) -> str:
    """Write ``names.csv``: class_id and name, one row for each class.

    Several classes may have one name (of a kind of landmark, say); a class without a name has an empty cell. A file
    without class ids is a list of different names, whose classes are numbered 0, 1, ... in its order.

    Args:
        work: the work folder.
        source: CSV file of the classes; or a list: a name in every line, the first of which may be ``name_column``.
        class_column: its column of class ids.
        name_column: its column of names, or of mined super-categories.

    Returns:
        What was done, in a line.

    Raises:
        TableError: a malformed file, an empty class id, a class with two names, a name twice in a list, no name at all.
    """
    settings = {"class_column": class_column, "name_column": name_column}
    named = _read_list(source, class_column, name_column)
    table = read_csv(source, [class_column, name_column]) if named is None else ()
    if work.is_done("names", settings, [source]):
        found = read_names(work)
        return f"nothing to do: {_told(found)}"
    found = {} if named is None else {str(i): name for i, name in enumerate(named)}
    for where, row in table:
        class_id, name = row[class_column], clean(row[name_column])
        if not class_id:
            raise TableError(f"{where}: wanted a class id in {class_column!r}, got an empty cell")
        if found.setdefault(class_id, name) != name:
            raise TableError(
                f"{where}: wanted one name for class {class_id!r}, got {found[class_id]!r} and {name!r}"
            )
    if not any(found.values()):
        raise TableError(f"{source}: wanted a class with a name in {name_column!r}, got none")
    rows = [{"class_id": class_id, "name": name} for class_id, name in found.items()]
    write_csv(work / FILE, rows)
    work.record("names", settings, [source], [work / FILE])
    if named is None:
        return _told(found)
    return f"{_told(found)}; a list from {named[0]!r} to {named[-1]!r}, numbered from 0"


def _read_list(source: Path, class_column: str, name_column: str) -> list[str] | None:
    """The names of a file that has nothing else; None for a table.

    Raises:
        TableError: a name is there twice.
    """
    lines = read_lines(source, [class_column, name_column])
    if not lines or lines[0][1] == class_column:
        return None
    found: dict[str, int] = {}
    for number, text in lines:
        name = clean(text)
        if not found and text == name_column:
            continue
        if name in found:
            raise TableError(
                f"{source}, line {number}: wanted each name once in a list without class ids, got {name!r} again, "
                f"of line {found[name]}"
            )
        found[name] = number
    return list(found)


def read_names(work: WorkFolder) -> dict[str, str]:
    """Class id to name, empty where unknown, in the order of the file.

    Raises:
        TableError: the step was not run, or its file is damaged.
    """
    work.need("names")
    return {row["class_id"]: row["name"] for _, row in read_csv(work / FILE, ["class_id", "name"])}


def classes_by_name(names: dict[str, str]) -> dict[str, list[str]]:
    """Each name, sorted, with the classes that have it."""
    found: dict[str, list[str]] = {name: [] for name in sorted(set(names.values()) - {""})}
    for class_id, name in names.items():
        if name:
            found[name].append(class_id)
    return found


def _told(names: dict[str, str]) -> str:
    nameless = sum(not name for name in names.values())
    distinct = len(set(names.values()) - {""})
    return f"{len(names):,} classes, {distinct:,} distinct names, {nameless:,} classes without one"
