"""Small readable programs over the library; see ``suprank --help``."""

from pml_suprank.integrations import require

for _module in ("matplotlib", "PIL", "timm", "tqdm"):
    require(_module, extra="quickstart")
