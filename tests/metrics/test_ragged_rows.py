"""Sums of ragged rows, on the CPU and as they are on an accelerator."""

import pytest
import torch

from pml_suprank.metrics import ranked_lists


@pytest.mark.parametrize("lengths", [[2, 0, 3, 1], [0, 0], [4], [0, 2, 0], []])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bool, torch.int32, torch.uint8])
def test_sums(lengths, dtype):
    number = sum(lengths)
    values = torch.arange(number).remainder(3).to(dtype)
    rows = values.double().split(lengths) if lengths else []
    wanted = [float(row.sum()) for row in rows]
    counts = torch.tensor(lengths, dtype=torch.int64)
    assert ranked_lists.row_sums(values, counts).tolist() == wanted
    assert ranked_lists._sums_on_device(values, counts).tolist() == wanted


def test_large_sums_do_not_wrap():
    values = torch.full((1000,), 255, dtype=torch.uint8)
    assert ranked_lists.row_sums(values, torch.tensor([1000])).tolist() == [255000.0]
