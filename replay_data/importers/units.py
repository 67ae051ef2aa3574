"""Units that headers tell, to those of the signals: converted at the door, never guessed.

A header cell is a name and perhaps a unit in brackets: `Vehicle speed (MPH)`, `Altitude(m)`, `Engine RPM [RPM]`.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final, NamedTuple

from device.contract.signals import Signal

G_MPS2: Final = 9.80665  # standard gravity, exact (CGPM 1901)
KMH_PER_MPH: Final = 1.609344  # exact (international mile)
KPA_PER_PSI: Final = 6.894757293


class Unit(NamedTuple):
    """value in the signal's unit = told value * factor + offset."""

    factor: float = 1.0
    offset: float = 0.0


SAME: Final = Unit()
# Unit of the signal -> unit as told (`unit_key`) -> conversion. A unit that is not here is not read.
UNITS: Final[dict[str, dict[str, Unit]]] = {
    "km/h": {
        "km/h": SAME,
        "kmh": SAME,
        "kph": SAME,
        "mph": Unit(KMH_PER_MPH),
        "mi/h": Unit(KMH_PER_MPH),
        "m/s": Unit(3.6),
        "meters/second": Unit(3.6),
        "kn": Unit(1.852),
        "knots": Unit(1.852),
    },
    "1/min": {"rpm": SAME, "1/min": SAME},
    "%": {"%": SAME},
    "g/s": {"g/s": SAME, "g/sec": SAME, "lb/min": Unit(453.59237 / 60)},
    "kPa": {
        "kpa": SAME,
        "psi": Unit(KPA_PER_PSI),
        "bar": Unit(100),
        "mbar": Unit(0.1),
        "mb": Unit(0.1),
        "hpa": Unit(0.1),
        "inhg": Unit(3.386389),
    },
    "degC": {"c": SAME, "degc": SAME, "f": Unit(5 / 9, -160 / 9), "degf": Unit(5 / 9, -160 / 9)},
    "s": {"s": SAME, "sec": SAME, "seconds": SAME, "min": Unit(60)},
    "km": {"km": SAME, "miles": Unit(KMH_PER_MPH), "mi": Unit(KMH_PER_MPH), "m": Unit(0.001)},
    "m": {"m": SAME, "meters": SAME, "ft": Unit(0.3048), "feet": Unit(0.3048)},
    "V": {"v": SAME, "volts": SAME, "mv": Unit(0.001)},
    "deg": {"deg": SAME, "degrees": SAME, "wgs84": SAME},
    "m/s2": {"m/s2": SAME, "g": Unit(G_MPS2)},
    "deg/s": {"deg/s": SAME, "dps": SAME, "rad/s": Unit(180 / 3.141592653589793)},
    "1": {},
}
BRACKETS: Final = re.compile(r"(?P<name>.*?)\s*[(\[](?P<unit>[^()\[\]]*)[)\]]\s*", re.DOTALL)
# The one-character degrees of UTF-8 that somebody read as Windows-1252.
MOJIBAKE: Final = {"â„ƒ": "°C", "â„‰": "°F"}


def split_unit(header: str) -> tuple[str, str]:
    """Name and unit of a header cell; the unit is empty where none is told. `Speed (OBD)(km/h)` is `Speed (OBD)`."""
    match = BRACKETS.fullmatch(header)
    return (match["name"], match["unit"]) if match else (header, "")


def unit_key(unit: str) -> str:
    """Unit as `UNITS` has it: without what encodings mangle. `°C`, `Â°C` and the one-character degree are `c`."""
    for mangled, meant in MOJIBAKE.items():
        unit = unit.replace(mangled, meant)
    plain = unicodedata.normalize("NFKC", unit).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9/%]", "", plain.lower())


def conversion(signal: Signal, unit: str) -> Unit | None:
    """How to convert from a unit that a header tells; None if that is not known. Without a unit it is the signal's."""
    key = unit_key(unit)
    return UNITS[signal.unit].get(key) if key else SAME
