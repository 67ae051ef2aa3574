"""What really happened in a simulated drive, told from its true motion: no sensor and no event rule is involved.

A true event begins where the mean over one second passes a threshold from at least a speed, and is over once that mean
is below two thirds of it for a second. The thresholds are where the first level of the event rules stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from replay_data.driver import STEP_MS, STEP_S
from replay_data.vehicle import Sample

WINDOW: Final = round(1 / STEP_S)  # steps of the mean
SPEEDING_LEAST_MS: Final = 3_000
SPEEDING_GAP_MS: Final = 5_000  # two stretches closer than this are one
IDLING_LEAST_MS: Final = 120_000
UNKNOWN_LIMIT_KMH: Final = 130  # what counts as speeding where no map tells a limit
STANDING_KMH: Final = 1.0


class TrueEvent(NamedTuple):
    """An event of the truth; `peak` is the largest one-second mean in m/s2, km/h over the limit, or 1 (idling)."""

    kind: str
    onset_ms: int
    peak: float


class _Kind(NamedTuple):
    name: str
    value: Callable[[Sample], float]  # m/s2, positive in the direction of the event
    threshold_mps2: float
    from_kmh: float


LONGITUDINAL: Final = (
    _Kind("harsh_braking", lambda s: -s.accel_mps2, 3.0, 10.0),
    _Kind("harsh_acceleration", lambda s: s.accel_mps2, 2.5, 0.0),
)
LATERAL: Final = (
    _Kind("harsh_turn_left", lambda s: s.lateral_mps2, 3.0, 15.0),
    _Kind("harsh_turn_right", lambda s: -s.lateral_mps2, 3.0, 15.0),
)


def true_events(samples: Sequence[Sample], *, lateral: bool = True, limits: bool = True) -> list[TrueEvent]:
    """Events of a drive, by time.

    Parameters
    ----------
    samples : sequence of Sample
        Every 50 ms.
    lateral : bool
        Whether anything in the car could tell a turn: a receiver or an IMU.
    limits : bool
        Whether the device knows the limits of a map; if not, over 130 km/h is speeding.
    """
    found: list[TrueEvent] = []
    for kind in LONGITUDINAL + (LATERAL if lateral else ()):
        found += _swings(samples, kind)
    found += _speeding(samples, limits=limits)
    found += _idling(samples)
    return sorted(found, key=lambda event: (event.onset_ms, event.kind))


def _swings(samples: Sequence[Sample], kind: _Kind) -> Iterator[TrueEvent]:
    total = [0.0, *accumulate(kind.value(sample) for sample in samples)]
    event: TrueEvent | None = None
    quiet = WINDOW
    for index in range(WINDOW, len(samples)):
        mean = (total[index + 1] - total[index + 1 - WINDOW]) / WINDOW
        if event is not None:
            event = event._replace(peak=max(event.peak, mean))
        if mean < kind.threshold_mps2 * 2 / 3:
            quiet += 1
            if event is not None and quiet >= WINDOW:
                yield event
                event = None
            continue
        if quiet >= WINDOW and mean >= kind.threshold_mps2:
            first = samples[index - WINDOW]
            if first.speed_mps * 3.6 >= kind.from_kmh:
                event = TrueEvent(kind.name, first.t_ms, mean)
            quiet = 0
        elif quiet < WINDOW:
            quiet = 0
    if event is not None:
        yield event


def _speeding(samples: Iterable[Sample], *, limits: bool) -> Iterator[TrueEvent]:
    def over_kmh(sample: Sample) -> float:
        limit = sample.limit_kmh if limits and sample.limit_kmh else UNKNOWN_LIMIT_KMH
        return sample.speed_mps * 3.6 - limit

    stretches: list[list[float]] = []  # from, to, peak
    for sample in samples:
        if (over := over_kmh(sample)) < 0.1:
            continue
        if stretches and sample.t_ms - stretches[-1][1] <= SPEEDING_GAP_MS:
            stretches[-1][1:] = [sample.t_ms, max(stretches[-1][2], over)]
        else:
            stretches.append([sample.t_ms, sample.t_ms, over])
    for start_ms, end_ms, peak in stretches:
        if end_ms + STEP_MS - start_ms >= SPEEDING_LEAST_MS:
            yield TrueEvent("speeding", int(start_ms), peak)


def _idling(samples: Iterable[Sample]) -> Iterator[TrueEvent]:
    begun_ms: int | None = None
    last_ms = 0
    for sample in samples:
        if sample.speed_mps * 3.6 < STANDING_KMH and sample.rpm:
            begun_ms = sample.t_ms if begun_ms is None else begun_ms
            last_ms = sample.t_ms
            continue
        if begun_ms is not None and last_ms - begun_ms >= IDLING_LEAST_MS:
            yield TrueEvent("idling", begun_ms, 1.0)
        begun_ms = None
    if begun_ms is not None and last_ms - begun_ms >= IDLING_LEAST_MS:
        yield TrueEvent("idling", begun_ms, 1.0)
