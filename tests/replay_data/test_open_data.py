"""Formats of open data sets, on samples cut from their layout: units, clocks, what is fresh and what is left out."""

from __future__ import annotations

import builtins
import json

import polars as pl
import pytest

from device.contract.errors import RecordingError
from device.contract.signals import Reading
from replay_data.importers import drive_plotr, load
from tests.replay_data.tables import written

TWIZY = "Date,Time,Soc,Speed,Mode,LAT,LON,ALT,GpsSpeed,Temperature,Humidity,Weather,WindSpeedAv,Traffic,SpeedLimit"
NDSBR = "DRIVER;LONG;LAT;DAY;DAY_CORRIGIDO;03:00:00;TRIP;PR;SPD_KMH;HEADING;ALTITUDE_FT;LIMITE_VEL"
IMU = "timestamp,uptimeNanos,x,y,z"
SENSOR_LOG = (
    "loggingTime(txt),locationTimestamp_since1970(s),locationLatitude(WGS84),locationLongitude(WGS84),"
    "locationSpeed(m/s),locationCourse(°),accelerometerAccelerationX(G),gyroRotationZ(rad/s)"
)
PHONE = "Timestamp,accelX(g),accelY(g),accelZ(g),gyroX(rad/s),gyroY(rad/s),gyroZ(rad/s),Lat,Long,Speed(m/s),Alt(m)"


def told(readings: list[Reading], signal: str) -> list[tuple[int, float | None]]:
    return [(r.t_ms, r.value) for r in readings if r.signal == signal]


def test_twizy_has_a_speed_limit_and_no_engine_and_survives_wrong_dates(tmp_path):
    rows = [
        f"{day},13:30:{second},96.1,{second}.5,D,33.98,-6.72,142,1.0,22.2,68,Clouds,3.1,0,40.0"
        for day, second in (("03/00/2000", 32), ("06/30/2021", 33), ("30/00/2006", 34))
    ]
    head, readings = load(written(tmp_path / "T1.csv", [TWIZY, *rows]))
    assert told(readings, "speed_kmh") == [(0, 32.5), (1000, 33.5), (2000, 34.5)]
    assert told(readings, "limit_kmh") == [(0, 40.0), (1000, 40.0), (2000, 40.0)]
    assert {r.signal for r in readings}.isdisjoint({"rpm", "fuel_pct", "ambient_c"})
    assert (head.source, head.started_at_ms, head.utc_offset_min) == ("twizy-ev", 1_625_056_232_000, 60)


def test_ndsbr_reads_decimal_commas_limits_and_the_trips_of_a_driver(tmp_path):
    rows = [
        "A;-49,5;-25,25;26/8/2019;26/8/2019;22:17:27;5;19:17:27;10,5;90;3050197;NPI",
        "A;-49,5;-25,25;26/8/2019;26/8/2019;22:17:28;5;19:17:28;11;90;3050197;60",
        "A;-49,5;-25,25;27/8/2019;27/8/2019;22:17:28;6;19:17:28;12;;3050197;60",
    ]
    head, readings = load(written(tmp_path / "driver_A.csv", [NDSBR, *rows]))
    assert told(readings, "gnss_speed_kmh") == [(0, 10.5), (1000, 11.0), (86_401_000, 12.0)]
    assert told(readings, "limit_kmh") == [(1000, 60.0), (86_401_000, 60.0)]
    assert told(readings, "altitude_m") == []
    assert (head.driver, head.started_at_ms, head.utc_offset_min) == ("A", 1_566_857_847_000, -180)
    assert head.repairs == {}


def test_ikhyd_reads_the_speeds_of_car_and_receiver(tmp_path):
    lines = [
        "1558467126220;010D;36.0",
        "1558467126464;gps;41.658035:-91.534262:0.66642624:1558467127000:251.4:3.3:10.0",
        "1558467126542;010C;900.0",
    ]
    head, readings = load(written(tmp_path / "trip.txt", lines))
    assert readings == [
        Reading(0, "speed_kmh", 36.0),
        Reading(244, "latitude_deg", 41.658035),
        Reading(244, "longitude_deg", -91.534262),
        Reading(244, "altitude_m", 251.4),
        Reading(244, "gnss_speed_kmh", 36.0),
        Reading(322, "rpm", 900.0),
    ]
    assert (head.started_at_ms, head.utc_offset_min) == (1_558_467_126_220, -300)


def test_ikhyd_counts_damaged_lines_and_refuses_many(tmp_path):
    lines = [f"{1_558_467_126_220 + 100 * n};010D;36.0" for n in range(20)]
    head, _ = load(written(tmp_path / "trip.txt", [*lines, "155846712;01"]))
    assert head.repairs == {"damaged_rows": 1}
    with pytest.raises(RecordingError, match=r"txt:21: 'x' is no log line \(3 of 23 lines are damaged\)"):
        load(written(tmp_path / "trip.txt", [*lines, "x", "y", "z"]))


def drive_plotr_file(path, **changed):
    columns = {
        "time_utc": [1_558_644_851.0, 1_558_644_852.0],
        "speed_mph": [10.0, 20.0],
        "speed_source": ["gps", "obd"],
        "gps_lat": [41.25, 41.26],
        "gps_long": [-95.98, -95.99],
        "gps_elevation": [349.8, 351.6],
        "gps_heading_raw": [270.5, 271.0],
        "gps_hdop": [2.5, 3.57],
        "gps_sats": [4.0, 4.0],
        "engine_rpm": [None, 1500.0],
        "engine_throttle": [None, None],
        "accel_x": [-0.1, 0.1],
    }
    table = pl.DataFrame({name: values for name, values in (columns | changed).items() if values is not None})
    table.write_parquet(path)
    return path


