"""A word about proxies that nobody trains."""

import gc
import warnings
from typing import Any

import torch
from torch import Tensor, nn

_STEPS = 20
"""Steps with a gradient before the warning."""
_SAMPLE = 4096
"""Numbers of a parameter that are looked at."""
_CHANGES = 3
"""Changes after which nothing more is looked at."""


class _Watch:
    """How long the parameters of a module have had gradients and stayed as they are."""

    def __init__(self) -> None:
        self.steps = self.changes = 0
        self.stamps: list[tuple[int, int]] = []
        self.samples: list[Tensor] = []

    def is_over(self) -> bool:
        return self.changes >= _CHANGES or self.steps > _STEPS


def notice_untrained(module: Any) -> None:
    """Warn once when parameters have gradients step after step, but do not change and are in no optimizer.

    Called in each forward pass. Passes count in training mode where the parameters have gradients from earlier
    ones. Gradients that are gathered over many passes, or steps that a gradient scaler leaves out, are no reason: then
    an optimizer holds the parameters. Nor are gradients where nothing is trained: then there is no optimizer.
    """
    watch: _Watch = module.__dict__.setdefault("_training_watch", _Watch())
    if watch.is_over() or not module.training or not torch.is_grad_enabled():
        return
    if torch.compiler.is_compiling():
        return
    named = {name: p for name, p in module.named_parameters() if p.requires_grad and p.is_leaf}
    if not named or any(p.grad is None for p in named.values()):
        return
    parameters = list(named.values())
    stamps = [(p._version, p.data_ptr()) for p in parameters]
    if stamps != watch.stamps:
        watch.changes += bool(watch.stamps)
        watch.stamps, watch.steps = stamps, 0
        watch.samples = [_sample(p) for p in parameters]
    watch.steps += 1
    if watch.steps <= _STEPS:
        return
    same = all(map(torch.equal, watch.samples, map(_sample, parameters)))
    watch.samples = []
    if not same or not _are_left_out(parameters):
        return
    warnings.warn(
        f"{type(module).__name__}: {', '.join(named)} had gradients in {_STEPS} steps, but no optimizer holds "
        "them: they stay as they were initialised. Give the loss's parameters() to an optimizer (PML's trainers take "
        "it as metric_loss_optimizer), or call requires_grad_(False) on the loss to keep them so",
        stacklevel=4,
    )


def _sample(parameter: nn.Parameter) -> Tensor:
    """Return some of the numbers: old optimizers write to ``data``, which leaves no other trace."""
    step = max(1, parameter.numel() // _SAMPLE)
    return parameter.detach().reshape(-1)[::step].clone()


def _are_left_out(parameters: list[nn.Parameter]) -> bool:
    """Whether there are optimizers in the process, and none holds one of the parameters."""
    wanted = {id(parameter) for parameter in parameters}
    kinds = (each for each in gc.get_objects() if issubclass(type(each), torch.optim.Optimizer))
    groups = [group for each in kinds for group in getattr(each, "param_groups", [])]
    return bool(groups) and not any(
        id(held) in wanted for group in groups for held in group["params"]
    )
