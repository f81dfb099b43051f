"""Hierarchies from names and images: the steps of ``suprank build-hierarchy``, each from plain files to plain files."""
