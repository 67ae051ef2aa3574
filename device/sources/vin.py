"""The vehicle identification number: SAE J1979 service 09, PID 02, checked before it is believed."""

from __future__ import annotations

import re
from typing import Final

from device.sources.j1979 import REPLY, Refusal

SERVICE: Final = 0x09  # vehicle information
PID: Final = 0x02
LENGTH: Final = 17
VIN: Final = re.compile(r"[A-HJ-NPR-Z0-9]{17}")  # ISO 3779: no I, O or Q


def parse_vin(reply: bytes) -> str | Refusal:
    """Return the VIN of a whole reply, its frames put together, or why it tells none.

    On CAN the number of items, 1, stands before it; older buses fill five frames of four bytes with three zeros.
    """
    if not reply:
        return Refusal.NO_DATA
    if reply[:2] != bytes([SERVICE + REPLY, PID]):
        return Refusal.FOREIGN
    before, vin = reply[2:-LENGTH], reply[-LENGTH:]
    if len(reply) < 2 + LENGTH or before not in {b"", b"\x01", b"\x00\x00\x00"}:
        return Refusal.LENGTH
    text = vin.decode("ascii", "replace")
    return text if VIN.fullmatch(text) else Refusal.RANGE


def make_vin(vin: str) -> bytes:
    """Return the reply a car on CAN would give."""
    return bytes([SERVICE + REPLY, PID, 1]) + vin.encode("ascii")
