"""One recommendation: what commands train with, what pages say and what studies measured are one table."""

import ast
import re
from pathlib import Path

import pytest

from pml_suprank import losses, relevance
from pml_suprank.recipes.choices import RECOMMENDED
from pml_suprank.recipes.engine.settings import Settings
from pml_suprank.recipes.published.quickstart import QUICKSTART

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "examples").glob("*.py")),
    Path(losses.__file__).parent / "happier_loss.py",
]
ALPHA = RECOMMENDED["relevance"]["options"]["alpha"]
_CALL = re.compile(r"(?:HAPPIERLoss|dict)\(((?:[^()`]|\([^()]*\))*tau=(?:[^()]|\([^()]*\))*)\)")


def calls() -> list[tuple[str, str]]:
    """Page and arguments of every HAPPIERLoss that is written with a tau."""
    return [
        (page.name, " ".join(found.split()))
        for page in PAGES
        for found in _CALL.findall(page.read_text(encoding="utf-8"))
    ]


def test_every_page_writes_it_alike() -> None:
    found = calls()
    assert {"README.md", "choosing.md", "losses.md", "quickstart.md", "pml_native.md"} <= {
        page for page, _ in found
    }
    assert {"swap_a_loss.py", "happier_loss.py"} <= {page for page, _ in found}
    wanted = {
        "tau": f"{RECOMMENDED['tau']}",
        "temperature": f"{RECOMMENDED['temperature']}",
        "relevance": f"{RECOMMENDED['relevance']['name']}({ALPHA})",
    }
    for page, arguments in found:
        call = ast.parse(
            f"f({arguments.replace('...', '*_')})".replace(",)", ")"), mode="eval"
        ).body
        given = {word.arg: ast.unparse(word.value) for word in call.keywords}
        assert {name: given.get(name) for name in wanted} == wanted, page


def test_commands_train_with_it() -> None:
    usual = Settings()
    assert (usual.loss.name, usual.loss.options) == ("HAPPIERLoss", RECOMMENDED)
    assert QUICKSTART["loss"] == {"name": "HAPPIERLoss", "options": RECOMMENDED}
    assert tuple(QUICKSTART["sampler"]["group_sizes"]) == usual.sampler.group_sizes
    rates = QUICKSTART["optimizer"]
    assert rates["head_lr"] == pytest.approx(3 * rates["lr"])
    assert QUICKSTART["loss_optimizer"]["lr"] == pytest.approx(10 * rates["lr"])


def test_the_classes_own_defaults_are_the_papers() -> None:
    loss = losses.HAPPIERLoss(num_classes=2, embedding_size=2)
    assert loss.rank_loss.surrogate.tau == 0.01
    assert loss.decomposability_loss.temperature == 0.05
    assert relevance.PopulationRelevance().alpha == 1.0
