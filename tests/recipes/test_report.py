"""The page: whole, self-contained, and true to the numbers it is given."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from pml_suprank.recipes.data.emoji import LICENCES, EmojiDataset
from pml_suprank.recipes.evaluation import METRICS, ROWS, TILES
from pml_suprank.recipes.pages.figures import bar_chart, loss_curve
from pml_suprank.recipes.pages.quickstart_page import Report, render
from pml_suprank.recipes.pages.quickstart_sheets import sheets
from pml_suprank.recipes.retrievals import choose_queries, retrieve

PNG = b"\x89PNG\r\n\x1a\n"


class Page(HTMLParser):
    """Checks that tags are closed in order, and collects what the page refers to."""

    void = ("meta", "img", "br", "link", "input", "hr")

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.void:
            self.open.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def page(emoji: EmojiDataset) -> str:
    embeddings = torch.nn.functional.normalize(torch.randn(len(emoji), 8), dim=1)
    queries = choose_queries(emoji.level_labels, 0)
    sheet = retrieve(embeddings, emoji.level_labels, queries)
    before = {name: 0.1 for name in METRICS}
    return render(
        Report(
            title="A <loss> on emoji",
            lead="from <b>0.1</b>",
            before=before,
            after=before | {"h_ap": 0.4321, "asi": 0.05},
            rows=ROWS,
            tiles=TILES,
            curve=loss_curve([3.0, 2.0, 1.5], 2, "loss"),
            sheets=sheets(emoji, sheet, sheet),
            setup={"Seed": "0"},
        )
    )


def test_page_is_self_contained(page: str) -> None:
    parsed = Page(page)
    assert parsed.references
    assert all(source.startswith("data:image/png;base64,") for source in parsed.references)
    rest = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]*", "", page)
    assert not re.search(r"https?:|//|url\(|@import|<script|<link", rest)


def test_page_shows_the_numbers(page: str) -> None:
    text = " ".join(Page(page).text)
    for piece in ("0.432", "+0.332", "-0.050", "0.050"):
        assert piece in text, piece
    assert "A &lt;loss&gt; on emoji" in page
    for licence in LICENCES.values():
        assert licence in text
    assert page.count('class="up"') == 1
    assert page.count('class="down"') == 1


def test_page_has_a_sheet_for_each_group(page: str, emoji: EmojiDataset) -> None:
    assert page.count('class="sheet"') == 10
    assert page.count('class="hit ') == 10 * 2 * 10
    for group in {item.group for item in emoji.emoji}:
        assert group.replace("&", "&amp;") in page


def test_retrieval_by_loops(emoji: EmojiDataset) -> None:
    embeddings = torch.nn.functional.normalize(torch.randn(len(emoji), 8).double(), dim=1)
    found = retrieve(embeddings, emoji.level_labels, [5, 1234], k=4)
    for query, results, levels in zip(found.queries, found.results, found.levels, strict=True):
        scores = [(float(embeddings[query] @ e), i) for i, e in enumerate(embeddings) if i != query]
        expected = [i for _, i in sorted(scores, reverse=True)[:4]]
        assert results == expected
        own = emoji.emoji[query // 2]
        for index, shared in zip(results, levels, strict=True):
            other = emoji.emoji[index // 2]
            agree = (
                own.code == other.code,
                own.subgroup == other.subgroup,
                own.group == other.group,
            )
            assert shared == sum(agree)


def test_queries_are_one_of_each_group_and_seeded(emoji: EmojiDataset) -> None:
    queries = choose_queries(emoji.level_labels, 3)
    assert emoji.level_labels[queries, 2].tolist() == list(range(10))
    assert queries == choose_queries(emoji.level_labels, 3) != choose_queries(emoji.level_labels, 4)


def test_figures_are_png_and_repeatable() -> None:
    curve = loss_curve(np.linspace(2, 1, 30).tolist(), 7, "loss")
    assert curve.startswith(PNG)
    assert curve == loss_curve(np.linspace(2, 1, 30).tolist(), 7, "loss")
    assert loss_curve([], 7, "loss").startswith(PNG)  # --epochs 0
    bars = bar_chart({"ours": [0.3, 0.4], "theirs": [0.2]}, {"ours"}, "H-AP")
    assert bars.startswith(PNG)
