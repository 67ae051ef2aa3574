"""The words of scenes as tables: every key with its default and what it may be. A test holds docs/scenes.md to it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, NamedTuple

from replay_data.cars import DIESEL, ELECTRIC, PETROL, START_STOP
from replay_data.sensed import ADAPTERS

REQUIRED: Final = object()
CARS: Final = {"petrol": PETROL, "start-stop": START_STOP, "diesel": DIESEL, "electric": ELECTRIC}
SENSORS: Final = ("obd", "gnss", "imu", "limits")


class Key(NamedTuple):
    """A key: its default (None = may be left out), which values it takes, and how to say so."""

    default: Any
    admits: Callable[[Any], bool]
    fix: str


def _number(default: Any, low: float, high: float, unit: str) -> Key:
    def admits(value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high

    return Key(default, admits, f"a number from {low:g} to {high:g} {unit}".rstrip())


def _whole(default: Any, low: int, high: int) -> Key:
    def admits(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

    return Key(default, admits, f"a whole number from {low:,} to {high:,}".replace(f"{2**31:,}", "2**31"))


def _one_of(default: Any, *words: str) -> Key:
    told = ", ".join(f'"{word}"' for word in words)
    return Key(default, lambda value: value in words, f"one of {told}")


def _text(default: str) -> Key:
    return Key(default, lambda value: isinstance(value, str) and len(value) <= 256, "a text of at most 256 letters")


def _is_sensors(value: Any) -> bool:
    if not isinstance(value, list) or not {"obd", "gnss"} & {str(word) for word in value}:
        return False
    return all(word in SENSORS for word in value) and len(set(value)) == len(value)


def _mps2(default: float, high: float) -> Key:
    return _number(default, 0.2, high, "m/s2")


SCENE: Final[dict[str, Key]] = {
    "title": _text(""),
    "started_at": Key(
        REQUIRED,
        lambda value: isinstance(value, datetime) and value.tzinfo is not None,
        "local time with its UTC offset, without quotes: started_at = 2026-03-10T08:00:00+01:00",
    ),
    "car": _one_of("petrol", *CARS),
    "sensors": Key(["obd"], _is_sensors, 'a list of "obd", "gnss", "imu", "limits"; "obd" or "gnss" must be in it'),
    "adapter": _one_of("wired", *ADAPTERS),
    "vehicle": _text(""),
    "driver": _text(""),
    "seed": _whole(1, 0, 2**31),
}
STEPS: Final[dict[str, dict[str, Key]]] = {
    "accelerate": {"to_kmh": _number(REQUIRED, 1, 250, "km/h"), "mps2": _mps2(1.5, 8.0)},
    "brake": {"to_kmh": _number(0.0, 0, 250, "km/h"), "mps2": _mps2(1.5, 8.5)},
    "emergency_stop": {"mps2": _mps2(7.5, 8.5)},
    "cruise": {"for_s": _number(None, 0.05, 86_400, "s"), "for_m": _number(None, 1, 2_000_000, "m")},
    "curve": {
        "radius_m": _number(REQUIRED, 4, 5_000, "m"),
        "angle_deg": _number(90.0, 1, 720, "degrees"),
        "turn": _one_of("left", "left", "right"),
    },
    "roundabout": {
        "radius_m": _number(14.0, 4, 200, "m"),
        "exit": _whole(2, 1, 5),
        "drive_on": _one_of("right", "right", "left"),
    },
    "jam": {"for_s": _number(REQUIRED, 10, 86_400, "s"), "top_kmh": _number(15.0, 2, 60, "km/h")},
    "stop_start": {
        "times": _whole(3, 1, 1_000),
        "to_kmh": _number(30.0, 2, 120, "km/h"),
        "drive_s": _number(6.0, 0.05, 3_600, "s"),
        "stand_s": _number(10.0, 0.05, 3_600, "s"),
        "mps2": _mps2(1.4, 8.0),
    },
    "idle": {"for_s": _number(REQUIRED, 0.05, 86_400, "s")},
    "park": {"for_s": _number(REQUIRED, 0.05, 86_400, "s")},
    "tow": {"for_s": _number(REQUIRED, 1, 86_400, "s"), "at_kmh": _number(50.0, 5, 100, "km/h")},
    "limit": {"kmh": _number(REQUIRED, 0, 250, "km/h (0: none is known from here on)")},
    "repeat": {
        "times": _whole(REQUIRED, 1, 10_000),
        "step": Key(
            REQUIRED, lambda value: isinstance(value, list) and bool(value), "steps of its own under [[step.step]]"
        ),
    },
}
