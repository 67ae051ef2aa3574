"""Readings to motion: irregular raw readings in, one cell per grid period out, `LAG_MS` later and final.

    speed of the port, else of GNSS  -> SpeedTrack  -> speed, slope ----------------.
    accelerometer and gyroscope      -> ImuTrack    -> short mean - 2 s mean + slope -> quantised cells
                                        Mounting (learns from both, every second) --'
    course of GNSS                   -> CourseTrack -> yaw rate x speed, where no IMU tells

With a calibrated IMU longitudinal acceleration is the IMU's within 2 s, and the speed's over them: neither the road's
slope nor a tilt of the box adds up. What nothing tells is None.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from device.contract.motion import (
    ENGINE_OFF,
    ENGINE_ON,
    IMU_PERIOD_MS,
    LAG_MS,
    PERIOD_MS,
    QUALITY_GNSS_LATERAL,
    QUALITY_GNSS_SPEED,
    QUALITY_IMU,
    MotionSample,
)
from device.contract.signals import Reading
from device.course_track import MIN_SPEED_KMH, CourseTrack
from device.imu_track import AXES, BLOCK_MS, Blow, ImuTrack
from device.mounting import WINDOW_MS, Mounting
from device.speed_track import TYRE_LIMIT_MPS2, SpeedTrack, per_10_s
from device.speed_watch import Seen

# Engine state and speed limit hold for this long after their reading; older is not known.
HOLD_MS: Final = 3_000
HELD_SIGNALS: Final = ("rpm", "limit_kmh")
# After this long without any reading no further empty cells are made: longer than the gap that ends a trip.
SILENCE_MS: Final = 190_000
# GNSS tells a standing car some tenths of km/h for ever.
GNSS_STANDING_KMH: Final = 2.0
# Weights of blocks: the mean over 0.5 s that a cell shows of the IMU, and over the 2 s that the speed tells of.
SHORT: Final = [(offset, 0.2) for offset in range(-2, 3)]
LONG: Final = [
    (offset, (0.5 if abs(offset) == WINDOW_MS // BLOCK_MS // 2 else 1.0) * BLOCK_MS / WINDOW_MS)
    for offset in range(-WINDOW_MS // BLOCK_MS // 2, WINDOW_MS // BLOCK_MS // 2 + 1)
]
LEARN_EVERY_MS: Final = 1_000
MAX_STEPS: Final = 20_000  # device.contract.bodies.BOUNDS of accelerations and yaw rate


class Cell(NamedTuple):
    """A motion sample before it belongs to a trip: `sample.t_ms` is monotonic time of the source."""

    sample: MotionSample

    @property
    def mono_ms(self) -> int:
        """Monotonic time of the cell."""
        return self.sample.t_ms


class MotionBuilder:
    """Builds the grid from readings. Those of one source come in time order; one that does not is dropped and counted.

    Parameters
    ----------
    blow_cmps2 : int
        Raw magnitude from which `blows` are told.
    mounting : Mounting, optional
        Of an IMU that was calibrated before.

    Attributes
    ----------
    period_ms : int
        Grid period from the last cell on; a multiple of 100.
    late_readings : int
    """

    def __init__(self, blow_cmps2: int = 1 << 40, mounting: Mounting | None = None) -> None:
        self.period_ms = PERIOD_MS
        self.mounting = mounting or Mounting()
        self.late_readings = 0
        self._cell_ms: int | None = None  # next cell to emit
        self._last_ms = 0  # time of the last reading
        self._learn_ms = 0  # when the mounting learns again
        self._heard: dict[str, int] = {}  # signal -> time of its last reading
        self._port, self._gnss, self._course = SpeedTrack(), SpeedTrack(), CourseTrack()
        self._imu = ImuTrack(blow_cmps2)
        self._imu.gravity = self.mounting.gravity
        self._held: dict[str, list[tuple[int, float]]] = {name: [] for name in HELD_SIGNALS}

    def add(self, reading: Reading) -> None:
        """Take a reading, once the cells that were due at its time are taken."""
        t_ms, signal, value = reading
        if t_ms < self._heard.get(signal, 0):
            self.late_readings += 1
            return
        self._heard[signal] = t_ms
        self._last_ms = max(self._last_ms, t_ms)
        if value is None:
            return
        axis = AXES.get(signal)
        if axis is not None:
            self._imu.add(t_ms, axis, value)
        elif signal == "speed_kmh":
            self._port.add(t_ms, value)
        elif signal == "gnss_speed_kmh":
            self._gnss.add(t_ms, value if value >= GNSS_STANDING_KMH else 0.0)
        elif signal == "gnss_course_deg":
            self._course.add(t_ms, value)
        elif signal in self._held:
            held = self._held[signal]
            held.append((t_ms, value))
            while held[0][0] < t_ms - LAG_MS - HOLD_MS - PERIOD_MS:
                held.pop(0)

    def is_due(self, now_ms: int) -> bool:
        """Whether `next_cell` has something to do at that time."""
        return self._cell_ms is None or self._cell_ms + LAG_MS < now_ms

    def next_cell(self, now_ms: int) -> Cell | None:
        """Next cell that is final at `now_ms`, whether or not readings came; None if there is none."""
        if self._cell_ms is None:
            self._cell_ms = self._last_ms = -(-now_ms // PERIOD_MS) * PERIOD_MS
        elif self._cell_ms > self._last_ms + SILENCE_MS:
            self._cell_ms = max(self._cell_ms, -(-(now_ms - LAG_MS) // PERIOD_MS) * PERIOD_MS)
        elif self._cell_ms + LAG_MS < now_ms:
            return self._emit(self._cell_ms)
        return None

    def last_cell(self) -> Cell | None:
        """Next cell up to the last reading, once the source has ended; None after the last one."""
        if self._cell_ms is None or self._cell_ms > self._last_ms:
            return None
        return self._emit(self._cell_ms)

    def choose_period(self) -> None:
        """Set the grid by what comes now: 10 Hz where a calibrated IMU delivers, else 2 Hz."""
        if self._cell_ms is not None:
            ready = self.mounting.fit is not None and self._imu.delivers(self._cell_ms)
            self.period_ms = IMU_PERIOD_MS if ready else PERIOD_MS

    @property
    def blows(self) -> list[Blow]:
        """Raw magnitudes over the threshold since the list was emptied."""
        return self._imu.blows

    def speed_rate_dhz(self, t_ms: int) -> int | None:
        """Rate of the speed readings that are in use, over the 10 s before a time; 0.1 Hz."""
        return self._port.rate_dhz(t_ms) or self._gnss.rate_dhz(t_ms)

    def start_watching(self, before: Sequence[int] | None = None) -> None:
        """Count readings of speed from now on: a trip starts.

        A release before this one counted on, and kept what it had counted `before` the trip.
        """
        for number, track in enumerate((self._port, self._gnss)):
            if before is None:
                track.watch.start()
            else:
                track.watch.steps -= before[2 * number]
                track.watch.stepped_ms -= before[2 * number + 1]

    def watched(self) -> tuple[int | None, Seen | None]:
        """Rate of the speed readings since then, gaps over BRIDGE_MS left out, in 0.1 Hz, and what was seen of them.

        Of the port, unless a receiver was heard for over twice as long.
        """
        port, gnss = self._port.watch, self._gnss.watch
        watch = port if 2 * port.stepped_ms >= gnss.stepped_ms else gnss
        rate_dhz = per_10_s(watch.steps, watch.stepped_ms)
        return rate_dhz, None if rate_dhz is None else watch.seen()

    def to_state(self) -> dict[str, Any]:
        """JSON form of all that the builder remembers."""
        return {
            "next": self._cell_ms,
            "last": self._last_ms,
            "learn": self._learn_ms,
            "period": self.period_ms,
            "late": self.late_readings,
            "heard": dict(self._heard),
            "held": {name: list(held) for name, held in self._held.items()},
            "port": self._port.to_state(),
            "gnss": self._gnss.to_state(),
            "course": self._course.to_state(),
            "imu": self._imu.to_state(),
            "mounting": self.mounting.to_state(),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any], blow_cmps2: int = 1 << 40) -> MotionBuilder:
        """Builder that goes on where `to_state` was taken; state of a release without IMU is understood."""
        builder = cls(blow_cmps2, Mounting.from_state(state["mounting"]) if "mounting" in state else None)
        builder._cell_ms, builder._last_ms, builder.late_readings = state["next"], state["last"], state["late"]
        builder._held |= {name: [(t, v) for t, v in held] for name, held in state["held"].items()}
        if "port" not in state:
            builder._port.restore([state["times"], state["speeds"], state["faults"], 0, 0])
            return builder
        builder.period_ms, builder._learn_ms, builder._heard = state["period"], state["learn"], dict(state["heard"])
        builder._port.restore(state["port"])
        builder._gnss.restore(state["gnss"])
        builder._course.restore(state["course"])
        builder._imu.restore(state["imu"])
        return builder

    def _emit(self, t_ms: int) -> Cell:
        cell = Cell(self._sample(t_ms))
        self._cell_ms = t_ms + self.period_ms
        return cell

    def _sample(self, t_ms: int) -> MotionSample:
        track, quality = self._port, 0
        speed = track.speed_at(t_ms)
        if speed is None:
            track = self._gnss
            speed = track.speed_at(t_ms)
            quality = QUALITY_GNSS_SPEED if speed is not None else 0
        accel, fault, lateral, yaw_rate = self._accelerations(t_ms, track, speed)
        rpm, limit = self._value_at("rpm", t_ms), self._value_at("limit_kmh", t_ms)
        return MotionSample(
            t_ms=t_ms,
            speed_dkmh=None if speed is None else _rounded(speed * 10),
            accel_lon_cmps2=_possible(accel, 100),
            accel_lat_cmps2=_possible(lateral, 100),
            yaw_rate_ddps=_possible(yaw_rate, 10),
            accel_peak_cmps2=self._imu.peak_cmps2(t_ms, self.period_ms),
            engine=None if rpm is None else (ENGINE_ON if rpm > 0 else ENGINE_OFF),
            limit_kmh=None if limit is None else _rounded(limit),
            quality=quality | fault,
        )

    def _accelerations(
        self, t_ms: int, track: SpeedTrack, speed_kmh: float | None
    ) -> tuple[float | None, int, float | None, float | None]:
        """Longitudinal acceleration, quality bits, lateral acceleration, yaw rate; m/s2 and deg/s."""
        if t_ms >= self._learn_ms:
            self._learn(t_ms, track, speed_kmh)
        short = self._imu.means(t_ms, SHORT) if self.mounting.fit else None
        turned = self.mounting.turn(short) if short else None
        if turned is None:
            slope, fault = (None, 0) if speed_kmh is None else track.slope_at(t_ms)
            return slope, *self._by_course(t_ms, speed_kmh, fault)
        lon, fault = None, 0
        if speed_kmh is not None:
            long, (change, _) = self._imu.means(t_ms, LONG), track.change_at(t_ms)
            around = self.mounting.turn(long) if long else None
            if change is not None and around is not None:
                lon = change + turned.lon_mps2 - around.lon_mps2
            else:
                lon, fault = track.slope_at(t_ms)
        return lon, fault | QUALITY_IMU, turned.lat_mps2, turned.yaw_rate_dps

    def _by_course(self, t_ms: int, speed_kmh: float | None, fault: int) -> tuple[int, float | None, float | None]:
        """Quality bits, lateral acceleration and yaw rate without an IMU."""
        rate = self._course.yaw_rate_at(t_ms) if speed_kmh and speed_kmh >= MIN_SPEED_KMH else None
        if rate is None or speed_kmh is None:
            return fault, None, None
        lateral = speed_kmh / 3.6 * math.radians(rate)
        return (fault, None, None) if abs(lateral) > TYRE_LIMIT_MPS2 else (fault | QUALITY_GNSS_LATERAL, lateral, rate)

    def _learn(self, t_ms: int, track: SpeedTrack, speed_kmh: float | None) -> None:
        self._learn_ms = t_ms + LEARN_EVERY_MS
        if speed_kmh is None or (means := self._imu.means(t_ms, LONG)) is None:
            return
        change, _ = track.change_at(t_ms)
        if change is not None:
            self.mounting.learn(means, speed_kmh / 3.6, change)
            self._imu.gravity = self.mounting.gravity

    def _value_at(self, signal: str, t_ms: int) -> float | None:
        """Last value of a slow signal at or before `t_ms` that still holds."""
        for read_ms, value in reversed(self._held[signal]):
            if read_ms <= t_ms:
                return value if t_ms - read_ms <= HOLD_MS else None
        return None


def _rounded(value: float) -> int:
    """Nearest integer, halves up."""
    return math.floor(value + 0.5)


def _possible(value: float | None, steps: int) -> int | None:
    """Integer in 1/steps of the unit; None for what is not known, and for what no insurer would take."""
    return None if value is None or abs(value) * steps > MAX_STEPS else _rounded(value * steps)
