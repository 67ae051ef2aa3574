"""The axes of a car in those of a sensor, from windows of motion: one least-squares equation, kept as sums.

    acceleration a (sensor axes), speed slope d, speed times yaw rate c  ->  a = gravity + forward d + left c

With u = gravity / |gravity| and horizontal parts as complex numbers h, forward is the angle of sum(h conj(z)),
z = d + i c, all about their means (the two-dimensional Procrustes problem; the residual gives its standard error).
Braking in bends ties d to c, so neither alone finds the axis. It needs no sign and no straight road.
"""

from __future__ import annotations

from math import atan2, degrees, hypot, sqrt
from typing import Final, NamedTuple

Vector = tuple[float, float, float]

# Windows older than this many fade: an hour of driving.
LIFE: Final = 3_600


class Fit(NamedTuple):
    """Axes found from evidence. `gravity` is what the sensor reads at rest, m/s2; the others are unit vectors."""

    gravity: Vector
    forward: Vector
    left: Vector
    up: Vector
    gain: float
    error_deg: float  # standard error of the forward axis
    windows: int


class Evidence:
    """Sums over windows, from which the axes follow. Adding two of them adds their windows."""

    def __init__(self, sums: list[float] | None = None) -> None:
        # n, d, c, dd + cc | a | a d | a c | xx yy zz xy xz yz
        self.sums = [0.0] * 19 if sums is None else list(sums)

    @property
    def windows(self) -> int:
        """How many windows there are."""
        return round(self.sums[0])

    def add(self, a: Vector, d: float, c: float) -> None:
        """Take a window."""
        x, y, z = a
        parts = [1.0, d, c, d * d + c * c, x, y, z, x * d, y * d, z * d, x * c, y * c, z * c]
        parts += [x * x, y * y, z * z, x * y, x * z, y * z]
        self.sums = [total + part for total, part in zip(self.sums, parts, strict=True)]

    def join(self, other: Evidence) -> None:
        """Add all windows of another; what is older than LIFE windows fades."""
        keep = min(1.0, LIFE / max(self.sums[0] + other.sums[0], 1.0))
        self.sums = [keep * (mine + theirs) for mine, theirs in zip(self.sums, other.sums, strict=True)]

    def gravity(self) -> Vector | None:
        """Mean acceleration; None without a window."""
        n = self.sums[0]
        return (self.sums[4] / n, self.sums[5] / n, self.sums[6] / n) if n else None

    def fit(self) -> Fit | None:
        """Axes by least squares; None where the windows leave them open (no change of speed and no bend)."""
        n, d, c, zz = self.sums[:4]
        mean = self.gravity()
        if mean is None or n < 3 or (spread := zz / n - (d / n) ** 2 - (c / n) ** 2) < 1e-3:
            return None
        ad, ac = self.sums[7:10], self.sums[10:13]
        with_d = combined((ad[0], ad[1], ad[2]), 1 / n, mean, -d / n)
        with_c = combined((ac[0], ac[1], ac[2]), 1 / n, mean, -c / n)
        gravity = mean
        forward, left, up, size = _turned(gravity, with_d, with_c)
        for _ in range(2):  # what the car did on the mean is no gravity
            off = combined(forward, size / spread * d / n, left, size / spread * c / n)
            gravity = combined(mean, 1.0, off, -1.0)
            forward, left, up, size = _turned(gravity, with_d, with_c)
        gain = size / spread
        if gain < 1e-6:
            return None
        unexplained = max(self._horizontal_variance(mean, up) - gain * gain * spread, 0.0)
        # Windows of 2 s every second: two neighbours tell as much as one.
        error = sqrt(unexplained / 2 / (n / 2 * spread)) / gain
        return Fit(gravity, forward, left, up, gain, degrees(error), round(n))

    def _horizontal_variance(self, mean: Vector, up: Vector) -> float:
        n, (x, y, z) = self.sums[0], mean
        xx, yy, zz, xy, xz, yz = (
            self.sums[13 + k] / n - product for k, product in enumerate((x * x, y * y, z * z, x * y, x * z, y * z))
        )
        u, v, w = up
        vertical = xx * u * u + yy * v * v + zz * w * w + 2 * (xy * u * v + xz * u * w + yz * v * w)
        return xx + yy + zz - vertical


def _turned(gravity: Vector, with_d: Vector, with_c: Vector) -> tuple[Vector, Vector, Vector, float]:
    """Forward, left and up that agree best with the covariances, and how much of them that explains."""
    up = unit(gravity)
    one = unit(_across(up))
    two = cross(up, one)
    real, imaginary = dot(with_d, one) + dot(with_c, two), dot(with_d, two) - dot(with_c, one)
    forward = unit(combined(one, real, two, imaginary))
    return forward, cross(up, forward), up, hypot(real, imaginary)


def dot(a: Vector, b: Vector) -> float:
    """Scalar product."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def cross(a: Vector, b: Vector) -> Vector:
    """Vector product."""
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def combined(a: Vector, p: float, b: Vector, q: float) -> Vector:
    """Sum p a + q b."""
    return (p * a[0] + q * b[0], p * a[1] + q * b[1], p * a[2] + q * b[2])


def unit(a: Vector) -> Vector:
    """Vector of length 1 in the same direction."""
    size = sqrt(dot(a, a)) or 1.0
    return (a[0] / size, a[1] / size, a[2] / size)


def _across(up: Vector) -> Vector:
    """Some direction at a right angle to `up`: the sensor's axis that lies flattest, made horizontal."""
    axis = min(range(3), key=lambda k: abs(up[k]))
    flat = (float(axis == 0), float(axis == 1), float(axis == 2))
    return combined(flat, 1.0, up, -up[axis])


def angle_deg(a: Vector, b: Vector) -> float:
    """Angle between two vectors, degrees."""
    normal = cross(a, b)
    return degrees(atan2(sqrt(dot(normal, normal)), dot(a, b)))
