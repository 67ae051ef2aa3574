"""How the box is mounted: which way is up and which way is forward in the axes of its IMU, found while driving.

    windows of 2 s: acceleration a (sensor axes), speed slope d, speed times yaw rate c
        ->  a = gravity + forward d + left c, by least squares  ->  gravity, forward, left, and how sure

The equation stands in `device.axes`. On the BMW drive PCA on straights is 3 degrees off, the speed slope alone 9, the
yaw rate alone 16, the equation 1.

Judgements
----------
1. A fit counts from `ENOUGH` windows of motion on, and a standard error of at most `SURE_DEG`; the gain, which is the
   length of what should be a unit vector, within `GAINS`: outside something else is wrong, an axis or the speed.
2. `BATCH` windows after that are fitted alone. Where their axes differ by more than `MOVED_DEG` the box was moved and
   calibration begins anew. Otherwise they join what is known, and evidence older than `LIFE` windows fades.
3. Acceleration that is `TILTED_DEG` off the vertical in `TILTED` windows running, which no car can do, is a box that
   fell or was taken in hand: the same, at once.
"""

from __future__ import annotations

from math import inf, radians, sqrt
from typing import Any, Final, NamedTuple

from device.axes import LIFE, Evidence, Fit, Vector, angle_deg, combined, dot, unit
from device.imu_track import STANDARD_GRAVITY_MPS2, Means

WINDOW_MS: Final = 2_000  # length of a window; one is learnt every second
ENOUGH: Final = 40
SURE_DEG: Final = 2.0
GAINS: Final = (0.6, 1.5)
BATCH: Final = 120
MOVED_DEG: Final = 10.0
TILTED: Final = 10
TILTED_DEG: Final = 25.0
# Windows that say nothing of the mounting: the box in a hand, a crash.
MAX_OFF_1G_MPS2: Final = 4.0
MIN_SPEED_MPS: Final = 1.5
GYRO_BIAS_LIMIT_DPS: Final = 5.0
GYRO_BIAS_WINDOWS: Final = 60


class Turned(NamedTuple):
    """Means in the car's axes (ISO 8855), gravity and gyroscope bias taken off."""

    lon_mps2: float
    lat_mps2: float
    yaw_rate_dps: float


