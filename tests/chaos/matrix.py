"""The matrix: fault x severity x seed over recorded trips, and what each cell did to sealed bytes, prices and flags."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from replay_data import faults
from replay_data.generate import FOLDER
from replay_data.plan import TRIPS
from tests.chaos import car, road
from tests.chaos.car import Drive, Wrong
from tests.chaos.price import ALONE, QUIET, STRUCK, Sealed, relativities, sealed
from tests.reference_model import Reference

# A price that moves less than this is unmoved, where sensors are at fault; where only the road is, nothing may move.
TOLERANCE: Final = 0.005
HOUR_MS: Final = 3_600_000
SEEDS: Final = 5
CARS: Final = 22


class Fault(NamedTuple):
    """A row of the matrix: amounts from mild to extreme, and who applies it."""

    name: str
    unit: str
    amounts: tuple[float, float, float]
    exact: bool  # nothing may change at all


READINGS: Final = (
    Fault("loss", "share of readings lost", (0.01, 0.1, 0.5), exact=False),
    Fault("refuse", "share of requests without answer", (0.01, 0.1, 0.5), exact=False),
    Fault("stall", "s of silence every 2 min", (1, 4, 20), exact=False),
    Fault("freeze", "s of a frozen speed every 2 min", (1, 4, 20), exact=False),
    Fault("spike", "share of speeds at random", (0.001, 0.01, 0.1), exact=False),
    Fault("quantise", "km/h steps of speed", (1.609344, 5, 10), exact=False),
    Fault("drift", "ppm of the crystal", (50, 500, 5_000), exact=False),
)
CLOCK: Final = (
    Fault("clock jump", "the clock is set in mid-drive: 1 min, 1 h, 10 y off", (1, 2, 3), exact=False),
    Fault("clock fast", "h fast, and claims to be right", (1 / 3, 3, 12), exact=False),
    Fault("clock slow", "h slow, and claims to be right", (1 / 3, 3, 12), exact=False),
    Fault("slow offline", "h slow, claims to be right, and offline until the end", (1 / 3, 3, 12), exact=False),
)
ROAD: Final = (
    Fault("duplicate", "share of messages doubled", (0.05, 0.3, 1.0), exact=True),
    Fault("reorder", "places", (5, 100, 10_000), exact=True),
    Fault("delay", "hours at most", (1, 48, 600), exact=True),
    Fault("drop", "share lost, each time", (0.05, 0.3, 0.8), exact=True),
)
POWER: Final = (
    Fault("kill -9", "times in a trip", (1, 3, 8), exact=True),
    Fault("power cut", "times in a trip, in mid-write", (1, 3, 8), exact=True),
)
FAULTS: Final = (*READINGS, *CLOCK, *ROAD, *POWER)
# By how much, and whether the computer believes that it is right; what is not known to be right has no local time.
WRONG: Final = {1: (-60_000, True), 2: (-HOUR_MS, False), 3: (-10 * 365 * 24 * HOUR_MS, False)}


class Cell(NamedTuple):
    """What one fault did to one trip; changes are shares of the clean relativity.

    `year`: of a driver who drives all trips, this one struck. `alone`: of one who drives nothing else. `struck`: of one
    who drives all trips, each struck; `quiet`: each struck that the fault does not flag. These two are the same in all
    cells of a run. None: there was no trip left to price.
    """

    fault: str
    severity: int
    seed: int
    device_id: str
    year: float
    alone: float | None
    struck: float
    quiet: float
    km: float
    new_flags: frozenset[str]
    same_bytes: bool

    @property
    def verdict(self) -> str:
        """unmoved, flagged or moved."""
        exact = next(fault.exact for fault in FAULTS if fault.name == self.fault)
        if self.same_bytes if exact else abs(self.year) <= TOLERANCE:
            return "unmoved"
        return "flagged" if self.new_flags else "moved"


def drives(count: int = CARS) -> list[Drive]:
    """The smallest recordings of the trips, so many; a tenth of them with an IMU."""
    kits: dict[bool, list[Path]] = {True: [], False: []}
    for trip in TRIPS:
        kits[trip.vehicle.imu is not None].append(FOLDER / f"{trip.name}.ubirec")
    chosen = []
    for has_imu, number in ((False, count - count // 10), (True, count // 10)):
        chosen += sorted(kits[has_imu], key=lambda path: path.stat().st_size)[:number]
    return [car.drive_of(path, number) for number, path in enumerate(sorted(chosen))]


class Matrix:
    """Runs cells against the clean outcome.

    Parameters
    ----------
    cars : sequence of Drive
    reference : Reference
    folder : Path
        For outboxes and lakes.
    """

    def __init__(self, cars: Sequence[Drive], reference: Reference, folder: Path) -> None:
        self._cars, self._reference, self._folder = cars, reference, folder
        self._payloads = self._driven(car.messages_of)
        self.clean = self._sealed(self._sent(self._payloads), random.Random(0))
        self._devices = [drive.device_id for drive in cars]
        self._km, self._flags = self.clean.km, self.clean.flags
        self._relativity = relativities(self.clean, self.clean, self._devices, reference)

    def run(self, fault: Fault, severity: int, seed: int) -> Iterator[Cell]:
        """All cars of one fault, severity (0 to 2) and seed."""
        rng, amount = random.Random(f"{fault.name} {severity} {seed}"), fault.amounts[severity]
        now = self._outcome(fault, amount, rng, seed)
        same = now.digest == self.clean.digest
        rated = self._relativity if same else relativities(self.clean, now, self._devices, self._reference)
        change = {driver: value / self._relativity[driver] - 1 for driver, value in rated.items()}
        flags, km = now.flags, now.km
        for device in self._devices:
            yield Cell(
                fault.name,
                severity,
                seed,
                device,
                change[device],
                change.get(ALONE + device),
                change[STRUCK],
                change[QUIET],
                km.get(device, 0.0) / self._km[device] - 1,
                flags.get(device, frozenset()) - self._flags[device],
                same,
            )

    def _outcome(self, fault: Fault, amount: float, rng: random.Random, seed: int) -> Sealed:
        if fault in READINGS:
            spec = faults.Spec(((fault.name, amount),), seed)
            cars = [Drive(d.device_id, d.head, spec.readings(d.readings)) for d in self._cars]
            return self._sealed(self._sent(self._driven(car.messages_of, cars)), rng)
        if fault in CLOCK:
            sent = self._sent(self._driven(lambda d, folder: car.messages_of(d, folder, _wrong(fault, amount, d, rng))))
            return self._sealed(road.at_the_end(sent) if "offline" in fault.name else sent, rng)
        if fault in ROAD:
            way: road.Road = getattr(road, fault.name)
            return self._sealed(way(self._sent(self._payloads), amount, rng), rng, seals=3)
        dies = car.messages_of_killed if fault.name == "kill -9" else car.messages_of_cut
        return self._sealed(self._sent(self._driven(lambda d, folder: dies(d, folder, round(amount), rng))), rng)

    def _driven(
        self, how: Callable[[Drive, Path], list[bytes]], cars: Iterable[Drive] | None = None
    ) -> dict[str, list[bytes]]:
        with tempfile.TemporaryDirectory(dir=self._folder) as name:
            return {drive.device_id: how(drive, Path(name)) for drive in cars or self._cars}

    def _sent(self, payloads: dict[str, list[bytes]]) -> list[road.Sent]:
        sent = [m for drive in self._cars for m in road.sent_of(drive, payloads[drive.device_id])]
        return sorted(sent, key=lambda message: message.at_ms)

    def _sealed(self, sent: list[road.Sent], rng: random.Random, seals: int = 0) -> Sealed:
        with tempfile.TemporaryDirectory(dir=self._folder) as name:
            return sealed(road.arrive(Path(name), sent, rng, seals))


def _wrong(fault: Fault, amount: float, drive: Drive, rng: random.Random) -> Wrong:
    last_ms = drive.readings[-1].t_ms
    if fault.name == "clock jump":
        by_ms, known = WRONG[round(amount)]
        return Wrong(by_ms, rng.randrange(1, last_ms), known)
    by_ms = round(amount * HOUR_MS) * (1 if fault.name == "clock fast" else -1)
    return Wrong(by_ms, last_ms + 1, known=True, offline="offline" in fault.name)
