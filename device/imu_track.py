"""Raw IMU readings to sums over blocks of 100 ms, whole numbers all: cheap at 100 Hz, exact over a saved state.

    axis, axis, axis of one time = a sample -> block sums -> means over a window of blocks, and the largest magnitude

Blocks are centred on multiples of BLOCK_MS, as motion cells are.
"""

from __future__ import annotations

from math import hypot
from typing import Any, Final, NamedTuple

from device.axes import Vector
from device.contract.motion import LAG_MS
from device.contract.signals import BY_NAME

BLOCK_MS: Final = 100
# Number of each axis. Accelerations are summed in mm/s2, rotations in 0.01 deg/s: the quanta of their signals.
AXES: Final = {
    name: number
    for number, name in enumerate(
        ("accel_x_mps2", "accel_y_mps2", "accel_z_mps2", "gyro_x_dps", "gyro_y_dps", "gyro_z_dps")
    )
}
_STEPS: Final = tuple(round(1 / BY_NAME[name].quantum) for name in AXES)
# A living accelerometer's last bits never rest: samples that repeat themselves for this long come from a dead one.
# (A gyroscope that is told to suppress its noise rests at 0.)
STUCK_BLOCKS: Final = 10
STANDARD_GRAVITY_MPS2: Final = 9.80665
KEPT_BLOCKS: Final = 2 * LAG_MS // BLOCK_MS + STUCK_BLOCKS

Weighted = list[tuple[int, float]]  # (block offset, weight)

_NONE: Final = 1 << 40  # an axis that has not come yet
# Columns of a block: samples and sums of the accelerometer, of the gyroscope, largest magnitude in 0.01 m/s2,
# whether any acceleration was another than the one before it.
_N, _M, _PEAK, _LIVE = 0, 4, 8, 9


class Blow(NamedTuple):
    """A raw magnitude over the threshold that the track was given."""

    t_ms: int
    peak_cmps2: int


class Means(NamedTuple):
    """Weighted means of a window: acceleration in m/s2 and rotation in deg/s, in the sensor's axes."""

    accel: Vector
    gyro: Vector | None


