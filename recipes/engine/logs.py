"""What a run records: CSV files, and TensorBoard where it is installed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pml_suprank.recipes.files import write_csv

__all__ = ["RunLog"]


class RunLog:
    """``history.csv`` (a row for each step), ``evaluations.csv`` (one for each evaluation), ``tensorboard/``.

    The rows are part of the checkpoint, so that a resumed run has each of them once.

    Args:
        folder: of the run; None records nothing on disk (all but the main process).
        first_step: TensorBoard forgets what a run that was cut off wrote from this step on.

    Attributes:
        history: rows of ``history.csv``.
        evaluations: rows of ``evaluations.csv``.
    """

    def __init__(self, folder: Path | None, first_step: int = 0):
        self.folder = folder
        self.history: list[dict[str, Any]] = []
        self.evaluations: list[dict[str, Any]] = []
        self._first_step = first_step
        self._writer: Any = None

    @property
    def _board(self) -> Any:
        """TensorBoard's writer, made when there is something to write; None without TensorBoard or folder."""
        if self._writer is None and self.folder is not None:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                return None
            self._writer = SummaryWriter(
                str(self.folder / "tensorboard"), purge_step=self._first_step
            )
        return self._writer

    def add_step(self, row: dict[str, Any]) -> None:
        """Record a step: step, epoch, loss, lr, seconds."""
        self.history.append(row)
        if self._board is not None:
            self._board.add_scalar("train/loss", row["loss"], row["step"])
            self._board.add_scalar("train/lr", row["lr"], row["step"])

    def add_evaluation(self, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        """Record an evaluation on the held-out images."""
        self.evaluations.append({"epoch": epoch, "split": "test", **metrics})
        if self._board is not None:
            for name, value in metrics.items():
                self._board.add_scalar(f"test/{name}", value, step)
        self.write()

    def write(self) -> None:
        """Bring the files up to date."""
        if self.folder is None:
            return
        if self.history:
            write_csv(self.folder / "history.csv", self.history)
        if self.evaluations:
            write_csv(self.folder / "evaluations.csv", self.evaluations)
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        self.write()
        if self._writer is not None:
            self._writer.close()
