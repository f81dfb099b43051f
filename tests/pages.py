"""The Markdown pages and their blocks of code."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    """Return the code blocks of a page in a language."""
    return [code for name, code in BLOCK.findall(page.read_text()) if name == language]
