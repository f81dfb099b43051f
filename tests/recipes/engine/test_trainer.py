"""Training that goes on exactly, on several processes too, and never loses the last checkpoint."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp
import yaml

from pml_suprank.recipes.engine.checkpoints import LAST, CheckpointError, read_checkpoint
from pml_suprank.recipes.engine.encoder import build_model, model_transforms
from pml_suprank.recipes.engine.parsing import ConfigError, settings_from
from pml_suprank.recipes.engine.sets import load_sets
from pml_suprank.recipes.engine.settings import Settings
from pml_suprank.recipes.engine.trainer import Trainer
from pml_suprank.recipes.seeding import seed_everything
from tests.recipes.engine.tiny_runs import content

VARIANTS: dict[str, dict[str, Any]] = {
    "happier": {},
    "queue": {
        "loss": {"name": "SupAPLoss", "options": {"level": 1}},
        "memory": {"kind": "cross_batch", "size": 16, "options": {"warmup": 1}},
    },
    "dataset": {"loss": {"name": "SupHAPLoss"}, "memory": {"kind": "dataset"}},
    "mined": {
        "loss": {"name": "MultiSimilarityLoss"},
        "miner": {"name": "HierarchicalMultiSimilarityMiner"},
    },
    "drop path": {"model": {"options": {"drop_path_rate": 0.5}}, "data": {"workers": 1}},
    "proxies": {"loss": {"name": "ProxyAnchorLoss"}, "loss_optimizer": {"name": "Adam", "lr": 0.1}},
}


def build(settings: Settings, folder: Path | None = None, dtype: Any = torch.float32) -> Trainer:
    torch.set_num_threads(1)
    sets = load_sets(settings)
    seed_everything(settings.training.seed)
    model = build_model(settings.model).to(dtype)
    if dtype != torch.float32:
        model.trunk.register_forward_pre_hook(lambda module, args: args[0].to(dtype))
    augment, transform = model_transforms(model, settings.model)
    return Trainer(
        settings,
        model,
        sets.train.with_transform(augment),
        sets.test.with_transform(transform),
        folder=folder,
        progress=False,
    )


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    state = trainer.state()
    return {
        f"{part}.{name}": value.clone()
        for part in ("model", "objective")
        for name, value in state[part].items()
        if isinstance(value, torch.Tensor)
    }


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_run_that_was_cut_off_ends_like_an_unbroken_one(
    variant: str, photos: Path, tmp_path: Path
) -> None:
    changes = VARIANTS[variant] | {
        "training": {"checkpoint_every": 1, "epochs": 2, "batch_size": 8, "threads": 1},
        "schedule": {"warmup": 2},
        "model": {"freeze_epochs": 1}
        if variant == "happier"
        else VARIANTS[variant].get("model", {}),
    }
    settings = settings_from(content(photos, **changes))
    unbroken = build(settings, tmp_path / "a")
    unbroken.save()
    unbroken.train()

    cut = build(settings, tmp_path / "b")
    cut.save()
    steps = iter(range(100))
    original = cut.learner.step

    def stop(batch: Any) -> float:
        if next(steps) == 6:  # the third step of the second epoch
            raise KeyboardInterrupt
        return original(batch)

    cut.learner.step = stop  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        cut.train()
    torch.rand(5)
    again = build(settings, tmp_path / "b")
    again.load(tmp_path / "b" / LAST)
    assert (again.epoch, again.step) == (1, 2)
    again.train()
    assert_same(weights(unbroken), weights(again))
    drop = {"seconds"}
    for name in ("history", "evaluations"):
        rows = [getattr(trainer.log, name) for trainer in (unbroken, again)]
        kept = [[{k: v for k, v in row.items() if k not in drop} for row in part] for part in rows]
        assert kept[0] == kept[1]
    assert again.best == unbroken.best
    for file in ("history.csv", "evaluations.csv"):
        assert len((tmp_path / "b" / file).read_text().splitlines()) > 2


@pytest.mark.parametrize(
    ("place", "kept"), [("step", (1, 3)), ("loading", (1, 2)), ("evaluation", (1, 4))]
)
@pytest.mark.parametrize("interval", ["step", "epoch"])
def test_ctrl_c_keeps_the_step(
    place: str, interval: str, kept: tuple[int, int], photos: Path, tmp_path: Path
) -> None:
    """SIGINT in the second epoch: in its third step, before it, or in the evaluation at its end."""
    settings = settings_from(content(photos, schedule={"interval": interval}))
    unbroken = build(settings)
    unbroken.train()

    cut = build(settings, tmp_path)
    before = signal.getsignal(signal.SIGINT)
    part, name, moment = {
        "step": (cut.learner, "_loss", 7),
        "loading": (cut.items, "__getitem__", 6 * 8 + 3),
        "evaluation": (cut, "measure", 2),
    }[place]
    calls = iter(range(1, 1000))

    def patched(original: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            if next(calls) == moment:
                os.kill(os.getpid(), signal.SIGINT)
            return original(*args, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signal, "default_int_handler", before)  # as in a process of its own
        if place == "loading":
            original = type(part).__getitem__
            patch.setattr(type(part), name, patched(original))
        else:
            patch.setattr(part, name, patched(getattr(part, name)))
        with pytest.raises(KeyboardInterrupt):
            cut.train()
    assert signal.getsignal(signal.SIGINT) is before
    again = build(settings, tmp_path)
    again.load(tmp_path / LAST)
    assert (again.epoch, again.step) == kept
    again.train()
    assert_same(weights(unbroken), weights(again))
    assert [row["loss"] for row in again.log.history] == [
        row["loss"] for row in unbroken.log.history
    ]
    assert again.log.evaluations == unbroken.log.evaluations
    assert again.best == unbroken.best


def test_a_second_ctrl_c_ends_at_once(photos: Path, tmp_path: Path) -> None:
    trainer = build(settings_from(content(photos)), tmp_path)
    trainer.save()

    def impatient(batch: Any) -> float:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("the second one was not heard")

    trainer.learner.step = impatient  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert read_checkpoint(tmp_path / LAST)["step"] == 0


def test_training_moves_what_it_should(photos: Path) -> None:
    settings = settings_from(content(photos, model={"freeze_epochs": 1}, training={"epochs": 2}))
    trainer = build(settings)
    before = weights(trainer)
    trainer._train_epoch(1)
    first = weights(trainer)
    moved = {name for name in before if not torch.equal(before[name], first[name])}
    assert moved
    assert not any("trunk" in name for name in moved)
    assert any("embedder" in name for name in moved)
    assert any(name.startswith("objective.") for name in moved)
    trainer.step = 0
    trainer._train_epoch(2)
    now = weights(trainer)
    assert any("trunk" in name and not torch.equal(first[name], now[name]) for name in now)
    assert not any("running" in name and not torch.equal(before[name], now[name]) for name in now)


def test_schedules_wait_for_frozen_epochs(photos: Path) -> None:
    settings = settings_from(
        content(
            photos,
            model={"freeze_epochs": 1},
            training={"epochs": 3},
            schedule={"interval": "epoch"},
            optimizer={"lr": 1e-3, "head_lr": 2e-3},
        )
    )
    trainer = build(settings)
    trainer.train()
    rates = {row["epoch"]: row["lr"] for row in trainer.log.history}
    assert rates == pytest.approx({1: 1e-3, 2: 1e-3, 3: 5e-4})
    assert [group["lr"] for group in trainer.learner.optimizers[0].param_groups] == pytest.approx(
        [0.0] * len(trainer.learner.optimizers[0].param_groups)
    )


def test_learning_rates_that_follow_from_the_first(photos: Path) -> None:
    """Head and proxies start at random, so that they take longer steps."""

    def rates(**optimizer: float) -> dict[str, float]:
        trainer = build(settings_from(content(photos, optimizer=optimizer)))
        (optimizer_,) = trainer.learner.optimizers
        return {group["name"]: group["initial_lr"] for group in optimizer_.param_groups}

    usual = rates(lr=1e-3)
    assert sorted(set(usual.values())) == pytest.approx([1e-3, 3e-3, 1e-2])
    assert usual["loss"] == max(usual.values())
    own = rates(lr=1e-3, head_lr=2e-3, loss_lr=5e-3)
    assert sorted(set(own.values())) == pytest.approx([1e-3, 2e-3, 5e-3])
    assert own["loss"] == max(own.values())


def test_a_queue_holds_whole_batches_of_the_usual_size(photos: Path) -> None:
    changes = {"training": {"batch_size": None}, "memory": {"kind": "cross_batch", "size": 20}}
    with pytest.raises(ConfigError, match="memory.size: wanted (a multiple of|at least) the batch"):
        build(settings_from(content(photos, **changes)))


def test_patience(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_from(content(photos, training={"epochs": 9, "patience": 2}))
    trainer = build(settings)
    values = iter([0.3, 0.5, 0.4, 0.5, 0.9])

    def measure(**_: Any) -> Any:
        from pml_suprank.recipes.engine.held_out import Evaluation

        metrics = {"hierarchical_average_precision": next(values)}
        return Evaluation(metrics, torch.empty(0), torch.empty(0))

    monkeypatch.setattr(trainer, "measure", measure)
    trainer.train()
    assert trainer.epoch == 4
    assert trainer.best == {"epoch": 2, "value": 0.5}


def test_two_passes_train_like_one(photos: Path) -> None:
    found = []
    for size in (None, 3):
        changes = {"training": {"epochs": 1, "micro_batch_size": size}}
        trainer = build(
            settings_from(content(photos, **changes, optimizer={"name": "SGD", "lr": 0.1})),
            dtype=torch.double,
        )
        trainer.objective.double()
        trainer._train_epoch(1)
        found.append(weights(trainer))
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, rtol=1e-6, atol=1e-8)
    with pytest.raises(
        ConfigError, match="model.freeze_batch_norm: wanted true with training.micro"
    ):
        build(settings_from(content(photos, **changes, model={"freeze_batch_norm": False})))


def train_epochs(
    rank: int, world: int, port: int, runs: dict[str, dict[str, Any]], folder: Path
) -> None:
    """One epoch of each run; the losses and the last gradients go to a file."""
    if world > 1:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    found = {}
    for variant, raw in runs.items():
        trainer = build(settings_from(raw), dtype=torch.double)
        trainer.objective.double()
        assert trainer.accelerator.num_processes == world
        trainer._train_epoch(1)
        gradients = {
            f"{part} {name.replace('loss.loss.', 'loss.')}": parameter.grad
            for part, module in (("model", trainer.model), ("objective", trainer.objective))
            for name, parameter in module.named_parameters()
            if parameter.grad is not None
        }
        found[variant] = {
            "gradients": gradients,
            "losses": [row["loss"] for row in trainer.log.history],
        }
    torch.save(found, folder / f"{world}-{rank}.pt")
    if world > 1:
        torch.distributed.destroy_process_group()


@pytest.mark.distributed
@pytest.mark.slow
def test_two_processes_equal_one_of_twice_the_batch(photos: Path, tmp_path: Path) -> None:
    sgd = {"optimizer": {"name": "SGD", "lr": 0.05}}
    runs = {name: content(photos, **(changes | sgd)) for name, changes in VARIANTS.items()}
    del runs["drop path"]  # two processes draw other masks than one
    runs["two passes"] = content(photos, training={"micro_batch_size": 3}, **sgd)
    train_epochs(0, 1, 0, runs, tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(train_epochs, (2, port, runs, tmp_path), nprocs=2)
    one = torch.load(tmp_path / "1-0.pt", weights_only=True)
    for rank in (0, 1):
        two = torch.load(tmp_path / f"2-{rank}.pt", weights_only=True)
        for variant, wanted in one.items():
            found = two[variant]
            assert found["losses"] == pytest.approx(wanted["losses"], abs=1e-6), variant
            assert found["gradients"].keys() == wanted["gradients"].keys()
            for name, gradient in wanted["gradients"].items():
                error = (found["gradients"][name] - gradient).abs().max()
                assert error <= 1e-6 * gradient.abs().max() + 1e-12, (variant, name)


@pytest.mark.slow
def test_kill_9_and_resume(photos: Path, tmp_path: Path) -> None:
    settings = content(
        photos,
        training={"epochs": 3, "checkpoint_every": 3, "batch_size": 8, "threads": 1},
        sampler={"group_sizes": [2, 2], "batches_per_epoch": 20},
    )
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "pml_suprank.recipes.commands.finetune"]
    config = ["--config", str(tmp_path / "a.yaml")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([*command, "--output", tmp_path / "a", *config], check=True, env=environment)
    run = subprocess.Popen([*command, "--output", tmp_path / "b", *config], env=environment)
    deadline = time.monotonic() + 120
    last = tmp_path / "b" / LAST
    while not (last.exists() and read_checkpoint(last)["step"] >= 9):
        assert run.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    run.send_signal(signal.SIGKILL)
    run.wait()
    state = read_checkpoint(last)
    assert state["epoch"] * 20 + state["step"] < 60
    subprocess.run([*command, "--output", tmp_path / "b", "--resume"], check=True, env=environment)
    one, other = (read_checkpoint(tmp_path / name / LAST) for name in "ab")
    for part in ("model", "objective"):
        assert_same(one[part], other[part])
    assert [row["loss"] for row in one["history"]] == [row["loss"] for row in other["history"]]
    assert [p.name for p in (tmp_path / "b").glob(".*")] == []


def test_a_full_disk_keeps_the_last_checkpoint(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = build(settings_from(content(photos)), tmp_path)
    trainer.save()
    before = (tmp_path / LAST).read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    trainer.step = 2
    with pytest.raises(
        CheckpointError, match=r"checkpoint.pt: wanted to write .* No space left .* unharmed"
    ):
        trainer.save()
    assert (tmp_path / LAST).read_bytes() == before
    assert sorted(p.name for p in tmp_path.glob("*.pt*")) == [LAST]


def test_room_is_checked_before_training(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    trainer = build(settings_from(content(photos)), tmp_path)
    trainer.check_room()
    (tmp_path / ".checkpoint.pt.abcd0123").write_bytes(b"half")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(
        ConfigError, match=r"--output: wanted \d+ MiB for checkpoints, got 0 MiB free"
    ):
        trainer.check_room()
    assert not (tmp_path / ".checkpoint.pt.abcd0123").exists()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "tensorboard").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="--output: .* got a link at .*tensorboard"):
        trainer.check_room()
    (tmp_path / "file").write_text("")
    trainer.folder = tmp_path / "file" / "run"
    with pytest.raises(ConfigError, match="--output: wanted a folder to write to, got .*file/run"):
        trainer.check_room()


def test_a_checkpoint_of_another_run(photos: Path, tmp_path: Path) -> None:
    build(settings_from(content(photos)), tmp_path).save()
    other = build(settings_from(content(photos, optimizer={"lr": 1.0})), tmp_path)
    with pytest.raises(
        CheckpointError, match="checkpoint with settings.optimizer.lr 1.0, got 0.001"
    ):
        other.load(tmp_path / LAST)
    (tmp_path / LAST).write_bytes((tmp_path / LAST).read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="wanted a whole checkpoint"):
        other.load(tmp_path / LAST)
    with pytest.raises(CheckpointError, match="got no such file"):
        other.load(tmp_path / "none.pt")


def test_a_loss_that_is_not_finite_stops(photos: Path) -> None:
    trainer = build(settings_from(content(photos)))
    trainer.learner.thaw(1)
    with torch.no_grad():
        trainer.model.model.embedder.linear.weight.fill_(torch.nan)
    with pytest.raises((FloatingPointError, ValueError), match="finite"):
        trainer._train_epoch(1)


@pytest.mark.parametrize(
    "schedule",
    [
        {"name": "OneCycleLR"},
        {"name": "StepLR", "interval": "epoch", "options": {"step_size": 1, "gamma": 0.1}},
        {"name": "MultiStepLR", "options": {"milestones": [2], "gamma": 0.3}, "warmup": 2},
        {"name": "ConstantLR", "options": {"factor": 1.0}},
        {"name": "PolynomialLR", "options": {"power": 2.0}},
    ],
)
@pytest.mark.parametrize("optimizer", ["AdamW", "SGD", "NAdam"])
def test_optimisers_and_schedules_by_name(
    schedule: dict[str, Any], optimizer: str, photos: Path
) -> None:
    raw = content(photos, schedule=schedule, optimizer={"name": optimizer, "layer_decay": 0.5})
    trainer = build(settings_from(raw))
    before = weights(trainer)
    trainer.train()
    after = weights(trainer)
    assert any(not torch.equal(before[name], after[name]) for name in before)
    rates = [row["lr"] for row in trainer.log.history]
    assert len(rates) == 8
    assert (len(set(rates)) > 1) == (schedule["name"] != "ConstantLR")
