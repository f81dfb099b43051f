"""The training loop of ``finetune``: steps, evaluations, checkpoints."""

from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from pml_suprank.integrations import require
from pml_suprank.integrations.fine_tuning import set_trainable
from pml_suprank.recipes.devices import choose_device, float64_device
from pml_suprank.recipes.engine.batches import BatchPlan, SeededItems, epoch_loader
from pml_suprank.recipes.engine.checkpoints import BEST, LAST, check_room, write_checkpoint
from pml_suprank.recipes.engine.components import Context
from pml_suprank.recipes.engine.data_identity import RunData
from pml_suprank.recipes.engine.evaluation import (
    Evaluation,
    check_monitor,
    evaluate_model,
    facts_of_sets,
)
from pml_suprank.recipes.engine.logs import RunLog
from pml_suprank.recipes.engine.model import CaptionedItems, JointModel, check_two_passes
from pml_suprank.recipes.engine.objective import Objective
from pml_suprank.recipes.engine.optimization import build_optimizers, build_schedulers
from pml_suprank.recipes.engine.parsing import ConfigError
from pml_suprank.recipes.engine.run_state import identity, restore, run_state
from pml_suprank.recipes.engine.settings import Settings
from pml_suprank.recipes.engine.steps import gradient_step
from pml_suprank.recipes.seeding import seed_everything

accelerate: Any = require("accelerate", extra="recipes")

__all__ = ["Trainer", "make_accelerator"]


def make_accelerator(precision: str = "no", device: str | torch.device = "auto") -> Any:
    """An ``Accelerator``; on the CPU it sees the processes of ``torchrun`` too, which its default does not.

    Args:
        precision: ``training.precision``.
        device: where to train; "auto" leaves accelerate's own settings their say.

    Raises:
        ConfigError: a precision or a device that the machine does not have, or others than before in this process or
            than accelerate is set to.
    """
    try:
        wanted = choose_device(device)
    except ValueError as error:
        raise ConfigError(f"--{error}") from error
    if precision == "fp16" and wanted.type == "cpu":
        raise ConfigError("training.precision: wanted no or bf16 without a GPU, got fp16")
    if wanted.index is not None and wanted.type == "cuda":
        torch.cuda.set_device(wanted)
    try:
        found = accelerate.Accelerator(mixed_precision=precision, cpu=wanted.type == "cpu")
    except ValueError as error:
        raise ConfigError(f"training.precision, --device: {error}") from error
    if device != "auto" and found.device.type != wanted.type:
        raise ConfigError(
            f"--device: wanted {found.device.type}, as accelerate is set, got {wanted}"
        )
    if wanted.index is not None and found.num_processes > 1:
        raise ConfigError(
            f"--device: wanted {wanted.type} for {found.num_processes} processes, each of which has its own, "
            f"got {wanted}"
        )
    return found


