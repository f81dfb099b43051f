"""Where commands compute: on the accelerator there is, or as ``--device`` says, and they say so once."""

import argparse
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

pytest.importorskip("accelerate", reason="needs the recipes extra")
pytest.importorskip("faiss", reason="needs the recipes extra")

from torch._subclasses.fake_tensor import FakeTensorMode

from pml_suprank.recipes import labelled_search, landmark_protocols
from pml_suprank.recipes.__main__ import main as suprank
from pml_suprank.recipes.command_line.options import add_device
from pml_suprank.recipes.commands import evaluate
from pml_suprank.recipes.commands.finetune import main as finetune_command
from pml_suprank.recipes.devices import choose_device, float64_device, tell_device
from pml_suprank.recipes.embedding_set import EmbeddingSet
from pml_suprank.recipes.engine import accelerator as accelerators
from pml_suprank.recipes.engine import held_out, learner
from pml_suprank.recipes.engine.accelerator import make_accelerator
from pml_suprank.recipes.engine.parsing import ConfigError, settings_from
from pml_suprank.recipes.engine.whole_run import finetune
from pml_suprank.recipes.hierarchies import encoders
from tests.recipes.engine.tiny_runs import content

CPU, CUDA, MPS = map(torch.device, ("cpu", "cuda", "mps"))


class Machine:
    """Has the accelerators that it is told to have."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._set = monkeypatch.setattr
        self.has()

    def has(self, cuda: int = 0, mps: bool = False) -> None:
        self._set(torch.cuda, "is_available", lambda: cuda > 0)
        self._set(torch.cuda, "device_count", lambda: cuda)
        self._set(torch.cuda, "get_device_name", lambda device: f"Card of {device}")
        self._set(torch.backends.mps, "is_available", lambda: mps)


class Reached(Exception):
    """The call that a test is about."""


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "first"
    finetune(settings_from(content(photos, training={"epochs": 1})), folder, progress=False)
    return folder


@pytest.fixture
def points(tmp_path: Path) -> Path:
    values = torch.randn(12, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(12)[:, None] // torch.tensor([2, 4])
    EmbeddingSet(values, labels).save(tmp_path / "points.npz")
    return tmp_path / "points.npz"


def told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What was said of devices, on stderr; nothing on stdout, where results go."""
    shown = capsys.readouterr()
    assert "device: " not in shown.out
    return [line for line in shown.err.splitlines() if line.startswith("device: ")]


@pytest.mark.parametrize(
    ("cuda", "mps", "wanted"),
    [(0, False, "cpu"), (0, True, "mps"), (2, False, "cuda"), (1, True, "cuda")],
)
def test_the_best_there_is(machine: Machine, cuda: int, mps: bool, wanted: str) -> None:
    machine.has(cuda, mps)
    assert choose_device() == torch.device(wanted)
    assert choose_device("cpu") == CPU


def test_a_device_of_ones_own(machine: Machine) -> None:
    machine.has(cuda=2, mps=True)
    for wanted in ("cpu", "cuda", "cuda:0", "cuda:1", "mps", "mps:0"):
        assert choose_device(wanted) == torch.device(wanted) == choose_device(torch.device(wanted))


@pytest.mark.parametrize(
    ("has", "wanted", "there"),
    [
        ({}, "cuda", "auto or cpu"),
        ({}, "mps", "auto or cpu"),
        ({}, "cpu:1", "auto or cpu"),
        ({}, "meta", "auto or cpu"),
        ({}, "", "auto or cpu"),
        ({"mps": True}, "mps:1", "auto, mps or cpu"),
        ({"mps": True}, "cuda", "auto, mps or cpu"),
        ({"cuda": 1}, "cuda:1", "auto, cuda or cpu"),
        ({"cuda": 4}, "cuda:4", "auto, cuda (0..3) or cpu"),
        ({"cuda": 4}, "gpu", "auto, cuda (0..3) or cpu"),
    ],
)
def test_a_device_that_is_not_there(machine: Machine, has: dict, wanted: str, there: str) -> None:
    machine.has(**has)
    message = re.escape(f"device: wanted {there}, got {wanted!r}")
    with pytest.raises(ValueError, match=f"^{message}$"):
        choose_device(wanted)


