"""The recorded trips of this project as tables: who drives what, with which adapter, when and where. All simulated."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone
from typing import Final, NamedTuple

from replay_data.driver import Driver
from replay_data.scenes import Route, RouteBuilder
from replay_data.vehicle import Car

#                    name        speed   accel  brake  amber  lateral headway reaction shift
CALM = Driver("calm", 0.97, 1.3, 1.2, 2.6, 2.0, 2.2, 0.7, 2_300)
EVERYDAY = Driver("everyday", 1.02, 1.7, 1.6, 3.0, 2.6, 1.6, 0.8, 2_600)
BRISK = Driver("brisk", 1.08, 2.3, 2.3, 3.8, 3.6, 1.2, 0.8, 3_300)
RECKLESS = Driver("reckless", 1.22, 3.2, 3.4, 5.0, 4.8, 0.9, 0.8, 4_800)

SIX_GEARS = (13.5, 7.6, 5.0, 3.7, 2.95, 2.45)
LONG_GEARS = (12.6, 6.6, 4.1, 2.9, 2.25, 1.85)
PETROL = Car("petrol hatchback", "petrol", 55, SIX_GEARS, 780)
START_STOP = Car("petrol start-stop", "petrol", 58, SIX_GEARS, 760, start_stop=True, odometer=True)
DIESEL = Car("diesel estate", "diesel", 62, LONG_GEARS, 820)
SPORTS = Car("petrol coupe", "petrol", 110, SIX_GEARS, 850)
ELECTRIC = Car("electric", "electric", 85, odometer=True)


class Adapter(NamedTuple):
    """How long an adapter takes for a request, and how often it loses one."""

    name: str
    latency_ms: float
    jitter_ms: float
    lost: float


WIRED = Adapter("wired", 35, 4, 0.0)
BLUETOOTH = Adapter("bluetooth", 75, 25, 0.002)
CLONE = Adapter("clone", 115, 20, 0.005)
SLOW_CLONE = Adapter("slow clone", 290, 110, 0.02)


class Vehicle(NamedTuple):
    """A device in a car with its usual driver."""

    device: str
    driver: Driver
    car: Car
    adapter: Adapter
    utc_offset_min: int
    odometer_km: float
    gnss: tuple[float, float] | None = None  # where its trips begin, if it has GNSS
    limits: bool = False  # knows the limits of a map


VEHICLES: Final[dict[str, Vehicle]] = {
    v.device: v
    for v in (
        Vehicle("sim-calm-1", CALM, START_STOP, WIRED, 60, 21_480.0, limits=True),
        Vehicle("sim-calm-2", CALM, ELECTRIC, BLUETOOTH, 480, 9_120.4),
        Vehicle("sim-everyday-1", EVERYDAY, DIESEL, CLONE, 60, 143_902.0),
        Vehicle("sim-everyday-2", EVERYDAY, START_STOP, BLUETOOTH, 60, 35_007.3),
        Vehicle("sim-everyday-3", EVERYDAY, PETROL, SLOW_CLONE, 480, 88_214.0),
        Vehicle("sim-brisk-1", BRISK, DIESEL, WIRED, 60, 61_775.0, gnss=(48.4011, 9.9876), limits=True),
        Vehicle("sim-brisk-2", BRISK, PETROL, CLONE, 60, 112_640.0),
        Vehicle("sim-reckless-1", RECKLESS, SPORTS, WIRED, 60, 47_333.0, gnss=(51.3397, 12.3731)),
        Vehicle("sim-reckless-2", RECKLESS, ELECTRIC, CLONE, 480, 15_871.9),
    )
}


class Trip(NamedTuple):
    """One trip. `legs` are methods of `RouteBuilder` with their kilometres.

    `rate` is 0 for trips recorded in process, else recorded seconds per second on the pseudo-terminal.
    """

    device: str
    local_start: str
    scenario: str
    legs: tuple[tuple[str, float], ...]
    seed: int
    rate: float = 0.0

    @property
    def name(self) -> str:
        """Name of the recording without its suffix."""
        return f"{self.device}_{self.local_start[:16].replace(':', '').replace(' ', '_')}_{self.scenario}"

    @property
    def vehicle(self) -> Vehicle:
        """Who drives what."""
        return VEHICLES[self.device]

    @property
    def started_at(self) -> datetime:
        """Local time of the start, with its UTC offset."""
        zone = timezone(timedelta(minutes=self.utc_offset_min))
        return datetime.fromisoformat(self.local_start[:16]).replace(tzinfo=zone)

    @property
    def utc_offset_min(self) -> int:
        """Local time minus UTC; a trip in summer time says so behind its start."""
        return self.vehicle.utc_offset_min + (60 if self.local_start.endswith("summer") else 0)

    def route(self) -> Route:
        """Lay out the road."""
        builder = RouteBuilder(random.Random(f"{self.seed} route"))  # noqa: S311 repeatable on purpose
        for scene, km in self.legs:
            if scene == "emergency":
                builder.emergency()
            else:
                getattr(builder, scene)(km)
        return builder.finish()


TRIPS: Final = (
    Trip("sim-calm-1", "2025-11-03 08:12", "city", (("city", 5.0),), 101),
    Trip("sim-calm-1", "2025-11-05 17:40", "rural", (("city", 1.5), ("rural", 10.0), ("city", 0.8)), 102),
    Trip("sim-calm-1", "2025-11-08 10:05", "motorway", (("city", 1.0), ("motorway", 24.0), ("city", 0.8)), 103),
    Trip("sim-calm-2", "2025-11-03 07:51", "city", (("city", 4.5),), 111),
    Trip(
        "sim-calm-2", "2025-11-04 18:30", "city-emergency-stop", (("city", 2.0), ("emergency", 0), ("city", 2.0)), 112
    ),
    Trip("sim-calm-2", "2025-11-09 14:20", "rural-pty", (("city", 0.6), ("rural", 6.0)), 113, rate=1.0),
    Trip("sim-everyday-1", "2025-11-03 05:48", "motorway-commute", (("city", 1.5), ("motorway", 22.0)), 121),
    Trip("sim-everyday-1", "2025-11-03 17:15", "motorway-jam", (("motorway", 9.0), ("jam", 1.6), ("city", 1.5)), 122),
    Trip("sim-everyday-1", "2025-11-04 21:47", "motorway-night", (("motorway", 21.0), ("city", 1.2)), 123),
    Trip("sim-everyday-2", "2025-11-06 07:35", "city-jam", (("city", 2.5), ("jam", 1.0), ("city", 0.8)), 131),
    Trip("sim-everyday-2", "2025-11-06 16:58", "city", (("city", 5.5),), 132),
    Trip(
        "sim-everyday-2", "2025-10-26 02:41 summer", "night-before-clock-change", (("city", 2.0), ("rural", 8.0)), 133
    ),
    Trip("sim-everyday-3", "2025-11-07 07:52", "rural-utc-midnight", (("rural", 9.0), ("city", 2.5)), 141),
    Trip("sim-everyday-3", "2025-11-07 18:05", "city", (("city", 4.5),), 142),
    Trip("sim-everyday-3", "2025-11-10 12:30", "motorway", (("city", 1.0), ("motorway", 18.0)), 143),
    Trip("sim-brisk-1", "2025-11-04 06:30", "rural", (("city", 1.0), ("rural", 14.0)), 151),
    Trip("sim-brisk-1", "2025-11-05 19:10", "motorway", (("city", 0.8), ("motorway", 28.0)), 152),
    Trip(
        "sim-brisk-1",
        "2025-11-12 15:25",
        "rural-emergency-stop",
        (("rural", 6.0), ("emergency", 0), ("rural", 5.0)),
        153,
    ),
    Trip("sim-brisk-2", "2025-11-03 08:02", "city-rural", (("city", 3.0), ("rural", 7.0)), 161),
    Trip("sim-brisk-2", "2025-11-07 20:44", "city-evening", (("city", 6.0),), 162),
    Trip("sim-brisk-2", "2025-11-11 07:20", "city-pty", (("city", 3.2),), 163, rate=1.0),
    Trip("sim-reckless-1", "2025-11-01 23:49", "motorway-across-midnight", (("city", 1.5), ("motorway", 34.0)), 171),
    Trip("sim-reckless-1", "2025-11-08 02:33", "city-night", (("city", 7.0),), 172),
    Trip("sim-reckless-1", "2025-11-14 17:55", "rural-pty", (("city", 1.0), ("rural", 12.0)), 173, rate=4.0),
    Trip(
        "sim-reckless-2",
        "2025-11-05 08:40",
        "city-emergency-stop",
        (("city", 4.0), ("emergency", 0), ("city", 1.0)),
        181,
    ),
    Trip("sim-reckless-2", "2025-11-06 22:18", "motorway-evening", (("city", 1.2), ("motorway", 26.0)), 182),
    Trip("sim-reckless-2", "2025-11-13 18:22", "city-rural", (("city", 3.0), ("rural", 9.0)), 183),
)
