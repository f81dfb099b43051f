"""What a module says of a name that it does not have: where PyTorch Metric Learning (PML) has it."""

import sys
from importlib import import_module
from types import FrameType

PML_MODULES = (
    "datasets", "distances", "losses", "miners", "reducers", "regularizers", "samplers", "testers", "trainers", "utils",
)  # fmt: skip
"""Where PML's users look for names."""


def missing_name(module: str, name: str) -> AttributeError | ImportError:
    """Return the error for ``module.name``; where PML has such a name, it says what to import.

    Called by the ``__getattr__`` of the module. In ``from module import name``, Python drops the message of an
    AttributeError: where PML has the name, that statement gets an ImportError.

    Args:
        module: a module of this library, under the name that PML's module has: "pml_suprank.losses", say.
        name: what was looked for in it.
    """
    message = unknown = f"module {module!r} has no attribute {name!r}"
    part = module.partition(".")[2]
    theirs = f"pytorch_metric_learning.{part}" if part else "pytorch_metric_learning"
    if name.startswith("_"):
        return AttributeError(message, name=name)
    if not part and name in PML_MODULES:
        message += f": it is PML's; write `from {theirs} import {name}`"
    elif part in PML_MODULES:
        try:
            is_theirs = isinstance(getattr(import_module(theirs), name, None), type)
        except ImportError:
            is_theirs = False
        if is_theirs:
            message += (
                f": this library's {part} stand beside PML's, not in their place; "
                f"write `from {theirs} import {name}`"
            )
    if message != unknown and _is_import(sys._getframe(2)):
        return ImportError(message, name=module)
    return AttributeError(message, name=name)


def _is_import(asking: FrameType) -> bool:
    """Whether the frame that asks a package for an attribute is that of ``from package import name``."""
    code = asking.f_code
    return code.co_name == "_handle_fromlist" and "importlib" in code.co_filename
