"""Losses with settings that nobody tuned, on small collections of pictures."""
