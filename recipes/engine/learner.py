"""What learns: model and objective, with what moves them by one step."""

from typing import Any

import torch
from torch import Tensor, nn

from pml_suprank.integrations.fine_tuning import set_trainable
from pml_suprank.recipes.devices import float64_device
from pml_suprank.recipes.engine.components import Context
from pml_suprank.recipes.engine.model import JointModel, check_two_passes
from pml_suprank.recipes.engine.objective import Objective
from pml_suprank.recipes.engine.optimization import build_optimizers, build_schedulers
from pml_suprank.recipes.engine.settings import Settings
from pml_suprank.recipes.engine.steps import gradient_step

__all__ = ["Learner"]


class Learner:
    """A model and an objective, their optimisers and schedules.

    Args:
        settings: of the run.
        model: retrieval model.
        context: of the training data.
        accelerator: an ``accelerate.Accelerator``.
        steps_per_epoch: for the schedules.

    Raises:
        ConfigError: settings that do not fit the data or the model.
    """

    def __init__(
        self,
        settings: Settings,
        model: Any,
        context: Context,
        accelerator: Any,
        steps_per_epoch: int,
    ):
        self.settings, self.accelerator = settings, accelerator
        self.objective = Objective(settings, context, accelerator.num_processes).to(
            float64_device(accelerator.device)
        )
        check_two_passes(settings, model)
        self.model = JointModel(model).to(accelerator.device)
        optimizers = build_optimizers(settings, model, self.objective)
        self.schedulers = build_schedulers(settings, optimizers, steps_per_epoch)
        self.optimizers = [accelerator.prepare_optimizer(item) for item in optimizers]
        self._parallel: nn.Module = self.model
        self._trainable: tuple[bool, ...] = ()

    def step(self, batch: Any) -> float:
        """Learn from the share of a batch that this process has.

        Args:
            batch: inputs, labels [B, L], and places in the training set [B].

        Returns:
            The loss of the whole batch.

        Raises:
            FloatingPointError: it is not finite; nothing was learned.
        """
        accelerator, training = self.accelerator, self.settings.training
        *inputs, labels, indices = (tensor.to(accelerator.device) for tensor in batch)
        self._parallel.train()
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        loss = gradient_step(
            self._parallel,
            tuple(inputs),
            lambda embeddings: self._loss(embeddings, labels, indices),
            micro_batch_size=training.micro_batch_size,
            backward=accelerator.backward,
            no_sync=lambda: accelerator.no_sync(self._parallel),
        )
        value = float(loss) / accelerator.num_processes
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"wanted a finite loss, got {value}; a smaller optimizer.lr or training.clip_grad_norm may help"
            )
        self._share_loss_gradients()
        if training.clip_grad_norm is not None:
            accelerator.clip_grad_norm_(self.model.parameters(), training.clip_grad_norm)
        for optimizer in self.optimizers:
            optimizer.step()
        return value

    def _loss(self, embeddings: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        """The loss of a batch, on a device that has float64."""
        home = float64_device(embeddings.device)
        loss = self.objective(embeddings.to(home), labels.to(home), indices.to(home))
        return loss.to(embeddings.device)

    def _share_loss_gradients(self) -> None:
        """The loss stands outside of data-parallel training: give all processes the same gradient."""
        processes = self.accelerator.num_processes
        if processes > 1:
            for parameter in self.objective.parameters():
                if parameter.grad is not None:
                    mean = self.accelerator.reduce(parameter.grad, "mean")
                    parameter.grad = mean / processes

    def thaw(self, epoch: int) -> None:
        """Train the layers that this epoch trains."""
        model = self.settings.model
        head_only = epoch <= model.freeze_epochs
        set_trainable(
            self.model.model,
            0 if head_only else model.trainable_layers,
            text=self.objective.captions,
        )
        trainable = tuple(parameter.requires_grad for parameter in self.model.parameters())
        if trainable != self._trainable:
            self._trainable = trainable
            self._parallel = self.accelerator.prepare_model(self.model)

    def advance(self, epoch: int) -> None:
        """Move the schedules on, which wait while the backbone is frozen."""
        if epoch > self.settings.model.freeze_epochs:
            for scheduler in self.schedulers:
                scheduler.step()

    @property
    def rate(self) -> float:
        """The learning rate of the first group of the first optimiser."""
        return float(self.schedulers[0].get_last_lr()[0])
