"""Pickles of others: plain data, or an error; nothing runs, nothing crashes."""

import contextlib
import pickle
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pml_suprank.recipes.data.pickles import load_plain_pickle

CONTENT: dict[str, Any] = {
    "floats": np.arange(6.0).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
    "big": np.arange(4, dtype=">i4"),
    "bytes": np.array([[1, 255]], dtype=np.uint8),
    "text": np.array(["fox", "a red fox"]),
    "raw": np.array([b"ab", b"c"]),
    "bools": np.array([True, False]),
    "complex": np.array([1 + 2j]),
    "empty": np.zeros((0, 3)),
    "point": np.array(3.5),
    "scalar": np.float32(0.5),
    "list": [1, None, "é", b"\xff", (1, 2.5), {3, 4}, frozenset([5]), 2**80, range(3), 1j],
    "bytearray": bytearray(b"xyz"),
}


def load(tmp_path: Path, content: bytes) -> Any:
    (tmp_path / "p").write_bytes(content)
    return load_plain_pickle(tmp_path / "p")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_content_is_read(protocol: int, tmp_path: Path) -> None:
    shared = np.arange(3)
    found = load(tmp_path, pickle.dumps(CONTENT | {"one": shared, "two": [shared]}, protocol))
    for name, value in CONTENT.items():
        if isinstance(value, np.ndarray):
            assert type(found[name]) is np.ndarray
            assert found[name].dtype == value.dtype
            assert found[name].flags.writeable
            np.testing.assert_array_equal(found[name], value)
        else:
            assert found[name] == value
    assert found["one"] is found["two"][0]
    loop: list[Any] = [1]
    loop.append(loop)
    found = load(tmp_path, pickle.dumps(loop, protocol))
    assert found[1] is found


class Call:
    """Pickles to a call."""

    def __init__(self, function: Any, *args: Any, state: Any = None) -> None:
        self.parts = (function, args) if state is None else (function, args, state)

    def __reduce__(self) -> Any:
        return self.parts


def attacks(marker: Path) -> dict[str, Any]:
    import os

    def array(shape: tuple[int, ...], dtype: Any, content: bytes) -> Call:
        return Call(rebuild, np.ndarray, (0,), b"b", state=(1, shape, dtype, False, content))

    dtype, rebuild = np.dtype, np.empty(0).__reduce__()[0]
    forged = struct.pack("<q", id(marker))
    record = (3, "|", None, ("a",), {"a": (dtype("O"), 0)}, 8, 1, 27)
    return {
        "system": Call(os.system, f"touch {marker}"),
        "eval": Call(eval, f"open({str(marker)!r}, 'w')"),
        "open": Call(open, str(marker), "w"),
        "getattr": Call(getattr, "x", "format"),
        "np.load": Call(np.load, "x"),
        "object array": np.array([object, None], dtype=object),
        "object dtype": Call(dtype, "O8", False, True),
        "forged object": Call(np.ndarray, (1,), Call(dtype, "O8", False, True), forged),
        "array over a buffer": Call(np.ndarray, (1000,), Call(dtype, "u1"), b"12345678"),
        "array without a buffer": Call(np.ndarray, (10**9,)),
        "records": Call(
            rebuild,
            np.ndarray,
            (0,),
            b"b",
            state=(1, (1,), Call(dtype, "V8", state=record), False, b"x" * 8),
        ),
        "more than there is": Call(
            rebuild, np.ndarray, (0,), b"b", state=(1, (10**12,), np.dtype("u1"), False, b"x")
        ),
        "negative": Call(
            rebuild, np.ndarray, (0,), b"b", state=(1, (-1, -1), np.dtype("u1"), False, b"x")
        ),
        "zeros": Call(bytearray, 10**12),
        "datetime": np.array(["2020"], dtype="M8[D]"),
        "a name": np.dtype("f8"),
        "a function": np.ndarray,
        "an array without content": Call(rebuild, np.ndarray, (0,), b"b"),
        "codec": Call(__import__("_codecs").encode, "00", "hex"),
    }


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("name", attacks(Path("x")))
def test_attacks(name: str, protocol: int, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    content = pickle.dumps([attacks(marker)[name]], protocol)
    with pytest.raises(ValueError, match=r"p: wanted a pickle of plain data, got"):
        load(tmp_path, content)
    assert not marker.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"cnumpy\ndtype\n(NX\x0b\x00\x00\x00__defaults__K\x01dbu.",
        b"cbuiltins\nset\n}X\x01\x00\x00\x00aK\x01sb.",
        b"\x80\x04\x8c\x08builtins\x8c\x0cset.__init__\x93.",
        b"cnumpy\ndtype\n)\x81.",
        b"\x80\x05\x97.",
        b"Px\n.",
        b"\x82\x01.",
        b"(" * 100_000 + b".",
        b"]" * 100_000 + b"a" * 99_999 + b".",
        b"\x8e" + b"\xff" * 8,
        b"",
    ],
)
def test_bytes_that_are_no_plain_pickle(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"p: wanted a pickle of plain data, got"):
        load(tmp_path, content)


def plain(value: Any, seen: set[int]) -> bool:
    if id(value) in seen:
        return True
    seen.add(id(value))
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "biufcSU" and value.nbytes == value.copy().nbytes
    if isinstance(value, dict):
        return all(plain(k, seen) and plain(v, seen) for k, v in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return all(plain(item, seen) for item in value)
    kinds = (type(None), bool, int, float, complex, str, bytes, bytearray, range, slice)
    return type(value) in kinds


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_damaged_pickles_are_data_or_an_error(protocol: int, tmp_path: Path) -> None:
    """Any bytes: a load ends in plain content or in the one error."""
    seed = random.randrange(2**32)
    print("seed", seed)
    generator = random.Random(seed)
    whole = pickle.dumps(CONTENT, protocol)
    opcodes = bytes(ord(code.code) for code in __import__("pickletools").opcodes)
    errors = 0
    for _ in range(400):
        content = bytearray(whole)
        for _ in range(generator.choice((1, 1, 2, 8))):
            place = generator.randrange(len(content))
            kind = generator.randrange(4)
            if kind == 0:
                content[place] = generator.randrange(256)
            elif kind == 1:
                content[place] = generator.choice(opcodes)
            elif kind == 2:
                del content[place : place + generator.randrange(1, 9)]
            else:
                content[place:place] = bytes(
                    generator.choices(opcodes, k=generator.randrange(1, 5))
                )
            if not content:
                break
        with contextlib.suppress(ValueError):
            errors += 1
            assert plain(load(tmp_path, bytes(content)), set())
            errors -= 1
    assert 0 < errors < 400
