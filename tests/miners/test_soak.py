"""Labels of the size of a large data set, many batches, and memory that does not grow."""

from pathlib import Path

import pytest
import torch

from pml_suprank import Hierarchy, losses, miners

pytestmark = pytest.mark.slow
LEVELS, ITEMS = 7, 200_000
STATUS = Path("/proc/self/status")


def resident(key="VmRSS"):
    """Return the resident memory in MiB."""
    lines = STATUS.read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(key))


@pytest.mark.skipif(not STATUS.exists(), reason="reads resident memory from Linux's /proc")
def test_a_thousand_batches_do_not_grow():
    generator = torch.Generator().manual_seed(0)
    finest = torch.randint(0, 4**8, (ITEMS,), generator=generator)
    rows = torch.stack([finest // 4**level for level in range(LEVELS)], dim=1)
    ordered = finest.sort().values
    tree = Hierarchy.from_labels(rows)
    ours = [
        miners.HierarchicalTripletMiner(per_anchor=5, hierarchy=tree, collect_stats=True),
        miners.HierarchicalTripletMiner(0.05, "semihard", hierarchy=tree),
        miners.HierarchicalPairMiner(0.2, 1.2, hierarchy=tree, collect_stats=True),
        miners.HierarchicalMultiSimilarityMiner(hierarchy=tree, collect_stats=True),
    ]
    memory = losses.CrossBatchMemory(losses.SupAPLoss(), 16, 512, miner=ours[0])
    mined, after_warm_up = [0] * len(ours), 0.0
    for step in range(1000):
        if step == 200:
            after_warm_up = resident()
        # neighbours in the tree, so that every level has pairs
        start = int(torch.randint(0, ITEMS - 4000, (), generator=generator))
        items = start + torch.randperm(4000, generator=generator)[:64]
        labels = ordered[items]
        embeddings = torch.randn(64, 16, generator=generator)
        for number, miner in enumerate(ours):
            mined[number] += len(miner(embeddings, labels)[0])
        if step % 10 == 0:
            memory(embeddings, labels)
    assert min(mined) > 1000
    assert resident() - after_warm_up < 20
