"""What the quickstart's model retrieves: drawings as they are, and the vendors they are by."""

import base64
import io
from typing import Any

from pml_suprank.recipes.data.emoji import LEVEL_NAMES, VENDORS, EmojiDataset
from pml_suprank.recipes.pages.sheets import result_row, sheet, shown_image
from pml_suprank.recipes.retrievals import Retrieval

__all__ = ["sheets"]


def sheets(data: EmojiDataset, before: Retrieval, after: Retrieval) -> list[dict[str, Any]]:
    """One sheet for each query: results before and after training."""
    parts = []
    for i, query in enumerate(before.queries):
        emoji = data.emoji[query // 2]
        details = [f"{_words(emoji.subgroup)} · {emoji.group}", VENDORS[query % 2]]
        rows = [
            result_row(
                title,
                [_image(data, index) for index in found.results[i]],
                found.levels[i],
                len(LEVEL_NAMES),
            )
            for title, found in (("before", before), ("after", after))
        ]
        parts.append(sheet(_image(data, query), _words(emoji.name), details, rows))
    return parts


def _words(name: str) -> str:
    return name.replace("_", " ").replace("-", " ")


def _image(data: EmojiDataset, index: int) -> dict[str, str]:
    emoji = data.emoji[index // 2]
    buffer = io.BytesIO()
    data.image(index).save(buffer, "PNG", optimize=True)
    source = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    text = f"{_words(emoji.name)} ({VENDORS[index % 2]}; {emoji.subgroup}, {emoji.group})"
    return shown_image(source, text)
