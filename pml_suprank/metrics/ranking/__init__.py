"""How rankings are made: scores, keys, sorts and kernels, in blocks, threads and processes."""
