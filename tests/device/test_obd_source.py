"""The supervised OBD source: real python-OBD in a real process on a real pseudo-terminal, against our responder."""

from __future__ import annotations

import contextlib
import logging
import socket
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest

from device.contract.recording import open_recording
from device.contract.rules import KIND_NUMBERS
from device.contract.signals import Reading
from device.events import DetectedEvent
from device.pipeline import Pipeline, TripEnded
from device.sources.allowed import is_allowed
from device.sources.obd import ObdSource
from device.sources.source import Waiting
from replay_data.elm327 import Elm327, PlayedAdapter

pytestmark = pytest.mark.timeout(60)

TRIPS = Path(__file__).resolve().parents[2] / "replay_data" / "trips"
NIGHT_DRIVE = TRIPS / "sim-reckless-1_2025-11-08_0233_city-night.ubirec"
RATE = 2  # a machine that stalls for 50 ms moves a time stamp by 0.1 s of the recording
FAST = {"speed_kmh": 5, "rpm": 20}
HARSH_BRAKING = KIND_NUMBERS["harsh_braking"]
CAN = "6"  # named protocol: saves the two seconds of searching


class ListeningElm(Elm327):
    """Remembers what it was asked."""

    def __init__(self, *args):
        super().__init__(*args)
        self.commands = []

    def respond(self, command, now_ms):
        self.commands.append(command)
        return super().respond(command, now_ms)


def steady(speed_kmh=50, rpm=1500):
    """A car that keeps its speed for an hour."""
    times = range(0, 3_600_000, 1_000)
    return [Reading(t, "speed_kmh", speed_kmh) for t in times] + [Reading(t, "rpm", rpm) for t in times]


def next_reading(waiting, timeout_s=20.0):
    """The next of the car's; the adapter tells its voltage in between."""
    while True:
        reading = waiting.read(timeout_s)
        assert reading is not None, f"no reading within {timeout_s} s"
        if reading.signal != "adapter_voltage_v":
            return reading


def through_pipeline(readings):
    pipeline = Pipeline(lambda mono_ms: (mono_ms, None))
    outputs = [output for reading in readings for output in pipeline.push(reading)] + pipeline.finish()
    (summary,) = [output.summary for output in outputs if isinstance(output, TripEnded)]
    return summary, [output for output in outputs if isinstance(output, DetectedEvent)]


