"""The drawn emoji, as the tests of the recipes have them."""

from tests.recipes.conftest import cache_dir, emoji

__all__ = ["cache_dir", "emoji"]
