"""Small readable programs over the library; see ``suprank --help``."""
