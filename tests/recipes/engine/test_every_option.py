"""Every argument of every loss, miner and memory of this library, set from a settings file."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("pydantic", reason="needs the recipes extra")

import yaml
from pytorch_metric_learning import distances, reducers, regularizers
from pytorch_metric_learning.losses import BaseMetricLossFunction

from pml_suprank import Hierarchy, functional, losses, miners, relevance
from pml_suprank.recipes.engine.components import Context, build_loss, build_memory, build_miner
from pml_suprank.recipes.engine.named_classes import parameters_of
from pml_suprank.recipes.engine.objective import check_objective
from pml_suprank.recipes.engine.parsing import ConfigError, parse_settings
from pml_suprank.recipes.engine.settings import Settings

TREE = Hierarchy.from_paths([f"{kind}/{name}" for kind in "xyz" for name in "abcd"])
CONTEXT = Context(TREE, embedding_size=6, num_samples=24)


class Like:
    """Equal to objects of a class with these attributes."""

    def __init__(self, cls: type, **attributes: Any) -> None:
        self.cls, self.attributes = cls, attributes

    def __eq__(self, other: object) -> bool:
        return type(other) is self.cls and all(
            getattr(other, name) == value for name, value in self.attributes.items()
        )

    def __repr__(self) -> str:
        return f"{self.cls.__name__}({self.attributes})"


def part(name: str, **options: Any) -> dict[str, Any]:
    return {"name": name, "options": options}


# argument: what a file says, and what the built object then has
OPTIONS: dict[str, tuple[Any, Any]] = {
    "backend": ("dense", "dense"),
    "batch_weight": (0.25, 0.25),
    "center_temperature": (0.3, 0.3),
    "centers_per_class": (2, 2),
    "cluster_level": (1, 1),
    "collect_stats": (True, True),
    "constrained": (False, False),
    "decomposability_loss": (
        part("CalibrationLoss", pos_margin=0.8),
        Like(losses.CalibrationLoss, pos_margin=0.8),
    ),
    "delta": (0.03, 0.03),
    "distance": (
        part("DotProductSimilarity", normalize_embeddings=False),
        Like(distances.DotProductSimilarity, normalize_embeddings=False),
    ),
    "embedding_reg_weight": (0.7, 0.7),
    "embedding_regularizer": (part("LpRegularizer", p=3), Like(regularizers.LpRegularizer, p=3)),
    "embedding_size": (5, 5),
    "epsilon": (0.2, 0.2),
    "hrank": (
        {"beta": 2.0, "gamma": 0.4, "leak": 0.1},
        functional.HRankStep(beta=2.0, gamma=0.4, leak=0.1),
    ),
    "ignore_index": (-1, -1),
    "include_self": (True, True),
    "k": ([1, 3], (1, 3)),
    "lambda_val": (2.0, 2.0),
    "level": (1, 1),
    "level_weights": ([1.0, 0.5], (1.0, 0.5)),
    "margin": (0.07, 0.07),
    "margins": ([0.1, 0.3], (0.1, 0.3)),
    "mixup": (
        part("SimilarityMixup", max_pairs_per_class=3),
        losses.SimilarityMixup(max_pairs_per_class=3),
    ),
    "neg_margin": (0.4, 0.4),
    "neg_margins": (0.9, 0.9),
    "num_bins": (7, 7),
    "num_classes": (40, 40),
    "offset": (1.7, 1.7),
    "one_role": (False, False),
    "per_anchor": (2, 2),
    "pos_margin": (0.8, 0.8),
    "pos_margins": (0.1, 0.1),
    "preset": ("smooth", functional.PRESETS["smooth"]["tau"]),
    "rank_loss": (part("SupRecallLoss", k=[2]), Like(losses.SupRecallLoss, k=(2,))),
    "reduce_levels": ("mean", "mean"),
    "reducer": (part("SumReducer"), Like(reducers.SumReducer)),
    "relevance": (part("PopulationRelevance", alpha=3.0), relevance.PopulationRelevance(3.0)),
    "rho": (50.0, 50.0),
    "scale": (20.0, 20.0),
    "score_range": ([-0.5, 0.5], (-0.5, 0.5)),
    "start": (0.25, 0.25),
    "storage_dtype": ("float16", torch.float16),
    "tau": (0.1, 0.1),
    "temperature": (0.2, 0.2),
    "type_of_triplets": ("hard", "hard"),
    "warmup": (9, 9),
    "weight": (0.4, 0.4),
    "weight_init_func": (part("constant_", val=0.5), 0.5),
    "weight_reg_weight": (0.6, 0.6),
    "weight_regularizer": (part("LpRegularizer", p=3), Like(regularizers.LpRegularizer, p=3)),
}
REQUIRED = {
    "DecomposableRankLoss": {
        "rank_loss": part("SupAPLoss"),
        "decomposability_loss": part("CalibrationLoss"),
    }
}
# where an argument ends up under another name, or in a part
PLACES: dict[str, Callable[[Any], Any]] = {
    "cluster_level": lambda loss: loss.decomposability_loss.level,
    "preset": lambda loss: _rank_loss(loss).surrogate.tau,
    "hrank": lambda loss: _rank_loss(loss).surrogate.hrank,
    "weight_init_func": lambda loss: float(loss.W.detach().unique()),
}


def _rank_loss(loss: Any) -> Any:
    return getattr(loss, "rank_loss", loss)


def held(built: Any, name: str) -> Any:
    """What a built loss, miner or memory has of an argument."""
    if name in PLACES:
        return PLACES[name](built)
    if name == "embedding_size" and isinstance(built, losses.CSLLoss):
        return built.W.shape[1]
    owners = [built, *(getattr(built, n) for n in PARTS if hasattr(built, n))]
    found = next(getattr(o, name) for o in owners if hasattr(o, name) and not _is_shadow(o, name))
    if isinstance(found, reducers.MultipleReducers):  # PML's, for losses of several terms
        (found,) = {type(reducer): reducer for reducer in found.reducers.values()}.values()
    return tuple(found) if isinstance(found, list | tuple) else found


PARTS = ("rank_loss", "decomposability_loss")


def _is_shadow(owner: Any, name: str) -> bool:
    """A sum of losses is a PML loss with a reducer, distance, ... of its own, which count for nothing."""
    return isinstance(owner, losses.DecomposableRankLoss) and name not in (
        *PARTS,
        "weight",
        "ignore_index",
    )


def classes(module: Any, base: type) -> list[str]:
    return [n for n in module.__all__ if issubclass(getattr(module, n), base)]


ABSTRACT = {"QueryLoss", "RankLoss", "SupRankLoss", "SmoothRankLoss", "CrossBatchMemory"}
LOSSES = [n for n in classes(losses, BaseMetricLossFunction) if n not in ABSTRACT]
MINERS = [n for n in classes(miners, miners.HierarchicalMiner) if n != "HierarchicalMiner"]
MEMORIES = {"cross_batch": losses.CrossBatchMemory, "dataset": losses.DatasetMemory}


def accepted(cls: Any, required: dict[str, Any]) -> list[str]:
    """The names of the table that a constructor takes, found by calling it."""

    def takes(name: str) -> bool:
        try:
            cls(**(required | {name: _NOTHING}))
        except TypeError as error:
            return not any(
                words in str(error) for words in ("unexpected keyword", "multiple values")
            )
        except Exception:
            pass  # it takes the name, though not this value
        return True

    return [name for name in OPTIONS if takes(name)]


class _Nothing:
    pass


_NOTHING = _Nothing()


def constructor_arguments(name: str) -> dict[str, Any]:
    cls = getattr(losses, name)
    known = {"num_classes": 12, "embedding_size": 6, "hierarchy": TREE}
    given = {n: v for n, v in known.items() if n in inspect.signature(cls).parameters}
    if name == "DecomposableRankLoss":
        given = {"rank_loss": losses.SupAPLoss(), "decomposability_loss": losses.CalibrationLoss()}
    return given


def cases() -> list[tuple[str, str]]:
    return [
        (name, option)
        for name in LOSSES
        for option in accepted(getattr(losses, name), constructor_arguments(name))
        if option != "hrank" or name in ("SupHAPLoss", "HAPPIERLoss")  # others have no numerator
    ]


def settings_of(tmp_path: Path, **groups: Any) -> Settings:
    file = tmp_path / "a.yaml"
    file.write_text(yaml.safe_dump(groups))
    settings = parse_settings(["--config", str(file)])
    check_objective(settings)
    return settings


@pytest.mark.parametrize(("name", "option"), cases())
def test_every_option_of_every_loss(name: str, option: str, tmp_path: Path) -> None:
    options = REQUIRED.get(name, {}) | {option: OPTIONS[option][0]}
    settings = settings_of(tmp_path, loss={"name": name, "options": options})
    built = build_loss(settings.loss, CONTEXT)
    default = (
        build_loss(parse_settings(["--loss.name", name]).loss, CONTEXT)
        if name not in REQUIRED
        else None
    )
    assert held(built, option) == OPTIONS[option][1]
    if default is not None:
        assert held_or_none(default, option) != OPTIONS[option][1]


def held_or_none(built: Any, option: str) -> Any:
    try:
        return held(built, option)
    except (StopIteration, ValueError, RuntimeError):
        return None


@pytest.mark.parametrize("name", LOSSES)
def test_options_are_the_arguments(name: str) -> None:
    """What the settings offer is what the constructor takes, and nothing that it sets itself."""
    offered = set(parameters_of(getattr(losses, name)))
    assert offered - {"hierarchy"} == set(
        accepted(getattr(losses, name), constructor_arguments(name))
    )
    for option in ("hierarchy", "surrogate", "mat_based_loss"):
        with pytest.raises(ConfigError, match=rf"loss.options.{option}: {name} has no such option"):
            build_loss(
                parse_settings(["--loss.name", name, f"--loss.options.{option}", "x"]).loss, None
            )


def test_the_recommended_loss_on_the_command_line() -> None:
    words = [
        "--loss.name",
        "HAPPIERLoss",
        "--loss.options.tau",
        "0.1",
        "--loss.options.temperature",
        "0.1",
    ]
    loss: Any = build_loss(parse_settings(words).loss, CONTEXT)
    assert (loss.rank_loss.tau, loss.decomposability_loss.temperature) == (0.1, 0.1)
    for option in ("rank_loss", "decomposability_loss"):
        with pytest.raises(ConfigError, match="HAPPIERLoss has no such option"):
            build_loss(parse_settings([f"--loss.options.{option}", "{name: SupAPLoss}"]).loss, None)
    coarse = ["--loss.options.level", "1", "--loss.options.cluster_level", "0"]
    loss = build_loss(parse_settings(coarse).loss, CONTEXT)
    assert (loss.rank_loss.level, loss.decomposability_loss.num_classes) == (1, 12)
    loss = build_loss(parse_settings(coarse[:2]).loss, CONTEXT)
    assert loss.decomposability_loss.num_classes == 12


@pytest.mark.parametrize(
    ("name", "option"),
    [(n, o) for n in MINERS for o in accepted(getattr(miners, n), {})],
)
def test_every_option_of_every_miner(name: str, option: str, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, miner={"name": name, "options": {option: OPTIONS[option][0]}})
    assert held(build_miner(settings.miner, CONTEXT), option) == OPTIONS[option][1]
    default = build_miner(parse_settings(["--miner.name", name]).miner, CONTEXT)
    assert held(default, option) != OPTIONS[option][1]


def test_every_option_of_every_memory(tmp_path: Path) -> None:
    loss = build_loss(Settings().loss, CONTEXT)
    found = set()
    for kind, cls in MEMORIES.items():
        fixed = {"loss", "miner", "embedding_size", "memory_size", "num_samples"}
        given = {"loss": losses.SupAPLoss(), "embedding_size": 6}
        given |= {"num_samples": 24} if kind == "dataset" else {}
        for option in set(accepted(cls, given)) - fixed:
            settings = settings_of(
                tmp_path,
                memory={"kind": kind, "size": 256, "options": {option: OPTIONS[option][0]}},
            )
            built = build_memory(settings.memory, loss, None, CONTEXT)
            assert held(built, option) == OPTIONS[option][1]
            found.add(option)
    assert found == {"warmup", "batch_weight", "storage_dtype", "ignore_index", "collect_stats"}
