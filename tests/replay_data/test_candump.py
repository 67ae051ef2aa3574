"""candump logs: replies of service 01, put together from ISO-TP frames; everything else is not looked at."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.contract.errors import RecordingError
from device.contract.signals import BY_NAME, Reading
from device.sources.j1979 import FORMULAS, make_reply
from replay_data.importers import load, recognise
from tests.replay_data.tables import written

START = 1_714_557_600


def log(*frames: str, start: int = START) -> list[str]:
    return [f"({start + n // 10}.{n % 10}00000) can0 {frame}" for n, frame in enumerate(frames)]


def load_log(tmp_path, *frames: str):
    return load(written(tmp_path / "drive.log", log(*frames)))


def test_single_frames_of_the_log_and_of_the_screen_are_read(tmp_path):
    expected = [Reading(0, "speed_kmh", 50.0), Reading(100, "rpm", 1726.0)]
    head, readings = load_log(tmp_path, "7E8#03410D32AAAAAAAA", "7e8#04410c1af8aaaaaa")
    assert readings == expected
    assert (head.source, head.started_at_ms, head.repairs) == ("candump", START * 1000, {})
    screen = [
        " (000.000000)  can0  7E8   [8]  03 41 0D 32 AA AA AA AA",
        " (000.100000)  can0  7E8   [8]  04 41 0C 1A F8 AA AA AA   '.A......'",
    ]
    head, readings = load(written(tmp_path / "screen.txt", screen))
    assert readings == expected
    assert head.started_at_ms is None


def test_29_bit_identifiers_are_read_and_requests_and_other_frames_are_not(tmp_path):
    _, readings = load_log(
        tmp_path,
        "7DF#02010D0000000000",
        "18DAF110#03410D0A",
        "3D1#0102030405060708",
        "7E8#037F0112",
        "123#R",
        "5A1##0AB",
    )
    assert readings == [Reading(100, "speed_kmh", 10.0)]


def test_a_message_of_several_frames_answers_several_pids(tmp_path):
    frames = ("7E8#100A410C1AF80D32", "7E0#3000000000000000", "7E8#21110004330000AA")
    _, readings = load_log(tmp_path, *frames)
    assert {(r.t_ms, r.signal, r.value) for r in readings} == {
        (200, "rpm", 1726.0),
        (200, "speed_kmh", 50.0),
        (200, "throttle_pct", 0.0),
        (200, "engine_load_pct", 20.0),
    }


def test_a_lost_frame_loses_its_message_only(tmp_path):
    head, readings = load_log(
        tmp_path, "7E8#100E410C1AF80D32", "7E8#2211000433000000", "7E8#03410D33", "7E8#100A410C1AF80D32", "7E8#03410D34"
    )
    assert [r.value for r in readings if r.signal == "speed_kmh"] == [51.0, 52.0]
    assert head.repairs == {"damaged_messages": 1}


def test_the_first_control_unit_that_answers_is_heard(tmp_path):
    _, readings = load_log(tmp_path, "7E8#03410D32", "7E9#03410D00", "7E8#03410D33", "7E9#04410C0000")
    assert [(r.signal, r.value) for r in readings] == [("speed_kmh", 50.0), ("speed_kmh", 51.0), ("rpm", 0.0)]


def test_a_short_reply_is_null_not_zero(tmp_path):
    _, readings = load_log(tmp_path, "7E8#03410D32", "7E8#02410D00")
    assert [r.value for r in readings] == [50.0, None]


def test_a_log_of_a_silent_bus_is_refused(tmp_path):
    with pytest.raises(RecordingError, match="2 frames, none a reply to OBD-II: nobody asked the car"):
        load_log(tmp_path, "3D1#0102", "3D2#0102")


def test_lines_that_are_no_frames_are_refused_with_the_first(tmp_path):
    lines = log(*["7E8#03410D32"] * 9)
    lines[3:6] = ["interface = can0", "x", "y"]
    with pytest.raises(RecordingError, match=r"log:4: 'interface = can0' is no frame \(3 of 9 lines are damaged\)"):
        load(written(tmp_path / "drive.log", lines))


@given(values=st.lists(st.tuples(st.sampled_from(sorted(FORMULAS)), st.floats(0, 1)), min_size=1, max_size=20))
def test_every_value_a_car_can_tell_comes_back(tmp_path_factory, values):
    told = [("speed_kmh", 0.1), *values]
    frames, expected = [], []
    for n, (name, share) in enumerate(told):
        signal = BY_NAME[name]
        reply = make_reply(name, signal.low + share * (min(signal.high, 1e6) - signal.low))
        frames.append(f"7E8#{len(reply):02X}{reply.hex().upper()}")
        expected.append((n * 100, name))
    path = written(tmp_path_factory.mktemp("can") / "drive.log", log(*frames))
    importer = recognise(path)
    assert importer is not None
    assert importer.TITLE.startswith("candump")
    readings = load(path)[1]
    assert sorted((r.t_ms, r.signal) for r in readings) == sorted(expected)
    for reading in readings:
        reply = bytes.fromhex(frames[reading.t_ms // 100].partition("#")[2])[1:]
        assert reading.value is None or make_reply(reading.signal, reading.value) == reply
