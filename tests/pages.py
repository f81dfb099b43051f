"""The Markdown pages, their blocks of code, and what these print."""

import ast
import io
import re
import sys
import tokenize
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
Place = tuple[str, int]  # a block and a line of it


def blocks(page: Path, language: str) -> list[str]:
    """Return the code blocks of a page in a language."""
    return [code for name, code in BLOCK.findall(page.read_text()) if name == language]


def run_python(page: Path) -> None:
    """Run the Python blocks of a page in one namespace.

    ``print(...)  # text`` on a page shows an output: whenever the line runs it has to print exactly
    that text, and it has to run. The output of a print without a comment is not compared.

    Raises:
        AssertionError: A line printed something else, or never ran.
    """
    printed: defaultdict[Place, list[str]] = defaultdict(list)

    def note(*values: object, sep: str = " ", end: str = "\n") -> None:
        caller = sys._getframe(1)
        printed[caller.f_code.co_filename, caller.f_lineno].append(sep.join(map(str, values)))

    namespace: dict[str, object] = {"__name__": "__page__", "print": note}
    shown: dict[Place, str] = {}
    for number, code in enumerate(blocks(page, "python")):
        name = f"{page.name}[{number}]"
        shown |= {(name, line): text for line, text in shown_outputs(code).items()}
        exec(compile(code, name, "exec"), namespace)
    wrong = {
        place: printed[place] for place, text in shown.items() if set(printed[place]) != {text}
    }
    assert not wrong, [
        f"{place}: shows {shown[place]!r}, got {got}" for place, got in wrong.items()
    ]


def shown_outputs(code: str) -> dict[int, str]:
    """Return the comment behind each print, by the line on which the print begins."""
    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    comments = {
        token.start[0]: token.string.removeprefix("#").strip()
        for token in tokens
        if token.type == tokenize.COMMENT
    }
    prints = [
        node
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]
    return {p.lineno: comments[p.end_lineno] for p in prints if p.end_lineno in comments}