def poll_played(elm, start_ms, end_ms):
    """What the source reads of a drive that is played to it, in the drive's time."""
    periods_ms = {"speed_kmh": 200 // RATE, "rpm": 1_000 // RATE}
    polled = []
    with (
        PlayedAdapter(elm, start_ms, RATE) as adapter,
        ObdSource(adapter.port, protocol=CAN, periods_ms=periods_ms) as source,
    ):
        waiting, t_ms = Waiting(source), 0
        while t_ms < end_ms:
            reading = next_reading(waiting)
            t_ms = round(adapter.play_ms(reading.t_ms * 1_000_000))
            polled.append(reading._replace(t_ms=t_ms))
        assert source.counters.keys() <= {"obd_connected", "obd_refused_late"}
    return polled


def machine_kept_time(polled):
    times = [r.t_ms for r in polled if r.signal == "speed_kmh"]
    return max(b - a for a, b in pairwise(times)) < 350


@pytest.mark.timeout(90)
def test_speed_and_rpm_come_out_as_the_same_trip():
    start_ms, end_ms = 174_500, 198_500  # into a hard braking at a red light
    window = [
        r for r in open_recording(NIGHT_DRIVE)[1] if r.signal in FAST and start_ms - 2_000 < r.t_ms < end_ms + 2_000
    ]
    elm = ListeningElm(window)
    for _ in range(3):  # a shared machine may stop all of this for a moment; then the drive is played again
        polled = poll_played(elm, start_ms, end_ms)
        kept_time = machine_kept_time(polled)
        if kept_time:
            break

    # Every polled value held when it was asked for: a moment ago, and never longer than after which it is late.
    asked_ms = 500 if kept_time else 1_000 * RATE
    for signal in FAST:
        track = [(r.t_ms, r.value) for r in window if r.signal == signal]
        values = [r for r in polled if r.signal == signal]
        assert len(values) > (0.3 * len(track) if kept_time else 0)
        for r in values:
            held = [
                value
                for (t, value), (until, _) in pairwise([*track, (end_ms + 10_000, None)])
                if t <= r.t_ms + RATE and until > r.t_ms - asked_ms
            ]
            assert r.value in held, r

    # Nothing but the adapter's own settings and services 01 and 09 was ever asked.
    assert [c for c in elm.commands if not is_allowed(f"{c}\r".encode())] == []

    if not kept_time:
        pytest.skip("the machine stood still for a moment in each of three tries; values are right, times are not")
    summary, events = through_pipeline(sorted(polled, key=lambda r: r.t_ms))
    # The drive is played from the moment the adapter is there: what was driven while the source connected is nobody's.
    speeds_ms = [r.t_ms for r in polled if r.signal == "speed_kmh"]
    seen = range(min(speeds_ms) - 100, max(speeds_ms) + 1)
    expected, expected_events = through_pipeline([r for r in window if r.t_ms in seen])
    assert summary.distance_mm == pytest.approx(expected.distance_mm, rel=0.01)
    (braking,), (expected_braking,) = (
        [e for e in found if e.kind == HARSH_BRAKING] for found in (events, expected_events)
    )
    assert braking.peak == pytest.approx(expected_braking.peak, rel=0.1)
    assert braking.onset_speed_dkmh == pytest.approx(expected_braking.onset_speed_dkmh, rel=0.15)


def test_short_reply_and_foreign_reply_are_null_not_a_value():
    replies = iter(
        [
            b"7E8 03 41 0D 32 AA AA AA AA \r\r>",
            b"7E8 02 41 0D AA AA AA AA AA \r\r>",  # python-OBD's own decoder makes 0 km/h of it
            b"7E8 03 41 05 5A AA AA AA AA \r\r>",  # coolant, which it makes 90 km/h of
            b"7E8 04 41 0D 32 32 AA AA AA \r\r>",
            b"NO DATA\r\r>",
            b"7E8 03 4\r\r>",
            b"BUFFER FULL\r\r>",
            b"\x00\xff\x80?!\r\r>",
        ]
    )
    last = b"7E8 03 41 0D 33 AA AA AA AA \r\r>"
    elm = Elm327(steady(), lambda _: next(replies, last))
    with PlayedAdapter(elm) as adapter, ObdSource(adapter.port, protocol=CAN, periods_ms={"speed_kmh": 5}) as source:
        waiting = Waiting(source)
        values = [next_reading(waiting).value for _ in range(9)]
        assert values == [50, None, None, None, None, None, None, None, 51]
        assert source.counters == {
            "obd_connected": 1,
            "obd_refused_length": 2,
            "obd_refused_foreign": 1,
            "obd_refused_no_data": 1,
            "obd_refused_garbled": 3,
        }


def test_a_reply_that_took_over_a_second_is_null():
    waits_s = iter([0.0, 0.0, 1.1])

    def slow_once(reply):
        threading.Event().wait(next(waits_s, 0.0))
        return reply

    elm = Elm327(steady(), slow_once)
    with PlayedAdapter(elm) as adapter, ObdSource(adapter.port, protocol=CAN, periods_ms={"speed_kmh": 5}) as source:
        waiting = Waiting(source)
        assert [next_reading(waiting).value for _ in range(4)] == [50, 50, None, 50]
        assert source.counters["obd_refused_late"] == 1


def test_an_adapter_on_wifi_is_a_socket():
    elm = Elm327(steady())

    def serve(server):
        connection, _ = server.accept()
        with connection, contextlib.suppress(ConnectionError):  # the client may be killed in mid-reply
            line = b""
            while data := connection.recv(4096):
                *commands, line = (line + data).split(b"\r")
                for command in commands:
                    connection.sendall(elm.respond(command.decode("latin-1"), 0))

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,), daemon=True)
        thread.start()
        with ObdSource(f"socket://127.0.0.1:{server.getsockname()[1]}", protocol=CAN, periods_ms=FAST) as source:
            assert next_reading(Waiting(source)).value == 50
        thread.join(20)
        assert not thread.is_alive()


