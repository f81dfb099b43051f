"""One seed for all generators."""

import random

import numpy as np
import torch

__all__ = ["seed_everything"]


def seed_everything(*seeds: int) -> None:
    """Seed Python, NumPy and torch from several numbers, such as a seed, an epoch and a step."""
    words = np.random.SeedSequence(seeds).generate_state(3)
    random.seed(int(words[0]))
    np.random.seed(words[1])  # noqa: NPY002  (transforms may draw from the global generator)
    torch.manual_seed(int(words[2]))
