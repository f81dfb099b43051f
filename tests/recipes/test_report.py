"""The page: whole, self-contained, and true to the numbers it is given."""

import re
from dataclasses import asdict
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from pml_suprank.recipes.data.emoji import LICENCES, EmojiDataset
from pml_suprank.recipes.data.emoji_images import EmojiImages
from pml_suprank.recipes.files import write_csv, write_json, write_text
from pml_suprank.recipes.pages.figures import bar_chart, loss_curve
from pml_suprank.recipes.pages.run_folder import RunFolder
from pml_suprank.recipes.pages.run_page import render_run
from pml_suprank.recipes.pages.sheets import contact_sheet
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


LEVELS = ["emoji", "subgroup", "group"]
METRICS = {
    name: 0.1 for name in ("hierarchical_average_precision", "ndcg", "asi", "precision_at_1_level0")
}


@pytest.fixture(scope="module")
def page(emoji: EmojiDataset, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of a run folder with as little in it as can be, of a run on all emoji."""
    folder = tmp_path_factory.mktemp("runs") / "A <run>"
    embeddings = torch.nn.functional.normalize(torch.randn(len(emoji), 8), dim=1)
    sheet = asdict(retrieve(embeddings, emoji.level_labels, choose_queries(emoji.level_labels, 0)))
    images = EmojiImages(emoji)
    content = contact_sheet(images, [sheet, sheet], LEVELS)
    write_json(folder / "sheets.json", {"before": sheet, "after": sheet} | content)
    after = METRICS | {"hierarchical_average_precision": 0.4321, "asi": 0.05}
    metrics = {
        "before": METRICS,
        "after": after,
        "level_names": LEVELS,
        "queries": 20,
        "iterations": 3,
    }
    metrics |= {
        "training_seconds": 62.3,
        "credits": [f"{name}: {text}" for name, text in images.credits.items()],
        "setup": {"machine": "an <abacus>"},
    }
    write_json(folder / "metrics.json", metrics)
    write_text(folder / "config.yaml", "loss: {name: A <loss>}\n")
    rows = [{"step": step, "epoch": 1, "loss": 3.0 / step} for step in (1, 2, 3)]
    write_csv(folder / "history.csv", rows)
    return render_run(RunFolder.read(folder))


def test_page_is_self_contained(page: str) -> None:
    parsed = Page(page)
    assert parsed.references
    assert all(re.match("data:image/(png|jpeg);base64,", source) for source in parsed.references)
    rest = re.sub(r"data:image/(png|jpeg);base64,[A-Za-z0-9+/=]*", "", page)
    rest, scripts = re.subn(r"<script>.*?</script>", "", rest, flags=re.DOTALL)
    assert scripts <= 1  # that sorts tables, and is in the page; its policy runs no other
    assert not re.search(r"https?:|//|url\(|@import|<script|<link", rest)


def test_page_shows_the_numbers(page: str) -> None:
    text = " ".join(Page(page).text)
    for piece in ("0.432", "+0.332", "-0.050", "0.050", "20 queries", "3 steps", "1 min 02 s"):
        assert piece in text, piece
    assert "A &lt;loss&gt;: A &lt;run&gt;" in page
    assert "an &lt;abacus&gt;" in page
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
