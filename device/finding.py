"""What `ubi device check` and `calibrate` found of one part."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """One part of the device: whether it works, what was seen, and what to do if it does not."""

    part: str
    ok: bool
    told: str
    fix: str = ""

    def lines(self) -> str:
        """Text for a person; the fix of a failure stands under it."""
        first = f"{self.part:<12}{'ok' if self.ok else 'FAILS':<7}{self.told}"
        return first if self.ok else f"{first}\n{'':<12}{'':<7}fix: {self.fix}"
