"""All public callables, and how each is called and used."""

import importlib.util
import inspect
import itertools
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

import pml_suprank
from pml_suprank import (
    decomposability,
    functional,
    hierarchy,
    losses,
    metrics,
    miners,
    relevance,
    samplers,
    testers,
    whitening,
)
from tests.fuzz.right_values import TREE, right_value

PLACES = (
    losses,
    functional,
    metrics,
    miners,
    samplers,
    relevance,
    hierarchy,
    testers,
    whitening,
    decomposability,
)
FOR_SUBCLASSES = {
    # called by the class itself, with what it has checked
    *("cast_types", "compute_loss", "extended", "get_default_distance", "get_default_reducer"),
    *("item_relevance", "mine", "query_losses", "query_scores", "retrieval", "select"),
    *("forward_cross_batch", "forward_regular_loss", "get_function_dict", "check_primary_metrics"),
    *("compute_all_embeddings", "do_knn_and_accuracies", "initialize_accuracy_calculator"),
    *("get_logits", "known_levels", "extra_repr", "get_extra_state", "set_extra_state"),
    *("get_curr_metrics", "requires_knn", "add_to_memory", "accuracies_keyname"),
    # by backends, for blocks of pairs that they make
    *("competitor", "competitor_slope", "lower_competitor", "numerator", "numerator_slope"),
}
NOT_BUILT = {
    *("functional.Surrogate", "relevance.Relevance", "hierarchy.HierarchyError"),
    *("losses.QueryLoss", "miners.HierarchicalMiner"),
}
"""Types, and what subclasses alone complete."""
RECORDS = {
    *("functional.Ranks", "functional.TripletSums", "relevance.LevelRelevance"),
    *("metrics.MetricResult", "metrics.EvaluationResult", "decomposability.DecomposabilityGap"),
}
"""What functions return: built by the library, but for their methods."""
CALLS = {
    "relevance.ExponentialGain",
    "relevance.PopulationRelevance",
    "relevance.WeightedRelevance",
}
FOR_MESSAGES = {"hierarchy.as_level_labels": ("name",), "hierarchy.check_tree": ("name",)}
"""What the caller calls an argument."""
OF_PML = ("distance", "reducer", "embedding_regularizer", "embedding_reg_weight", "collect_stats")
"""What is behind ``**kwargs`` of a loss; of a metric it is what ``evaluate`` takes."""
OURS = {
    "testers.HierarchicalTester": (
        "accuracy_calculator",
        "ignore_index",
        "label_hierarchy_level",
        "query_labels",
    ),
}
"""Of a class of PML's, the parameters that it does not hand on as they are."""
NEEDED = {
    "losses.RankLoss": ("objective", "surrogate", "level"),
    "losses.SmoothRankLoss": ("objective", "level"),
    "losses.SupRankLoss": ("objective", "level"),
    "losses.HAPPIERLoss": ("num_classes", "embedding_size"),
    "losses.ProxyClusterLoss": ("num_classes", "embedding_size"),
    "relevance.WeightedRelevance": ("by_level",),
    "samplers.HierarchicalSampler": ("group_sizes",),
}
"""Parameters with a default, without which there is no result."""
COMPANIONS = {
    "ref_emb": ("ref_labels",),
    "ref_labels": ("ref_emb",),
    "self_indices": ("ref_emb", "ref_labels", "gallery", "gallery_labels"),
    "gallery": ("gallery_labels",),
    "gallery_labels": ("gallery",),
    "reference": ("reference_labels",),
    "reference_labels": ("reference",),
    "rank": ("world_size",),
    "world_size": ("rank",),
}
"""What else is given where a parameter is."""


class Target(NamedTuple):
    """A public callable, with what it is given to work on."""

    name: str
    parameters: Mapping[str, bool]
    """Each with whether it is needed."""
    call: Callable[..., Any]
    """Takes the parameters by name."""

    def right(self, parameter: str) -> Any:
        """Return a right value."""
        return right_value(self.name, parameter)


