"""Logs of phone apps we hold no file of: small samples, written as their published headers and rows are."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from device.contract.errors import RecordingError
from device.contract.signals import Reading
from replay_data.importers import load, recognise
from replay_data.importers.torque import offset_of
from tests.replay_data.tables import written

TORQUE_HEADER = (
    "GPS Time, Device Time, Longitude, Latitude,GPS Speed (Meters/second), Horizontal Dilution of Precision, Altitude, "
    "Bearing, G(x), G(y), G(z), G(calibrated),Engine Coolant Temperature(°F),Engine RPM(rpm),Speed (OBD)(mph)"
)
TORQUE_ROWS = [
    "Fri May 22 07:00:26 EDT 2015,22-May-2015 07:00:25.730,-81.5,41.25,0.5,38.0,46.0,171.8,-9,-1,3,0,194,900,-",
    "Fri May 22 07:00:26 EDT 2015,22-May-2015 07:00:26.230,-81.5,41.25,0.5,38.0,46.0,171.8,-9,-1,3,0,194,∞,10",
    "Fri May 22 07:00:27 EDT 2015,22-May-2015 07:00:26.730,-81.5,41.251,1.5,38.0,46.0,171.8,-9,-1,3,0,-,1000,20",
]
FUSION_NAME = "CSVLog_20181207_182021.csv"
FUSION_START = "# StartTime = 12/07/2018 06:20:21.1830 PM"
FUSION_HEADER = "Time (sec), Vehicle speed (MPH), Engine RPM (RPM), Intake manifold absolute pressure (inHg)"
SCANNER_HEADER = '"SECONDS";"PID";"VALUE";"UNITS";"LATITUDE";"LONGTITUDE";'


def values(readings: list[Reading], signal: str) -> list[tuple[int, float | None]]:
    return [(r.t_ms, r.value) for r in readings if r.signal == signal]


def test_torque_is_read_with_its_units_converted(tmp_path):
    path = written(tmp_path / "trackLog.csv", [TORQUE_HEADER, *TORQUE_ROWS])
    head, readings = load(path)
    assert head.source == "torque"
    assert values(readings, "speed_kmh") == [(500, 16.09), (1000, 32.19)]
    assert values(readings, "rpm") == [(0, 900.0), (500, None), (1000, 1000.0)]
    assert values(readings, "coolant_c") == [(0, 90.0), (500, 90.0)]
    assert head.repairs == {"unreadable_rpm": 1}
    assert (head.started_at_ms, head.utc_offset_min) == (
        round(datetime(2015, 5, 22, 11, 0, 25, 730_000, UTC).timestamp() * 1000),
        -240,
    )


def test_torque_reads_the_receiver_where_it_had_a_new_fix(tmp_path):
    _, readings = load(written(tmp_path / "trackLog.csv", [TORQUE_HEADER, *TORQUE_ROWS]))
    assert values(readings, "gnss_speed_kmh") == [(0, 1.8), (1000, 5.4)]
    assert values(readings, "latitude_deg") == [(0, 41.25), (1000, 41.251)]
    assert values(readings, "longitude_deg") == [(0, -81.5), (1000, -81.5)]


def test_torque_goes_on_after_a_second_header(tmp_path):
    path = written(tmp_path / "trackLog.csv", [TORQUE_HEADER, *TORQUE_ROWS[:2], TORQUE_HEADER, TORQUE_ROWS[2]])
    head, readings = load(path)
    assert len(values(readings, "speed_kmh")) == 2
    assert head.repairs["repeated_headers"] == 1


@pytest.mark.parametrize(
    ("told", "offset_min"),
    [
        ("Mon Sep 22 10:30:00 GMT+03:00 2019", 180),
        ("Mon Sep 22 10:30:00 GMT-02:30 2019", -150),
        ("Mon Sep 22 10:30:00 +0530 2019", 330),
        ("Mon Sep 22 10:30:00 GMT 2019", 0),
        ("Mon Sep 22 10:30:00 PDT 2019", -420),
        ("Mon Sep 22 10:30:00 CEST 2019", 120),
        ("Mon Sep 22 10:30:00 IST 2019", None),  # India, Israel or Ireland
        ("-", None),
    ],
)
def test_a_zone_is_told_by_an_offset_or_an_abbreviation_of_one_meaning(told, offset_min):
    assert offset_of(told) == offset_min


def test_a_torque_log_without_a_zone_keeps_its_local_start(tmp_path):
    rows = [row.replace("EDT", "IST") for row in TORQUE_ROWS]
    head, _ = load(written(tmp_path / "trackLog.csv", [TORQUE_HEADER, *rows]))
    assert (head.started_at_ms, head.utc_offset_min) == (None, None)
    assert head.notes == {"local_start": "2015-05-22T07:00:25.730000"}


def test_a_unit_of_speed_nobody_knows_is_refused(tmp_path):
    path = written(tmp_path / "trackLog.csv", [TORQUE_HEADER.replace("(mph)", "(furlong/h)"), *TORQUE_ROWS])
    with pytest.raises(RecordingError, match=r"csv:1: 'Speed \(OBD\)\(furlong/h\)' is in 'furlong/h', which is no kno"):
        load(path)


def test_obd_fusion_is_read_from_its_own_start(tmp_path):
    path = written(tmp_path / FUSION_NAME, [FUSION_START, FUSION_HEADER, "0.5, 10, 900, 10", "1.5, 20, 1000, 10"])
    head, readings = load(path)
    assert head.source == "obd-fusion"
    assert values(readings, "speed_kmh") == [(0, 16.09), (1000, 32.19)]
    assert values(readings, "map_kpa") == [(0, 34.0), (1000, 34.0)]
    assert head.notes == {"local_start": "2018-12-07T18:20:21.500000"}


def test_obd_fusion_of_another_name_has_the_start_of_its_first_line(tmp_path):
    lines = [FUSION_START, FUSION_HEADER, "0, 10, 900, 10"]
    head, _ = load(written(tmp_path / "drive.csv", lines))
    assert head.notes == {"local_start": "2018-12-07T18:20:21"}
    head, _ = load(written(tmp_path / "plain.csv", lines[1:]))
    assert head.notes == {}


def test_car_scanner_by_rows_reads_each_row_at_its_time(tmp_path):
    rows = [
        '"30189.2";"Altitude (GPS)";"185.4";"m";"0";"0";',
        '"30189.3";"Vehicle speed";"54";"km/h";"40.5";"29.25";',
        '"30189.5";"Engine RPM";"1726,5";"rpm";"40.5";"29.25";',
        '"30189.7";"Engine coolant temperature";"83";"℃";"40.5";"29.25";',
        '"30189.9";"Vehicle speed";"";"km/h";"40.5";"29.25";',
        '"30190.0";"Fuel used price";"1";"$1.3";"40.501";"29.25";',
    ]
    head, readings = load(written(tmp_path / "2026-01-31 10-56-07.csv", [SCANNER_HEADER, *rows], "utf-8-sig"))
    assert [r for r in readings if r.signal not in {"latitude_deg", "longitude_deg"}] == [
        Reading(0, "altitude_m", 185.4),
        Reading(100, "speed_kmh", 54.0),
        Reading(300, "rpm", 1726.5),
        Reading(500, "coolant_c", 83.0),
    ]
    assert values(readings, "latitude_deg") == [(100, 40.5), (800, 40.501)]
    assert head.repairs == {"decimal_commas": 1}
    assert head.notes == {"local_start": "2026-01-31T10:56:07"}


def test_car_scanner_in_another_language_is_refused_with_what_it_holds(tmp_path):
    rows = ['"1";"Velocità veicolo";"54";"km/h";"0";"0";', '"2";"Giri motore";"900";"rpm";"0";"0";']
    with pytest.raises(RecordingError, match=r"found: 'Velocità veicolo', 'Giri motore'.*set the app to English"):
        load(written(tmp_path / "2026-01-31 10-56-07.csv", [SCANNER_HEADER, *rows]))


def test_car_scanner_by_columns_is_read_in_miles_and_fahrenheit(tmp_path):
    header = 'time,"Vehicle speed (mph)","Engine RPM (rpm)","Intake air temperature (℉)"'
    head, readings = load(written(tmp_path / "drive.csv", [header, "10:00:00.000,10,,", "10:00:00.500,,,50"]))
    assert readings == [Reading(0, "speed_kmh", 16.09), Reading(500, "intake_c", 10.0)]
    assert head.source == "car-scanner"


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("torque", [TORQUE_HEADER, *TORQUE_ROWS]),
        ("obd-fusion", [FUSION_START, FUSION_HEADER, "0, 10, 900, 10"]),
        ("car-scanner", [SCANNER_HEADER, '"1";"Vehicle speed";"54";"km/h";"0";"0";']),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_a_log_is_recognised_in_any_encoding(tmp_path, name, lines, encoding):
    path = tmp_path / "log.csv"
    path.write_bytes("\r\n".join(lines).encode(encoding, "replace"))
    importer = recognise(path)
    assert importer is not None
    assert name == importer.NAME
    assert load(path)[0].source == name
