"""YAML and JSON of others: plain data, or an error, and never for long."""

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("yaml", reason="needs the recipes extra")

from hypothesis import given
from hypothesis import strategies as st

from pml_suprank.integrations.plain_files import (
    COUNT,
    DEPTH,
    PlainDataError,
    plain,
    read_json,
    read_yaml,
    yaml_data,
    yaml_text,
)

SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text()
SCALARS |= st.floats(allow_nan=False)
DATA = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@given(DATA)
def test_what_is_written_is_read(data: Any) -> None:
    assert yaml_data(yaml_text(data)) == data
    assert plain(data) == data


def test_texts_that_look_like_numbers_are_quoted() -> None:
    data = {"1e5": ["0E0", "-2.5e+1", "12", "1_000e3", "no", "2024-01-31", 1e5]}
    assert yaml_data(yaml_text(data)) == data


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("4E3", 4000.0),
        ("-2.5e+1", -25.0),
        ("2024-01-31", "2024-01-31"),
        ("{a: &x {b: 1}, c: *x, d: {<<: *x, e: 2}}", None),
        ("", None),
    ],
)
def test_words(text: str, value: Any) -> None:
    found = yaml_data(text)
    if text.startswith("{a"):
        assert found == {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 2}}
    else:
        assert found == value
        assert type(found) is type(value)


def bomb(levels: int, item: str) -> str:
    lines = [f"a0: &a0 {item}"]
    lines += [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(lines)


def merge_bomb(levels: int) -> str:
    lines = ["a0: &a0 {k: 1}"]
    lines += [f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}" for i in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        bomb(9, "[lol, lol, lol, lol, lol, lol, lol, lol, lol]"),
        bomb(200, "x"),
        merge_bomb(40),
        "[" * 100_000,
        "{a: " * 60_000,
        "- " * 30_000 + "x",
        "[" * 50 + "]" * 50,
        "&a [*a]",
        "a: &a {b: *a}",
        "[" + "1," * 30_000 + "]",
        "x" * 2**19,
        "!!python/object/apply:os.system [true]",
        "!!python/name:os.system",
        "!!binary aGVsbG8=",
        "!!set {a, b}",
        "!!timestamp 2024-01-31",
        "{1: 2}",
        "{? [a, b] : 1}",
        "a: 0x" + "f" * 10_000,
        "a: " + "9" * 5_000,
        "[",
        "*nothing",
        "a: b: c",
        "--- 1\n--- 2",
        "\x00",
    ],
)
def test_what_is_no_plain_data_is_refused_at_once(text: str) -> None:
    start = time.process_time()
    with pytest.raises(PlainDataError):
        yaml_data(text)
    assert time.process_time() - start < 2


@given(st.text(alphabet="&*a1[]{}:,-<!?|> \n\t'\"#%@`", max_size=60))
def test_any_text_is_data_or_an_error(text: str) -> None:
    with contextlib.suppress(PlainDataError):
        plain(yaml_data(text))


def test_the_bounds_are_the_bounds() -> None:
    assert yaml_data("[" * DEPTH + "]" * DEPTH) is not None
    with pytest.raises(PlainDataError, match=f"at most {DEPTH} levels"):
        yaml_data("[" * (DEPTH + 1) + "]" * (DEPTH + 1))
    assert len(yaml_data("[" + "1," * (COUNT - 1) + "]")) == COUNT - 1
    with pytest.raises(PlainDataError, match=f"at most {COUNT:,} values"):
        yaml_data("[" + "1," * COUNT + "]")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [1, {"b": object()}]}, r"a\[1\].b: wanted .* got object"),
        ({"a": {1: 2}}, r"a: wanted text as keys, got one of type int"),
        ({"a": 2**64}, r"a: .* got an integer of more than 64 bits"),
        ({"a": b"x"}, r"a: .* got bytes"),
        ({"a": print}, r"a: .* got builtin_function_or_method"),
    ],
)
def test_values_that_are_not_plain(value: Any, message: str) -> None:
    with pytest.raises(PlainDataError, match=message):
        plain(value)


def test_files(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("a: [1, b]")
    assert read_yaml(file) == {"a": [1, "b"]}
    file.write_bytes(b"\xff\xfe")
    for read in (read_yaml, read_json):
        with pytest.raises(PlainDataError, match=r"a.yaml: wanted UTF-8 text"):
            read(file)
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "none")
        with pytest.raises(PlainDataError, match="wanted a file"):
            read(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PlainDataError, match=r"pipe: wanted a file"):
        read_yaml(tmp_path / "pipe")
    file.write_text(json.dumps({"a": 1}))
    assert read_json(file) == {"a": 1}
    with pytest.raises(PlainDataError, match=r"a.yaml: wanted at most 3 bytes"):
        read_json(file, most_bytes=3)
    for text in ("[" * 200_000, "{", "1" * 5_000):
        file.write_text(text)
        with pytest.raises(PlainDataError, match=r"a.yaml: wanted JSON"):
            read_json(file)
