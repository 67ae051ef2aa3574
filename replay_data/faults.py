"""Faults of sensors, adapters and networks, to be laid over any recording: `ubi replay FILES... --faults SPEC`.

    SPEC = NAME[:AMOUNT][,NAME[:AMOUNT]...][,seed:N]        for example  spike:0.01,stall:4,reorder:30

A fault of readings changes what the device hears; a fault of the road (`OF_THE_ROAD`) changes how its messages travel.
They are applied in the order of the spec. The same spec and seed make the same faults. docs/replay.md has the names.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from device.contract.errors import UsageError
from device.contract.recording import quantised, reading_order
from device.contract.signals import BY_NAME, Reading
from replay_data.recording import Recording

EVERY_MS: Final = 120_000  # mean time between two stalls, or two frozen values
SPEEDS: Final = frozenset({"speed_kmh", "gnss_speed_kmh"})
FROM_PORT: Final = frozenset(s.name for s in BY_NAME.values() if s.pid is not None or s.name == "adapter_voltage_v")
FROM_RECEIVER: Final = frozenset(name for name in BY_NAME if name.startswith("gnss_")) | {
    "latitude_deg",
    "longitude_deg",
    "altitude_m",
}
MAX_SPIKE_KMH: Final = 255  # the highest that a reply of one byte can tell

LEAST_CUT: Final = 6  # an uplink probes a new link with 5: were it cut within these, no ack would ever be heard

Readings = list[Reading]
Change = Callable[[Readings, float, random.Random], Readings]


class Fault(NamedTuple):
    """A fault: its amount's unit, bounds and default, and what it does (None: it is of the road)."""

    unit: str
    low: float
    high: float
    usual: float
    about: str
    change: Change | None = None


def lose(readings: Readings, share: float, rng: random.Random) -> Readings:
    """Leave out a share of the readings."""
    return [reading for reading in readings if rng.random() >= share]


def refuse(readings: Readings, share: float, rng: random.Random) -> Readings:
    """Leave a share of the requests to the car without a valid answer."""
    return [r._replace(value=None) if r.signal in FROM_PORT and rng.random() < share else r for r in readings]


def stall(readings: Readings, seconds: float, rng: random.Random) -> Readings:
    """Let the adapter, or the receiver where there is no adapter, say nothing for so long now and then."""
    silent = FROM_PORT if any(reading.signal == "speed_kmh" for reading in readings) else FROM_RECEIVER
    inside = _Episodes(readings, seconds, rng)
    return [r for r in readings if not (inside.holds(r.t_ms) and r.signal in silent)]


def freeze(readings: Readings, seconds: float, rng: random.Random) -> Readings:
    """Let the speed repeat its last value for so long now and then."""
    inside, last = _Episodes(readings, seconds, rng), dict[str, float | None]()
    frozen = []
    for reading in readings:
        if reading.signal in SPEEDS:
            if inside.holds(reading.t_ms) and reading.signal in last:
                reading = reading._replace(value=last[reading.signal])  # noqa: PLW2901
            last[reading.signal] = reading.value
        frozen.append(reading)
    return frozen


def spike(readings: Readings, share: float, rng: random.Random) -> Readings:
    """Replace a share of the speeds by any that a reply of one byte can tell."""
    return [
        r._replace(value=float(rng.randrange(MAX_SPIKE_KMH + 1))) if r.signal in SPEEDS and rng.random() < share else r
        for r in readings
    ]


def quantise(readings: Readings, step_kmh: float, rng: random.Random) -> Readings:  # noqa: ARG001
    """Tell speeds in coarser steps."""

    def coarse(value: float) -> float:
        return quantised(BY_NAME["speed_kmh"], math.floor(value / step_kmh + 0.5) * step_kmh)

    return [r._replace(value=coarse(r.value)) if r.signal in SPEEDS and r.value is not None else r for r in readings]


def drift(readings: Readings, ppm: float, rng: random.Random) -> Readings:
    """Let the crystal of the computer run fast, or slow where that is drawn: all times of readings are its own."""
    rate = 1 + math.copysign(ppm * 1e-6, rng.random() - 0.5)
    told: dict[tuple[int, int], Reading] = {}
    for reading in readings:
        moved = reading._replace(t_ms=round(reading.t_ms * rate))
        told.setdefault(reading_order(moved), moved)
    return sorted(told.values(), key=reading_order)  # two times that have become one


