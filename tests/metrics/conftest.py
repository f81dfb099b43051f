"""Which files need a GPU, or Triton's interpreter in its place."""

import os

import torch

# Triton decides on its interpreter when it is imported: test_fused.py starts a process with it
_CAN_RUN_KERNELS = torch.cuda.is_available() or os.environ.get("TRITON_INTERPRET") == "1"
collect_ignore = [] if _CAN_RUN_KERNELS else ["test_fused_kernels.py"]
