"""Any file: recognised by its content and read with counted repairs, or refused with one clear line."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.contract.errors import RecordingError
from device.contract.recording import RecordingHead, write_recording
from device.contract.signals import Reading
from replay_data.importers import FORMATS, load, readings, recognise
from tests.replay_data.tables import (
    COL_HEADER,
    COL_NAME,
    KIT_HEADER,
    KIT_NAME,
    RAW_HEADER,
    RAW_NAME,
    KitLogger,
    written,
)


def refusal(path: Path) -> str:
    with pytest.raises(RecordingError) as caught:
        load(path)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(path), "FILE")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("imported")


def test_values_no_car_can_have_become_null_and_are_counted(tmp_path):
    rows = ["15:16:52,1.0", "15:16:53,655.35", "15:16:54,nan", "15:16:55,fast", "15:16:56,2.0"]
    head, readings = load(written(tmp_path / COL_NAME, [COL_HEADER, *[f"{row},,,,4,,,4" for row in rows]]))
    assert [r.value for r in readings] == [1.0, None, None, None, 2.0]
    assert head.repairs == {"implausible_speed_kmh": 2, "unreadable_speed_kmh": 1}


def test_a_file_cut_short_loses_its_last_row_only(tmp_path):
    logger = KitLogger().rounds(4)
    path = logger.write(tmp_path)
    path.write_bytes(path.read_bytes()[:-30])
    head, readings = load(path)
    assert set(readings) <= set(logger.truth)
    assert head.repairs["damaged_rows"] == 1


def test_a_damaged_row_hides_whose_turn_it_was(tmp_path):
    logger = KitLogger().rounds(40)
    logger.lines[200] = "garbage"
    head, readings = load(logger.write(tmp_path))
    assert set(readings) <= set(logger.truth)
    assert len(readings) > 370
    assert head.repairs["damaged_rows"] == 1


def test_a_stray_quote_swallows_no_rows(tmp_path):
    logger = KitLogger().rounds(40)
    logger.lines[200] = logger.lines[200].replace(",1,", ',"1,', 1)
    head, readings = load(logger.write(tmp_path))
    assert len(readings) > 370
    assert head.repairs["damaged_rows"] == 1


def test_ragged_rows_are_refused_with_the_first_line_and_why(tmp_path):
    lines = KitLogger().rounds(4).lines
    lines[7:] = [line.rpartition(",")[0] for line in lines[7:]]
    expected = "FILE:8: 10 cells where the header has 11 (34 of 40 rows are damaged)"
    assert refusal(written(tmp_path / KIT_NAME, lines)) == expected


def test_a_time_that_is_none_is_refused_with_its_line(tmp_path):
    lines = [line.replace(":", "h") for line in KitLogger().rounds(2).lines]
    assert refusal(written(tmp_path / KIT_NAME, lines)).startswith("FILE:2: '07h16h30.444' is not a time HH:MM:SS")


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_another_delimiter_and_decimal_commas_are_read_and_counted(tmp_path, delimiter):
    rows = ["15:16:52.0,1.5,,,,4,,,4", "15:16:53.0,2,,,,4,,,4"]
    lines = [COL_HEADER.replace(",", delimiter)] + [row.replace(",", delimiter).replace(".", ",") for row in rows]
    lines = [line.replace("52,0", "52.0").replace("53,0", "53.0") for line in lines]
    head, readings = load(written(tmp_path / COL_NAME, lines))
    assert [r.value for r in readings] == [1.5, 2.0]
    assert head.repairs == {"other_delimiter": 1, "decimal_commas": 1}


@pytest.mark.parametrize(
    ("name", "header", "speed", "called"),
    [
        (KIT_NAME, KIT_HEADER, "Vehicle Speed Sensor [km/h]", "Vehicle Speed Sensor [km/h]"),
        (KIT_NAME, KIT_HEADER, "[km/h]", "Vehicle Speed Sensor [km/h]"),
        (COL_NAME, COL_HEADER, "speed", "speed"),
        (RAW_NAME, RAW_HEADER, "Vehicle speed (km/h)", "Vehicle speed (km/h)"),
    ],
)
def test_a_missing_speed_column_is_named(tmp_path, name, header, speed, called):
    lines = [header.replace(speed, "wind").replace("Speed (GPS)", "wind"), "10:00:00" + "," * header.count(",")]
    assert refusal(written(tmp_path / name, lines)) == f"FILE:1: no column {called!r}, and a trip needs its speed"


@pytest.mark.parametrize("header", [KIT_HEADER, COL_HEADER, RAW_HEADER])
def test_a_header_alone_and_a_drive_without_speed_are_refused(tmp_path, header):
    assert refusal(written(tmp_path / "a.csv", [header])) == "FILE:2: no rows after the header"
    empty = [f"10:00:0{i}" + "," * header.count(",") for i in range(3)]
    assert refusal(written(tmp_path / "b.csv", [header, *empty])).startswith("FILE: no speed reading in the file")


def test_an_unknown_file_gets_one_line_that_lists_the_known_formats(tmp_path):
    listed = "FILE: is of no known format; known are: ubi recording, KIT OBD-II CSV, POLIDriving consolidated CSV, "
    for name, data in {
        "notes.txt": b"hello\n",
        "other.csv": b"a,b,c\n1,2,3\n",
        "one-long-line": b"time," * 100_000,
    }.items():
        path = tmp_path / name
        path.write_bytes(data)
        assert recognise(path) is None
        told = refusal(path)
        assert told.startswith(listed)
        assert all(importer.TITLE in told for importer in FORMATS)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (KIT_HEADER.encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
        (b"PK\x03\x04zip", "is a ZIP archive or a spreadsheet; unpack it, or save the sheet as CSV"),
        (b"\x1f\x8bgz", "is compressed; unpack it with gunzip"),
        (b"SQLite format 3\0", "is an app's database; export the drive as CSV in the app"),
        (b'<?xml version="1.0"?><kml>', "is KML, a drawing without times; export the track as GPX"),
        (b'{"start": 1}', "is JSON; export the drive as CSV or GPX"),
        (bytes(range(256)) * 300, "is binary and of no known format; export it as CSV or GPX where it was recorded"),
    ],
)
def test_what_is_known_to_be_something_else_says_what_to_do(tmp_path, data, told):
    (tmp_path / "file").write_bytes(data)
    assert refusal(tmp_path / "file") == f"FILE: {told}"


def test_a_file_of_two_gigabytes_is_refused_at_once(tmp_path):
    path = KitLogger().rounds(2).write(tmp_path)
    with path.open("ab") as file:
        file.truncate(2 * 2**30)  # takes no room on the disk
    assert refusal(path).startswith("FILE: is 2,048 MB, over 512 MB; split it")


def test_more_readings_than_memory_should_hold_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(readings, "MAX_READINGS", 50)
    rows = [f"15:16:{second:02d},1.0,,,,4,,,4" for second in range(51)]
    path = written(tmp_path / COL_NAME, [COL_HEADER, *rows])
    assert refusal(path) == "FILE: over 50 readings; split the file, a trip is enough"


def test_a_clock_that_was_set_back_keeps_the_durations(tmp_path):
    rows = [f"15:{at},1.0,,,,4,,,4" for at in ("16:52", "16:53", "16:54", "10:00", "10:01")]
    head, told = load(written(tmp_path / COL_NAME, [COL_HEADER, *rows]))
    assert [r.t_ms for r in told] == [0, 1000, 2000, 3000, 4000]
    assert head.repairs == {"clock_steps_back": 1}


@pytest.mark.parametrize("order", [lambda rows: rows[::-1], lambda rows: random.Random(1).sample(rows, len(rows))])
def test_rows_that_are_not_sorted_by_time_are_refused_with_what_to_do(tmp_path, order):
    header, *rows = KitLogger().rounds(40).lines
    told = refusal(written(tmp_path / KIT_NAME, [header, *order(rows)]))
    assert "rows are before the one above them; sort the file by its time" in told


def test_nor_are_they_where_single_rows_may_be_late(tmp_path):
    """By up to 60 s: a drive of 10 minutes in any order is more than that."""
    rows = [f"15:{second // 60:02d}:{second % 60:02d},1.0,,,,4,,,4" for second in range(600)]
    told = refusal(written(tmp_path / COL_NAME, [COL_HEADER, *random.Random(1).sample(rows, len(rows))]))
    assert "rows are before the one above them; sort the file by its time" in told


def test_what_is_no_readable_file_says_so(tmp_path):
    assert refusal(tmp_path / "none.csv") == "FILE: cannot be read: No such file or directory"
    assert refusal(tmp_path) == "FILE: is a folder; name the recordings in it"
    os.mkfifo(tmp_path / "pipe")
    assert refusal(tmp_path / "pipe") == "FILE: is a pipe or a device, which is read only once; write it to a file"
    (tmp_path / "empty.csv").touch()
    assert refusal(tmp_path / "empty.csv") == "FILE: is empty; copy or export it again"


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_forbidden_file_says_so(tmp_path):
    path = KitLogger().rounds(2).write(tmp_path)
    path.chmod(0)
    assert refusal(path) == "FILE: cannot be read: Permission denied"


@given(header=st.sampled_from([KIT_HEADER, COL_HEADER, RAW_HEADER]), noise=st.binary(max_size=300))
def test_any_rows_are_read_or_refused(folder, header, noise):
    path = folder / "noise.csv"
    path.write_bytes(header.encode() + b"\n" + noise)
    try:
        head, readings = load(path)
    except RecordingError:
        return
    write_recording(folder / "noise.ubirec", head, readings)
    assert load(folder / "noise.ubirec") == (head, readings)


@given(
    cells=st.lists(st.lists(st.sampled_from(["", "1", "2.5", "-7", "x", "1e9"]), min_size=8, max_size=8), max_size=20)
)
def test_rows_of_any_cells_make_a_lawful_recording(folder, cells):
    rows = [",".join(["10:00:00", *row]) for row in cells]
    path = written(folder / "cells.csv", [COL_HEADER, "09:59:59,5,,,,4,,,4", *rows])
    head, readings = load(path)
    write_recording(folder / "cells.ubirec", head, readings)
    assert load(folder / "cells.ubirec") == (head, readings)


def test_each_format_is_recognised_by_its_content(tmp_path):
    write_recording(tmp_path / "drive", RecordingHead("simulated"), [Reading(0, "speed_kmh", 1.0)])
    paths = [
        tmp_path / "drive",
        KitLogger().rounds(2).write(tmp_path, "k"),
        written(tmp_path / "c", [COL_HEADER]),
        written(tmp_path / "r", [RAW_HEADER]),
    ]
    names = [importer.NAME if (importer := recognise(path)) else None for path in paths]
    assert names == ["ubirec", "kit-obd2", "polidriving", "car-scanner"]
    assert [[f.NAME for f in FORMATS if f.sniff(path.read_bytes())] for path in paths] == [[name] for name in names]
