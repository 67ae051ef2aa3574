"""A small whole file of every text format, then damaged at random: it is read as a lawful recording or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.contract.errors import RecordingError
from device.contract.recording import write_recording
from replay_data.importers import FORMATS, load, recognise
from replay_data.serial_gnss import sentence
from tests.replay_data.tables import COL_HEADER, RAW_HEADER, KitLogger, written
from tests.replay_data.test_app_logs import (
    FUSION_HEADER,
    FUSION_START,
    SCANNER_HEADER,
    TORQUE_HEADER,
    TORQUE_ROWS,
)
from tests.replay_data.test_gpx import GPX11, point
from tests.replay_data.test_open_data import IMU, NDSBR, PHONE, SENSOR_LOG, TWIZY

RMC = "GPRMC,10000{n}.000,A,5200.0,N,01300.0,E,20.0,1.0,010524,,,A"
WHOLE = {
    "kit": KitLogger().rounds(4).lines,
    "polidriving": [COL_HEADER, *(f"15:16:5{n},1.0,,,,4,,,4" for n in range(5))],
    "car-scanner": [RAW_HEADER, *(f"15:16:5{n},,,,5,-0.1,-78.4," for n in range(5))],
    "car-scanner-rows": [SCANNER_HEADER, *(f'"3018{n}.3";"Vehicle speed";"54";"km/h";"4{n}";"2";' for n in range(5))],
    "torque": [TORQUE_HEADER, *TORQUE_ROWS],
    "obd-fusion": [FUSION_START, FUSION_HEADER, *(f"{n}.5, 10, 900, 10" for n in range(5))],
    "gpx": [f"{GPX11}><trk><trkseg>", *(point(n, 20 * n) for n in range(5)), "</trkseg></trk></gpx>"],
    "nmea": [sentence(RMC.format(n=n)).decode().strip() for n in range(5)],
    "candump": [f"(17145576{n}0.100000) can0 7E8#03410D3{n}" for n in range(5)],
    "ikhyd": [f"155846712622{n};010D;36.0" for n in range(5)],
    "ndsbr": [NDSBR, *(f"A;-49,5;-25;2/8/2019;2/8/2019;;5;19:17:2{n};1,5;9;3;60" for n in range(5))],
    "twizy": [TWIZY, *(f"06/30/2021,13:30:3{n},96,5,D,33,-6,142,1,22,68,Clouds,3,0,40" for n in range(5))],
    "driver-behavior": [IMU, *(f"14/05/2016 11:17:09,128932{n}3616460,0.1,0.2,9.8" for n in range(5))],
    "sensor-log": [SENSOR_LOG, *(f"2018-04-08 10:31:3{n}.0,152320149{n},3,-9,10,1,-1,0.1" for n in range(5))],
    "scene": [
        "scene = 1",
        "started_at = 2026-03-10T08:00:00+01:00",
        '[[step]]\ndo = "accelerate"\nto_kmh = 20',
        '[[step]]\ndo = "curve"\nradius_m = 40',
        '[[step]]\ndo = "brake"',
    ],
    "phone": [PHONE, *(f"24-May-2019 18:11:2{n}.0,0,0,-1,0,0,0,4{n}.5,-91.5,2,190" for n in range(5))],
}
SHARED_NAMES = {"car-scanner", "sensor-log"}  # two layouts each
NOT_TEXT = {"ubirec", "drive-plotr-nds"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("dirty")


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_file_is_read_without_repairs_and_by_one_format_only(tmp_path, name):
    path = written(tmp_path / "file", WHOLE[name])
    head, readings = load(path)
    assert readings
    assert set(head.repairs) <= {"rows_not_attributed", "unreadable_rpm"}
    assert len([importer for importer in FORMATS if importer.sniff(path.read_bytes())]) == 1


def test_every_text_format_is_here(tmp_path):
    found = {recognised(written(tmp_path / name, lines)) for name, lines in WHOLE.items()}
    assert found == {importer.NAME for importer in FORMATS} - NOT_TEXT - {"bmw-can"}


def recognised(path: Path) -> str:
    importer = recognise(path)
    assert importer is not None
    return importer.NAME


def lawful_or_refused(path: Path) -> None:
    try:
        head, readings = load(path)
    except RecordingError as error:
        assert "\n" not in str(error)  # noqa: PT017  either outcome is right
        return
    write_recording(path.with_suffix(".ubirec"), head, readings)
    assert load(path.with_suffix(".ubirec")) == (head, readings)


DIRT = ("", "-", "nan", "inf", "1e300", "-1", "99:99:99", "12,5", '"', ";", ",", "\x00", "é" * 40, "()")


@given(name=st.sampled_from(sorted(WHOLE)), data=st.data())
def test_a_file_with_a_damaged_line_is_lawful_or_refused(folder, name, data):
    lines = list(WHOLE[name])
    number = data.draw(st.integers(0, len(lines) - 1))
    start = data.draw(st.integers(0, len(lines[number])))
    end = data.draw(st.integers(start, len(lines[number])))
    lines[number] = lines[number][:start] + data.draw(st.sampled_from(DIRT)) + lines[number][end:]
    lawful_or_refused(written(folder / "damaged", lines))


@given(name=st.sampled_from(sorted(WHOLE)), noise=st.binary(max_size=200), share=st.floats(0, 1))
def test_a_file_with_noise_in_it_is_lawful_or_refused(folder, name, noise, share):
    whole = "\n".join(WHOLE[name]).encode()
    at = round(share * len(whole))
    path = folder / "noisy"
    path.write_bytes(whole[:at] + noise + whole[at:])
    lawful_or_refused(path)


@given(name=st.sampled_from(sorted(WHOLE)), order=st.permutations(range(5)))
def test_rows_in_any_order_keep_rising_times(folder, name, order):
    lines = WHOLE[name]
    rows = [line for line in lines if not line.startswith(("<", "#"))][-5:]
    if len(rows) < 5 or rows[0] is lines[0]:
        return
    lawful_or_refused(written(folder / "shuffled", [*lines[: -len(rows)], *(rows[n] for n in order)]))


def test_a_clock_that_got_its_date_in_mid_drive_starts_at_the_true_date(tmp_path):
    times = ("01-Jan-1980 00:00:10", "01-Jan-1980 00:00:11", "22-May-2015 07:00:26", "22-May-2015 07:00:27")
    rows = [f"Fri May 22 07:00:26 EDT 2015,{at},-81.5,41.25,0.5,38,46,171,0,0,0,0,194,900,10" for at in times]
    head, readings = load(written(tmp_path / "trackLog.csv", [TORQUE_HEADER, *rows]))
    assert [r.t_ms for r in readings if r.signal == "rpm"] == [0, 1000, 2000, 3000]
    assert head.started_at_ms == 1_432_292_424_000
    assert head.repairs == {"clock_steps_forward": 1}
