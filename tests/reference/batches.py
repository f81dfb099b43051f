"""What a hierarchical batch must be, by plain counting; shares no code with the samplers."""

import itertools
from collections import Counter


def asked_level(group_sizes):
    """The finest level at which a batch must hold positives, or None."""
    return next((level for level, size in enumerate(group_sizes) if size > 1), None)


def faults(batch, rows, group_sizes, batch_size):
    """Return all that is wrong with a batch.

    Args:
        batch: positions of samples.
        rows: for every sample of the data set, its labels at the levels of the group sizes.
        group_sizes: as given to the sampler.
        batch_size: as given to the sampler.
    """
    found = []
    if len(batch) != batch_size:
        found.append(f"{len(batch)} samples, not {batch_size}")
    if not all(isinstance(sample, int) and 0 <= sample < len(rows) for sample in batch):
        found.append("positions that are none")
    for sample, count in Counter(batch).items():
        if count > 1:
            found.append(f"sample {sample} {count} times")
    first = asked_level(group_sizes)
    if first is not None:
        for level in range(first, len(group_sizes)):
            for query in batch:
                others = [s for s in batch if s != query and rows[s][level] == rows[query][level]]
                if not others:
                    found.append(f"sample {query} has no positive at level {level}")
    for level in range(len(group_sizes)):
        column = [rows[sample][level] for sample in batch]
        runs = 1 + sum(one != other for one, other in itertools.pairwise(column))
        if runs != len(set(column)):
            found.append(f"nodes of level {level} do not stand together")
    return found


def children_per_node(batch, rows, level):
    """Return how many nodes of ``level - 1`` (samples for level 0) each node of a level has in the batch."""
    below = {
        (rows[sample][level], rows[sample][level - 1] if level else sample) for sample in batch
    }
    return Counter(node for node, _ in below)


def reachable_sizes(rows, group_sizes):
    """Return every number of samples that some batch could have, without repeats and with all positives.

    A node of the asked level gives none of its samples, or two and more.
    """
    level = asked_level(group_sizes)
    if level is None:
        return set(range(len(rows) + 1))
    sizes = {0}
    for count in Counter(row[level] for row in rows).values():
        sizes |= {size + given for size in sizes for given in range(2, count + 1)}
    return sizes
