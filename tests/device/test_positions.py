from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from device.contract.bodies import MAX_BATCH_SAMPLES, Cell, Track
from device.contract.signals import Reading
from device.positions import MAX_POINTS, MAX_SLOTS, MAX_STAYS, VALID_MS, Positions
from device.privacy import cell_of, point_of


def fix(t_ms, latitude_deg=48.1, longitude_deg=11.5):
    return [Reading(t_ms, "latitude_deg", latitude_deg), Reading(t_ms, "longitude_deg", longitude_deg)]


def fed(*fixes, keep_track=True):
    positions = Positions(keep_track=keep_track)
    for readings in fixes:
        for reading in readings:
            positions.push(reading)
    return positions


def test_the_cell_is_that_of_the_last_position_before_a_time():
    positions = fed(fix(1_000, 48.101), fix(2_000, 48.109), fix(3_000, 48.111))
    assert positions.cell_at(1_999) == Cell(4_810, 1_150)
    assert positions.cell_at(2_000) == positions.cell_at(3_500) == Cell(4_811, 1_150)


def test_before_the_first_position_the_next_one_counts():
    assert fed(fix(10_000)).cell_at(10_000 - VALID_MS) == Cell(4_810, 1_150)
    assert fed(fix(VALID_MS + 1)).cell_at(0) is None


def test_a_position_grows_old():
    positions = fed(fix(1_000), fix(2_000))
    assert positions.cell_at(2_000 + VALID_MS) is not None
    assert positions.cell_at(2_001 + VALID_MS) is None


def test_a_tunnel_leaves_a_hole_although_both_ends_lie_in_one_cell():
    positions = fed(fix(1_000), fix(2_000 + 3 * VALID_MS))
    assert positions.cell_at(1_000 + VALID_MS + VALID_MS // 2) is None


def test_half_a_position_is_none():
    positions = Positions(keep_track=True)
    for reading in (
        Reading(1, "latitude_deg", 48.1),
        Reading(2, "longitude_deg", 11.5),
        Reading(2, "longitude_deg", 11.5),
        Reading(3, "latitude_deg", None),
        Reading(3, "longitude_deg", 11.5),
        Reading(3, "speed_kmh", 50.0),
    ):
        positions.push(reading)
    assert positions.cell_at(3) is None
    positions.push(Reading(3, "latitude_deg", 48.1))  # whichever comes first
    assert positions.cell_at(3) == Cell(4_810, 1_150)


def test_a_track_lies_on_the_grid_of_its_trip_with_nulls_where_no_position_was():
    positions = fed(fix(900, 1.0), fix(2_500, 2.0), fix(3_600, 3.0), fix(6_400, 4.0), fix(9_000, 5.0))
    (track,) = positions.track(7, 2_000, 8_000)
    assert track == Track(
        7,
        0,
        1_000,
        [200_000, 300_000, None, None, 400_000],
        [1_150_000, 1_150_000, None, None, 1_150_000],
    )
    (rest,) = positions.track(7, 2_000, 9_000)
    assert (rest.first_t_ms, rest.lat_e5deg) == (7_000, [500_000])
    assert list(positions.track(7, 2_000, 99_000)) == []


def test_a_track_is_cut_where_the_receiver_was_blind():
    positions = fed(fix(0), fix(1_000), fix(2_000 + VALID_MS), fix(3_000 + VALID_MS))
    assert [(t.first_t_ms, len(t.lat_e5deg)) for t in positions.track(1, 0, 10**6)] == [(0, 2), (2_000 + VALID_MS, 2)]


def test_a_fast_receiver_gives_a_point_a_second():
    positions = fed(*[fix(t_ms) for t_ms in range(0, 10_000, 100)])
    (track,) = positions.track(1, 0, 10_000)
    assert 10 <= len(track.lat_e5deg) <= 11
    assert None not in track.lat_e5deg


def test_without_a_track_no_point_is_kept():
    positions = fed(*[fix(t_ms) for t_ms in range(0, 10_000, 1_000)], keep_track=False)
    assert positions.to_state()[1] == []
    assert list(positions.track(1, 0, 10_000)) == []
    assert positions.cell_at(9_000) is not None


def test_what_it_holds_is_bounded():
    positions = fed(*[fix(1_000 * n, n % 90, n % 180) for n in range(3 * MAX_POINTS)])
    stays, points = positions.to_state()
    assert (len(stays), len(points)) == (MAX_STAYS, MAX_POINTS)
    assert all(len(track.lat_e5deg) <= MAX_SLOTS for track in positions.track(1, 0, 10**9))
    rare = fed(*[fix(VALID_MS * n) for n in range(MAX_POINTS)])
    assert sum(len(track.lat_e5deg) for track in rare.track(1, 0, 10**9)) > MAX_BATCH_SAMPLES
    assert all(len(track.lat_e5deg) <= MAX_SLOTS for track in rare.track(1, 0, 10**9))


def test_points_before_any_trip_are_forgotten():
    positions = fed(fix(1_000), fix(2_000), fix(3_000))
    positions.forget(2_000)
    (track,) = positions.track(1, 0, 10_000)
    assert (track.first_t_ms, len(track.lat_e5deg)) == (2_000, 2)


steps = st.tuples(st.integers(0, 40_000), st.floats(-90, 90), st.floats(-180, 180))


@given(st.lists(steps, max_size=40), st.integers(0, 40), st.integers(0, 10**6))
def test_it_goes_on_where_its_state_was_taken(fixes, cut, asked_ms):
    t_ms, told = 0, []
    for step_ms, latitude_deg, longitude_deg in fixes:
        t_ms += step_ms
        told.append(fix(t_ms, latitude_deg, longitude_deg))
    whole, before, after = fed(*told), fed(*told[:cut]), Positions(keep_track=True)
    after.restore(json.loads(json.dumps(before.to_state())))
    for reading in [reading for readings in told[cut:] for reading in readings]:
        after.push(reading)
    assert after.to_state() == whole.to_state()
    assert after.cell_at(asked_ms) == whole.cell_at(asked_ms)
    assert list(after.track(1, 0, t_ms)) == list(whole.track(1, 0, t_ms))


@given(st.lists(steps, min_size=1, max_size=20))
def test_every_cell_and_point_is_one_that_was_read(fixes):
    t_ms, told = 0, []
    for step_ms, latitude_deg, longitude_deg in fixes:
        t_ms += step_ms
        told.append((t_ms, latitude_deg, longitude_deg))
    positions = fed(*[fix(*one) for one in told])
    assert positions.cell_at(t_ms) in {cell_of(*one[1:]) for one in told if one[0] == t_ms}
    points = {point_of(*one[1:]) for one in told} | {(None, None)}
    for track in positions.track(1, 0, t_ms):
        assert set(zip(track.lat_e5deg, track.lon_e5deg, strict=True)) <= points