FAULTS: Final[dict[str, Fault]] = {
    "loss": Fault("share of readings", 0, 1, 0.05, "readings that never come", lose),
    "refuse": Fault("share of requests", 0, 1, 0.05, "requests without a valid answer", refuse),
    "stall": Fault("s", 0, 3_600, 4, "the adapter says nothing, every two minutes on average", stall),
    "freeze": Fault("s", 0, 3_600, 4, "the speed repeats itself, every two minutes on average", freeze),
    "spike": Fault("share of speeds", 0, 1, 0.01, "speeds that are any number from 0 to 255", spike),
    "quantise": Fault("km/h", 0.01, 50, 1.609344, "speeds in coarser steps", quantise),
    "drift": Fault("ppm", 0, 100_000, 100, "the computer's crystal is off", drift),
    "duplicate": Fault("share of messages", 0, 1, 0.2, "messages that come twice"),
    "reorder": Fault("messages", 1, 10_000, 20, "messages overtake each other within so many"),
    "drop": Fault("share of messages", 0, 0.9, 0.2, "messages that are lost on the way, and sent again"),
    "cut": Fault("messages", LEAST_CUT, 100_000, 50, "the link is cut after so many messages, again and again"),
}
OF_THE_ROAD: Final = frozenset(name for name, fault in FAULTS.items() if fault.change is None)


@dataclass(frozen=True, slots=True)
class Spec:
    """What is to go wrong: (name, amount) in order, and the seed of the chance in it."""

    faults: tuple[tuple[str, float], ...]
    seed: int = 1

    @property
    def of_the_road(self) -> dict[str, float]:
        """Amounts of the faults that messages meet."""
        return {name: amount for name, amount in self.faults if name in OF_THE_ROAD}

    @property
    def changes_readings(self) -> bool:
        """Whether the device hears anything else than without."""
        return bool(self._of_readings)

    @property
    def _of_readings(self) -> list[tuple[str, float]]:
        return [fault for fault in self.faults if fault[0] not in OF_THE_ROAD]

    def __str__(self) -> str:
        return ",".join([_told(self.faults), f"seed:{self.seed}"])

    def readings(self, readings: Readings) -> Readings:
        """What the device hears instead."""
        for number, (name, amount) in enumerate(self._of_readings):
            rng = random.Random(f"{self.seed} {number} {name}")  # noqa: S311 repeatable on purpose
            change = FAULTS[name].change
            assert change is not None
            readings = change(readings, amount, rng)
        return readings

    def laid_over(self, recording: Recording) -> Recording:
        """Return a recording as its device hears it with these faults: another one, with a stream of its own."""
        return replace(recording, sha256=self.sha256(recording.sha256), readings=self.readings(recording.readings))

    def sha256(self, recording: str) -> str:
        """Identity of a recording with these faults: another one, so that its stream is not the clean one's."""
        if not self.changes_readings:
            return recording
        return hashlib.sha256(f"{recording} {_told(self._of_readings)} {self.seed}".encode()).hexdigest()


def parse_faults(text: str) -> Spec:
    """Read a spec.

    Raises
    ------
    UsageError
        It names no known fault, or an amount that is none; the message says which there are.
    """
    faults: list[tuple[str, float]] = []
    seed = 1
    for part in filter(None, (word.strip() for word in text.split(","))):
        name, _, amount = part.partition(":")
        if name == "seed":
            if not amount.isdecimal():
                raise UsageError(f"--faults: {part}: seed is a whole number, such as seed:7")
            seed = int(amount)
            continue
        fault = FAULTS.get(name)
        if fault is None:
            raise UsageError(f"--faults: {part}: no such fault; known are {', '.join(FAULTS)}, seed")
        faults.append((name, _amount(part, fault, amount)))
    if not faults:
        raise UsageError(f"--faults: names no fault; known are {', '.join(FAULTS)}")
    return Spec(tuple(faults), seed)


def _amount(part: str, fault: Fault, text: str) -> float:
    try:
        value = float(text) if text else fault.usual
    except ValueError:
        value = math.nan
    if not fault.low <= value <= fault.high:
        raise UsageError(f"--faults: {part}: the amount is a number from {fault.low:g} to {fault.high:g}, {fault.unit}")
    return value


def _told(faults: Iterable[tuple[str, float]]) -> str:
    return ",".join(f"{name}:{str(amount).removesuffix('.0')}" for name, amount in faults)


class _Episodes:
    """Stretches of a given length, a random time apart. Asked with times that rise."""

    def __init__(self, readings: Readings, seconds: float, rng: random.Random) -> None:
        self._stretches = self._draw(readings[0].t_ms if readings else 0, round(seconds * 1_000), rng)
        self._now = next(self._stretches)

    def holds(self, t_ms: int) -> bool:
        """Whether a time lies in one."""
        while t_ms >= self._now[1]:
            self._now = next(self._stretches)
        return t_ms >= self._now[0]

    @staticmethod
    def _draw(from_ms: int, long_ms: int, rng: random.Random) -> Iterator[tuple[int, int]]:
        at_ms = from_ms
        while True:
            at_ms += 1 + round(rng.expovariate(1 / EVERY_MS))
            yield at_ms, at_ms + long_ms
            at_ms += long_ms
