"""`ubi device record`: whatever ends it, what was on the disk is a recording."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ubi
from device import record
from device.contract.errors import RecordingError
from device.contract.frames import RecordingHead
from device.contract.recorder import RecordingWriter
from device.contract.recording import PART_SUFFIX, open_recording, write_recording
from device.contract.signals import Reading
from replay_data.elm327 import Elm327, PlayedAdapter
from tests.conftest import REPOSITORY
from tests.device.test_device_cli import braking_drive, config_file
from tests.insurer import until

HEAD = RecordingHead(source="obd", vehicle="Seat Leon", started_at_ms=1_800_000_000_000)


def readings(first_s: int, count_s: int) -> list[Reading]:
    return [Reading(1_000 * second, "speed_kmh", float(second % 100)) for second in range(first_s, first_s + count_s)]


def read(path: Path) -> tuple[RecordingHead, list[Reading]]:
    head, rest = open_recording(path)
    return head, list(rest)


def has_readings(path: Path, count: int) -> bool:
    try:
        return len(read(path)[1]) > count
    except RecordingError:  # not there yet, or not even its head
        return False


def test_written_bit_by_bit_it_is_the_same_recording_as_written_at_once(tmp_path):
    with RecordingWriter(tmp_path / "a.ubirec", HEAD) as writer:
        for part in range(10):
            writer.write(readings(part * 20, 20))
        write_recording(tmp_path / "b.ubirec", HEAD, readings(0, 200))
    assert read(tmp_path / "a.ubirec") == read(tmp_path / "b.ubirec")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.ubirec", "b.ubirec"]


@settings(max_examples=30)
@given(st.data())
def test_cut_off_at_any_byte_it_is_read_up_to_the_last_flush(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("cut")
    part = folder / f"a.ubirec{PART_SUFFIX}"
    writer = RecordingWriter(folder / "a.ubirec", HEAD)
    sizes = [part.stat().st_size]
    for second in range(0, 50, 5):
        writer.write(readings(second, 5))
        sizes.append(part.stat().st_size)
    writer.abandon()
    whole = part.read_bytes()
    cut = data.draw(st.integers(sizes[0], len(whole)))
    part.write_bytes(whole[:cut])
    head, found = read(part)
    flushed = sum(size <= cut for size in sizes) - 1
    assert head == HEAD
    assert found == readings(0, 5 * flushed)


def test_only_a_file_that_says_so_may_lack_its_end(tmp_path):
    writer = RecordingWriter(tmp_path / "a.ubirec", HEAD)
    writer.write(readings(0, 5))
    writer.write(readings(5, 5))
    writer.abandon()
    cut = (tmp_path / f"a.ubirec{PART_SUFFIX}").read_bytes()
    (tmp_path / "b.ubirec").write_bytes(cut)
    with pytest.raises(RecordingError, match="ends before its end mark"):
        read(tmp_path / "b.ubirec")
    damaged = tmp_path / f"c.ubirec{PART_SUFFIX}"
    damaged.write_bytes(cut[:-8] + bytes(byte ^ 255 for byte in cut[-8:]))
    assert read(damaged)[1] == readings(0, 5)  # the last write is not whole


def test_a_recording_that_was_cut_off_is_not_written_over(tmp_path):
    with pytest.raises(KeyboardInterrupt), RecordingWriter(tmp_path / "a.ubirec", HEAD):
        raise KeyboardInterrupt
    with pytest.raises(RecordingError, match=r"a\.ubirec\.part: a recording that was cut off lies here; 'ubi replay"):
        RecordingWriter(tmp_path / "a.ubirec", HEAD)


def test_a_folder_that_is_not_there_is_told_in_one_line(tmp_path):
    with pytest.raises(RecordingError, match=r"cannot be written: No such file or directory"):
        RecordingWriter(tmp_path / "none" / "a.ubirec", HEAD)


def test_without_a_reading_it_gives_up_and_says_why(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(record, "FIRST_WITHIN_MS", 300)
    path = config_file(tmp_path, obd_port=str(tmp_path / "ttyUSB0"))
    assert ubi.main(["device", "record", "--config", str(path), "--out", str(tmp_path / "a.ubirec")]) == 75
    assert "not one reading came: obd: " in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["device.toml"]


def test_a_recording_that_is_there_is_not_written_over(tmp_path, capsys):
    path, target = config_file(tmp_path), tmp_path / "a.ubirec"
    target.write_bytes(b"a drive")
    assert ubi.main(["device", "record", "--config", str(path), "--out", str(target)]) == 1
    assert f"{target}: is there already; name another file" in capsys.readouterr().err
    assert target.read_bytes() == b"a drive"


def test_a_missing_folder_is_told_before_the_adapter_is_looked_for(tmp_path, capsys):
    path = config_file(tmp_path, obd_port=str(tmp_path / "ttyUSB0"))
    assert ubi.main(["device", "record", "--config", str(path), "--out", str(tmp_path / "none" / "a.ubirec")]) == 1
    assert f"{tmp_path / 'none'}: there is no such folder" in capsys.readouterr().err


def test_what_was_said_before_the_first_reading_is_left_out(tmp_path):
    with RecordingWriter(tmp_path / "a.ubirec", HEAD) as writer:
        frames = record._Frames(writer, 5_000)
        frames.take([Reading(4_999, "rpm", 900.0), Reading(5_000, "speed_kmh", 0.0)], 0)
        frames.write()
    assert read(tmp_path / "a.ubirec")[1] == [Reading(0, "speed_kmh", 0.0)]


def test_kill_9_leaves_a_recording_that_replay_reads(tmp_path):
    target = tmp_path / "drive.ubirec"
    part = tmp_path / f"drive.ubirec{PART_SUFFIX}"
    with PlayedAdapter(Elm327(braking_drive())) as adapter:
        path = config_file(tmp_path, obd_port=adapter.port, vehicle="Seat Leon")
        words = ["device", "record", "--config", str(path), "--out", str(target)]
        with subprocess.Popen([sys.executable, "-m", "ubi", *words], cwd=REPOSITORY) as process:
            try:
                until(lambda: has_readings(part, 20) or process.poll() is not None)
            finally:  # else leaving `with` waits for it for ever
                process.kill()
        assert process.returncode == -signal.SIGKILL
    assert not target.exists()
    head, found = read(part)
    assert head.vehicle == "Seat Leon"
    assert found[0].t_ms == 0
    assert ubi.main(["replay", "import", str(part), "--out", str(tmp_path / "out")]) == 0
    (imported,) = (tmp_path / "out").iterdir()
    assert read(imported)[1] == found
