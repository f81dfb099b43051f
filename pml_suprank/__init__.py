"""Rank losses, hierarchical relevance and exact ranking metrics for PyTorch Metric Learning."""