class ImuTrack:
    """IMU readings of one sensor. The three axes of a sample carry one time; what does not is no sample.

    Parameters
    ----------
    blow_cmps2 : int
        Magnitude from which a sample is a blow: it is told, and left out of the means.

    Attributes
    ----------
    gravity : Vector or None
        What an accelerometer at rest reads in this mounting, m/s2; taken off before a magnitude is formed. Unknown,
        the magnitude is what it differs from 1 g: never more than the true one.
    blows : list of Blow
        Found since the list was emptied.
    """

    def __init__(self, blow_cmps2: int) -> None:
        self.gravity: Vector | None = None
        self.blows: list[Blow] = []
        self._blow_cmps2 = blow_cmps2
        self._blocks: dict[int, list[int]] = {}
        self._accel = [-1, 0, 0]  # time, x and y of the accelerometer's unfinished sample
        self._gyro = [-1, 0, 0]
        self._last = [0, 0, 0]  # the accelerometer's last sample

    def add(self, t_ms: int, axis: int, value: float) -> None:
        """Take one axis's reading."""
        part = self._accel if axis < 3 else self._gyro
        step = round(value * _STEPS[axis])
        column = axis % 3
        if column == 0:
            part[0], part[1], part[2] = t_ms, step, _NONE
        elif part[0] == t_ms:
            if column == 1:
                part[2] = step
            elif part[2] != _NONE:
                self._sample(t_ms, 0 if axis < 3 else _M, part[1], part[2], step)
                part[0] = -1

    def means(self, t_ms: int, weights: Weighted) -> Means | None:
        """Weighted means around `t_ms`; None where a fifth of the weight has no sample, or the sensor is stuck."""
        centre = t_ms // BLOCK_MS
        accel, gyro = [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]
        seen = turned = 0.0
        blocks = self._blocks
        for offset, weight in weights:
            block = blocks.get(centre + offset)
            if block is None:
                continue
            n, m = block[_N], block[_M]
            if n:
                seen += weight
                part = weight / n
                accel[0] += part * block[1]
                accel[1] += part * block[2]
                accel[2] += part * block[3]
            if m:
                turned += weight
                part = weight / m
                gyro[0] += part * block[5]
                gyro[1] += part * block[6]
                gyro[2] += part * block[7]
        if seen < 0.8 or self._is_stuck(centre):
            return None
        a, g = 1_000 * seen, 100 * turned
        return Means(
            (accel[0] / a, accel[1] / a, accel[2] / a),
            (gyro[0] / g, gyro[1] / g, gyro[2] / g) if turned >= 0.8 else None,
        )

    def peak_cmps2(self, t_ms: int, period_ms: int) -> int | None:
        """Largest magnitude in the cell of `period_ms` around `t_ms`; None where there was no sample."""
        centre, half = t_ms // BLOCK_MS, period_ms // BLOCK_MS // 2
        found = [
            block[_PEAK]
            for block in map(self._blocks.get, range(centre - half, centre + half + 1))
            if block is not None and (block[_N] or block[_PEAK])
        ]
        return max(found) if found and not self._is_stuck(centre) else None

    def delivers(self, t_ms: int) -> bool:
        """Whether both sensors gave samples throughout the lag after `t_ms`: at least four blocks in five have some."""
        first = t_ms // BLOCK_MS
        blocks = [self._blocks.get(first + number) for number in range(LAG_MS // BLOCK_MS)]
        whole = sum(block is not None and block[_N] > 0 and block[_M] > 0 for block in blocks)
        return whole >= 0.8 * len(blocks) and not self._is_stuck(first)

    def to_state(self) -> list[Any]:
        """JSON form of what the track remembers."""
        blocks = [[number, *block] for number, block in self._blocks.items()]
        return [blocks, list(self._accel), list(self._gyro), list(self._last)]

    def restore(self, state: list[Any]) -> None:
        """Go on where `to_state` was taken."""
        self._blocks = {block[0]: list(block[1:]) for block in state[0]}
        self._accel, self._gyro, self._last = list(state[1]), list(state[2]), list(state[3])

    def _sample(self, t_ms: int, first: int, x: int, y: int, z: int) -> None:
        number = (t_ms + BLOCK_MS // 2) // BLOCK_MS
        block = self._blocks.get(number) or self._begin(number)
        if first or not self._is_blow(t_ms, block, x, y, z):
            block[first] += 1
            block[first + 1] += x
            block[first + 2] += y
            block[first + 3] += z

    def _is_blow(self, t_ms: int, block: list[int], x: int, y: int, z: int) -> bool:
        """Take what an accelerometer's sample tells beside sums. A blow is nothing a driver does: no mean has it."""
        if self._last != [x, y, z]:
            self._last = [x, y, z]
            block[_LIVE] = 1
        gravity = self.gravity
        if gravity is None:
            peak = int(abs(hypot(x, y, z) / 10 - 100 * STANDARD_GRAVITY_MPS2))
        else:
            peak = int(hypot(x / 10 - 100 * gravity[0], y / 10 - 100 * gravity[1], z / 10 - 100 * gravity[2]))
        if peak > block[_PEAK]:
            block[_PEAK] = peak
            if peak >= self._blow_cmps2:
                self.blows.append(Blow(t_ms, peak))
        return peak >= self._blow_cmps2

    def _begin(self, number: int) -> list[int]:
        block = self._blocks[number] = [0] * 10
        while next(iter(self._blocks)) < number - KEPT_BLOCKS:
            del self._blocks[next(iter(self._blocks))]
        return block

    def _is_stuck(self, centre: int) -> bool:
        """Whether the block belongs to a run of dead ones that is long enough to tell."""
        dead = 0
        for step in (-1, 1):
            number = centre if step < 0 else centre + 1
            while dead < STUCK_BLOCKS and (block := self._blocks.get(number)) is not None and not block[_LIVE]:
                dead, number = dead + 1, number + step
        return dead >= STUCK_BLOCKS
