"""A talking sensor, watched on a virtual clock: its speed is found, its silence noticed, its port opened again."""

from __future__ import annotations

import errno
import logging
import os
import pty
import random
from contextlib import closing
from pathlib import Path

import pytest

from device.sources.gnss import BAUDRATES, gnss_source
from device.sources.nmea import NmeaParser
from device.sources.serial_port import open_port, why_closed
from device.sources.serial_source import SILENT_MS, SerialSource
from device.sources.source import Source, Waiting
from replay_data.pseudo_terminal import PlayedSensor
from replay_data.serial_gnss import sentence

SPEEDS = (9_600, 38_400, 115_200)
RMC = sentence("GNRMC,080000.00,A,5000.00000,N,00800.00000,E,10.0,90.0,031125,,,A")


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


class Wire:
    """A receiver at 1 Hz that speaks at one speed, and the ways it fails."""

    def __init__(self, speed=38_400):
        self.speed, self.silent, self.missing = speed, False, False
        self.opened, self.port = 0, None

    def open(self, name, baudrate):
        if self.missing:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", name)
        self.opened += 1
        self.port = OpenWire(self, baudrate)
        return self.port

    def second(self):
        if self.port and not self.silent:
            self.port.waiting += RMC if self.port.baudrate == self.speed else b"\xfe\x07\xf3"


class OpenWire:
    def __init__(self, wire, baudrate):
        self.wire, self.baudrate, self.waiting = wire, baudrate, b""

    def fileno(self):
        return None

    def read(self):
        if self.wire.missing:
            raise OSError(errno.EIO, "Input/output error")
        data, self.waiting = self.waiting, b""
        return data

    def set_baudrate(self, baudrate):
        self.baudrate, self.waiting = baudrate, b""

    def close(self):
        self.wire.port = None


class Drive:
    """Steps a source as the agent does: when something came, or when it wants to be looked after."""

    def __init__(self, wire, speeds=SPEEDS):
        self.wire, self.now_ms, self.readings = wire, 1_000_000, []
        self.source = SerialSource("gnss", "/dev/gnss", speeds, NmeaParser(), open_port=wire.open, rng=random.Random(1))

    def run(self, seconds):
        for _ in range(seconds):
            self.wire.second()
            until_ms = self.now_ms + 1_000
            while self.now_ms < until_ms:
                self.readings += self.source.take(self.now_ms)
                self.now_ms = min(until_ms, max(self.source.wake_ms(self.now_ms), self.now_ms + 1))
        return self

    def until(self, counter, most_s):
        for second in range(most_s + 1):
            if self.source.counters.get(counter):
                return second
            self.run(1)
        raise AssertionError(f"no {counter} within {most_s} s: {self.source.counters}")


def test_a_receiver_that_is_unplugged_and_plugged_in_again(tmp_path):
    """On a real pseudo-terminal, whose name the link keeps, as udev does."""
    link, sentences = tmp_path / "gnss", [(t_ms, RMC) for t_ms in range(0, 600_000, 100)]
    with gnss_source(str(link)) as source:
        waiting = Waiting(source)
        for plugged in (1, 2):
            with PlayedSensor("gnss", sentences) as receiver:
                link.unlink(missing_ok=True)
                link.symlink_to(receiver.port)
                assert waiting.read(20) is not None
                assert source.counters["gnss_connected"] == plugged
            while source.counters.get("gnss_failed", 0) < plugged:
                waiting.read(1)
        assert source.last_failure


def test_it_is_a_source():
    source: Source = SerialSource("gnss", "/dev/gnss", SPEEDS, NmeaParser())
    assert source.fileno() is None


@pytest.mark.parametrize("speed", BAUDRATES)
def test_the_speed_is_found_and_kept(speed):
    drive = Drive(Wire(speed), BAUDRATES).run(20)
    assert drive.source.baudrate == speed
    assert drive.source.counters == {"gnss_connected": 1}
    assert drive.wire.opened == 1
    drive.wire.silent = True
    drive.until("gnss_silent", 7)
    drive.wire.silent = False
    drive.run(4)
    assert drive.source.baudrate == speed  # at once: it was tried first
    assert drive.wire.opened == 2


def test_why_a_port_does_not_open_is_told_with_what_to_do(tmp_path, monkeypatch):
    assert why_closed(str(tmp_path / "ttyUSB0")) == "there is no such port; is it plugged in?"
    assert why_closed(str(tmp_path)) == "this is no serial port"
    assert why_closed("socket://127.0.0.1:1") == ""
    master, port = pty.openpty()
    name = os.ttyname(port)
    with closing(open_port(name, 9_600)), pytest.raises(OSError, match="another program uses the port; stop it"):
        open_port(name, 9_600)
    monkeypatch.setattr(os, "access", lambda *_: False)
    for group, let in (("dialout", "`sudo usermod -aG dialout USER`"), ("root", "it belongs to root alone")):
        monkeypatch.setattr(Path, "group", lambda _, group=group: group)
        assert why_closed(name).startswith(f"this user may not use the port; {let}")
    os.close(master)
    os.close(port)


def test_a_receiver_that_falls_silent_is_noticed_in_five_seconds_and_comes_back(caplog):
    drive = Drive(Wire(), speeds=(38_400,)).run(3)
    drive.wire.silent = True
    assert drive.until("gnss_silent", 9) <= SILENT_MS // 1_000
    assert warnings(caplog) == ["/dev/gnss: nothing for 5 s; next try in 1 s"]
    drive.wire.silent = False
    before = len(drive.readings)
    drive.run(3)
    assert len(drive.readings) > before
    assert drive.source.counters["gnss_connected"] == 2


def test_a_port_that_vanishes_is_opened_again_with_growing_waits(caplog):
    drive = Drive(Wire(), speeds=(38_400,)).run(3)
    drive.wire.missing = True
    drive.run(20)
    waits = [float(message.split()[-2]) for message in warnings(caplog)]
    assert waits[:4] == pytest.approx([1, 2, 4, 8], rel=0.3)
    assert "the port has gone (Input/output error)" in warnings(caplog)[0]
    assert "No such file" in warnings(caplog)[1]
    drive.wire.missing = False
    drive.run(20)
    assert drive.source.fileno() is None
    assert drive.source.counters["gnss_connected"] == 2


def test_a_wrong_speed_is_said_to_be_one():
    drive = Drive(Wire(9_600), speeds=(115_200,))
    drive.until("gnss_garbled", 7)
    assert "check the speed" in drive.source.last_failure


def test_a_silent_receiver_is_looked_for_at_the_next_speed_each_time():
    drive = Drive(Wire(115_200))
    drive.wire.silent = True
    drive.until("gnss_silent", 7)
    drive.wire.silent = False
    drive.run(12)
    assert drive.source.baudrate == 115_200


def test_a_computer_that_slept_blames_no_sensor():
    drive = Drive(Wire(), speeds=(38_400,)).run(3)
    drive.now_ms += 3_600_000
    drive.run(3)
    assert drive.source.counters == {"gnss_connected": 1}


def test_paused_it_lets_go_of_the_port_and_resumed_it_goes_on(caplog):
    drive = Drive(Wire(), speeds=(38_400,)).run(3)
    drive.source.pause()
    assert drive.wire.port is None
    before = len(drive.readings)
    drive.run(30)
    assert len(drive.readings) == before
    drive.source.resume()
    drive.run(2)
    assert len(drive.readings) > before
    assert warnings(caplog) == []
