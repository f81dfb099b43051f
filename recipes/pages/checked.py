"""What files of other people are checked by before a page shows them."""

import math
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

__all__ = ["Checked", "Number", "finite"]


def finite(value: float) -> float:
    """The same number.

    Raises:
        ValueError: it is infinite or none.
    """
    if not math.isfinite(value):
        raise ValueError("wanted a finite number")
    return value


Number = Annotated[float, AfterValidator(finite)]


class Checked(BaseModel):
    """Content of the types that are written down: nothing is converted, and what else there is stays away."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)
