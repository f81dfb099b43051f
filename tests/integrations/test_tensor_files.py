"""Files of tensors are data: a payload in one does not run, whatever the version of torch."""

import os
from pathlib import Path

import pytest
import torch

from pml_suprank.integrations.tensor_files import read_tensors


class Payload:
    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("new_format", [True, False])
def test_a_payload_does_not_run(new_format: bool, tmp_path: Path) -> None:
    marker, file = tmp_path / "ran", tmp_path / "x.pt"
    torch.save({"a": Payload(marker)}, file, _use_new_zipfile_serialization=new_format)
    with pytest.raises(Exception, match=r"weights_only|Unsupported|mkdir"):
        read_tensors(file)
    assert not marker.exists()
    torch.load(file, weights_only=False)
    assert marker.exists()  # it would have


def test_old_formats_are_read(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 2)
    torch.save(model.state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert torch.equal(read_tensors(tmp_path / "old.pth")["weight"], model.weight)
