r"""Scenes: small TOML files that say what a car does, step by step, and so make a trip whose true events are known.

    scene.toml -> checked steps -> Motion (manoeuvre.py) -> sensors, byte by byte (sensed.py) -> readings
                                        \-> true events (truth.py)

docs/scenes.md has every step with its keys and units. The same file makes the same readings.
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from device.contract.errors import RecordingError
from device.contract.recording import RecordingHead, quantised, reading_order
from device.contract.signals import BY_NAME, Reading
from replay_data.manoeuvre import PEDAL_MPS3, ImpossibleError, Motion
from replay_data.scenario_keys import CARS, REQUIRED, SCENE, STEPS, Key
from replay_data.sensed import ADAPTERS, polled, received, shaken
from replay_data.sensors import Before, Mounting, ecu_readings, gnss_readings, imu_readings, limit_readings
from replay_data.truth import TrueEvent, true_events

VERSION: Final = 1
MAX_HOURS: Final = 24
MAX_STEPS: Final = 100_000  # after repeats
START_S: Final = 5.0
PARKED_S: Final = 8.0
PLACE: Final = (48.4011, 9.9876)  # where the receiver begins; the road it drives is made up
LEVEL: Final = Mounting((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
IMU_MS: Final = 20
BEFORE: Final = Before(odometer_km=40_000.0, since_clear_km=4_000.0, coolant_c=20.0, ambient_c=10.0, fuel_pct=60.0)

Table = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scene:
    """A scene that was read and driven.

    Attributes
    ----------
    motion : Motion
        The truth.
    events : list of TrueEvent
        Those that the scene's sensors can tell: turns need a receiver or an IMU, limits a map.
    """

    path: Path
    keys: Table
    motion: Motion
    events: list[TrueEvent]

    @property
    def head(self) -> RecordingHead:
        """Head of its recording."""
        started_at: datetime = self.keys["started_at"]
        offset = started_at.utcoffset() or timedelta()
        return RecordingHead(
            source="scene",
            original=self.path.name,
            vehicle=self.keys["vehicle"],
            driver=self.keys["driver"],
            started_at_ms=round(started_at.timestamp() * 1_000),
            utc_offset_min=round(offset.total_seconds() / 60),
            notes={"simulated": "yes", "scene": self.keys["title"], "car": self.keys["car"]},
        )

    def readings(self) -> list[Reading]:
        """What its sensors deliver, by time."""
        keys, samples = self.keys, self.motion.samples
        found: list[Reading] = []
        if "obd" in keys["sensors"]:
            ecu = (r for r in ecu_readings(samples, CARS[keys["car"]], BEFORE) if not self._is_asleep(r.t_ms))
            found += polled(ecu, samples[-1].t_ms, ADAPTERS[keys["adapter"]], self._rng("adapter"))
        if "limits" in keys["sensors"]:
            found += (r for r in limit_readings(samples) if r.value)
        if "gnss" in keys["sensors"]:
            fixes = gnss_readings(samples, PLACE, self._rng("gnss"))
            found += received(fixes, self.head.started_at_ms or 0)
        if "imu" in keys["sensors"]:
            found += shaken(imu_readings(samples, LEVEL, self._rng("imu"), IMU_MS))
        ordered = {reading_order(reading): _quantised(reading) for reading in sorted(found, key=reading_order)}
        return list(ordered.values())

    def _is_asleep(self, t_ms: int) -> bool:
        return any(from_ms <= t_ms < to_ms for from_ms, to_ms in self.motion.asleep)

    def _rng(self, purpose: str) -> random.Random:
        return random.Random(f"{self.keys['seed']} {purpose}")  # noqa: S311 repeatable on purpose


def read_scene(path: Path) -> Scene:
    """Read a scene and drive it.

    Raises
    ------
    RecordingError
        It is no TOML, has a wrong key or value, or asks for what no car can do; the message names file, key and fix.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise RecordingError(str(path), f"byte {error.start}: no UTF-8; save the scene as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise RecordingError(str(path), f"no TOML: {error}") from None
    version = table.pop("scene", None)
    if version != VERSION:
        told = "missing" if version is None else f"{version!r}"
        raise RecordingError(str(path), f"scene: {told}; write 'scene = {VERSION}', the version of the language")
    steps = table.pop("step", [])
    if not isinstance(steps, list) or not steps:
        raise RecordingError(
            str(path), 'step: there is none; write [[step]] and below it do = "accelerate", to_kmh = 50'
        )
    keys = _checked(path, "", table, SCENE)
    motion = Motion(CARS[keys["car"]], random.Random(f"{keys['seed']} engine"))  # noqa: S311 repeatable on purpose
    drive = _Drive(path, motion, random.Random(f"{keys['seed']} jam"))  # noqa: S311 repeatable on purpose
    motion.stand(START_S, engine=True)
    drive.steps(steps, "step")
    if motion.speed_mps:
        raise RecordingError(
            str(path), f'step: the scene ends at {motion.speed_mps * 3.6:.0f} km/h; add a last step do = "brake"'
        )
    motion.stand(PARKED_S, engine=False)
    sensors = keys["sensors"]
    turns_told = bool({"gnss", "imu"} & set(sensors))
    return Scene(path, keys, motion, true_events(motion.samples, lateral=turns_told, limits="limits" in sensors))


class _Drive:
    """Plays steps, one function for each kind."""

    def __init__(self, path: Path, motion: Motion, rng: random.Random) -> None:
        self._path, self._motion, self._rng = path, motion, rng
        self._left = MAX_STEPS
        self._play: dict[str, Callable[[Table], None]] = {
            "accelerate": self._change,
            "brake": self._change,
            "emergency_stop": self._change,
            "cruise": self._cruise,
            "curve": self._curve,
            "roundabout": self._roundabout,
            "jam": self._jam,
            "stop_start": self._stop_start,
            "idle": lambda step: self._standing().stand(step["for_s"], engine=True),
            "park": lambda step: self._standing().stand(step["for_s"], engine=False),
            "tow": lambda step: self._standing().tow(step["for_s"], step["at_kmh"] / 3.6),
            "limit": lambda step: self._motion.limit(round(step["kmh"])),
        }

    def steps(self, steps: list[Any], where: str) -> None:
        for number, table in enumerate(steps, start=1):
            place = f"{where} {number}"
            if not isinstance(table, dict) or table.get("do") not in STEPS:
                told = repr(table.get("do")) if isinstance(table, dict) and "do" in table else "missing"
                raise RecordingError(str(self._path), f"{place}: do: {told}; known are {', '.join(STEPS)}")
            kind = table["do"]
            place = f"{place} ({kind})"
            step = _checked(self._path, place, {k: v for k, v in table.items() if k != "do"}, STEPS[kind]) | {
                "do": kind
            }
            self._left -= 1
            if self._left < 0 or self._motion.now_ms > MAX_HOURS * 3_600_000:
                raise RecordingError(
                    str(self._path), f"{place}: over {MAX_HOURS} hours or {MAX_STEPS:,} steps; repeat less"
                )
            try:
                self._do(step, place)
            except ImpossibleError as error:
                raise RecordingError(str(self._path), f"{place}: {error}") from None

    def _do(self, step: Table, where: str) -> None:
        if step["do"] != "repeat":
            self._play[step["do"]](step)
            return
        for _ in range(step["times"]):
            self.steps(step["step"], f"{where}.step")

    def _change(self, step: Table) -> None:
        kind, motion = step["do"], self._motion
        to_mps = step.get("to_kmh", 0.0) / 3.6
        if (to_mps <= motion.speed_mps) if kind == "accelerate" else (to_mps >= motion.speed_mps):
            other = "brake" if kind == "accelerate" else "accelerate"
            raise ImpossibleError(
                f"to_kmh: the car is at {motion.speed_mps * 3.6:.0f} km/h already; use {other}, or leave it out"
            )
        motion.change(to_mps, step["mps2"], PEDAL_MPS3[kind])

    def _cruise(self, step: Table) -> None:
        if (step["for_s"] is None) == (step["for_m"] is None):
            raise ImpossibleError("for_s, for_m: give one of them")
        if not self._motion.speed_mps:
            raise ImpossibleError("the car stands: put an accelerate step before it, or use idle")
        seconds = step["for_m"] / self._motion.speed_mps if step["for_s"] is None else step["for_s"]
        _limit_hours(seconds)
        self._motion.hold(seconds)

    def _curve(self, step: Table) -> None:
        self._motion.bend(step["radius_m"], step["angle_deg"], 1 if step["turn"] == "left" else -1)

    def _roundabout(self, step: Table) -> None:
        """In by 45 degrees, around to the exit, out by 45: against the clock where they drive on the right."""
        side = 1 if step["drive_on"] == "right" else -1
        self._motion.bend(step["radius_m"], 45.0, -side)
        if step["exit"] > 1:
            self._motion.bend(step["radius_m"], 90.0 * (step["exit"] - 1), side)
        self._motion.bend(step["radius_m"], 45.0, -side)

    def _jam(self, step: Table) -> None:
        motion, rng = self._motion, self._rng
        until_ms = motion.now_ms + step["for_s"] * 1_000
        motion.change(0.0, 1.5, PEDAL_MPS3["brake"])
        while motion.now_ms < until_ms:
            motion.hold(rng.uniform(3, 20))
            motion.change(
                step["top_kmh"] / 3.6 * rng.uniform(0.3, 1.0), rng.uniform(0.6, 1.4), PEDAL_MPS3["accelerate"]
            )
            motion.hold(rng.uniform(1, 8))
            motion.change(0.0, rng.uniform(0.7, 1.8), PEDAL_MPS3["brake"])

    def _stop_start(self, step: Table) -> None:
        motion = self._motion
        _limit_hours(step["times"] * (step["drive_s"] + step["stand_s"]))
        if motion.speed_mps:
            motion.change(0.0, step["mps2"], PEDAL_MPS3["brake"])
        for _ in range(step["times"]):
            motion.change(step["to_kmh"] / 3.6, step["mps2"], PEDAL_MPS3["accelerate"])
            motion.hold(step["drive_s"])
            motion.change(0.0, step["mps2"], PEDAL_MPS3["brake"])
            motion.hold(step["stand_s"])

    def _standing(self) -> Motion:
        if self._motion.speed_mps:
            raise ImpossibleError(
                f'the car drives {self._motion.speed_mps * 3.6:.0f} km/h: put a step do = "brake" before it'
            )
        return self._motion


def _limit_hours(seconds: float) -> None:
    if seconds > MAX_HOURS * 3_600:
        raise ImpossibleError(f"takes {seconds / 3_600:.0f} hours; at most {MAX_HOURS}")


def _checked(path: Path, where: str, table: Table, known: dict[str, Key]) -> Table:
    """Values of all known keys, defaults filled in; a wrong one is told with what would be right."""
    dot = f"{where}: " if where else ""
    for name in table:
        if name not in known:
            raise RecordingError(str(path), f"{dot}{name}: no such key; known are {', '.join(known)}")
    values: Table = {}
    for name, key in known.items():
        value = table.get(name, key.default)
        if value is REQUIRED:
            raise RecordingError(str(path), f"{dot}{name}: missing; {key.fix}")
        if name in table and not key.admits(value):
            raise RecordingError(str(path), f"{dot}{name} = {_told(value)}: {key.fix}")
        values[name] = value
    return values


def _quantised(reading: Reading) -> Reading:
    """As a recording keeps it."""
    value = reading.value
    return reading if value is None else reading._replace(value=quantised(BY_NAME[reading.signal], value))


def _told(value: object) -> str:
    text = str(value) if isinstance(value, datetime) else repr(value)
    return text if len(text) < 60 else f"{text[:57]}..."
