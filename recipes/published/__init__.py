"""Training settings by name, for ``suprank finetune --config sop-happier``.

The name of published ones is a data set and a loss. The settings are those of the authors' experiments; ``source`` of
each says where they come from, and what is different here.
"""

import copy
from typing import Any

from pml_suprank.recipes.published.data_sets import DATA_SETS
from pml_suprank.recipes.published.losses import LOSSES, loss_settings
from pml_suprank.recipes.published.quickstart import QUICKSTART

__all__ = ["NAMED", "NAMES", "named_settings", "published_settings"]

NAMES = tuple(f"{data}-{loss}" for data in DATA_SETS for loss in LOSSES)
"""All names: a key of ``DATA_SETS``, a hyphen, a key of ``LOSSES``."""

_OWN = {"quickstart": QUICKSTART}
NAMED = (*_OWN, *NAMES)
"""All names that ``--config`` takes: the settings of this library's own recipes, and published ones."""


def named_settings(name: str) -> dict[str, Any]:
    """Nested settings of a name in :data:`NAMED`.

    Raises:
        KeyError: no such name.
    """
    return copy.deepcopy(_OWN[name]) if name in _OWN else published_settings(name)


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
