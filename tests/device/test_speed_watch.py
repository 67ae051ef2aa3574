"""What a trip's end tells of its readings of speed: those that never came, how fine they are, and values that stuck."""

from __future__ import annotations

import json
import math
import random

import pytest

from device.contract import bodies
from device.contract.motion import BRIDGE_MS
from device.contract.signals import Reading
from device.pipeline import Pipeline, TripEnded
from device.speed_track import SpeedTrack
from device.speed_watch import LEAST, Seen, SpeedWatch
from replay_data.faults import parse_faults
from tests.device.agents import decoded, drive, of_kind, stream_of

SHARE_OF_SPARSE = 1 / 3


def route(period_ms: int, jitter: float = 0.0, step_kmh: float = 1.0, signal: str = "speed_kmh") -> list[Reading]:
    """Ten minutes of ups and downs, polled every so often, give or take."""
    chance, t_ms, readings = random.Random(1), 0.0, []
    while t_ms < 600_000:
        true_kmh = 50 - 30 * math.cos(t_ms / 9_000) + 10 * math.sin(t_ms / 31_000)
        readings.append(Reading(round(t_ms), signal, round(round(true_kmh / step_kmh) * step_kmh, 2)))
        t_ms += period_ms * (1 + chance.uniform(-jitter, jitter))
    return readings


def seen(readings: list[Reading]) -> Seen:
    pipeline = Pipeline(lambda mono_ms: (mono_ms, 0))
    outputs = [out for reading in readings for out in pipeline.push(reading)] + pipeline.finish()
    (end,) = [out for out in outputs if isinstance(out, TripEnded)]
    assert end.seen is not None
    return end.seen


def missed(readings: list[Reading]) -> float:
    found = seen(readings)
    assert found.missed is not None
    return found.missed / (found.readings + found.missed)


@pytest.mark.parametrize(("period_ms", "jitter"), [(1_000, 0), (1_000, 0.3), (580, 0.4), (200, 0.4), (100, 0.5)])
def test_half_of_the_readings_lost_or_refused_is_seen_and_an_uneven_rhythm_is_not_taken_for_it(period_ms, jitter):
    told = route(period_ms, jitter)
    assert missed(told) < 0.8 * SHARE_OF_SPARSE
    for fault in ("loss:0.5", "refuse:0.5"):
        assert missed(parse_faults(fault).readings(told)) > 1.2 * SHARE_OF_SPARSE


def test_of_a_receiver_that_is_on_time_one_lost_reading_is_counted():
    told = route(1_000, signal="gnss_speed_kmh")
    found = seen(told[:300] + told[301:])
    assert found.missed == 1


def test_a_silence_is_a_gap_and_no_missing_readings():
    told = route(1_000)
    assert seen([r for r in told if not 100_000 < r.t_ms <= 100_000 + BRIDGE_MS]).missed == 0


@pytest.mark.parametrize(
    ("step_kmh", "step_dkmh"), [(0.05, 0), (1.0, 10), (1.609344, 16), (1.852, 19), (2.0, 20), (5.0, 50)]
)
def test_how_fine_the_speeds_are_is_told(step_kmh, step_dkmh):
    told = seen(route(250, step_kmh=step_kmh))
    assert told.step_dkmh is not None
    assert abs(told.step_dkmh - step_dkmh) <= 1
    assert told.frozen == 0  # it repeats itself, as steps do


def test_too_few_readings_tell_nothing():
    watch = SpeedWatch()
    for _ in range(LEAST - 1):
        watch.step(1_000, 50.0, 51.0)
    assert watch.seen() == Seen(LEAST - 1, None, None, 0)


@pytest.mark.parametrize("seconds", [4, 20])
@pytest.mark.parametrize(("period_ms", "step_kmh"), [(100, 1.0), (250, 1.0), (1_000, 1.0), (1_000, 0.05)])
def test_a_speed_that_froze_while_the_car_moved_on_is_counted(seconds, period_ms, step_kmh):
    told = route(period_ms, step_kmh=step_kmh)
    assert seen(told).frozen == 0
    assert seen(parse_faults(f"freeze:{seconds}").readings(told)).frozen > 0


def test_whole_km_h_repeat_themselves_and_a_standing_receiver_does():
    cruise = [Reading(t_ms, "speed_kmh", 90.0) for t_ms in range(0, 600_000, 500)]
    assert seen(cruise).frozen == 0
    standing = [r if r.t_ms < 200_000 else r._replace(value=0.0) for r in route(1_000, step_kmh=0.05)]
    assert seen(standing).frozen == 0


def test_a_spike_and_an_emergency_stop_are_no_frozen_value():
    plateau = [50.0] * 10
    for speeds in ([*plateau, 90.0, 50.0, 50.0], [*plateau, 38.0, 12.0, 0.0, 0.0]):
        track = SpeedTrack()
        for second, kmh in enumerate(speeds):
            track.add(1_000 * second, kmh)
        assert track.watch.frozen == 0


def test_it_is_told_of_the_source_that_was_heard():
    port, receiver = route(200), route(1_000, step_kmh=0.05, signal="gnss_speed_kmh")
    for kept_ms, by_port in ((600_000, True), (400_000, True), (60_000, False)):
        step_dkmh = seen(sorted([*(r for r in port if r.t_ms < kept_ms), *receiver])).step_dkmh
        assert (step_dkmh == 10) is by_port  # whole km/h


def test_a_trip_counts_from_its_start_on():
    """Five minutes at 10 Hz before it are not its own; nor are the seconds until it was known to be a trip."""
    before = [Reading(t_ms, "speed_kmh", 0.0) for t_ms in range(0, 300_000, 100)]
    told = [reading._replace(t_ms=reading.t_ms + 300_000) for reading in route(1_000)]
    found = seen([*before, *told])
    assert found.missed == 0
    assert len(told) - 10 <= found.readings < len(told)


def test_the_state_of_a_release_that_did_not_watch_goes_on():
    told = route(1_000)
    pipeline = Pipeline(lambda mono_ms: (mono_ms, 0))
    for reading in told[:300]:
        pipeline.push(reading)
    state = json.loads(json.dumps(pipeline.to_state()))
    for name in ("port", "gnss"):
        del state["motion"][name][8:]
        state["motion"][name][3] += 40  # of the trip before
        state["motion"][name][4] += 40_000
    state["trip"]["heard_before"] = [40, 40_000, 40, 40_000]
    pipeline = Pipeline.from_state(state, lambda mono_ms: (mono_ms, 0))
    outputs = [out for reading in told[300:] for out in pipeline.push(reading)] + pipeline.finish()
    (end,) = [out for out in outputs if isinstance(out, TripEnded)]
    assert end.speed_rate_dhz == 10
    assert end.seen is not None
    assert (end.seen.missed, end.seen.frozen) == (0, 0)


def test_the_end_of_a_trip_tells_what_was_seen(tmp_path):
    (end,) = of_kind(decoded(stream_of(tmp_path / "outbox", drive(300))), bodies.TripEnd)
    told = (end.speed_readings, end.speed_missed, end.speed_step_dkmh, end.speed_frozen)
    assert None not in told
    assert end.speed_readings > 400
