"""The recorded trips of this project as tables: who drives what, with which adapter, when and where. All simulated."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone
from typing import Final, NamedTuple

from replay_data.cars import DIESEL, ELECTRIC, PETROL, SPORTS, START_STOP
from replay_data.driver import Driver
from replay_data.scenes import Route, RouteBuilder
from replay_data.sensed import BLUETOOTH, CLONE, SLOW_CLONE, WIRED, Adapter
from replay_data.sensors import Mounting, mounted
from replay_data.vehicle import Car

#                    name        speed   accel  brake  amber  lateral headway reaction shift
CALM = Driver("calm", 0.97, 1.3, 1.2, 2.6, 2.0, 2.2, 0.7, 2_300)
EVERYDAY = Driver("everyday", 1.02, 1.7, 1.6, 3.0, 2.6, 1.6, 0.8, 2_600)
BRISK = Driver("brisk", 1.08, 2.3, 2.3, 3.8, 3.6, 1.2, 0.8, 3_300)
RECKLESS = Driver("reckless", 1.22, 3.2, 3.4, 5.0, 4.8, 0.9, 0.8, 4_800)


class Vehicle(NamedTuple):
    """A device in a car with its usual driver.

    `heard` tells that what its receiver says goes through sentences and the device's parser; the oldest recordings have
    the receiver's values as they are, and keep their bytes.
    """

    device: str
    driver: Driver
    car: Car
    adapter: Adapter | None  # None: a box that is not at the diagnostic port
    utc_offset_min: int
    odometer_km: float
    gnss: tuple[float, float] | None = None  # where its trips begin, if it has GNSS
    limits: bool = False  # knows the limits of a map
    heard: bool = False
    imu: Mounting | None = None
    imu_ms: int = 50

    @property
    def sensors(self) -> list[str]:
        """What it has."""
        told = {"obd": self.adapter, "gnss": self.gnss, "imu": self.imu, "limits": self.limits}
        return [name for name, there in told.items() if there]


# Where receivers begin; the roads from there are made up.
ULM, LEIPZIG, HANGZHOU = (48.4011, 9.9876), (51.3397, 12.3731), (30.2741, 120.1551)

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
        Vehicle("sim-calm-3", CALM, START_STOP, BLUETOOTH, 60, 12_044.8, imu=mounted(-20, 15)),
        Vehicle(
            "sim-everyday-4", EVERYDAY, DIESEL, CLONE, 60, 74_310.0, ULM, limits=True, heard=True, imu=mounted(35, -10)
        ),
        Vehicle("sim-everyday-5", EVERYDAY, ELECTRIC, BLUETOOTH, 60, 30_190.5, LEIPZIG, heard=True),
        Vehicle("sim-brisk-3", BRISK, PETROL, None, 60, 0.0, LEIPZIG, heard=True),
        Vehicle("sim-reckless-3", RECKLESS, SPORTS, None, 480, 0.0, HANGZHOU, heard=True, imu=mounted(170, 5)),
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
    Trip("sim-calm-3", "2025-11-04 07:40", "city-imu", (("city", 4.0),), 191),
    Trip("sim-calm-3", "2025-11-05 13:05", "rural-imu", (("city", 1.0), ("rural", 8.0)), 192),
    Trip("sim-calm-3", "2025-11-09 22:31", "city-night-imu", (("city", 3.5),), 193),
    Trip("sim-everyday-4", "2025-11-03 16:20", "city-all-sensors", (("city", 4.5),), 201),
    Trip("sim-everyday-4", "2025-11-10 06:10", "rural-all-sensors", (("rural", 10.0), ("city", 1.0)), 202),
    Trip("sim-everyday-4", "2025-11-12 12:00", "city-all-sensors-pty", (("city", 2.8),), 203, rate=1.0),
    Trip("sim-everyday-4", "2026-03-29 01:52", "motorway-summer-time-begins", (("city", 0.8), ("motorway", 18.0)), 204),
    Trip("sim-everyday-5", "2025-10-26 02:51 summer", "city-summer-time-ends", (("city", 3.0), ("rural", 5.0)), 211),
    Trip("sim-everyday-5", "2025-11-02 11:15", "rural-jam", (("rural", 5.0), ("jam", 0.8), ("city", 1.0)), 212),
    Trip("sim-everyday-5", "2025-12-31 23:53", "city-across-new-year", (("city", 4.0),), 213),
    Trip("sim-brisk-3", "2025-11-06 09:00", "city-receiver-only", (("city", 4.0),), 221),
    Trip("sim-brisk-3", "2025-11-07 15:45", "rural-receiver-only", (("rural", 11.0),), 222),
    Trip("sim-brisk-3", "2025-11-11 23:54", "motorway-across-midnight", (("motorway", 24.0),), 223),
    Trip("sim-brisk-3", "2025-11-13 18:10", "city-receiver-only-pty", (("city", 3.6),), 224, rate=1.0),
    Trip("sim-reckless-3", "2025-11-05 20:05", "city-no-adapter", (("city", 5.0),), 231),
    Trip("sim-reckless-3", "2025-11-08 01:20", "rural-night-no-adapter", (("rural", 9.0), ("city", 1.0)), 232),
    Trip(
        "sim-reckless-3",
        "2025-11-15 16:40",
        "emergency-stop-no-adapter",
        (("city", 2.5), ("emergency", 0), ("rural", 5.0)),
        233,
    ),
)
