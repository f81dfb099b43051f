"""Settings from files and the command line."""

from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from pml_suprank.recipes.choices import RECOMMENDED
from pml_suprank.recipes.engine.objective import notes_of_memory
from pml_suprank.recipes.engine.parsing import ConfigError, parse_settings, settings_from, to_yaml
from pml_suprank.recipes.engine.settings import Component, Settings


def test_a_loss_that_is_named_starts_from_the_defaults_of_its_class() -> None:
    assert parse_settings([]).loss.options == RECOMMENDED
    assert parse_settings(["--loss.options.tau", "0.2"]).loss.options == {"tau": 0.2}
    for name in ("HAPPIERLoss", "SupAPLoss"):
        assert parse_settings(["--loss.name", name]).loss == Component(name)
    named = Settings(loss=Component("HAPPIERLoss"))
    assert settings_from(yaml.safe_load(to_yaml(named))) == named


@pytest.mark.parametrize("memory", ["none", "cross_batch", "dataset"])
@pytest.mark.parametrize("sampler", ["hierarchical", "m_per_class", "random"])
def test_a_memory_is_advised_against_where_it_costs_h_ap(memory: str, sampler: str) -> None:
    settings = settings_from({"memory": {"kind": memory}, "sampler": {"kind": sampler}})
    notes = notes_of_memory(settings)
    assert len(notes) == (memory != "none" and sampler == "hierarchical")
    assert all(f"memory.kind {memory}" in note for note in notes)


def test_the_defaults() -> None:
    assert parse_settings([]) == settings_from({}) == Settings()


def test_later_options_win(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(
        "training: {epochs: 7, seed: 3}\nloss: {name: SupAPLoss, options: {preset: sop}}\n"
    )
    found = parse_settings(["--config", str(file), "--training.epochs", "9"])
    assert (found.training.epochs, found.training.seed) == (9, 3)
    assert found.loss.options == {"preset": "sop"}
    found = parse_settings(
        [f"--config={file}", "--sampler.group_sizes=[4,2]", "--loss.options.level", "1"]
    )
    assert found.sampler.group_sizes == (4, 2)
    assert found.loss.options == {"preset": "sop", "level": 1}
    assert parse_settings(["--loss_optimizer.lr", "10"]).loss_optimizer.lr == 10


def test_a_group_keeps_the_defaults_of_the_run() -> None:
    found = parse_settings(["--loss.options.tau", "0.1", "--loss.options", "{tau: 0.2, k: {a: 1}}"])
    assert (found.loss.name, found.loss.options) == ("HAPPIERLoss", {"tau": 0.2, "k": {"a": 1}})
    found = parse_settings(["--loss", "{options: {tau: 1e-2}}", "--loss.options.k.b", "[x, 2]"])
    assert (found.loss.name, found.loss.options) == (
        "HAPPIERLoss",
        {"tau": 0.01, "k": {"b": ["x", 2]}},
    )
    assert settings_from({"miner": None, "loss": {"options": None}}) == Settings()
    assert parse_settings(["--loss_optimizer.lr", "1", "--loss_optimizer", "null"]) == Settings()


def test_words_are_text_where_text_is_wanted() -> None:
    words = [
        "--data.root",
        "[a, b]",
        "--data.train_split",
        "null",
        "--model.name",
        "2020",
        "--training.precision",
        "no",
    ]
    found = parse_settings(words)
    assert (found.data.root, found.data.train_split, found.model.name) == ("[a, b]", None, "2020")
    assert found.training.precision == "no"
    assert parse_settings(["--data.root", "a\udc80b"]).data.root == "a\udc80b"
    assert (
        parse_settings(["--data.check_images", "true", "--optimizer.lr", "4e-4"]).optimizer.lr
        == 4e-4
    )


def test_the_help_names_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_settings(["--help"])
    shown = capsys.readouterr().out
    for group, values in asdict(Settings()).items():
        assert group in shown
        for key in values or {}:
            assert f"--{group}.{key} " in shown
    assert "--training.precision no|fp16|bf16" in shown
    assert "mixed precision of the backbone" in shown


def test_a_file_of_settings_gives_them_back() -> None:
    settings = settings_from(
        {"loss_optimizer": {"name": "SGD", "options": {"momentum": 0.9}}, "data": {"root": "a b"}}
    )
    assert settings_from(yaml.safe_load(to_yaml(settings))) == settings
    assert settings_from(yaml.safe_load(to_yaml(Settings()))) == Settings()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--training.epoch", "3"], r"unknown key --training.epoch; nearest: training.epochs"),
        (["--trainig.epochs", "3"], r"unknown key --trainig.epochs; nearest: training.epochs"),
        (["--training.epochs", "many"], r"training.epochs"),
        (["--training.seed", "1.5"], r"training.seed.*1.5"),
        (
            ["--training.precision", "fp8"],
            r"training.precision: wanted 'no', 'fp16' or 'bf16', got 'fp8'",
        ),
        (["--data.on_error", "ignore"], r"data.on_error: wanted 'raise' or 'skip', got 'ignore'"),
        (
            ["--config", "nothing.yaml"],
            r"--config: wanted a YAML file or the name of published settings",
        ),
        (["3"], r"3"),
    ],
)
def test_wrong_words(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_settings(words)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training: {epoch: 3}", r"a.yaml: unknown key training.epoch; nearest: training.epochs"),
        ("training: 3", r"training: wanted keys and values, got 3"),
        ("- 1", r"a.yaml: wanted keys and values, got list"),
        ("loss: {nmae: SupAPLoss}", r"unknown key loss.nmae; nearest: loss.name"),
        ("loss: [", r"a.yaml cannot be read"),
        (
            "model: {embedding_size: big}",
            r"model.embedding_size: wanted a valid integer.* got 'big'",
        ),
        ("training: {epochs: true}", r"training.epochs: wanted no bool, got True"),
        ("sampler: {group_sizes: [2, true]}", r"sampler.group_sizes: wanted no bool"),
        ("data: {root: 5}", r"data.root: wanted a valid string, got 5"),
        ("model.name: x", r"unknown key 'model.name'"),
        ("loss: {options: 3}", r"loss.options: wanted keys and values, got 3"),
        ("loss: {options: {tau: !!binary aGk=}}", r"a.yaml cannot be read"),
    ],
)
def test_wrong_files(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        parse_settings(["--config", str(file)])
    if "cannot be read" not in message:
        with pytest.raises(ConfigError, match=message.replace("a.yaml", "here")):
            settings_from(yaml.safe_load(text), "here")