def test_drive_plotr_tells_the_car_s_speed_from_the_receiver_s(tmp_path):
    head, readings = load(drive_plotr_file(tmp_path / "nds_data.parquet"))
    assert told(readings, "gnss_speed_kmh") == [(0, 16.09)]
    assert told(readings, "speed_kmh") == [(1000, 32.19)]
    assert told(readings, "rpm") == [(1000, 1500.0)]
    assert not any(r.signal.startswith("accel") for r in readings)
    assert (head.started_at_ms, head.utc_offset_min) == (1_558_644_851_000, -300)


def test_other_parquet_and_damaged_parquet_are_refused(tmp_path):
    path = drive_plotr_file(tmp_path / "other.parquet", gps_lat=None)
    with pytest.raises(RecordingError, match="is Parquet, but not of drive-plotr-nds: no column 'gps_lat'"):
        load(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(RecordingError, match="is damaged Parquet"):
        load(path)


def test_where_polars_is_not_installed_the_refusal_says_what_to_do(tmp_path, monkeypatch):
    path, real = drive_plotr_file(tmp_path / "nds_data.parquet"), builtins.__import__

    def without_polars(name, *rest):
        if name == "polars":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_polars)
    with pytest.raises(RecordingError, match=r"needs Polars: pip install 'ubi\[insurer\]', or import it there"):
        drive_plotr.read(path)


def imu_rows(values, first_ns=12_893_233_616_460):
    return [IMU] + [f"14/05/2016 11:17:09,{first_ns + n * 20_000_000},{v}" for n, v in enumerate(values)]


def test_driver_behavior_reads_the_gyroscope_and_the_start_beside_it(tmp_path):
    path = written(tmp_path / "acelerometro_terra.csv", imu_rows(["0.1,0.2,9.8", "0.1,0.2,9.9"]))
    written(tmp_path / "giroscopio_terra.csv", imu_rows(["1,0,0", "0,0,1"], 12_893_228_275_395))
    start = {"start": "2016-05-14 11:17:08.871-0300", "firstCollectionUptimeNanos": 12_892_910_069_993}
    (tmp_path / "viagem.json").write_text(json.dumps({**start, "smartphoneModel": "XT1058"}))
    head, readings = load(path)
    assert told(readings, "accel_z_mps2") == [(0, 9.8), (20, 9.9)]
    assert told(readings, "gyro_z_dps") == [(15, 57.3)]
    assert (head.started_at_ms, head.utc_offset_min) == (1_463_235_429_194, -180)
    assert head.notes == {"frame": "earth", "phone": "XT1058"}


def test_an_imu_file_without_gravity_is_refused_with_the_right_one(tmp_path):
    path = written(tmp_path / "aceleracaoLinear_terra.csv", imu_rows(["0.1,0.2,0.1"] * 9))
    with pytest.raises(RecordingError, match=r"no gravity in it \(median 0\.24\).*name acelerometro_terra\.csv"):
        load(path)


def test_sensor_log_reads_fixes_by_their_time_and_turns_core_motion_s_sign(tmp_path):
    rows = [
        "2018-04-08 10:31:37.097,1523201497.0,30.25,-97.75,10,181.4,-1.0,0.1",
        "2018-04-08 10:31:37.197,1523201497.0,30.25,-97.75,10,181.4,-1.0,0.1",
        "2018-04-08 10:31:38.097,1523201498.0,30.25,-97.75,-1,181.4,0.5,0.1",
    ]
    head, readings = load(written(tmp_path / "phone.csv", [SENSOR_LOG, *rows]))
    assert told(readings, "gnss_speed_kmh") == [(0, 36.0), (1000, None)]
    assert told(readings, "accel_x_mps2") == [(0, 9.807), (100, 9.807), (1000, -4.903)]
    assert told(readings, "gyro_z_dps") == [(0, 5.73), (100, 5.73), (1000, 5.73)]
    assert (head.started_at_ms, head.utc_offset_min) == (1_523_201_497_097, -300)
    assert head.repairs == {"implausible_gnss_speed_kmh": 1}


def test_a_phone_log_without_times_of_fixes_reads_a_fix_where_it_changed_and_once_a_second(tmp_path):
    rows = [
        f"24-May-2019 18:11:2{3 + n // 10}.{n % 10}00, 0, 0,-1.0, 0, 0, 0,41.5,-91.5, {2 if n < 4 else 3}.0, 190"
        for n in range(18)
    ]
    head, readings = load(written(tmp_path / "phone.csv", [PHONE, *rows]))
    assert told(readings, "gnss_speed_kmh") == [(0, 7.2), (400, 10.8), (1400, 10.8)]
    assert len(told(readings, "accel_z_mps2")) == 18
    assert head.notes == {"local_start": "2019-05-24T18:11:23"}


def test_bmw_can_reads_miles(tmp_path):
    header = (
        "Time,Seconds,Latitude / Y Position (Degrees),Longitude / X Position (Degrees),Distance (Miles),Speed (MPH),"
        "Steering Angle,Throttle Position,Engine RPM,Lateral Gs,Acceleration Gs"
    )
    row = "2018-04-08 10:31:37.005628,694.308316,30.25,-97.75,7.47,50,-0.3,13,2146,-0.0,-0.02"
    head, readings = load(written(tmp_path / "car.csv", [header, row]))
    assert told(readings, "speed_kmh") == [(0, 80.47)]
    assert told(readings, "rpm") == [(0, 2146.0)]
    assert (head.vehicle, head.notes) == ("BMW M235i", {"local_start": "2018-04-08T10:31:37.006000"})
