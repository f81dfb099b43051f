"""Settings files of others run nothing, wherever the payload stands and whatever command reads it."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("accelerate", reason="needs the recipes extra")

import yaml

from pml_suprank.recipes.commands import embed, evaluate, finetune, report, search
from pml_suprank.recipes.engine.parsing import ConfigError, parse_settings, settings_from
from tests.recipes.engine.tiny_runs import content

# where any keys may stand, and where they may not
FREE = [
    "data.options",
    "model.options",
    "model.train_transform",
    "model.eval_transform",
    "loss.options",
    "miner.options",
    "memory.options",
    "optimizer.options",
    "loss_optimizer.options",
    "schedule.options",
    "loss_schedule.options",
]
TYPED = [
    "data",
    "data.root",
    "model.name",
    "model.weights",
    "loss",
    "loss.name",
    "loss_optimizer",
    "sampler.group_sizes",
    "training.epochs",
    "source",
]
TEXT = ("data.root", "model.name", "model.weights", "loss.name", "source")
GROUPS = ("data", "loss", "loss_optimizer")
FORMS: dict[str, Callable[[Any], Any]] = {
    "itself": lambda call: call,
    "value": lambda call: {"x": call},
    "list": lambda call: {"x": [[1, call]]},
    "nested": lambda call: {"x": {"y": {"name": "SupAPLoss", "options": {"z": call}}}},
}


def calls(marker: Path) -> list[dict[str, Any]]:
    command = f"touch {marker}"
    return [
        {"class_path": "os.system", "init_args": {"command": command}},
        {"class_path": "subprocess.Popen", "init_args": {"args": ["touch", str(marker)]}},
        {"class_path": "pathlib.Path", "init_args": {}, "dict_kwargs": {"x": 1}},
        {"_target_": "os.system", "command": command},
        {"name": "os.system", "options": {"command": command}},
    ]


def put(settings: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    """Settings with a value at a dotted key."""
    settings = json.loads(json.dumps(settings))
    *above, last = place.split(".")
    group = settings
    for part in above:
        group = group.setdefault(part, {})
    group[last] = value
    return settings


def run(main: Callable[[list[str]], Any], words: list[str]) -> int:
    try:
        return main(words) or 0
    except SystemExit as error:
        return int(error.code or 0)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("place", FREE + TYPED)
def test_parsing_runs_nothing(place: str, form: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    for call in calls(marker):
        value = FORMS[form](call)
        if value is call and set(call) == {"name", "options"} and place in GROUPS:
            continue  # these are keys of the group
        raw = put({}, place, value)
        (tmp_path / "a.yaml").write_text(yaml.safe_dump(raw))
        attempts: list[Callable[[], Any]] = [
            lambda raw=raw: settings_from(raw),
            lambda: parse_settings(["--config", str(tmp_path / "a.yaml")]),
            lambda value=value: parse_settings([f"--{place}", json.dumps(value)]),
        ]
        for number, attempt in enumerate(attempts):
            group, _, name = place.partition(".")
            if place in FREE:  # as it was written
                assert getattr(getattr(attempt(), group), name) == value
            elif number == 2 and place in TEXT:
                found = attempt()
                assert (
                    getattr(getattr(found, group), name) if name else found.source
                ) == json.dumps(value)
            else:
                with pytest.raises(ConfigError, match=group):
                    attempt()
    assert not marker.exists()


@pytest.mark.parametrize("place", FREE)
def test_options_on_the_command_line_run_nothing(place: str, tmp_path: Path, capsys: Any) -> None:
    marker = tmp_path / "marker"
    words = ["--output", str(tmp_path / "run"), "--check", "--data.root", str(tmp_path)]
    words += [f"--{place}.x.class_path", "os.system"]
    words += [f"--{place}.x.init_args.command", f"touch {marker}"]
    words += [
        "--loss_optimizer.name",
        "AdamW",
        "--memory.kind",
        "dataset",
        "--miner.name",
        "TripletMarginMiner",
    ]
    code = run(finetune.main, words)
    assert not marker.exists()
    if "transform" not in place:  # which the library takes apart when the model is built
        assert code == 2
        assert f"{place.partition('.')[0]}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        "model: !!python/object/apply:os.system ['touch {marker}']",
        "model: {{options: {{x: !!python/object/apply:os.system ['touch {marker}']}}}}",
        "!!python/object/apply:os.system ['touch {marker}']",
        "model: {{options: !!python/name:os.system }}",
        "loss: &a {{options: {{x: *a}}}}",
        "model: {{options: {{1: 2}}}}",
        "model: {{options: {{x: !!binary aGk=}}}}",
    ],
)
@pytest.mark.parametrize("command", ["check", "config"])
def test_tags_are_errors(text: str, command: str, tmp_path: Path, capsys: Any) -> None:
    marker = tmp_path / "marker"
    (tmp_path / "a.yaml").write_text(text.format(marker=marker))
    words = ["--output", str(tmp_path / "run"), "--config", str(tmp_path / "a.yaml")]
    assert run(finetune.main, words + (["--check"] if command == "check" else [])) == 2
    assert "a.yaml cannot be read" in capsys.readouterr().err
    assert not marker.exists()


def test_an_alias_bomb_is_refused_at_once(tmp_path: Path, capsys: Any) -> None:
    lines = ["source: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"k{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    (tmp_path / "a.yaml").write_text("\n".join(lines))
    start = time.process_time()
    words = ["--output", str(tmp_path / "run"), "--config", str(tmp_path / "a.yaml"), "--check"]
    assert run(finetune.main, words) == 2
    assert "aliases written out" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="aliases written out"):
        parse_settings(["--loss.options", "{" + ", ".join(lines) + "}"])
    assert time.process_time() - start < 5


def test_neither_files_nor_the_environment_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data.yaml").write_text("name: cub")
    for group in ("data", "loss_optimizer", "sampler"):
        with pytest.raises(ConfigError, match=group):
            parse_settings([f"--{group}", str(tmp_path / "data.yaml")])
    monkeypatch.setenv("JSONARGPARSE_DEFAULT_ENV", "true")
    monkeypatch.setenv("SUPRANK_DATA__NAME", "cub")
    monkeypatch.setenv("DATA__NAME", "cub")
    monkeypatch.setenv("DATA", '{"name": "cub"}')
    assert parse_settings([]).data.name == "folder"
    words = ["--loss.options.x", str(tmp_path / "data.yaml"), "--model.name", "https://x/y.yaml"]
    found = parse_settings(words)
    assert found.loss.options == {"x": str(tmp_path / "data.yaml")}
    assert found.model.name == "https://x/y.yaml"


@pytest.fixture(scope="module")
def finished(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    raw = content(photos, training={"epochs": 1})
    (folder / "a.yaml").write_text(yaml.safe_dump(raw))
    words = ["--config", str(folder / "a.yaml"), "--output", str(folder / "run")]
    assert run(finetune.main, words) == 0
    words = [str(folder / "run"), str(photos), "--output", str(folder / "photos.npz")]
    assert run(embed.main, words) == 0
    words = ["build", str(folder / "photos.npz"), "--output", str(folder / "index")]
    assert run(search.main, words) == 0
    return folder


COMMANDS = ["embed", "evaluate", "search", "report", "resume", "weights"]


@pytest.mark.parametrize("place", [*FREE, "data.root", "model.name", "loss_optimizer", "loss"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_run_folder_of_others_runs_nothing(
    command: str, place: str, finished: Path, photos: Path, tmp_path: Path, capsys: Any
) -> None:
    marker, folder = tmp_path / "marker", tmp_path / "run"
    shutil.copytree(finished / "run", folder)
    call = calls(marker)[0]
    value = {"x": call} if place in FREE else call
    raw = yaml.safe_load((folder / "config.yaml").read_text())
    group = place.partition(".")[0]
    raw[group] = raw[group] or {}
    (folder / "config.yaml").write_text(yaml.safe_dump(put(raw, place, value)))
    image = str(next(photos.rglob("*.png"), next(photos.rglob("*.jpg"), None)))
    check = ["--output", str(tmp_path / "new"), "--data.root", str(photos)]
    mains: dict[str, tuple[Callable[[list[str]], Any], list[str]]] = {
        "embed": (embed.main, [str(folder), str(photos), "--output", str(tmp_path / "o.npz")]),
        "evaluate": (evaluate.main, [str(folder), "--output", str(tmp_path / "evaluation")]),
        "search": (
            search.main,
            ["query", str(finished / "index"), "--model", str(folder), "--image", image],
        ),
        "report": (report.main, [str(folder), "--output", str(tmp_path / "r.html")]),
        "resume": (finetune.main, ["--output", str(folder), "--resume"]),
        "weights": (
            finetune.main,
            ["--config", str(folder / "config.yaml"), "--model.weights", f"run:{folder}", *check],
        ),
    }
    main, words = mains[command]
    code = run(main, words)  # an error of its own, or the values are not looked at
    shown = capsys.readouterr().err
    assert code in (0, 2)
    assert code == 0 or group in shown
    assert not marker.exists()
    if place == "model.options" and command in ("embed", "search", "resume", "weights"):
        assert "options.x: wanted one of" in shown
