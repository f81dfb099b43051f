"""Time and memory, after parity."""