def test_the_voltage_of_a_parked_car_comes_over_wifi_too():
    asked = []

    def serve(server):
        connection, _ = server.accept()
        with connection, contextlib.suppress(ConnectionError):
            while data := connection.recv(64):
                asked.append(data)
                connection.sendall(b"12.6V\r\r>")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,), daemon=True)
        thread.start()
        with ObdSource(f"socket://127.0.0.1:{server.getsockname()[1]}", paused_voltage_ms=50) as source:
            source.pause()
            reading = Waiting(source).read(20)
        thread.join(20)
        assert not thread.is_alive()
    assert (reading.signal, reading.value) == ("adapter_voltage_v", 12.6)
    assert set(asked) == {b"ATRV\r"}


def test_vanished_port_is_noticed_and_said_in_one_line(caplog):
    with (
        PlayedAdapter(Elm327(steady())) as adapter,
        ObdSource(adapter.port, protocol=CAN, periods_ms=FAST) as source,
    ):
        waiting = Waiting(source)
        next_reading(waiting)
        adapter.unplug()
        deadline = time.monotonic() + 5
        while not source.counters["obd_failed"]:
            waiting.read(0.1)
            assert time.monotonic() < deadline
        assert source.health.adapter is None
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING] == [
        f"{adapter.port}: the port has gone; next try in 1 s"
    ]


@pytest.mark.parametrize(
    ("port", "reason"), [("/dev/ttyNothing", "there is no such port"), ("/dev/null", "Could not configure port")]
)
def test_a_port_without_adapter_is_one_line_and_no_exception(port, reason, caplog):
    with ObdSource(port) as source:
        waiting = Waiting(source)
        deadline = time.monotonic() + 15
        while not source.counters["obd_failed"]:
            assert waiting.read(0.1) is None
            assert time.monotonic() < deadline
    (warning,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warning.startswith(f"{port}: {reason}")
    assert warning.endswith("next try in 1 s")


def test_the_polling_process_leaves_with_its_parent_even_when_stuck():
    options = '{"port": "%s", "baudrate": null, "protocol": "6", "periods_ms": {"speed_kmh": 5}}'
    elm = Elm327(steady(), lambda _: b"")
    with PlayedAdapter(elm) as adapter:
        child = subprocess.Popen(
            [sys.executable, "-m", "device.sources.obd_poll", options % adapter.port],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with child:
            while b"ELM327" not in child.stdout.readline():  # connected; now it waits for a reply that never comes
                assert child.poll() is None
            child.stdin.close()
            assert child.wait(timeout=5) == 1


def test_a_killed_parent_is_no_traceback_of_the_polling_process(tmp_path):
    options = '{"port": "%s", "baudrate": null, "protocol": "6", "periods_ms": {"speed_kmh": 5}}'
    command = [sys.executable, "-m", "device.sources.obd_poll", options % (tmp_path / "none")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as child:
        child.stdout.close()  # nobody reads any more, before anything was said
        assert child.stderr.read() == b""
        assert child.wait(timeout=30) == 1


def test_a_service_that_does_more_than_listen_is_not_sent():
    from device.sources.obd_adapter import Adapter

    adapter = Adapter.__new__(Adapter)  # no port: it has to refuse before it would need one
    for service in set(range(0x10)) - {0x01, 0x09}:
        with pytest.raises(ValueError, match="only listen"):
            adapter.request(service, 0x00)
