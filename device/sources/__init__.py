"""What readings come from. A source has one method, `read(timeout_s)`: the next reading, or None if none comes."""

from __future__ import annotations

from typing import Protocol

from device.contract.signals import Reading


class Source(Protocol):
    """A live source of raw readings, in time order; recordings are played by `replay_data` instead."""

    def read(self, timeout_s: float) -> Reading | None:
        """Return the next reading, or None when none came within `timeout_s` seconds."""

    def close(self) -> None:
        """Stop and let go of the port."""
