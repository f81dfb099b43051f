"""Published training settings by name, for ``suprank finetune --config sop-happier``.

A name is a data set and a loss. The settings are those of the authors' experiments; ``source`` of each says where
they come from, and what is different here.
"""

import copy
from typing import Any

from pml_suprank.recipes.published.data_sets import DATA_SETS
from pml_suprank.recipes.published.losses import LOSSES, loss_settings

__all__ = ["NAMES", "published_settings"]

NAMES = tuple(f"{data}-{loss}" for data in DATA_SETS for loss in LOSSES)
"""All names: a key of ``DATA_SETS``, a hyphen, a key of ``LOSSES``."""


def published_settings(name: str) -> dict[str, Any]:
    """Nested settings of a name, as a YAML file would hold them.

    Raises:
        KeyError: no such name.
    """
    if name not in NAMES:
        raise KeyError(name)
    data, _, loss = name.partition("-")
    common = copy.deepcopy(DATA_SETS[data])
    chosen = loss_settings(data, loss)
    return (
        common["settings"]
        | chosen["settings"]
        | {"source": f"{common['source']} {chosen['source']}"}
    )
