"""The recordings of ../shared/data: facts of each; distance against integrations that share no code with the device."""

from __future__ import annotations

import csv
from collections import defaultdict

import pytest

from device.contract.recording import write_recording
from replay_data.importers import load
from tests.replay_data.reference_distance import day_ms, distance, fresh_speeds, row_speeds

# Fresh speeds over their times, gaps over 5 s not integrated; km. A changed number is a changed meaning: say why.
FRESH_KM = {
    "2017-07-05_Seat_Leon_RT_S_Stau.csv": 54.326,
    "2017-07-06_Seat_Leon_KA_KA_Normal.csv": 10.750,
    "2017-07-13_Seat_Leon_RT_KA_Stau_Messfehler.csv": 97.311,
    "2017-07-31_Seat_Leon_KA_KA_Frei.csv": 10.066,
    "2017-08-07_Seat_Leon_RT_KA_Frei_Vollbremsung.csv": 103.832,
    "2018-02-17_Seat_Leon_BB_RT_Normal_Glatteis.csv": 41.483,
    "2018-02-20_Seat_Leon_KA_KA_Frei.csv": 10.342,
    "2018-02-23_Seat_Leon_RT_RT_Frei_Beschleunigung.csv": 13.818,
    "2018-02-28_Seat_Leon_S_RT_Normal.csv": 55.356,
    "2018-03-23_Seat_Leon_S_RT_Stau.csv": 53.387,
}
FAULTY = "2017-07-13_Seat_Leon_RT_KA_Stau_Messfehler.csv"
SPEED = "Vehicle Speed Sensor [km/h]"
DRIVES = ("alonso_20231229_151643", "andres_20231222_134710", "pablo_20231123_094610", "richard_20231227_104130")


def last_value(path, header):
    """Last filled cell of a column."""
    with path.open(encoding="utf-8", newline="") as file:
        return [float(row[header]) for row in csv.DictReader(file) if row[header]][-1]


@pytest.mark.parametrize("name", FRESH_KM)
def test_a_kit_drive_has_its_distance_and_fresh_values_differ_little_from_all_rows(shared_data, name):
    path = shared_data / "kit-obd2" / name
    fresh_km = distance(fresh_speeds(load(path)[1])).fresh
    rows_km = distance(row_speeds(path, SPEED)).fresh
    assert fresh_km == pytest.approx(FRESH_KM[name], abs=0.001)
    assert rows_km == pytest.approx(fresh_km, rel=0.003 if name == FAULTY else 0.0012)


@pytest.mark.parametrize("name", [name for name in FRESH_KM if name != FAULTY])
def test_a_kit_speed_is_fresh_once_a_round_and_hardly_a_row_is_left_out(shared_data, name):
    path = shared_data / "kit-obd2" / name
    head, readings = load(path)
    rows = len(row_speeds(path, SPEED)) + 3  # the first three rows hold no speed yet
    assert len(readings) + head.repairs.get("rows_not_attributed", 0) == rows
    assert head.repairs.get("rows_not_attributed", 0) <= 13
    assert len(fresh_speeds(readings)) == pytest.approx(rows / 10, abs=2)


def test_in_the_faulty_drive_the_52_kmh_before_the_gap_is_not_read_again_after_it(shared_data):
    _, readings = load(shared_data / "kit-obd2" / FAULTY)
    speeds = fresh_speeds(readings)
    before = next(i for i, (t_ms, _) in enumerate(speeds) if t_ms == 347_594)
    assert speeds[before : before + 2] == [(347_594, 52.0), (365_593, 3.0)]
    assert max(speed for _, speed in speeds) == 217


def test_the_faulty_drive_has_a_distance_with_its_uncertainty(shared_data):
    readings = load(shared_data / "kit-obd2" / FAULTY)[1]
    d = distance(fresh_speeds(readings))
    assert (d.low, d.fresh, d.high) == pytest.approx((96.674, 97.311, 97.948), abs=0.001)
    assert (d.gaps, d.gap_s) == pytest.approx((2.149, 243.8), abs=0.1)  # 4 minutes that nobody saw


@pytest.mark.parametrize("drive", DRIVES)
def test_a_consolidated_drive_is_up_to_a_percent_and_a_half_longer_than_the_app_counted(shared_data, drive):
    path = shared_data / "polidriving" / f"{drive}_col.csv"
    _, readings = load(path)
    app_km = last_value(path, "distance_travelled")
    assert 1.005 < distance(fresh_speeds(readings)).fresh / app_km < 1.015


def test_the_raw_drive_is_as_long_as_the_app_counted(shared_data):
    path = shared_data / "polidriving" / "alonso_20231229_151643_raw.csv"
    assert distance(fresh_speeds(load(path)[1])).fresh == pytest.approx(
        last_value(path, "Distance travelled (km)"), rel=1e-4
    )


def test_a_consolidated_speed_is_the_largest_of_its_second(shared_data):
    raw = row_speeds(shared_data / "polidriving" / "alonso_20231229_151643_raw.csv", "Vehicle speed (km/h)")
    largest = defaultdict(float)
    for t_ms, speed_kmh in raw:
        largest[t_ms // 1000] = max(largest[t_ms // 1000], speed_kmh)
    path = shared_data / "polidriving" / "alonso_20231229_151643_col.csv"
    first_ms = day_ms("15:16:52")
    consolidated = {(first_ms + t_ms) // 1000: speed for t_ms, speed in fresh_speeds(load(path)[1])}
    assert consolidated == dict(largest)


@pytest.mark.parametrize(
    "name", [f"kit-obd2/{FAULTY}", f"polidriving/{DRIVES[1]}_col.csv", f"polidriving/{DRIVES[0]}_raw.csv"]
)
def test_an_imported_drive_is_the_drive_itself(shared_data, tmp_path, name):
    head, readings = load(shared_data / name)
    write_recording(tmp_path / "drive.ubirec", head, readings)
    assert load(tmp_path / "drive.ubirec") == (head, readings)
    assert (tmp_path / "drive.ubirec").stat().st_size < (shared_data / name).stat().st_size / 10
