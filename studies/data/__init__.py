"""Data sets drawn from pip packages, for the studies alone."""
