"""Speed of one source: readings at uneven times to speed, and its slope, at any time within the lag.

Slope: the widest window around a time, of at most `HALF_WIDTHS_MS` on each side, in which a straight line passes within
`MISFIT_KMH` of every reading; its least-squares slope is the acceleration. Steady driving is averaged over 3.8 s, so
whole km/h leave little noise; a braking narrows the window, so its peak stays.

Judgements, of what no car does; each withholds the acceleration around and leaves its mark in `quality`
----------
1. A step that no tyre can make is a fault.
2. A reading that stands out from both its neighbours, which agree, is none: it is taken out, and speed and distance are
   as if it had never come. Nobody brakes and accelerates, or the other way round, from one reading to the next.
3. A step behind a second of one and the same speed is a fault where no pedal can be pressed so fast, and where it is
   harder than `HARD_MPS2` and steady driving follows at once: a value that was frozen, and is told again.
4. Speeds that are all multiples of 3 km/h or more are too coarse for a slope.
5. A speed that is told again in the midst of a change, and then makes up for it in one step, was frozen: the step tells
   the change of a longer time. Unless what follows goes on as hard: then a pedal was pressed.

A hard step behind two seconds of one speed, and nothing like it behind it, a pedal could make. It is not withheld, but
counted as the end of a frozen value (`device.speed_watch`): no healthy source was seen to tell one.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import pairwise
from typing import Any, Final, NamedTuple

from device.contract.motion import BRIDGE_MS, LAG_MS, QUALITY_COARSE, QUALITY_JUMP
from device.speed_watch import SpeedWatch

# The widest ends where the lag does. Narrower than 0.8 s, whole km/h are all that is left to see.
HALF_WIDTHS_MS: Final = (1_900, 1_600, 1_300, 1_000, 800)
# How far a reading may lie from the line: 0.5 is rounding, 1 is what a braking at 3 m/s2 changes in the 0.1 s by which
# the age of a reading varies. On BMW CAN 1.0 gives 0.0384 g against the accelerometer, 1.5 0.0379, 2.0 0.0376; of true
# brakings in simulation the peak that nine in ten keep is 0.96, 0.94, 0.91.
MISFIT_KMH: Final = 1.5
# The part of the window without which there is no slope.
CORE_HALF_MS: Final = 1_000
CORE_LEAST_MS: Final = 500
# A speed is as old as this when it is read: half of what a control unit waits before it renews it (see RENEWAL_MS). BMW
# CAN and comma2k19 fit their accelerometers best 0.1 to 0.3 s earlier than read.
AGE_MS: Final = 100
# Readings further apart than this carry no slope of 2 s; a clone adapter at 1 Hz that misses one reply still does.
SLOPE_GAP_MS: Final = 2_500
# Steps between readings that no tyre can make: 1.2 g beyond the 1 km/h that rounding can add. Larger ones are faults.
TYRE_LIMIT_MPS2: Final = 11.8
ROUNDING_KMH: Final = 1.0
# A reading that is so much off, there and back again, is off the way too: in 37 foreign files one is, on ice.
BLIP_MPS2: Final = 2.0
# A control unit renews its speed only every 0.1 to 0.2 s: a step may have built up for so much longer than its two
# readings are apart. Without it an emergency stop polled at 10 Hz loses its peak (53, 53, 47 km/h).
RENEWAL_MS: Final = 200
# How fast deceleration builds up at most (an emergency braking takes 0.4 s to 8 m/s2), and how far it may have come
# before whole km/h show anything of it: sqrt(2 x 20 m/s3 x 1 km/h).
PEDAL_MPS3: Final = 20.0
BEGUN_MPS2: Final = 3.3
FROZEN_MS: Final = 1_000
HARD_MPS2: Final = 5.0
# Judgement 5: least change before it, what was not told of it while the speed was repeated, and how much more than it
# the step then has. On 11 data sets and 44 simulated trips no source that renews its speed comes near to all three.
CHANGING_MPS2: Final = 0.8
UNTOLD_KMH: Final = 1.5
MADE_UP_KMH: Final = 2.5
# Only counted: behind so long of one speed a step of at least this, of which the next one has less than half.
STUCK_MS: Final = 2_000
STUCK_MPS2: Final = 2.5
# What follows so soon can take a judgement back: no acceleration that rests on it is final.
SOON_MS: Final = LAG_MS - CORE_HALF_MS - AGE_MS
COARSE_KMH: Final = 3.0
COARSE_CHANGES: Final = 12  # in a row; by chance whole km/h are multiples of 3 so often once in half a million
# The rate of a source is told from this much of what it said last.
RATE_OVER_MS: Final = 10_000


class _Late(NamedTuple):
    """A step that seems to be the end of a frozen value: `before_ms` is the reading before it.

    `withheld`: by this judgement alone.
    """

    t_ms: int
    speed_kmh: float
    step_mps2: float
    before_ms: int
    withheld: bool


class SpeedTrack:
    """Speed readings of one source, in time order, and what follows from them.

    Attributes
    ----------
    watch : SpeedWatch
        What it counts of them.
    """

    def __init__(self) -> None:
        self._times: list[int] = []
        self._speeds: list[float] = []
        self._faults: list[int] = []  # quality bits of the step from the reading before
        self._changed: list[float] = []  # the last speeds that were other than the one before
        self._same_since_ms = 0  # since when the last speed has been told
        self._out_of_frozen = False  # whether the last step was hard and behind a second of one speed
        self._late: _Late | None = None  # a step that seems to be the end of a frozen value
        self.watch = SpeedWatch()

    def add(self, t_ms: int, speed_kmh: float) -> None:
        """Take the next reading, at the time it was read."""
        t_ms -= AGE_MS
        if not self._times:
            self._append(t_ms, speed_kmh, QUALITY_COARSE)
            return
        gap_ms, step_kmh = t_ms - self._times[-1], speed_kmh - self._speeds[-1]
        if gap_ms == 0:
            return  # two answers in one millisecond carry no slope; the first stands
        self.watch.step(gap_ms, self._speeds[-1], speed_kmh)
        fault = self._step_fault(gap_ms, step_kmh)
        step_mps2 = _beyond_mps2(step_kmh, gap_ms) if gap_ms <= SLOPE_GAP_MS else 0.0
        makes_up = step_mps2 != 0.0 and self._makes_up(gap_ms, step_kmh)
        is_late = makes_up or (abs(step_mps2) > STUCK_MPS2 and self._is_stuck())
        withheld = makes_up and not fault
        if makes_up:
            fault |= QUALITY_JUMP
        if self._last_stands_out(t_ms, speed_kmh):
            fault = QUALITY_JUMP | self._faults[-1]
            del self._times[-1], self._speeds[-1], self._faults[-1]
            self._late = None
        elif self._late is not None:
            self._judge_late(self._late, t_ms, speed_kmh)
        if is_late:
            self._late = _Late(t_ms, speed_kmh, step_mps2, t_ms - gap_ms, withheld)
        if self._out_of_frozen and abs(speed_kmh - self._speeds[-1]) <= ROUNDING_KMH:
            self._faults[-1] |= QUALITY_JUMP
        self._out_of_frozen = self._is_out_of_frozen(t_ms, speed_kmh)
        self._append(t_ms, speed_kmh, fault)

    def speed_at(self, t_ms: int) -> float | None:
        """Speed by linear interpolation, km/h; None where the readings around are further apart than BRIDGE_MS."""
        after = bisect_left(self._times, t_ms)
        if after == len(self._times):
            return None
        t1, v1 = self._times[after], self._speeds[after]
        if t1 == t_ms:
            return v1
        if after == 0:
            return None
        t0, v0 = self._times[after - 1], self._speeds[after - 1]
        if t1 - t0 > BRIDGE_MS:
            return None
        return v0 + (v1 - v0) * ((t_ms - t0) / (t1 - t0))

    def slope_at(self, t_ms: int) -> tuple[float | None, int]:
        """Slope in m/s2, or None with the quality bits that say why."""
        # At 1 Hz the reading that ends the core may be too young: the one before it will do.
        last_ms = self._times[-1] if self._times else t_ms
        slope, fault = self._change(t_ms - CORE_HALF_MS, max(min(t_ms + CORE_HALF_MS, last_ms), t_ms + CORE_LEAST_MS))
        if slope is None:
            return None, fault
        for half_ms in HALF_WIDTHS_MS:
            first, last = bisect_left(self._times, t_ms - half_ms), bisect_right(self._times, t_ms + half_ms)
            if last - first < 3:
                break
            if half_ms > CORE_HALF_MS and any(self._faults[first + 1 : last]):
                continue
            slope, misfit_kmh = self._line(first, last)
            if misfit_kmh <= MISFIT_KMH:
                break
        return slope, 0

    def change_at(self, t_ms: int) -> tuple[float | None, int]:
        """Mean slope over exactly 2 s around a time, m/s2, or None with the quality bits that say why."""
        return self._change(t_ms - CORE_HALF_MS, t_ms + CORE_HALF_MS)

    def rate_dhz(self, t_ms: int) -> int | None:
        """Readings per 10 s of the last RATE_OVER_MS before `t_ms`; None where there are fewer than two."""
        first, last = bisect_left(self._times, t_ms - RATE_OVER_MS), bisect_right(self._times, t_ms) - 1
        return per_10_s(last - first, self._times[last] - self._times[first]) if last > first else None

    def to_state(self) -> list[Any]:
        """JSON form of what the track remembers."""
        watch = self.watch
        told = [list(self._times), list(self._speeds), list(self._faults), watch.steps, watch.stepped_ms]
        return [*told, list(self._changed), self._same_since_ms, self._out_of_frozen, watch.to_state(), self._late]

    def restore(self, state: list[Any]) -> None:
        """Go on where `to_state` was taken."""
        self._times, self._speeds, self._faults = list(state[0]), list(state[1]), list(state[2])
        self.watch.restore(state[3], state[4], state[8] if len(state) > 8 else None)
        self._late = _Late(*state[9]) if len(state) > 9 and state[9] else None
        if len(state) > 5:  # an older release did not know these
            self._changed, self._same_since_ms, self._out_of_frozen = list(state[5]), state[6], state[7]

    def _line(self, first: int, last: int) -> tuple[float, float]:
        """Least-squares slope of some readings, m/s2, and how far the farthest lies from it, km/h."""
        times, speeds = self._times[first:last], self._speeds[first:last]
        n, t0 = last - first, times[0]
        after = [t - t0 for t in times]
        t_mean, v_mean = sum(after) / n, sum(speeds) / n
        spread = covariance = 0.0
        for t, v in zip(after, speeds, strict=True):
            spread += (t - t_mean) * (t - t_mean)
            covariance += (t - t_mean) * (v - v_mean)
        slope = covariance / spread
        misfit = max(abs(v - v_mean - slope * (t - t_mean)) for t, v in zip(after, speeds, strict=True))
        return slope / 3.6 * 1_000, misfit

    def _change(self, from_ms: int, to_ms: int) -> tuple[float | None, int]:
        before, after = self.speed_at(from_ms), self.speed_at(to_ms)
        if before is None or after is None:
            return None, QUALITY_COARSE
        fault = 0
        for bits in self._faults[bisect_right(self._times, from_ms) : bisect_left(self._times, to_ms) + 1]:
            fault |= bits
        return (None, fault) if fault else ((after - before) / 3.6 / (to_ms - from_ms) * 1_000, 0)

    def _append(self, t_ms: int, speed_kmh: float, fault: int) -> None:
        self._faults.append(fault | self._resolution_fault(t_ms, speed_kmh))
        self._times.append(t_ms)
        self._speeds.append(speed_kmh)
        if self._times[0] < t_ms - 2 * RATE_OVER_MS:
            self._forget(t_ms - RATE_OVER_MS - LAG_MS)

    def _step_fault(self, gap_ms: int, step_kmh: float) -> int:
        if gap_ms > SLOPE_GAP_MS:
            return QUALITY_COARSE
        during_s = (gap_ms + RENEWAL_MS) / 1_000
        most_mps = TYRE_LIMIT_MPS2 * during_s
        if self._is_frozen():
            most_mps = min(most_mps, BEGUN_MPS2 * during_s + PEDAL_MPS3 * during_s**2 / 2)
        return QUALITY_JUMP if abs(step_kmh) - ROUNDING_KMH > most_mps * 3.6 else 0

    def _judge_late(self, late: _Late, t_ms: int, speed_kmh: float) -> None:
        """Whether the value was frozen before that step: what follows is nothing like it."""
        after_ms = t_ms - late.t_ms
        if speed_kmh == late.speed_kmh and after_ms < 2 * RENEWAL_MS:
            return  # it was not renewed yet
        self._late = None
        if after_ms > SLOPE_GAP_MS:
            return
        if _beyond_mps2(speed_kmh - late.speed_kmh, after_ms) / late.step_mps2 < 1 / 2:
            self.watch.frozen += 1
        elif late.withheld and t_ms - late.before_ms <= SOON_MS:
            self._faults[bisect_left(self._times, late.t_ms)] &= ~QUALITY_JUMP

    def _is_frozen(self) -> bool:
        return self._times[-1] - self._same_since_ms >= FROZEN_MS

    def _is_out_of_frozen(self, t_ms: int, speed_kmh: float) -> bool:
        return self._is_frozen() and abs(_beyond_mps2(speed_kmh - self._speeds[-1], t_ms - self._times[-1])) > HARD_MPS2

    def _is_stuck(self) -> bool:
        return self._speeds[-1] > 0 and self._times[-1] - self._same_since_ms >= STUCK_MS

    def _makes_up(self, gap_ms: int, step_kmh: float) -> bool:
        """Whether this step makes up for a change that went on while the last speed was repeated."""
        since_ms = self._same_since_ms
        if self._times[-1] <= since_ms:
            return False
        if self._faults[-1] & QUALITY_COARSE:  # what comes in large steps always repeats itself
            return False
        first = bisect_left(self._times, since_ms)
        before = min(bisect_left(self._times, since_ms - CORE_HALF_MS), first - 1)
        if before < 0 or self._times[before] < since_ms - SLOPE_GAP_MS:
            return False
        per_ms = (self._speeds[-1] - self._speeds[before]) / (since_ms - self._times[before])
        if per_ms * step_kmh <= 0 or abs(per_ms) < CHANGING_MPS2 * 3.6 / 1_000:
            return False
        untold_kmh = abs(per_ms) * (self._times[-1] - since_ms - RENEWAL_MS)
        made_up_kmh = abs(step_kmh) - abs(per_ms) * gap_ms
        return untold_kmh >= UNTOLD_KMH and made_up_kmh >= max(MADE_UP_KMH, untold_kmh / 2)

    def _last_stands_out(self, t_ms: int, speed_kmh: float) -> bool:
        """Whether the last reading is off the way from the one before it to this one, as no car can be."""
        if len(self._times) < 2 or t_ms - self._times[-2] > LAG_MS:  # beyond it what was told of it is final
            return False
        t0, t1, v0, v1 = self._times[-2], self._times[-1], self._speeds[-2], self._speeds[-1]
        there, back = _beyond_mps2(v1 - v0, t1 - t0), _beyond_mps2(speed_kmh - v1, t_ms - t1)
        if there * back >= 0:
            return False
        is_blip = min(abs(there), abs(back)) > BLIP_MPS2 and not self._faults[-1] & QUALITY_COARSE
        if not is_blip and abs(there) + abs(back) <= TYRE_LIMIT_MPS2:
            return False
        return abs(_beyond_mps2(speed_kmh - v0, t_ms - t0)) <= TYRE_LIMIT_MPS2

    def _resolution_fault(self, t_ms: int, speed_kmh: float) -> int:
        """Remember how speeds change; QUALITY_COARSE where they only do in large steps."""
        if not self._speeds or speed_kmh != self._speeds[-1]:
            self._same_since_ms = t_ms
            self._changed.append(speed_kmh)
            del self._changed[: -COARSE_CHANGES - 1]
        if len(self._changed) <= COARSE_CHANGES:
            return 0
        step = min(abs(b - a) for a, b in pairwise(self._changed))
        if step < COARSE_KMH:
            return 0
        multiples = all(abs(v - step * round(v / step)) <= ROUNDING_KMH / 2 for v in self._changed)
        return QUALITY_COARSE if multiples else 0

    def _forget(self, oldest_ms: int) -> None:
        keep = bisect_left(self._times, oldest_ms) - 1
        if keep > 0:
            del self._times[:keep], self._speeds[:keep], self._faults[:keep]


def _beyond_mps2(change_kmh: float, during_ms: int) -> float:
    """The least acceleration that a change of rounded speeds tells of; its sign is that of the change."""
    size = max(0.0, abs(change_kmh) - ROUNDING_KMH) / 3.6 / ((during_ms + RENEWAL_MS) / 1_000)
    return size if change_kmh > 0 else -size


def per_10_s(readings: int, during_ms: int) -> int | None:
    """Rate in 0.1 Hz."""
    return round(10_000 * readings / during_ms) if during_ms > 0 else None