def public_callables():
    """Yield names and callables, those of modules and methods of classes."""
    yield "AccuracyCalculator", pml_suprank.AccuracyCalculator
    yield "relevance.item_relevance", relevance.item_relevance
    for place in PLACES:
        short = place.__name__.removeprefix("pml_suprank.")
        for name in place.__all__:
            found = getattr(place, name)
            if callable(found) and f"{short}.{name}" not in NOT_BUILT:
                yield f"{short}.{name}", found


def parameters_of(function, name):
    """Return the names of the parameters, each with whether it is needed."""
    found = {}
    for each in inspect.signature(function).parameters.values():
        if each.name in ("self", *FOR_MESSAGES.get(name, ())) or each.kind is each.VAR_POSITIONAL:
            continue
        if each.name not in OURS.get(name, (each.name,)):
            continue
        if each.kind is not each.VAR_KEYWORD:
            found[each.name] = each.default is each.empty
        elif name.startswith("losses."):
            found |= dict.fromkeys(OF_PML, False)
        elif name.startswith("metrics."):
            found |= dict.fromkeys(("hierarchy", "similarity", "block_size", "ignore_index"), False)
    for key in found.keys() & {*NEEDED.get(name, ()), "labels"}:
        found[key] = True
    return found


def targets() -> dict[str, Target]:
    """Return all targets by name."""
    found = {}
    for name, function in public_callables():
        if inspect.isclass(function):
            for target in of_class(name, function):
                found[target.name] = target
        else:
            found[name] = Target(name, parameters_of(function, name), function)
    return found


def of_class(name, cls):
    """Yield the construction of a class with its use, and its other public methods."""
    construction = parameters_of(cls, name)
    use = usage(name, cls)
    if name in RECORDS:
        pass
    elif use is None:
        yield Target(name, construction, cls)
    else:
        working = parameters_of(use, name)
        working.pop("kwargs", None)

        def call(**arguments):
            built = cls(**{k: v for k, v in arguments.items() if k in construction})
            return use(built, **{k: v for k, v in arguments.items() if k not in construction})

        yield Target(name, construction | working, call)
    for method in sorted(vars_of(cls)):
        function = getattr(cls, method)
        if method in FOR_SUBCLASSES or function is use or not callable(function):
            continue
        parameters = parameters_of(function, "")
        if not parameters or issubclass(cls, tuple):
            continue
        bound = isinstance(inspect.getattr_static(cls, method), classmethod | staticmethod)
        full = f"{name}.{method}"
        if method == "from_networkx" and importlib.util.find_spec("networkx") is None:
            continue
        yield Target(full, parameters, function if bound else _on_instance(name, cls, method))


def vars_of(cls):
    """Return the names of the public methods that are ours."""
    ours = [c for c in cls.__mro__ if c.__module__.startswith("pml_suprank")]
    names = {name for c in ours for name in vars(c) if not name.startswith("_")}
    return {n for n in names if inspect.isroutine(inspect.getattr_static(cls, n))}


def usage(name, cls):
    """Return what a class is for, as a function of an instance and more."""
    if name in CALLS:
        return cls.__call__
    if name == "AccuracyCalculator":
        return cls.get_accuracy
    if name == "samplers.HierarchicalSampler":
        return _iterated
    if name == "testers.HierarchicalTester":
        return cls.label_levels_to_evaluate
    if issubclass(cls, torch.nn.Module) and hasattr(cls, "forward"):
        if name == "losses.DistributedLossWrapper":
            return _wrapped
        return cls.forward
    return None


def _iterated(sampler):
    return len(sampler), [torch.as_tensor(b) for b in itertools.islice(sampler, 3)]


def _wrapped(self, embeddings, labels=None, indices_tuple=None, ref_emb=None, ref_labels=None):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="DistributedLossWrapper is being used")
        return self(embeddings, labels, indices_tuple, ref_emb, ref_labels)


def instance(name, cls):
    """Return an instance made of right values."""
    if cls is pml_suprank.Hierarchy:
        return TREE
    needed = [key for key, is_needed in parameters_of(cls, name).items() if is_needed]
    return cls(**{key: right_value(name, key) for key in needed})


def _on_instance(name, cls, method):
    def call(**arguments):
        return getattr(instance(name, cls), method)(**arguments)

    return call
