"""Which files need a GPU, or Triton's interpreter in its place."""

from tests.kernels import CAN_RUN

collect_ignore = [] if CAN_RUN else ["test_fused_kernels.py"]
