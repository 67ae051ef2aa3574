"""SAE J1979 service 01 as a table: how a PID's bytes become a value, checked before they do.

`parse_reply` takes the bytes of one whole reply (`41 0D 32`) and answers with a value or with why there is none. A
reply is a reading only if it echoes the service and PID that were asked, has exactly the PID's length, and is
plausible; libraries that pad a short reply with zeros make a phantom standstill of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Final, NamedTuple

from device.contract.signals import BY_NAME

SERVICE: Final = 0x01  # current data
REPLY: Final = 0x40  # added to the service in a reply
# PIDs 00, 20, 40, ... each tell in 32 bits which of the next 32 PIDs are supported; the last bit is the next of them.
PIDS_PER_BITMAP: Final = 0x20
BITMAPS: Final = tuple(range(0x00, 0x100, PIDS_PER_BITMAP))


class Formula(NamedTuple):
    """value = unsigned big-endian integer of `size` bytes * numerator / denominator + offset (SAE J1979-DA).

    Where a reply packs more than the value, the integer is shifted right and masked first.
    """

    size: int
    numerator: int = 1
    denominator: int = 1
    offset: int = 0
    shift: int = 0
    mask: int | None = None

    @property
    def highest(self) -> int:
        """The largest raw integer."""
        return (1 << 8 * self.size) - 1 if self.mask is None else self.mask


FORMULAS: Final[dict[str, Formula]] = {
    "speed_kmh": Formula(1),
    "rpm": Formula(2, 1, 4),
    "throttle_pct": Formula(1, 100, 255),
    "engine_load_pct": Formula(1, 100, 255),
    "maf_gps": Formula(2, 1, 100),
    "map_kpa": Formula(1),
    "coolant_c": Formula(1, offset=-40),
    "intake_c": Formula(1, offset=-40),
    "ambient_c": Formula(1, offset=-40),
    "fuel_pct": Formula(1, 100, 255),
    "run_time_s": Formula(2),
    "distance_since_clear_km": Formula(2),
    "odometer_km": Formula(4, 1, 10),
    "module_voltage_v": Formula(2, 1, 1000),
    "pedal_d_pct": Formula(1, 100, 255),
    "pedal_e_pct": Formula(1, 100, 255),
    "dtc_count": Formula(4, shift=24, mask=0x7F),  # beside it the warning lamp and which monitors are ready
}
PIDS: Final[dict[str, int]] = {name: pid for name in FORMULAS if (pid := BY_NAME[name].pid) is not None}


class Refusal(Enum):
    """Why a reply is not a reading."""

    NO_DATA = "no_data"  # the adapter says that the car does not answer
    GARBLED = "garbled"  # what came is no reply at all
    FOREIGN = "foreign"  # a reply to something else than what was asked
    LENGTH = "length"  # shorter or longer than the PID's reply
    RANGE = "range"  # outside what the signal can be
    LATE = "late"  # came so late that it does not tell the present


def parse_reply(signal: str, reply: bytes) -> float | Refusal:
    """Return the value of a service 01 reply for `signal`, in the signal's unit, or why there is none.

    Parameters
    ----------
    signal : str
        Name of a row of `FORMULAS`.
    reply : bytes
        The whole reply from its service byte on, without header and padding.
    """
    if not reply:
        return Refusal.NO_DATA
    if reply[0] != SERVICE + REPLY or (len(reply) > 1 and reply[1] != PIDS[signal]):
        return Refusal.FOREIGN
    formula = FORMULAS[signal]
    if len(reply) != 2 + formula.size:
        return Refusal.LENGTH
    raw = int.from_bytes(reply[2:], "big") >> formula.shift & formula.highest
    value = raw * formula.numerator / formula.denominator + formula.offset
    if not BY_NAME[signal].low <= value <= BY_NAME[signal].high:
        return Refusal.RANGE
    return value


def make_reply(signal: str, value: float) -> bytes:
    """Return the reply a car would give: the nearest representable value, held at the ends of the PID's range."""
    formula = FORMULAS[signal]
    raw = round((value - formula.offset) * formula.denominator / formula.numerator)
    raw = max(0, min(raw, formula.highest)) << formula.shift
    return bytes([SERVICE + REPLY, PIDS[signal]]) + raw.to_bytes(formula.size, "big")


def parse_bitmap(base: int, reply: bytes) -> set[int] | Refusal:
    """Return the PIDs that a reply to the bitmap PID `base` names as supported, or why it tells none."""
    if not reply:
        return Refusal.NO_DATA
    if reply[:2] != bytes([SERVICE + REPLY, base]):
        return Refusal.FOREIGN
    if len(reply) != 2 + PIDS_PER_BITMAP // 8:
        return Refusal.LENGTH
    bits = int.from_bytes(reply[2:], "big")
    return {base + n for n in range(1, PIDS_PER_BITMAP + 1) if bits >> (PIDS_PER_BITMAP - n) & 1}


def make_bitmap(base: int, pids: Iterable[int]) -> bytes:
    """Return the reply to the bitmap PID `base` of a car that supports `pids`; its last bit announces the next one."""
    pids = set(pids)
    beyond = any(pid > base + PIDS_PER_BITMAP for pid in pids)
    bits = sum(1 << (PIDS_PER_BITMAP - n) for n in range(1, PIDS_PER_BITMAP + 1) if base + n in pids)
    return bytes([SERVICE + REPLY, base]) + (bits | beyond).to_bytes(PIDS_PER_BITMAP // 8, "big")
