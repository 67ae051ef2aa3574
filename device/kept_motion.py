"""Motion that waits in the agent, as its state keeps it: each column apart, times as differences, deflated.

The state is written with every commit. A trip that waits for its end holds 1,800 samples at 10 Hz: 58 kB as rows
of numbers, 9 kB so.
"""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, Final

from device.contract.motion import MotionSample

FASTEST: Final = 1  # of zlib: as quick as writing the rows was


def packed(samples: Sequence[MotionSample]) -> str:
    """Samples in a JSON string."""
    times_ms, *columns = zip(*samples, strict=True) if samples else [()]
    steps_ms = [b - a for a, b in pairwise((0, *times_ms))]
    told = json.dumps([steps_ms, *columns], separators=(",", ":"))
    return b64encode(zlib.compress(told.encode(), FASTEST)).decode()


def unpacked(state: Any) -> list[MotionSample]:
    """Samples of `packed`, or of the rows of numbers that an earlier release kept."""
    if isinstance(state, list):
        return [MotionSample(*row) for row in state]
    steps_ms, *columns = json.loads(zlib.decompress(b64decode(state)))
    return [MotionSample(*row) for row in zip(accumulate(steps_ms), *columns, strict=True)]
