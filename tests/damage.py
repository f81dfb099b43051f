"""Damage to a file as disks and networks do it: single bits, and blocks of zeros."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np


def damaged(path: Path, flips: int = 120, blocks: int = 30, seed: int = 0) -> Iterator[str]:
    """The file with one damage after the other, which is named; at last it is whole again.

    Bits at its beginning and at its end are among those that are flipped, and the end among the blocks.
    """
    whole = path.read_bytes()
    generator = np.random.default_rng(seed)
    size = len(whole)
    places = [0, 1, size - 1, *range(max(0, size - 100), size, 3)]
    places += generator.integers(0, size, flips).tolist()
    side = max(1, min(512, size // 8))
    starts = [0, size - side, *generator.integers(0, size - side, blocks).tolist()]
    for place in places:
        bit = int(generator.integers(0, 8))
        content = bytearray(whole)
        content[place] ^= 1 << bit
        path.write_bytes(content)
        yield f"seed {seed}: bit {bit} of byte {place} flipped"
    for start in starts:
        content = bytearray(whole)
        content[start : start + side] = bytes(side)
        if content != whole:
            path.write_bytes(content)
            yield f"seed {seed}: bytes {start}..{start + side} are zero"
    for end in (0, 1, size // 2, size - 1):
        path.write_bytes(whole[:end])
        yield f"the first {end} bytes"
    path.write_bytes(whole)