class Mounting:
    """Mounting of one box, learnt window by window; JSON in and out."""

    def __init__(self) -> None:
        self.fit: Fit | None = None  # None while calibrating
        self.moved = 0
        self._known = Evidence()  # what `fit` was made from
        self._fresh = Evidence()  # since then
        self._tilted = 0
        self._bias: list[float] = [0.0, 0.0, 0.0, 0.0]  # gyroscope at rest, deg/s, and how many windows told it

    @property
    def gravity(self) -> Vector | None:
        """What the accelerometer reads at rest, m/s2, as soon as some seconds tell; None before."""
        return self.fit.gravity if self.fit else (self._fresh.gravity() if self._fresh.windows >= 10 else None)

    def learn(self, means: Means, speed_mps: float, slope_mps2: float) -> None:
        """Take a window of 2 s: means of the IMU over it, and speed and its slope by another sensor.

        Parameters
        ----------
        means : Means
        speed_mps : float
            Mean speed.
        slope_mps2 : float
            Change of speed from the window's begin to its end, by its length.
        """
        size = sqrt(dot(means.accel, means.accel))
        if means.gyro is None or abs(size - STANDARD_GRAVITY_MPS2) > MAX_OFF_1G_MPS2:
            return
        self._watch_tilt(means.accel)
        if speed_mps == 0.0 and slope_mps2 == 0.0:
            self._learn_bias(means.gyro)
        if speed_mps < MIN_SPEED_MPS:
            return
        gravity = self.gravity or means.accel
        yaw_rate = radians(dot(combined(means.gyro, 1.0, self._gyro_bias, -1.0), unit(gravity)))
        self._fresh.add(means.accel, slope_mps2, speed_mps * yaw_rate)
        if self._fresh.windows >= (BATCH if self.fit else ENOUGH):
            self._judge()

    def turn(self, means: Means) -> Turned | None:
        """Means in the car's axes; None while calibrating or without a gyroscope."""
        if self.fit is None or means.gyro is None:
            return None
        off = combined(means.accel, 1.0, self.fit.gravity, -1.0)
        rate = combined(means.gyro, 1.0, self._gyro_bias, -1.0)
        return Turned(dot(off, self.fit.forward), dot(off, self.fit.left), dot(rate, self.fit.up))

    def describe(self) -> list[str]:
        """What is known, line by line, for a person in front of the box."""
        fit = self.fit or self._fresh.fit()
        if fit is None:
            return [f"mounting: not known yet; {self._fresh.windows} s of driving seen, {ENOUGH} are needed"]
        lines = [
            f"mounting: {'calibrated' if self.fit else 'calibrating'}, from {fit.windows} s of driving",
            f"up:       {_told(fit.up)}",
            f"forward:  {_told(fit.forward)}, +-{fit.error_deg:.1f} degrees (1 sigma; {SURE_DEG:.0f} are needed)",
            f"left:     {_told(fit.left)}",
            f"gravity:  {sqrt(dot(fit.gravity, fit.gravity)):.2f} m/s2 (9.81), gain {fit.gain:.2f} (1.00)",
            "gyro:     at rest {:+.2f} {:+.2f} {:+.2f} deg/s".format(*self._bias[:3]),
        ]
        return [*lines, f"moved:    {self.moved} times since this box was first calibrated"]

    def to_state(self) -> dict[str, Any]:
        """JSON form of all that was learnt."""
        return {
            "fit": self.fit,
            "known": list(self._known.sums),
            "fresh": list(self._fresh.sums),
            "tilted": self._tilted,
            "bias": list(self._bias),
            "moved": self.moved,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Mounting:
        """Mounting that goes on where `to_state` was taken."""
        mounting = cls()
        if state["fit"]:
            gravity, forward, left, up, gain, error_deg, windows = state["fit"]
            mounting.fit = Fit(_vector(gravity), _vector(forward), _vector(left), _vector(up), gain, error_deg, windows)
        mounting._known, mounting._fresh = Evidence(state["known"]), Evidence(state["fresh"])
        mounting._tilted, mounting._bias, mounting.moved = state["tilted"], list(state["bias"]), state["moved"]
        return mounting

    @property
    def _gyro_bias(self) -> Vector:
        return (self._bias[0], self._bias[1], self._bias[2])

    def _judge(self) -> None:
        """Decide what the fresh windows say of the mounting."""
        fresh = self._fresh.fit()
        sure = fresh is not None and fresh.error_deg <= SURE_DEG and GAINS[0] <= fresh.gain <= GAINS[1]
        if self.fit is None:
            if sure:
                self._adopt()
            elif self._fresh.windows >= LIFE:
                self._fresh = Evidence()  # an hour that did not agree with itself: the box hangs on a cable
            return
        if fresh is not None and sure and self._differ(fresh) > MOVED_DEG:
            self._begin_anew()
        elif sure or self._fresh.windows >= 2 * BATCH:
            self._adopt()

    def _adopt(self) -> None:
        self._known.join(self._fresh)
        self._fresh = Evidence()
        self.fit = self._known.fit()

    def _begin_anew(self) -> None:
        self.moved += 1
        self.fit, self._known, self._fresh, self._tilted = None, Evidence(), Evidence(), 0

    def _differ(self, other: Fit) -> float:
        """Largest angle between the axes of the mounting and of another fit, degrees."""
        if self.fit is None:
            return inf
        return max(angle_deg(self.fit.up, other.up), angle_deg(self.fit.forward, other.forward))

    def _watch_tilt(self, accel: Vector) -> None:
        if self.fit is None:
            return
        self._tilted = self._tilted + 1 if angle_deg(accel, self.fit.up) > TILTED_DEG else 0
        if self._tilted >= TILTED:
            self._begin_anew()

    def _learn_bias(self, gyro: Vector) -> None:
        if max(map(abs, gyro)) > GYRO_BIAS_LIMIT_DPS:
            return
        self._bias[3] = min(self._bias[3] + 1, GYRO_BIAS_WINDOWS)
        for axis in range(3):
            self._bias[axis] += (gyro[axis] - self._bias[axis]) / self._bias[3]


def _told(axis: Vector) -> str:
    nearest = max(range(3), key=lambda k: abs(axis[k]))
    sign = "+" if axis[nearest] > 0 else "-"
    return "{:+.3f} {:+.3f} {:+.3f}".format(*axis) + f" (near {sign}{'xyz'[nearest]} of the sensor)"


def _vector(values: list[float]) -> Vector:
    x, y, z = values
    return (x, y, z)
