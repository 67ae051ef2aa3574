"""Numbers that come out the same on every machine: rounded where sums and logarithms may differ in their last bits.

One vector unit adds in another order than another, and takes logarithms by another formula; the last bits of a float64
then differ. What is written, hashed or learned from is rounded far above those and far below anything that matters.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Final, TypeVar, cast

T = TypeVar("T")

DECIMALS: Final = 9


def canonical(value: T, decimals: int = DECIMALS) -> T:
    """The same value, every float in it rounded: of dicts, lists, tuples and dataclasses, at any depth."""
    rounded: Any = value
    if isinstance(value, float):
        rounded = round(value, decimals) + 0.0 if math.isfinite(value) else value
    elif isinstance(value, dict):
        rounded = {canonical(key, decimals): canonical(item, decimals) for key, item in value.items()}
    elif isinstance(value, list | tuple):
        rounded = type(value)(canonical(item, decimals) for item in value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: canonical(getattr(value, f.name), decimals) for f in dataclasses.fields(value)}
        rounded = dataclasses.replace(value, **fields)
    return cast("T", rounded)