def test_the_option(machine: Machine) -> None:
    parser = argparse.ArgumentParser()
    add_device(parser.add_argument)
    machine.has(cuda=1)
    assert parser.parse_args([]).device == CUDA
    assert parser.parse_args(["--device", "auto"]).device == CUDA
    assert parser.parse_args(["--device", "cpu"]).device == CPU


def test_what_is_told(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.has(cuda=2, mps=True)
    for device in (CPU, torch.device("cuda:1"), MPS):
        tell_device(device)
        tell_device(device, in_float64=True)
    assert told(capsys) == [
        *["device: cpu"] * 2,
        *["device: cuda:1 (Card of cuda:1)"] * 2,
        "device: mps",
        "device: mps; what needs float64 is computed on cpu",
    ]
    assert [float64_device(device) for device in (CPU, CUDA, MPS)] == [CPU, CUDA, CPU]


COMMANDS = {
    "embed": ["run", "photos", "--output", "x.npz"],
    "evaluate": ["points.npz"],
    "search": ["query", "index", "--model", "run", "--image", "x.png"],
    "build-hierarchy": ["propose", "work", "--levels", "a=2", "--encoder", "random:0"],
    "landmarks": ["revisited", "root", "--queries", "q.npz", "--gallery", "g.npz"],
    "finetune": ["--output", "never", "--config", "cub-happier", "--data.root", "never"],
}


STEPS = ("search", "build-hierarchy", "landmarks")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_a_device(
    machine: Machine, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [command, *COMMANDS[command], "--device", "cuda:7"]
    if command == "finetune":  # has no parser that could end it
        assert suprank(words) == 2
    else:
        with pytest.raises(SystemExit, match="2"):
            suprank(words)
    error = capsys.readouterr().err
    assert "--device: wanted auto or cpu, got 'cuda:7'" in error
    assert not Path("never").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_names_the_option(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    step = [*COMMANDS[command][:1]] if command in STEPS else []
    with pytest.raises(SystemExit):
        suprank([command, *step, "--help"])
    assert "--device DEVICE" in capsys.readouterr().out


def test_each_command_tells_it_once(
    machine: Machine, run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, index = str(tmp_path / "photos.npz"), str(tmp_path / "index")
    image = str(photos / "plant/b/3.png")
    capsys.readouterr()
    assert suprank(["embed", str(run), str(photos), "--output", file]) == 0
    assert told(capsys) == ["device: cpu"]
    for source in (str(run), file):
        assert suprank(["evaluate", source, "--output", str(tmp_path)]) == 0
        assert told(capsys) == ["device: cpu"]
    assert suprank(["search", "build", file, "--output", index]) == 0
    assert suprank(["search", "query", index, "--embedding", file]) == 0
    assert told(capsys) == []  # faiss computes, on the CPU
    assert suprank(["search", "query", index, "--model", str(run), "--image", image]) == 0
    assert told(capsys) == ["device: cpu"]
    words = ["--output", str(tmp_path / "run"), "--resume", "--device", "cpu"]
    raw = ["--data.root", str(photos), "--model.name", "test_resnet", "--model.weights", "null"]
    raw += ["--training.epochs", "0", "--sampler.group_sizes", "[2,2]", "--data.test_share", "0.5"]
    raw += ["--model.image_size", "32", "--training.batch_size", "8", "--training.epochs", "1"]
    raw += ["--sampler.batches_per_epoch", "1"]
    assert finetune_command([*words, *raw]) == 0
    assert told(capsys) == ["device: cpu"]


def test_models_go_where_they_are_told_to(
    machine: Machine, run: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = str(tmp_path / "index")
    assert suprank(["search", "build", str(run / "embeddings.npz"), "--output", index]) == 0
    seen: list[torch.device] = []

    def reached(run: Path, device: torch.device, *_: Any) -> None:
        seen.append(torch.device(device))
        raise Reached

    for module in ("engine.encode_data", "engine.encoder", "hierarchies.encoders"):
        monkeypatch.setattr(f"pml_suprank.recipes.{module}.load_encoder", reached)
    machine.has(cuda=2)
    name = [f"run:{run}", "--device", "cuda:1"]
    classes = tmp_path / "classes.csv"
    classes.write_text("class_id,name\n1,cat\n2,dog\n")
    work = str(tmp_path / "work")
    assert suprank(["build-hierarchy", "names", work, str(classes)]) == 0
    for command in (
        ["embed", str(run), str(photos), "--output", str(tmp_path / "x.npz"), *name[1:]],
        ["evaluate", str(run), *name[1:]],
        ["search", "query", index, "--model", str(run), "--text", "x", *name[1:]],
        ["build-hierarchy", "propose", work, "--levels", "a=1", "--encoder", *name],
    ):
        with pytest.raises(Reached):
            suprank(command)
    assert seen == [torch.device("cuda:1")] * 4


def test_encoders_of_names_tell_it_where_they_have_a_network(
    machine: Machine,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    classes, work = tmp_path / "classes.csv", str(tmp_path / "work")
    classes.write_text("class_id,name\n1,a cat\n2,a dog\n3,a wild dog\n")
    assert suprank(["build-hierarchy", "names", work, str(classes)]) == 0
    words = ["build-hierarchy", "propose", work, "--levels", "a=2", "--encoder"]
    machine.has(mps=True)
    assert suprank([*words, "random:0"]) == 0
    assert told(capsys) == []
    seen = []
    monkeypatch.setattr(
        encoders,
        "_sentence_encoder",
        lambda folder, device: seen.append(device) or (lambda texts: torch.eye(3).numpy()),
    )
    assert suprank([*words, "sentences"]) == 0
    assert told(capsys) == ["device: mps"]
    assert seen == ["mps"]


MEASURED = [("cpu", "cpu"), ("mps", "cpu"), ("cuda", "cuda")]
"""Where is computed, and where is measured, in float64."""


@pytest.mark.parametrize(("device", "wanted"), MEASURED)
def test_evaluate_measures_there(
    machine: Machine, points: Path, device: str, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.has(cuda=1, mps=True)
    seen = []

    def reached(*_: Any, device: torch.device, **__: Any) -> None:
        seen.append(device)
        raise Reached

    monkeypatch.setattr(labelled_search, "evaluate_embeddings", reached)
    with pytest.raises(Reached):
        suprank(["evaluate", str(points), "--device", device])
    assert seen == [torch.device(wanted)]


@pytest.mark.parametrize("has_gallery", [False, True])
def test_metrics_get_their_embeddings_there(
    points: Path, has_gallery: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def reached(*arguments: torch.Tensor, **_: Any) -> None:
        seen.extend(part.device.type for part in arguments if part.is_floating_point())
        raise Reached

    monkeypatch.setattr("pml_suprank.metrics.evaluate", reached)
    found = EmbeddingSet.load(points)
    with pytest.raises(Reached):
        labelled_search.evaluate_embeddings(
            found, found if has_gallery else None, device=torch.device("meta")
        )
    assert seen == ["meta"] * (1 + has_gallery)


@pytest.mark.parametrize(("device", "wanted"), MEASURED)
def test_landmarks_are_measured_there(
    machine: Machine, device: str, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.has(cuda=1, mps=True)
    seen = []

    def reached(path: Path, device: torch.device) -> None:
        seen.append(device)
        raise Reached

    monkeypatch.setattr(landmark_protocols, "load_embeddings", reached)
    with pytest.raises(Reached):
        suprank(["landmarks", *COMMANDS["landmarks"], "--device", device])
    assert seen == [torch.device(wanted)]


@pytest.mark.parametrize(("device", "wanted"), MEASURED)
def test_a_model_is_evaluated_there(
    device: str, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def reached(**options: Any) -> None:
        seen.update(options)
        raise Reached

    monkeypatch.setattr(held_out, "HierarchicalTester", reached)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(Reached):
        held_out.evaluate_model(torch.nn.Identity(), None, device=torch.device(device))
    assert seen["data_device"] == torch.device(device)  # embeddings stay with the model
    assert seen["accuracy_calculator"].device == torch.device(wanted)


@pytest.mark.parametrize("has_float64", [True, False])
def test_a_loss_is_computed_where_float64_is(
    has_float64: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def objective(*parts: torch.Tensor) -> torch.Tensor:
        seen.extend(part.device.type for part in parts)
        return parts[0].double().square().sum()

    monkeypatch.setattr(learner, "float64_device", lambda device: device if has_float64 else CPU)
    with FakeTensorMode():  # a CUDA device that is none stands for one without float64
        parts = [torch.zeros(4, size, device="cuda") for size in (2, 1, 1)]
        loss = learner.Learner._loss(
            SimpleNamespace(objective=objective),  # type: ignore[arg-type]
            *parts,
        )
    assert seen == ["cuda" if has_float64 else "cpu"] * 3
    assert loss.device.type == "cuda"


@pytest.mark.skipif(torch.cuda.is_available(), reason="accelerate keeps to the GPU")
def test_accelerate_is_asked(machine: Machine) -> None:
    assert make_accelerator().device == CPU
    assert make_accelerator(device="cpu").device == CPU
    for device in ("cuda", "mps"):
        with pytest.raises(ConfigError, match=f"^--device: wanted auto or cpu, got '{device}'"):
            make_accelerator(device=device)
    with pytest.raises(ConfigError, match="wanted no or bf16 without a GPU"):
        make_accelerator("fp16", "cpu")
    machine.has(cuda=2)  # while accelerate keeps to the CPU in this process, as it may be set to
    assert make_accelerator().device == CPU
    with pytest.raises(ConfigError, match="^--device: wanted cpu, as accelerate is set, got cuda"):
        make_accelerator(device="cuda")


def test_accelerate_gets_the_device(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    current = []

    def accelerator(mixed_precision: str, cpu: bool) -> Any:
        return SimpleNamespace(device=CPU if cpu else CUDA, num_processes=processes)

    monkeypatch.setattr(accelerators.accelerate, "Accelerator", accelerator)
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    machine.has(cuda=2)
    processes = 1
    for device, wanted in (("auto", CUDA), ("cpu", CPU), ("cuda", CUDA), ("cuda:1", CUDA)):
        assert make_accelerator("bf16", device).device == wanted
    assert current == [torch.device("cuda:1")]
    processes = 2
    make_accelerator(device="cuda")
    with pytest.raises(ConfigError, match="^--device: wanted cuda for 2 processes, each of which"):
        make_accelerator(device="cuda:1")


@pytest.mark.parametrize("command", ["evaluate", "landmarks"])
def test_too_little_memory(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(evaluate, "_read", full)
    monkeypatch.setattr(landmark_protocols, "load_embeddings", full)
    assert suprank([command, *COMMANDS[command], "--device", "cpu"]) == 2
    error = capsys.readouterr().err
    assert "--device: wanted one with more memory, or cpu, got cpu: CUDA out of memory." in error


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_on_a_gpu(
    run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    embeddings, measured = {}, {}
    for device in ("cpu", "cuda"):
        file, output = tmp_path / f"{device}.npz", tmp_path / device
        assert (
            suprank(["embed", str(run), str(photos), "--output", str(file), "--device", device])
            == 0
        )
        words = ["evaluate", str(tmp_path / "cpu.npz"), "--output", str(output)]
        assert suprank([*words, "--device", device]) == 0
        said = told(capsys)
        assert len(said) == 2
        assert all(line.startswith(f"device: {device}") for line in said)
        embeddings[device] = EmbeddingSet.load(file).embeddings
        found = json.loads((output / "metrics.json").read_text())
        measured[device] = {name: metric["mean"] for name, metric in found.items()}
    torch.testing.assert_close(embeddings["cuda"], embeddings["cpu"], rtol=0, atol=1e-2)  # TF32
    assert measured["cuda"] == pytest.approx(measured["cpu"], abs=1e-6)
