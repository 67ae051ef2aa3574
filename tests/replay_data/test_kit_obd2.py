"""KIT OBD-II: one value a row is fresh; whose turn it was is known or the row is left out."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.contract.signals import Reading
from replay_data.importers import load
from tests.replay_data.tables import KIT_HEADER, KIT_NAME, KitLogger, readings_of, written


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("imported")


def test_an_unchanged_value_is_a_reading_when_its_turn_came(tmp_path):
    logger = KitLogger().rounds(5, speed_kmh=50)
    head, readings = load(logger.write(tmp_path))
    last_change = max(i for i, r in enumerate(logger.truth) if r.signal == "coolant_c")
    assert sorted(readings) == sorted(logger.truth[: last_change + 1])
    assert [r.t_ms for r in readings if r.signal == "speed_kmh"] == [270, 1170, 2070, 2970]
    assert head.repairs == {"rows_not_attributed": 9}


def test_a_stale_value_after_a_gap_is_no_reading(tmp_path):
    logger = KitLogger().rounds(3, speed_kmh=52)
    logger.row(99, spacing_ms=13_600, skip=5)  # intake_c .. maf: the adapter is back, somewhere in the round
    for value in (90, 1, 1, 1, 30, 1, 900, 3):  # the speed is asked 0.7 s later: 3 km/h
        logger.row(value)
    speeds = [(r.t_ms, r.value) for r in readings_of(logger.write(tmp_path)) if r.signal == "speed_kmh"]
    assert speeds[-1][1] == 3
    assert speeds[-1][0] - speeds[-2][0] > 13_600
    assert [value for _, value in speeds[:-1]] == [52, 52]


@given(seed=st.integers(0, 10**6), skips=st.integers(0, 6), gaps=st.integers(0, 4))
def test_what_is_emitted_was_read_whatever_is_skipped(folder, seed, skips, gaps):
    chance = random.Random(seed)
    logger, rows = KitLogger(), 200
    skip_rows, gap_rows = chance.sample(range(12, rows), skips), chance.sample(range(12, rows), gaps)
    skipped_since_change = 0
    for i in range(rows):
        skip = chance.randint(1, 9) if i in skip_rows else 0
        gap = i in gap_rows
        if skipped_since_change + skip > 9 and not gap:
            skip = 0  # a whole round skipped between two changes cannot be told from none
        changed = logger.row(chance.randint(0, 2), spacing_ms=chance.randint(1_100, 9_000) if gap else 90, skip=skip)
        skipped_since_change = 0 if changed else skipped_since_change + skip
    readings = readings_of(logger.write(folder))
    assert set(readings) <= set(logger.truth)
    if not skips and not gaps:
        assert len(readings) >= len(logger.truth) - 20


def test_nothing_is_read_after_a_gap_before_a_value_changes(tmp_path):
    logger = KitLogger().rounds(2)
    logger.row(logger.cells[0], spacing_ms=2_000)
    for _ in range(9):
        logger.row(1)
    after_gap = logger.now_ms - logger.start_ms - 9 * 90
    logger.rounds(2)
    times = [r.t_ms for r in readings_of(logger.write(tmp_path))]
    assert [t for t in times if after_gap <= t < after_gap + 900] == []
    assert max(times) > after_gap


def test_a_row_with_two_changes_keeps_both_and_trusts_no_phase(tmp_path):
    logger = KitLogger().rounds(1)
    logger.row(5)
    logger.row(7)
    two_changes_ms = logger.now_ms - logger.start_ms
    del logger.lines[11]  # the row of the first was lost
    logger.rounds(2)
    readings = readings_of(logger.write(tmp_path))
    assert {Reading(two_changes_ms, "coolant_c", 5.0), Reading(two_changes_ms, "map_kpa", 7.0)} <= set(readings)
    assert [r for r in readings if two_changes_ms < r.t_ms <= two_changes_ms + 720] == []


def test_a_file_that_starts_in_the_middle_waits_for_a_change(tmp_path):
    lines = KitLogger().rounds(4).lines
    readings = readings_of(written(tmp_path / KIT_NAME, [lines[0], *lines[15:]]))
    assert readings[0] == Reading(6 * 90, "coolant_c", 2.0)


@pytest.mark.parametrize("degree", ["°", "Â°", "Ã‚Â°", "�", ""])
def test_mangled_degree_signs_change_nothing(tmp_path, degree):
    logger = KitLogger().rounds(3)
    expected = readings_of(logger.write(tmp_path, "a.csv"))
    logger.lines[0] = KIT_HEADER.replace("°", degree)
    assert readings_of(logger.write(tmp_path, "b.csv")) == expected
    if degree == "°":
        assert readings_of(written(tmp_path / "c.csv", logger.lines, encoding="latin-1")) == expected
        assert readings_of(written(tmp_path / "d.csv", logger.lines, encoding="utf-8-sig")) == expected


def test_a_clock_stepping_back_shifts_what_follows_by_the_usual_spacing(tmp_path):
    logger = KitLogger().rounds(6)
    straight = readings_of(logger.write(tmp_path))
    stepped = KitLogger().rounds(3)
    stepped.now_ms -= 400
    stepped.rounds(3)
    head, readings = load(stepped.write(tmp_path))
    assert readings == straight
    assert head.repairs["clock_steps_back"] == 1


def test_midnight_is_no_clock_step(tmp_path):
    head, readings = load(KitLogger(start_ms=86_399_000).rounds(3).write(tmp_path))
    assert readings == readings_of(KitLogger().rounds(3).write(tmp_path))
    assert "clock_steps_back" not in head.repairs


@pytest.mark.parametrize(
    ("name", "started_at_ms", "utc_offset_min"),
    [
        ("2017-07-05_Seat_Leon_RT_S_Stau.csv", 1_499_231_790_444, 120),
        ("2018-02-17_Seat_Leon_BB_RT_Normal_Glatteis.csv", 1_518_848_190_444, 60),
        ("2018-13-45_Seat_Leon_BB_RT.csv", None, None),
    ],
)
def test_kit_names_tell_date_and_car_and_the_zone_has_summer_time(tmp_path, name, started_at_ms, utc_offset_min):
    head, _ = load(KitLogger().rounds(2).write(tmp_path, name))
    assert (head.started_at_ms, head.utc_offset_min) == (started_at_ms, utc_offset_min)
    assert (head.source, head.original, head.vehicle) == ("kit-obd2", name, "Seat Leon")


def test_a_renamed_kit_file_is_still_read(tmp_path):
    head, readings = load(KitLogger().rounds(2).write(tmp_path, "trip.txt"))
    assert (head.started_at_ms, head.utc_offset_min, head.vehicle) == (None, None, "")
    assert readings
