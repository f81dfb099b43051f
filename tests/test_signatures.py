"""What an editor shows of a public class: all that it takes, with types and defaults, each thing explained."""

import collections
import inspect
import re

import pytest
import torch

import pml_suprank
from pml_suprank import Hierarchy, losses, metrics, miners, relevance, samplers, testers, whitening

TREE = Hierarchy.from_paths(["animal/dog", "animal/cat", "plant/oak"])
PLACES = (losses, metrics, miners, relevance, samplers, testers, whitening)
CLASSES = {
    f"{place.__name__.removeprefix('pml_suprank.')}.{name}": getattr(place, name)
    for place in PLACES
    for name in place.__all__
    if inspect.isclass(getattr(place, name))
} | {"AccuracyCalculator": pml_suprank.AccuracyCalculator}
TAKE_ANY = {
    name: cls
    for name, cls in CLASSES.items()
    if inspect.Parameter.VAR_KEYWORD in {p.kind for p in inspect.signature(cls).parameters.values()}
}
NEEDED = {
    "losses.CSLLoss": (TREE, 4),
    "losses.CrossBatchMemory": (losses.SupAPLoss(), 4),
    "losses.DatasetMemory": (losses.SupAPLoss(), 4, 4),
    "losses.HAPPIERLoss": (3, 4),
    "losses.ProxyClusterLoss": (3, 4),
}
"""Arguments without which a class cannot be built."""


def is_tuple(cls):
    return issubclass(cls, tuple)  # what a function returns, its entries explained one by one


def explained(cls):
    """Return the entries of ``Args:`` of a class, by name, with what is said of them."""
    text = inspect.cleandoc(cls.__doc__ or "")
    section = re.search(r"^Args:\n((?: {4}.*\n?|\n)*)", text, re.M)
    entries = re.split(r"^ {4}(?=[*\w])", section[1] if section else "", flags=re.M)[1:]
    return dict(re.split(r":\s+", entry.strip(), maxsplit=1) for entry in entries)


@pytest.mark.parametrize("name", [name for name, cls in CLASSES.items() if not is_tuple(cls)])
def test_every_parameter_shows(name):
    said = explained(CLASSES[name])
    for parameter in inspect.signature(CLASSES[name]).parameters.values():
        assert parameter.annotation is not parameter.empty, f"{parameter.name}: no type"
        assert parameter.kind is not parameter.VAR_POSITIONAL, f"{parameter.name}: hides arguments"
        key = parameter.name
        if parameter.kind is parameter.VAR_KEYWORD:
            key = f"**{key}"
            assert said.get(key, "").startswith("PML's"), f"{key}: takes more than PML's own"
        assert said.get(key), f"{key}: not in the docstring's Args"
    shown = {key.lstrip("*") for key in said}
    assert shown <= set(inspect.signature(CLASSES[name]).parameters), "Args: more than there is"


LOSSES = {name: getattr(losses, name) for name in losses.__all__ if name.endswith("Loss")}
FOR_SUBCLASSES = {"QueryLoss", "RankLoss", "SmoothRankLoss", "SupRankLoss"}


@pytest.mark.parametrize(
    ("option", "wordings"),
    [
        *(
            (name, 1)
            for name in ("tau", "rho", "delta", "start", "offset", "preset", "backend", "mixup")
        ),
        ("hierarchy", 2),  # CSLLoss needs one
        ("relevance", 2),
    ],  # of H-AP, and of NDCG
)
def test_losses_explain_an_option_in_the_same_words(option, wordings):
    said = {" ".join(explained(cls).get(option, "").split()) for cls in LOSSES.values()} - {""}
    assert len(said) == wordings


@pytest.mark.parametrize("name", sorted(set(LOSSES) - FOR_SUBCLASSES))
def test_a_loss_has_its_formula_shapes_and_an_example(name):
    text = inspect.getdoc(LOSSES[name])
    assert [part for part in (".. math::", "Shapes:", "Example:") if part not in text] == []


@pytest.mark.parametrize("name", TAKE_ANY)
def test_what_is_not_used_is_refused(name):
    with pytest.raises(TypeError, match="nonsense"):
        CLASSES[name](*NEEDED.get(name, ()), nonsense=1)


OPTIONS = {
    "backend",
    "hrank",
    "k",
    "margins",
    "mixup",
    "num_bins",
    "relevance",
    "rho",
    "scale",
    "surrogate",
    "tau",
}


@pytest.mark.parametrize("name", [n for n in losses.__all__ if n.endswith("Loss")])
def test_a_loss_refuses_the_options_of_others(name):
    cls, arguments = getattr(losses, name), NEEDED.get(f"losses.{name}", ())
    if name == "DecomposableRankLoss":
        arguments = (losses.SupAPLoss(), losses.CalibrationLoss())
    for option in OPTIONS - set(inspect.signature(cls).parameters):
        with pytest.raises(TypeError, match=option):
            cls(*arguments, **{option: None})


@pytest.mark.parametrize("name", CLASSES)
def test_the_line_of_inheritance_is_short_and_single(name):
    ours = [c for c in inspect.getmro(CLASSES[name]) if c.__module__.startswith("pml_suprank.")]
    assert len(ours) < 7
    bases = collections.Counter(base for cls in ours for base in cls.__bases__ if base in ours)
    assert not [base for base, times in bases.items() if times > 1], "two ways to one class"


def test_the_checks_above_can_fail():
    class Hidden(losses.SupAPLoss):
        """A loss.

        Args:
            **kwargs: whatever.
            gone: not there.
        """

        def __init__(self, unsaid: int = 1, **kwargs) -> None:
            super().__init__(tau=torch.tensor(float(unsaid)), **kwargs)

    assert set(explained(Hidden)) == {"**kwargs", "gone"}
    CLASSES["hidden"] = Hidden
    try:
        with pytest.raises(AssertionError, match="not in the docstring"):
            test_every_parameter_shows("hidden")
        Hidden.__init__.__annotations__["kwargs"] = int
        Hidden.__doc__ = Hidden.__doc__.replace("gone: not there", "unsaid: said now")
        with pytest.raises(AssertionError, match="takes more than PML's own"):
            test_every_parameter_shows("hidden")
    finally:
        del CLASSES["hidden"]
