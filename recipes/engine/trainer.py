"""The training loop of ``finetune``: steps, evaluations, checkpoints."""

from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from pml_suprank.recipes.engine.accelerator import make_accelerator
from pml_suprank.recipes.engine.batches import BatchPlan, SeededItems, epoch_loader
from pml_suprank.recipes.engine.checkpoints import BEST, LAST, check_room, write_checkpoint
from pml_suprank.recipes.engine.components import Context
from pml_suprank.recipes.engine.data_identity import RunData
from pml_suprank.recipes.engine.held_out import (
    Evaluation,
    check_monitor,
    evaluate_model,
    facts_of_sets,
    monitored,
)
from pml_suprank.recipes.engine.interruption import Interrupted, Interruption
from pml_suprank.recipes.engine.learner import Learner
from pml_suprank.recipes.engine.logs import RunLog
from pml_suprank.recipes.engine.model import CaptionedItems
from pml_suprank.recipes.engine.objective import check_memory_size
from pml_suprank.recipes.engine.run_state import identity, restore, run_state
from pml_suprank.recipes.engine.settings import Settings
from pml_suprank.recipes.engine.text_evaluation import reads_captions
from pml_suprank.recipes.progress import progress_bar
from pml_suprank.recipes.seeding import seed_everything

__all__ = ["Trainer"]


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
        monitor: metric that chooses the best evaluation.
        best: epoch and value of the best evaluation by ``monitor``.
        best_found: that evaluation; None before it, and in a resumed run until there is a better one.
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
        texts = reads_captions(model, test_set)
        self.monitor = monitored(training, texts)
        check_monitor(self.monitor, training.recall_at, levels, texts=texts)
        self.plan = BatchPlan(
            settings.sampler,
            train_set.labels,
            training.batch_size,
            training.seed,
            self.accelerator.num_processes,
        )
        check_memory_size(settings, self.plan.batch_size)
        context = Context(train_set.hierarchy, model.embedding_size, len(train_set))
        self.learner = Learner(settings, model, context, self.accelerator, len(self))
        self.model, self.objective = self.learner.model, self.learner.objective
        items = CaptionedItems(train_set, model) if self.objective.captions else train_set
        self.items = SeededItems(items, training.seed)
        self.epoch = self.step = 0
        self.best: dict[str, Any] = {"epoch": None, "value": None}
        self.best_found: Evaluation | None = None
        self.waited = 0
        self.interruption = Interruption(
            self.accelerator.num_processes == 1  # several would wait for each other
        )
        self.log = RunLog(folder if self.is_main else None)

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

        Ctrl-C ends the step at work, or the evaluation, and writes a checkpoint of it; a second one ends at once.

        Raises:
            CheckpointError: a checkpoint could not be written; the one before is whole.
            FloatingPointError: the loss is not finite.
            KeyboardInterrupt: Ctrl-C.
        """
        with self.interruption.watched():
            try:
                while not self.is_done:
                    self._train_epoch(self.epoch + 1)
                    self._end_epoch(self.epoch + 1)
            except Interrupted:
                self.save()
                raise
        self.log.close()

    def _end_epoch(self, epoch: int) -> None:
        """Evaluate after an epoch and keep it; cut off while it evaluates, a run goes on with the evaluation."""
        training = self.settings.training
        is_due = epoch % training.evaluate_every == 0 or epoch == training.epochs
        found = self._measured() if is_due else None
        with self.interruption.held():
            self.epoch, self.step = epoch, 0
            if self.settings.schedule.interval == "epoch":
                self.learner.advance(epoch)
            if found is not None:
                self._keep(found)
        self.save()

    def _train_epoch(self, epoch: int) -> None:
        self.learner.thaw(epoch)
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
        bar = progress_bar(
            f"epoch {epoch} of {settings.training.epochs}",
            "step",
            loader,
            initial=self.step,
            total=len(self),
            shown=self.progress,
        )
        for batch in bar:
            with self.interruption.held():
                loss = self._train_step(epoch, batch)
            bar.set_postfix(loss=f"{loss:.4f}")
            every = settings.training.checkpoint_every
            if every is not None and self.global_step % every == 0 and self.step < len(self):
                self.save()

    def _train_step(self, epoch: int, batch: Any) -> float:
        """A step, with all that is counted and recorded of it."""
        start = perf_counter()
        seed_everything(
            self.settings.training.seed, epoch, self.step, self.accelerator.process_index
        )
        try:
            loss = self.learner.step(batch)
        except FloatingPointError as error:
            raise FloatingPointError(f"step {self.global_step + 1}: {error}") from None
        self.step += 1
        rate = self.learner.rate
        if self.settings.schedule.interval == "step":
            self.learner.advance(epoch)
        row = {"step": self.global_step, "epoch": epoch, "loss": loss, "lr": rate}
        self.log.add_step(row | {"seconds": round(perf_counter() - start, 4)})
        return loss

    def measure(self, *, of_trunk: bool = False) -> Evaluation:
        """Evaluate the model as it is on the held-out images, in this process.

        Args:
            of_trunk: rank by the features of the backbone, without the embedding on top.
        """
        return evaluate_model(
            self.model.model,
            self.test_set,
            self.gallery_set,
            recall_at=self.settings.training.recall_at,
            workers=self.settings.data.workers,
            device=self.accelerator.device,
            of_trunk=of_trunk,
        )

    def evaluate(self, *, of_trunk: bool = False) -> Evaluation:
        """Evaluate on the held-out images, and keep the weights if they are the best so far.

        Args:
            of_trunk: see :meth:`measure`.
        """
        found = self._measured(of_trunk)
        self._keep(found)
        return found

    def _measured(self, of_trunk: bool = False) -> Evaluation:
        """What the main process measures; the others, which wait for it, get its metrics or its error."""
        if self.accelerator.num_processes == 1:
            return self.measure(of_trunk=of_trunk)
        found: Evaluation | Exception | None = None
        if self.is_main:
            try:
                found = self.measure(of_trunk=of_trunk)
            except Exception as error:  # raised below, once the others know
                found = error
        is_error = isinstance(found, Exception)
        shared: list[Any] = [f"process 0: {found}" if is_error else getattr(found, "metrics", None)]
        torch.distributed.broadcast_object_list(shared)
        if isinstance(found, Exception):
            raise found
        if isinstance(shared[0], str):
            raise RuntimeError(shared[0])
        return found or Evaluation(shared[0], torch.empty(0), torch.empty(0))

    def _keep(self, found: Evaluation) -> None:
        """Record an evaluation, and the weights where it is the best so far."""
        self.log.add_evaluation(self.epoch, self.global_step, found.metrics)
        value = found.metrics[self.monitor]
        if not self.epoch:
            return
        if self.best["value"] is not None and value <= self.best["value"]:
            self.waited += 1
            return
        self.best, self.best_found = {"epoch": self.epoch, "value": value}, found
        self.waited = 0
        if self.is_main and self.folder is not None:
            model = self.model.model
            content = {"model": model.state_dict(), "preprocessing": model.preprocessing}
            write_checkpoint(self.folder / BEST, content | identity(self))

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs."""
        return run_state(self)

    def check_room(self) -> None:
        """See that the run folder can be written to and has room, before any training."""
        if self.is_main and self.folder is not None:
            check_room(self.folder, self.state())

    def save(self) -> None:
        """Write the checkpoint to go on from."""
        with self.interruption.held():  # a file that Ctrl-C cuts off would read as a full disk
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
