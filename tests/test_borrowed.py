"""What this project overrides, and the private names that it uses, of other libraries: one list, checked against them.

A method that PML or torch renames, or that gets other parameters, is no error by itself: ours is then never called, or
called otherwise. Here it is one.
"""

import importlib
import inspect
import pickle
import pkgutil
import re
from pathlib import Path

import pytest

pytest.importorskip("timm", reason="needs the recipes extra")

import torch
from pytorch_metric_learning import (
    losses,
    miners,
    testers,
)
from pytorch_metric_learning.utils import accuracy_calculator, distributed

import pml_suprank

ROOT = Path(__file__).parents[1]
FOREIGN = ("pytorch_metric_learning", "torch")

OVERRIDDEN = {
    accuracy_calculator.AccuracyCalculator: {
        "check_primary_metrics": "include exclude",
        "get_accuracy": "query query_labels reference reference_labels ref_includes_query include exclude",
        "get_curr_metrics": "",
        "get_function_dict": "include exclude",
        "requires_knn": "",
    },
    distributed.DistributedLossWrapper: {
        "forward_cross_batch": "emb labels indices_tuple ref_emb ref_labels world_size enqueue_mask",
        "forward_regular_loss": "emb labels indices_tuple ref_emb ref_labels world_size",
    },
    losses.BaseMetricLossFunction: {
        "compute_loss": "embeddings labels indices_tuple ref_emb ref_labels",
        "forward": "embeddings labels indices_tuple ref_emb ref_labels",
        "get_default_distance": "",
        "get_default_reducer": "",
    },
    losses.CrossBatchMemory: {
        "add_to_memory": "embeddings labels batch_size",
        "forward": "embeddings labels indices_tuple enqueue_mask",
        "reset_queue": "",
        "supported_losses": "",
    },
    losses.NormalizedSoftmaxLoss: {
        "cast_types": "dtype device",
        "compute_loss": "embeddings labels indices_tuple ref_emb ref_labels",
        "get_logits": "embeddings",
    },
    miners.BaseMiner: {
        "forward": "embeddings labels ref_emb ref_labels",
        "get_default_distance": "",
        "mine": "embeddings labels ref_emb ref_labels",
    },
    testers.GlobalEmbeddingSpaceTester: {
        "accuracies_keyname": "metric label_hierarchy_level average",
        "compute_all_embeddings": "dataloader trunk_model embedder_model",
        "do_knn_and_accuracies": "accuracies embeddings_and_labels query_split_name reference_split_names",
        "initialize_accuracy_calculator": "",
        "label_levels_to_evaluate": "query_labels",
    },
    torch.nn.Module: {
        "_load_from_state_dict": "state_dict prefix local_metadata strict missing_keys unexpected_keys error_msgs",
        "extra_repr": "",
        "forward": "",
        "get_extra_state": "",
        "set_extra_state": "state",
    },
}
"""Class of another library to its methods that a class of ours has in its place: names of the parameters."""

PRIVATE = {
    "torch.nn.modules.batchnorm._BatchNorm": "the class of all batch norms, which frozen ones are told by",
    "torch.nn.Module._load_from_state_dict": "a memory takes over the dtype of what is stored",
    "torch.nn.Module._buffers": "its buffers by name, while a state is loaded",
    "pickle._Unpickler": "the one in C crashes on damaged files",
    "sys._getframe": "who calls, for messages, warnings and accelerate's loaders",
}
"""Private names that are used, and what for."""


def classes():
    """Yield every class of the package, of the parts that are not commands."""
    for module in pkgutil.walk_packages(pml_suprank.__path__, "pml_suprank."):
        if re.search(r"kernels|__main__|\.commands", module.name):
            continue
        for cls in vars(importlib.import_module(module.name)).values():
            if inspect.isclass(cls) and cls.__module__ == module.name:
                yield cls


def listed(name, cls):
    """Return the entry of a method that a class overrides, the nearest by inheritance."""
    owners = [base for base in cls.__mro__[1:] if name in OVERRIDDEN.get(base, ())]
    return owners[0] if owners else None


def test_every_method_that_is_overridden_is_listed():
    found = set()
    for cls in classes():
        if issubclass(cls, torch.autograd.Function):
            continue  # forward, backward and setup_context are torch's public interface
        ours = [base for base in cls.__mro__ if base.__module__.startswith("pml_suprank")]
        for name in {name for base in ours for name in vars(base)}:
            bases = [base for base in cls.__mro__ if name in vars(base) and base not in ours]
            if name.startswith("__") or not bases or not bases[0].__module__.startswith(FOREIGN):
                continue
            owner = listed(name, cls)
            assert owner is not None, f"{cls.__qualname__}.{name} overrides one of {bases[0]}"
            found.add((owner, name))
    every = {(owner, name) for owner, methods in OVERRIDDEN.items() for name in methods}
    assert found == every, f"overridden by nobody: {every - found}"


@pytest.mark.parametrize("owner", OVERRIDDEN, ids=lambda owner: owner.__qualname__)
def test_the_other_library_still_has_them(owner):
    for name, parameters in OVERRIDDEN[owner].items():
        signature = inspect.signature(getattr(owner, name))
        names = [each for each in signature.parameters if each not in ("self", "calc")]
        if owner is torch.nn.Module and name == "forward":
            continue  # each module has its own
        assert names == parameters.split(), f"{owner.__qualname__}.{name}{signature}"


def test_private_names_are_listed():
    pattern = re.compile(
        r"(?:from (torch|pytorch_metric_learning|timm|open_clip|accelerate|PIL|numpy|faiss)\S* import (_[A-Za-z]\w*))"
        r"|\b((?:torch|pickle|sys|np|timm|open_clip|accelerate|faiss|inspect)(?:\.\w+)*\._[A-Za-z]\w*)"
    )
    last = {name.rpartition(".")[2] for name in PRIVATE}
    for folder in ("pml_suprank", "recipes", "integrations", "studies"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for match in pattern.finditer(path.read_text()):
                name = match[2] or match[3].rpartition(".")[2]
                assert name in last, f"{path}: {match[0]}"


def test_private_names_are_there():
    assert torch.nn.modules.batchnorm._BatchNorm in torch.nn.BatchNorm2d.__mro__
    assert isinstance(torch.nn.Linear(1, 1)._buffers, dict)
    assert callable(pickle._Unpickler.find_class)


def test_files_of_tensors_are_read_in_one_place():
    for folder in ("pml_suprank", "recipes", "integrations", "studies"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path.name != "tensor_files.py":
                assert "torch.load(" not in path.read_text(), path
