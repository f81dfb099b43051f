"""What each of two processes asserts, run by test_set_ups.py as ``python -m tests.samplers.set_ups NAME``.

The code of docs/samplers.md runs as it stands there, on a data set that notes which samples it is asked for.
"""

import copy
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch.utils.data import DataLoader, Dataset, DistributedSampler, TensorDataset

from pml_suprank.samplers import HierarchicalSampler

PAGE = Path(__file__).parents[2] / "docs" / "samplers.md"
BATCH = 16
Batches = list[list[int]]


class Noted(Dataset):
    """A data set that notes the samples it is asked for."""

    def __init__(self, dataset: TensorDataset):
        self.dataset, self.asked = dataset, []

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        self.asked.append(index)
        return self.dataset[index]

    def batches(self) -> Batches:
        """Batches since the last call."""
        taken = [self.asked[i : i + BATCH] for i in range(0, len(self.asked), BATCH)]
        self.asked.clear()
        return taken


def page() -> tuple[dict[str, Any], list[str]]:
    """Names of the page's first block, and its blocks for several processes."""
    text = PAGE.read_text()
    first = re.search(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert first is not None
    names: dict[str, Any] = {}
    exec(first[1], names)
    names["dataset"] = Noted(names["dataset"])
    blocks = re.findall(r"^```py\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return names, blocks


NAMES, (TORCH, LIGHTNING, ACCELERATE, RESUME) = page()
DATA: Noted = NAMES["dataset"]


def built(labels: Any = None, batch_size: int = BATCH, **options: Any) -> HierarchicalSampler:
    labels = NAMES["labels"] if labels is None else labels
    return HierarchicalSampler(labels, batch_size, (4, 2), hierarchy=NAMES["tree"], **options)


def epochs(number: int, **options: Any) -> list[Batches]:
    sampler = built(**options)
    return [list(sampler) for _ in range(number)]


def error_of(call: Callable[[], Any]) -> str:
    try:
        call()
    except ValueError as error:
        return str(error)
    raise AssertionError("wanted a ValueError")


def run_torch() -> None:
    early = built()
    assert (early.rank, early.world_size, len(early)) == (0, 1, 17)
    too_large = built(torch.arange(40) % 7, batch_size=24)
    assert len(too_large) == 1
    other = copy.deepcopy(early)
    next(iter(other))
    of_one = other.state_dict()

    exec(TORCH, NAMES)
    rank = distributed.get_rank()
    own = epochs(2, rank=rank, world_size=2)
    assert DATA.batches() == own[0]
    assert (early.rank, early.world_size, len(early), early.batches_per_epoch) == (rank, 2, 8, 8)
    for call in (lambda: len(too_large), lambda: next(iter(too_large))):
        assert "in 2 processes; nearest 16, got 24" in error_of(call)

    # a state of two processes, loaded before they are two, is good; one of a single process is not
    early.set_epoch(1)
    running = iter(early)
    assert [next(running) for _ in range(3)] == own[1][:3]
    state = early.state_dict()
    assert state["settings"]["world_size"] == 2
    assert "wanted world_size 2 as in this sampler, got 1" in error_of(
        lambda: built().load_state_dict(of_one)
    )
    distributed.barrier()
    distributed.destroy_process_group()
    assert early.state_dict() == state  # still counted in batches of one of two
    resumed, mistaken = built(), built()
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    mistaken.load_state_dict(of_one)
    assert "wanted world_size 1 as in this sampler, got 2" in error_of(lambda: next(iter(resumed)))
    store = f"file://{Path('again').absolute()}"
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    assert "wanted world_size 2 as in this sampler, got 1" in error_of(lambda: next(iter(mistaken)))
    assert list(resumed) == own[1][3:]
    for workers in (0, 1):
        loader = DataLoader(
            NAMES["dataset"].dataset,
            batch_sampler=built(),
            num_workers=workers,
            persistent_workers=workers > 0,
        )
        for epoch in (1, 0):
            loader.batch_sampler.set_epoch(epoch)
            classes = [batch[1].tolist() for batch in loader]
            assert classes == [NAMES["labels"][batch].tolist() for batch in own[epoch]]
    distributed.barrier()
    distributed.destroy_process_group()


def run_accelerate() -> None:
    whole = epochs(2, rank=0, world_size=1)
    exec(ACCELERATE, NAMES)
    accelerator, sampler, loader = NAMES["accelerator"], NAMES["sampler"], NAMES["loader"]
    rank = accelerator.process_index
    assert accelerator.num_processes == 2
    own = [batches[rank:16:2] for batches in whole]
    assert DATA.batches() == own[0]
    assert (len(sampler), len(loader), sampler.world_size) == (17, 8, 1)
    list(loader)
    assert DATA.batches() == own[1]

    exec(RESUME, NAMES)
    assert DATA.batches() == own[1][5:]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sampler.set_epoch(7)  # but accelerate has come to another one
        list(loader)
    assert any("call loader.set_epoch(7)" in str(warning.message) for warning in caught)
    DATA.batches()

    def loaded(**options: Any) -> DataLoader:
        return DataLoader(DATA, batch_sampler=built(**options))

    skipping = accelerator.skip_first_batches(accelerator.prepare(loaded()), 3)
    list(skipping)
    assert DATA.batches() == own[0][3:]
    assert "accelerator.prepare(loader)" in error_of(lambda: list(loaded()))
    two = {"rank": rank, "world_size": 2}
    assert "accelerate deals out" in error_of(lambda: list(accelerator.prepare(loaded(**two))))
    list(loaded(**two))
    assert DATA.batches() == epochs(1, **two)[0]
    list(accelerator.prepare(loaded(rank=0, world_size=1)))
    assert DATA.batches() == own[0]

    accelerator.dataloader_config.split_batches = True
    half = slice(rank * BATCH // 2, (rank + 1) * BATCH // 2)
    list(accelerator.prepare(loaded()))
    shares = [index for batch in whole[0] for index in batch[half]]
    assert [index for batch in DATA.batches() for index in batch] == shares
    accelerator.dataloader_config.split_batches = False
    accelerator.dataloader_config.dispatch_batches = True
    dispatched = accelerator.prepare(loaded(batches_per_epoch=16))
    classes = [batch[1].tolist() for batch in dispatched]
    assert len(dispatched) == len(classes) == 8
    assert classes == [NAMES["labels"][batch].tolist() for batch in own[0]]
    assert DATA.batches() == (whole[0][:16] if rank == 0 else [])
    accelerator.wait_for_everyone()
    distributed.destroy_process_group()


def run_lightning() -> None:
    import lightning

    class Model(lightning.LightningModule):
        def __init__(self, loader: Callable[[], DataLoader] | None = None):
            super().__init__()
            self.linear = torch.nn.Linear(8, 1)
            if loader is not None:
                self.train_dataloader = loader

        def training_step(self, batch: Any, _: int) -> torch.Tensor:
            return self.linear(batch[0]).mean()

        def forward(self, batch: Any) -> torch.Tensor:
            return self.linear(batch[0])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    NAMES["model"] = Model()
    exec(LIGHTNING, NAMES)
    trainer, sampler = NAMES["trainer"], NAMES["sampler"]
    rank = trainer.global_rank
    own = epochs(4, rank=rank, world_size=2)
    assert DATA.batches() == own[0] + own[1]
    assert (sampler.rank, len(sampler)) == (rank, 8)

    options: dict[str, Any] = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False}
    two = options | {"devices": 2, "strategy": "ddp"}
    trainer.save_checkpoint("two_epochs.ckpt")
    longer = lightning.Trainer(max_epochs=4, use_distributed_sampler=False, **two)
    longer.fit(Model(), DataLoader(DATA, batch_sampler=built()), ckpt_path="two_epochs.ckpt")
    assert DATA.batches() == own[2] + own[3]

    def in_hook() -> DataLoader:
        return DataLoader(DATA, batch_sampler=built())

    def hook_of_an_old_one() -> DataLoader:
        return DataLoader(DATA, batch_sampler=sampler)

    for model, loader in (
        (Model(), NAMES["loader"]),
        (Model(in_hook), None),
        (Model(hook_of_an_old_one), None),
    ):
        usual = lightning.Trainer(max_epochs=1, **two)
        message = error_of(lambda m=model, loader=loader, t=usual: t.fit(m, loader))
        assert "Trainer(use_distributed_sampler=False)" in message
        assert DistributedSampler.__name__ in message
    lonely = lightning.Trainer(devices=1, **options)
    message = error_of(lambda: lonely.predict(Model(), NAMES["loader"]))
    assert "predict with a loader without this sampler" in message


if __name__ == "__main__":
    {"torch": run_torch, "accelerate": run_accelerate, "lightning": run_lightning}[sys.argv[1]]()
