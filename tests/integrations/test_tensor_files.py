"""Files of tensors are data: a payload in one does not run, whatever the version of torch."""

import os
from pathlib import Path

import pytest
import torch

from pml_suprank.integrations import tensor_files
from pml_suprank.integrations.tensor_files import read_tensors
from pml_suprank.integrations.timm_weights import WeightsError, load_local_weights


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


def test_old_formats_need_a_torch_that_reads_them_safely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = tmp_path / "old.pth", tmp_path / "new.pth"
    model = torch.nn.Linear(2, 2)
    torch.save(model.state_dict(), old, _use_new_zipfile_serialization=False)
    torch.save(model.state_dict(), new)
    for file in (old, new):
        assert torch.equal(read_tensors(file)["weight"], model.weight)
    monkeypatch.setattr(tensor_files, "torch_version", lambda: (2, 5))
    assert torch.equal(read_tensors(new)["weight"], model.weight)
    with pytest.raises(ValueError, match=r"old.pth: wanted a file in the format of torch 1.6"):
        read_tensors(old)
    with pytest.raises(WeightsError, match=r"cannot be read: .*torch 2.6 reads it safely"):
        load_local_weights(model, old)


@pytest.mark.parametrize("text", ["2.4.1+cu121", "2.10.0", "2.14.1a0+git"])
def test_versions(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", text)
    assert tensor_files.torch_version()[0] == 2
    assert (tensor_files.torch_version() < (2, 6)) == text.startswith("2.4")