class Trainer:
    """Everything that changes while training.

    All randomness of a step (its batch, augmentation, dropout) is seeded from the seed, the epoch and the step, so
    that a checkpoint holds no generator states, and a run resumed after any step repeats the unbroken one.

    Args:
        settings: of the run.
        model: retrieval model.
        train_set: data set of (image, labels [L], index), with its transform.
        test_set: queries, with the evaluation transform.
        gallery_set: gallery; None for the queries.
        folder: of the run; None keeps nothing.
        accelerator: an ``accelerate.Accelerator``; None makes one.
        progress: whether to show progress bars.

    Attributes:
        epoch: whole epochs done.
        step: steps done of the epoch after it.
        best: epoch and value of the best evaluation by ``training.monitor``.
        log: what was recorded.
        data: the images of the run, by which a checkpoint knows them.

    Raises:
        ConfigError: settings that do not fit the data or the machine.
    """

    def __init__(
        self,
        settings: Settings,
        model: Any,
        train_set: Any,
        test_set: Any,
        gallery_set: Any = None,
        *,
        folder: Path | None = None,
        accelerator: Any = None,
        progress: bool = True,
    ):
        training = settings.training
        self.settings, self.folder = settings, folder
        self.accelerator = accelerator or make_accelerator(training.precision)
        self.is_main = self.accelerator.is_main_process
        self.progress = progress and self.is_main
        self.test_set, self.gallery_set = test_set, gallery_set
        parts = {"train": train_set, "test": test_set, "gallery": gallery_set}
        known = {name: part for name, part in parts.items() if part is not None}
        self.data = RunData(known, settings.data.root)
        levels = facts_of_sets(test_set, gallery_set)
        check_monitor(training.monitor, training.recall_at, levels)
        context = Context(train_set.hierarchy, model.embedding_size, len(train_set))
        processes = self.accelerator.num_processes
        self.objective = Objective(settings, context, processes).to(
            float64_device(self.accelerator.device)
        )
        self.plan = BatchPlan(
            settings.sampler, train_set.labels, training.batch_size, training.seed
        )
        items = CaptionedItems(train_set, model) if self.objective.captions else train_set
        self.items = SeededItems(items, training.seed)
        check_two_passes(settings, model)
        self.model = JointModel(model).to(self.accelerator.device)
        optimizers = build_optimizers(settings, model, self.objective)
        self.schedulers = build_schedulers(settings, optimizers, len(self))
        self.optimizers = [self.accelerator.prepare_optimizer(item) for item in optimizers]
        self.epoch = self.step = 0
        self.best: dict[str, Any] = {"epoch": None, "value": None}
        self.waited = 0
        self.log = RunLog(folder if self.is_main else None)
        self._parallel: nn.Module = self.model
        self._trainable: tuple[bool, ...] = ()

    def __len__(self) -> int:
        """Steps of an epoch."""
        return self.plan.batches_per_epoch

    @property
    def global_step(self) -> int:
        """Steps done."""
        return self.epoch * len(self) + self.step

    @property
    def is_done(self) -> bool:
        """Whether all epochs are done, or the patience is at its end."""
        patience = self.settings.training.patience
        out_of_patience = patience is not None and self.waited >= patience
        return self.epoch >= self.settings.training.epochs or out_of_patience

    def train(self) -> None:
        """Train what is left, evaluate, and keep the checkpoints up to date.

        Raises:
            CheckpointError: a checkpoint could not be written; the one before is whole.
            FloatingPointError: the loss is not finite.
        """
        training = self.settings.training
        while not self.is_done:
            epoch = self.epoch + 1
            self._train_epoch(epoch)
            self.epoch, self.step = epoch, 0
            if self.settings.schedule.interval == "epoch":
                self._advance(epoch)
            if epoch % training.evaluate_every == 0 or epoch == training.epochs:
                self.evaluate()
            self.save()
        self.log.close()

    def _train_epoch(self, epoch: int) -> None:
        self._thaw(epoch)
        settings, accelerator = self.settings, self.accelerator
        loader = epoch_loader(
            self.items,
            self.plan,
            epoch,
            first=self.step,
            rank=accelerator.process_index,
            processes=accelerator.num_processes,
            workers=settings.data.workers,
            pin_memory=accelerator.device.type == "cuda",
        )
        bar = tqdm(
            loader,
            desc=f"epoch {epoch} of {settings.training.epochs}",
            unit="step",
            initial=self.step,
            total=len(self),
            disable=not self.progress,
        )
        for batch in bar:
            start = perf_counter()
            loss = self._train_step(epoch, batch)
            self.step += 1
            rates = [scheduler.get_last_lr()[0] for scheduler in self.schedulers]
            if settings.schedule.interval == "step":
                self._advance(epoch)
            row = {"step": self.global_step, "epoch": epoch, "loss": loss, "lr": rates[0]}
            self.log.add_step(row | {"seconds": round(perf_counter() - start, 4)})
            bar.set_postfix(loss=f"{loss:.4f}")
            every = settings.training.checkpoint_every
            if every is not None and self.global_step % every == 0 and self.step < len(self):
                self.save()

    def _train_step(self, epoch: int, batch: Any) -> float:
        accelerator, training = self.accelerator, self.settings.training
        *inputs, labels, indices = (tensor.to(accelerator.device) for tensor in batch)
        seed_everything(training.seed, epoch, self.step, accelerator.process_index)
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
                f"step {self.global_step + 1}: wanted a finite loss, got {value}; a smaller optimizer.lr or "
                "training.clip_grad_norm may help"
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

    def _thaw(self, epoch: int) -> None:
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

    def _advance(self, epoch: int) -> None:
        if epoch > self.settings.model.freeze_epochs:
            for scheduler in self.schedulers:
                scheduler.step()

    def measure(self) -> Evaluation:
        """Evaluate the model as it is on the held-out images, in this process."""
        return evaluate_model(
            self.model.model,
            self.test_set,
            self.gallery_set,
            recall_at=self.settings.training.recall_at,
            epoch=self.epoch,
            workers=self.settings.data.workers,
            device=self.accelerator.device,
        )

    def evaluate(self) -> Evaluation:
        """Evaluate on the held-out images, and keep the weights if they are the best so far."""
        training = self.settings.training
        found = self.measure() if self.is_main else None
        shared = [None if found is None else found.metrics]
        if self.accelerator.num_processes > 1:
            torch.distributed.broadcast_object_list(shared)
        metrics = shared[0]
        assert metrics is not None
        self.log.add_evaluation(self.epoch, self.global_step, metrics)
        value = metrics[training.monitor]
        if self.epoch and (self.best["value"] is None or value > self.best["value"]):
            self.best, self.waited = {"epoch": self.epoch, "value": value}, 0
            if self.is_main and self.folder is not None:
                model = self.model.model
                content = {"model": model.state_dict(), "preprocessing": model.preprocessing}
                write_checkpoint(self.folder / BEST, content | identity(self))
        elif self.epoch:
            self.waited += 1
        return found or Evaluation(metrics, torch.empty(0), torch.empty(0))

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs."""
        return run_state(self)

    def check_room(self) -> None:
        """See that the run folder can be written to and has room, before any training."""
        if self.is_main and self.folder is not None:
            check_room(self.folder, self.state())

    def save(self) -> None:
        """Write the checkpoint to go on from."""
        if self.is_main and self.folder is not None:
            self.log.write()
            write_checkpoint(self.folder / LAST, self.state())
        self.accelerator.wait_for_everyone()

    def load(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            CheckpointError: the file is damaged, or belongs to other settings, data or number of processes.
        """
        restore(self, path)
        self.log.close()
        rows = self.log.history, self.log.evaluations
        self.log = RunLog(self.folder if self.is_main else None, self.global_step + 1)
        self.log.history, self.log.evaluations = rows
