"""POLIDriving, consolidated and raw: an empty cell was not read, a repeated location is a stale copy."""

from __future__ import annotations

from device.contract.recording import RecordingHead
from device.contract.signals import Reading
from replay_data.importers import load
from tests.replay_data.tables import COL_HEADER, COL_NAME, RAW_HEADER, RAW_NAME, readings_of, written


def test_a_null_cell_of_the_consolidated_form_is_no_reading(tmp_path):
    lines = [COL_HEADER, "15:16:52,,,,2485.4,4,-0.297953,-78.460449,4", "15:16:53,7.0,879.0,,,4,-0.297953,-78.460449,4"]
    head, readings = load(written(tmp_path / COL_NAME, lines))
    assert readings == [
        Reading(0, "latitude_deg", -0.297953),
        Reading(0, "longitude_deg", -78.460449),
        Reading(0, "altitude_m", 2485.4),
        Reading(1000, "speed_kmh", 7.0),
        Reading(1000, "rpm", 879.0),
    ]
    assert head == RecordingHead(
        source="polidriving",
        original=COL_NAME,
        vehicle="POLIDriving vehicle 4",
        driver="alonso",
        started_at_ms=1_703_881_012_000,
        utc_offset_min=-300,
        notes={"zone": "America/Guayaquil"},
    )


def test_columns_are_found_by_name_in_any_order(tmp_path):
    order = [3, 0, 8, 1, 4, 2, 6, 7, 5]
    cells = ["15:16:53", "7.0", "879.0", "90.0", "2485.4", "4", "-0.297953", "-78.460449", "4"]
    names = COL_HEADER.split(",")
    moved = ["time", "steering_angle", *[names[i] for i in order if i]]
    row = [cells[0], "-420.0", *[cells[i] for i in order if i]]
    straight = readings_of(written(tmp_path / "a.csv", [COL_HEADER, ",".join(cells)]))
    assert readings_of(written(tmp_path / "b.csv", [",".join(moved), ",".join(row)])) == straight


def test_a_late_row_keeps_its_time_and_of_two_readings_at_one_time_the_later_row_counts(tmp_path):
    rows = ["15:16:52,1.0", "15:16:54,3.0", "15:16:53,2.0", "15:16:54,4.0"]
    lines = [COL_HEADER, *[f"{row},,,,4,,,4" for row in rows]]
    head, readings = load(written(tmp_path / COL_NAME, lines))
    assert [(r.t_ms, r.value) for r in readings] == [(0, 1.0), (1000, 2.0), (2000, 4.0)]
    assert head.repairs == {"late_rows": 1, "repeated_readings": 1}


def test_a_drive_named_before_midnight_that_starts_after_it_has_the_next_date(tmp_path):
    lines = [COL_HEADER, "00:00:05,1.0,,,,4,,,4"]
    head, _ = load(written(tmp_path / "alonso_20231231_235950_col.csv", lines))
    assert head.started_at_ms == 1_704_085_205_000  # 2024-01-01 00:00:05, UTC-5


def test_a_repeated_location_of_the_raw_form_is_a_stale_copy(tmp_path):
    place, moved = "-0.297953481785953,-78.4604497533292,", "-0.297953481785953,-78.4604497533293,"
    lines = [
        RAW_HEADER,
        f"15:16:52.831,,,5.97116274272404E-15,,{place}",
        f"15:16:52.900,108,,,,{place}",
        "15:16:53.000,,,,,,,",
        f"15:16:53.100,,879,,,{place}",
        f"15:16:53.200,,,,54,{moved}",
    ]
    head, readings = load(written(tmp_path / RAW_NAME, lines))
    assert readings == [
        Reading(0, "latitude_deg", -0.297953),
        Reading(0, "longitude_deg", -78.46045),
        Reading(0, "gnss_speed_kmh", 0.0),
        Reading(69, "coolant_c", 108.0),
        Reading(269, "rpm", 879.0),
        Reading(369, "speed_kmh", 54.0),
        Reading(369, "latitude_deg", -0.297953),
        Reading(369, "longitude_deg", -78.46045),
    ]
    assert (head.source, head.driver, head.started_at_ms) == ("car-scanner", "alonso", 1_703_881_012_831)


def test_miles_are_not_taken_for_kilometres(tmp_path):
    lines = [RAW_HEADER.replace("Vehicle speed (km/h)", "Vehicle speed (mph)"), "15:16:53.200,,,,54,,,"]
    assert readings_of(written(tmp_path / RAW_NAME, lines)) == [Reading(0, "speed_kmh", 86.9)]
