"""Hierarchies rebuilt from the names and drawings of emoji, and what they are worth in training."""
