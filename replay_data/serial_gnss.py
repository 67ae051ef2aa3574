"""A GNSS receiver that plays a recording: its readings as NMEA 0183 sentences, on a pseudo-terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import reduce
from itertools import groupby
from operator import xor
from typing import Final

from device.contract.signals import Reading
from replay_data.pseudo_terminal import PlayClock, PlayedSensor

KMH_PER_KNOT: Final = 1.852
EPOCH_MS: Final = 50  # readings of one fix lie together: receivers give at most 20 fixes a second
SIGNALS: Final = frozenset(
    {
        "latitude_deg",
        "longitude_deg",
        "altitude_m",
        "gnss_speed_kmh",
        "gnss_course_deg",
        "gnss_fix",
        "gnss_hdop",
        "gnss_satellites",
    }
)


def played_gnss(readings: Iterable[Reading], started_at_ms: int, clock: PlayClock | None = None) -> PlayedSensor:
    """Return the receiver of a recording, to be entered as a context.

    Parameters
    ----------
    readings : iterable of Reading
        By time; other signals are passed over.
    started_at_ms : int
        UTC at the recording's zero.
    clock : PlayClock, optional
    """
    return PlayedSensor("gnss", to_nmea(readings, started_at_ms), idle=no_fix(started_at_ms), clock=clock)


def to_nmea(readings: Iterable[Reading], started_at_ms: int) -> Iterator[tuple[int, bytes]]:
    """Yield time and sentences, GGA and RMC, of each fix."""
    ours = (r for r in readings if r.signal in SIGNALS and r.value is not None)
    for epoch, group in groupby(ours, key=lambda r: r.t_ms // EPOCH_MS):
        told = {r.signal: r.value for r in group if r.value is not None}
        t_ms = epoch * EPOCH_MS
        if {"latitude_deg", "longitude_deg"} <= told.keys():
            yield t_ms, _fix(told, started_at_ms + t_ms)
        elif told.get("gnss_fix") == 0:
            yield t_ms, no_fix(started_at_ms + t_ms)


def no_fix(utc_ms: int) -> bytes:
    """Return what a receiver says that sees no satellite; its clock runs on."""
    time, day = _utc(utc_ms)
    return sentence(f"GPGGA,{time},,,,,0,00,99.99,,,,,,") + sentence(f"GPRMC,{time},V,,,,,,,{day},,,N")


def sentence(body: str) -> bytes:
    """Return a sentence with its checksum and end."""
    return f"${body}*{reduce(xor, body.encode()):02X}\r\n".encode()


def _fix(told: dict[str, float], utc_ms: int) -> bytes:
    time, day = _utc(utc_ms)
    place = f"{_degrees(told['latitude_deg'], 2, 'NS')},{_degrees(told['longitude_deg'], 3, 'EW')}"
    course = f"{told['gnss_course_deg']:.2f}" if "gnss_course_deg" in told else ""
    speed = f"{told['gnss_speed_kmh'] / KMH_PER_KNOT:.3f}" if "gnss_speed_kmh" in told else ""
    height = f"{told['altitude_m']:.1f}" if "altitude_m" in told else ""
    fix, satellites = round(told.get("gnss_fix", 1)), round(told.get("gnss_satellites", 9))
    return sentence(
        f"GPGGA,{time},{place},{fix},{satellites:02d},{told.get('gnss_hdop', 1):.2f},{height},M,0.0,M,,"
    ) + sentence(f"GPRMC,{time},A,{place},{speed},{course},{day},,,A")


def _utc(utc_ms: int) -> tuple[str, str]:
    at = datetime.fromtimestamp(utc_ms // 1_000, UTC)
    return f"{at:%H%M%S}.{utc_ms % 1_000:03d}", f"{at:%d%m%y}"


def _degrees(value: float, digits: int, letters: str) -> str:
    """Return degrees and minutes to 1e-6 minutes, some 2 mm."""
    micro_minutes = round(abs(value) * 60e6)
    degrees, rest = divmod(micro_minutes, 60_000_000)
    return f"{degrees:0{digits}d}{rest / 1e6:09.6f},{letters[value < 0]}"
