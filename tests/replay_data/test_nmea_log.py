"""NMEA logs: epochs at the time they tell, decoded as the device decodes them."""

from __future__ import annotations

import pytest

from device.contract.errors import RecordingError
from device.contract.signals import Reading
from replay_data.importers import load
from replay_data.serial_gnss import sentence, to_nmea

DAY_MS = 1_714_521_600_000  # 2024-05-01


def drive(seconds: int) -> list[Reading]:
    readings = []
    for second in range(seconds):
        t_ms = second * 1_000
        readings += [
            Reading(t_ms, "latitude_deg", 52.0 + second * 1e-4),
            Reading(t_ms, "longitude_deg", 13.0),
            Reading(t_ms, "gnss_speed_kmh", 40.0),
            Reading(t_ms, "gnss_course_deg", 1.0),
        ]
    return readings


def log(path, started_at_ms, seconds=5):
    path.write_bytes(b"".join(sentences for _, sentences in to_nmea(drive(seconds), started_at_ms)))
    return path


def told(readings, signal):
    return [(r.t_ms, r.value) for r in readings if r.signal == signal]


def test_a_log_comes_back_as_what_the_receiver_told(tmp_path):
    head, readings = load(log(tmp_path / "drive.nmea", DAY_MS + 3_600_000))
    assert (head.source, head.started_at_ms, head.repairs) == ("nmea", DAY_MS + 3_600_000, {})
    for signal in ("latitude_deg", "longitude_deg", "gnss_speed_kmh", "gnss_course_deg"):
        expected = [(r.t_ms, r.value) for r in drive(5) if r.signal == signal]
        assert told(readings, signal) == [(t, pytest.approx(value, abs=2e-3)) for t, value in expected]


def test_midnight_is_no_step_back(tmp_path):
    head, readings = load(log(tmp_path / "drive.nmea", DAY_MS - 2_000))
    assert [t for t, _ in told(readings, "gnss_speed_kmh")] == [0, 1000, 2000, 3000, 4000]
    assert (head.started_at_ms, head.repairs) == (DAY_MS - 2_000, {})


def test_a_sentence_without_a_time_belongs_to_its_epoch(tmp_path):
    path = log(tmp_path / "drive.nmea", DAY_MS)
    path.write_bytes(path.read_bytes() + sentence("GPGSA,A,3,01,02,03,,,,,,,,,,2.5,1.3,2.1"))
    _, readings = load(path)
    assert [t for t, _ in told(readings, "gnss_hdop")] == [0, 1000, 2000, 3000, 4000]


def test_a_stamp_before_the_sentence_and_damaged_lines_are_passed_over(tmp_path):
    path = log(tmp_path / "drive.nmea", DAY_MS)
    lines = [b"12.5 " + line for line in path.read_bytes().splitlines(keepends=True)]
    lines[5] = lines[5].replace(b",A,", b",V,")
    lines.insert(7, b"\x00\xff noise\r\n")
    path.write_bytes(b"".join(lines))
    head, readings = load(path)
    assert len(told(readings, "gnss_speed_kmh")) == 4
    assert head.repairs["gnss_refused_checksum"] == 1


def test_a_log_without_speed_or_without_sentences_that_hold_is_refused(tmp_path):
    path = tmp_path / "gga.nmea"
    path.write_bytes(sentence("GPGGA,100000.000,5200.0,N,01300.0,E,1,09,1.00,35.0,M,0.0,M,,") * 3)
    with pytest.raises(RecordingError, match="no speed reading in the file"):
        load(path)
    path.write_bytes(b"$GPRMC,100000.000,A,5200.0,N,01300.0,E,20.0,1.0,010524,,,A*00\r\n" * 9)
    with pytest.raises(RecordingError, match="no whole sentence: all checksums fail"):
        load(path)
