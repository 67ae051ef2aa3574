"""The law of parity: device, batch and the written-out definition find the same in the same motion."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import features.derive
import features.slices
from device.contract.errors import ContractError
from device.contract.motion import MotionSample
from device.contract.rules import KIND_NUMBERS, load_rules
from device.events import EventDetector
from device.trips import SummaryBuilder
from features.derive import derive
from tests.features.outcome import Outcome, by_batch, by_definition, event_row, summary_row
from tests.features.trips import PERIOD_MS, Trip, heads_of, motion_of, trips


def by_device(trip: Trip, saves: set[int] | None = None) -> Outcome:
    """Run a trip through the streaming core, which is saved to JSON and restored before the samples in `saves`."""
    rules = load_rules(trip.rules_version)
    detector = EventDetector(rules, trip.period_ms)
    builder = SummaryBuilder(trip.start_ms, trip.utc_offset_min, trip.period_ms)
    events = []

    def take(found):
        for event in found[0]:
            events.append(event_row(event))
            builder.add_event(event.kind, event.level)
        for kind, run in found[1]:
            builder.add_excursion(kind, run.peak, detector.duration_ms(run), run.onset_speed_dkmh)

    for i, sample in enumerate(trip.samples):
        if i in (saves or set()):
            state = json.loads(json.dumps([detector.to_state(), builder.to_state()]))
            detector = EventDetector(rules, trip.period_ms)
            detector.restore(state[0])
            builder = SummaryBuilder.from_state(state[1])
        builder.push(sample)
        take(detector.push(sample))
    take(detector.flush())
    return summary_row(builder.summary), sorted(events, key=lambda e: (e[2], e[0]))


@given(trips())
def test_batch_equals_the_written_out_definition(drives):
    batch = by_batch(drives)
    assert batch == {trip.key: by_definition(trip) for trip in drives}


@given(trips(max_trips=1), st.sets(st.integers(0, 60), max_size=4))
def test_batch_equals_the_device_however_often_it_was_restarted(drives, saves):
    assert by_batch(drives) == {trip.key: by_device(trip, saves) for trip in drives}


@given(trips(), st.integers(1, 40))
def test_cutting_into_slices_changes_nothing(drives, slice_rows):
    whole = derive(motion_of(drives), heads_of(drives))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features.slices, "SLICE_ROWS", slice_rows)
        sliced = derive(motion_of(drives), heads_of(drives))
    assert sliced.summaries.equals(whole.summaries)
    assert sliced.events.equals(whole.events)


@given(trips(), st.randoms())
def test_files_in_any_order_give_the_same_trips(drives, random):
    whole = derive(motion_of(drives), heads_of(drives))
    shuffled = random.sample(drives, len(drives))
    parts = [derive(motion_of([trip]), heads_of(drives)) for trip in shuffled]
    assert pl.concat(p.summaries for p in parts).sort("trip_key").equals(whole.summaries)
    assert pl.concat(p.events for p in parts).sort("trip_key", "onset_ms", "kind").equals(whole.events)


@given(trips())
def test_trips_of_other_grids_in_one_file_keep_their_own_definition(drives):
    mixed = [
        Trip(t.key, t.start_ms, t.utc_offset_min, t.samples, period_ms=period_ms)
        for t, period_ms in zip(drives, (500, 1_000, 250, 500), strict=False)
    ]
    assert by_batch(mixed) == {trip.key: by_definition(trip) for trip in mixed}
    assert by_batch(mixed) == {trip.key: by_device(trip) for trip in mixed}


def test_motion_without_rows_gives_empty_tables_of_the_schema():
    derived = derive(motion_of([]), heads_of([]))
    assert derived.summaries.schema == features.derive.SUMMARIES
    assert derived.events.schema == features.derive.EVENTS
    assert derived.summaries.height == derived.events.height == 0


def some_trip(key: int) -> Trip:
    return Trip(key, 1_700_000_000_000, 60, [MotionSample(i * PERIOD_MS, 500) for i in range(3)])


def test_a_trip_that_is_not_in_one_piece_is_refused():
    pieces = motion_of([some_trip(1), some_trip(2), some_trip(1)])
    with pytest.raises(ContractError, match="do not stand together"):
        derive(pieces, heads_of([some_trip(1), some_trip(2)]))


def test_motion_of_an_unknown_trip_is_refused():
    with pytest.raises(ContractError, match="motion of 1 trips, the first with trip_key 2"):
        derive(motion_of([some_trip(1), some_trip(2)]), heads_of([some_trip(1)]))


def test_the_input_is_not_changed():
    motion, heads = motion_of([some_trip(1)]), heads_of([some_trip(1)])
    before = motion.clone(), heads.clone()
    derive(motion, heads)
    assert motion.equals(before[0])
    assert heads.equals(before[1])


IDLING = KIND_NUMBERS["idling"]


@pytest.mark.parametrize("period_ms", [100, 500])
def test_idling_is_the_same_event_in_all_three_and_unknown_ends_it(period_ms):
    def standing(key: int, seconds: int, broken_by: MotionSample | None = None) -> Trip:
        samples = [MotionSample(i * period_ms, 9, engine=1) for i in range(seconds * 1_000 // period_ms)]
        if broken_by:
            samples[len(samples) // 2] = broken_by._replace(t_ms=samples[len(samples) // 2].t_ms)
        return Trip(key, 1_700_000_000_000, 60, samples, period_ms, rules_version=2)

    breaks = [
        MotionSample(0, 10, engine=1),
        MotionSample(0, 0, engine=0),
        MotionSample(0, None, engine=1),
        MotionSample(0, 0),
    ]
    drives = [standing(1, 119), standing(2, 120), *(standing(3 + k, 239, sample) for k, sample in enumerate(breaks))]
    batch = by_batch(drives)
    assert batch == {trip.key: by_definition(trip) for trip in drives} == {trip.key: by_device(trip) for trip in drives}
    found = {key: [event for event in events if event[0] == IDLING] for key, (_, events) in batch.items()}
    assert found[2] == [(IDLING, 1, 0, 0, 120_000 - period_ms, 120_000, 1, 9, 0)]
    assert [len(events) for events in found.values()] == [0, 1, 0, 0, 0, 0]


def braking_trip(key: int, *decelerations: int) -> Trip:
    samples = [MotionSample(i * PERIOD_MS, 800, -d) for i, d in enumerate(decelerations)]
    return Trip(key, 1_700_000_000_000, 60, samples)


def test_a_run_does_not_reach_over_into_the_next_trip():
    drives = [braking_trip(1, 400), braking_trip(2, 0, 400), braking_trip(3, 0, 0, 400)]
    batch = by_batch(drives)
    assert batch == {trip.key: by_definition(trip) for trip in drives}
    assert [len(events) for _, events in batch.values()] == [1, 1, 1]
