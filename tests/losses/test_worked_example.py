"""The new loss of ``CONTRIBUTING.md``, from its code blocks, through all checks of the table; and broken, it is red."""

import pytest
import torch

from tests.losses import checks
from tests.losses.test_table import RED, broken, of_another_sign_of_gradient, of_another_value
from tests.pages import ROOT, blocks

PAGE = ROOT / "CONTRIBUTING.md"


@pytest.fixture(scope="module")
def page():
    """What the blocks of the page define."""
    namespace: dict[str, object] = {"__name__": "__page__"}
    for number, code in enumerate(blocks(PAGE, "python")):
        exec(compile(code, f"{PAGE.name}[{number}]", "exec"), namespace)
    return namespace


def test_it_passes_every_check(page):
    line = page["line"]
    assert (line.name, line.kind) == ("ReciprocalRankLoss", "surrogate")
    for check in checks.CHECKS:
        check(line)


def test_without_a_surrogate_it_is_the_metric(page):
    """Among scores of which many tie."""
    torch.manual_seed(0)
    scores = (torch.randn(20, 30, dtype=torch.float64) * 2).round()
    positive = torch.rand(20, 30) < 0.1
    place = torch.argsort(-scores + 1e-3 * positive, dim=1)
    hits = positive.gather(1, place)
    expected = [1 / (row.index(True) + 1) if any(row) else 0.0 for row in hits.tolist()]
    got = page["reciprocal_rank"](scores, positive)
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("change", [of_another_value, of_another_sign_of_gradient])
def test_broken_it_is_red(page, change):
    with pytest.raises(RED):
        checks.equals_its_reference(broken(page["line"], change))


def test_a_wrong_function_under_it_is_red(page):
    line = page["line"]

    def counting_from_two(*args, **kwargs):
        value = page["reciprocal_rank"](*args, **kwargs)
        return value / (1 + value)

    wrong = line._replace(objective=line.objective._replace(function=counting_from_two))
    with pytest.raises(RED):
        checks.objective_equals_the_loops(wrong)
    loops = line.objective._replace(loops=lambda *args, **kwargs: 0.5)
    with pytest.raises(RED):
        checks.objective_equals_the_loops(line._replace(objective=loops))


@pytest.mark.parametrize("name", ["losses", "functional"])
def test_the_page_names_the_files_of_a_new_loss(name):
    text = PAGE.read_text()
    for path in (
        f"docs/{name}.md",
        f"docs/reference/{name}.md",
        f"{name}/__init__.py",
        "tests/losses/cases.py",
        "tests/reference/rank_losses.py",
    ):
        assert path in text
