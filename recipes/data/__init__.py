"""Data sets of the recipes."""
