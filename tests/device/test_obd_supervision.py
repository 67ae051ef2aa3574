"""The supervisor of the polling process on a virtual clock: every way of failing is noticed, counted and got over."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.contract.signals import Reading
from device.sources.back_off import BACK_OFF_MS, JITTER
from device.sources.obd import CONNECT_MS, SEARCH_MS, SILENT_MS, START_MS, ObdSource
from device.sources.obd_lines import Connected, Failed, Reply, Stage, make_line, parse_line
from device.sources.source import Source

CONNECTED = Connected("ELM327 v1.4b", "ISO 15765-4 (CAN 11/500)", (0x0C, 0x0D), False, None, 38_400)
START_OF_TIME_MS = 1_000_000


class PlayedProcess:
    """Says what it is told to, when it is told to."""

    def __init__(self, options):
        self.options, self.waiting, self.ended, self.killed = json.loads(options), b"", False, False

    def fileno(self):
        return None

    def say(self, *lines):
        self.waiting += "".join(make_line(line) for line in lines).encode()

    def read(self):
        data, self.waiting = self.waiting, b""
        return data or (None if self.ended else b"")

    def kill(self):
        self.killed = True


class Supervised:
    """A source, its processes, and a clock that moves as the source asks for."""

    def __init__(self, **settings):
        self.now_ms, self.processes, self.readings = START_OF_TIME_MS, [], []
        self.source = ObdSource("/dev/obd", spawn=self.spawn, rng=random.Random(1), **settings)

    def spawn(self, options):
        self.processes.append(PlayedProcess(options))
        return self.processes[-1]

    @property
    def process(self):
        return self.processes[-1]

    def run(self, ms, each_100_ms=lambda: None):
        until_ms = self.now_ms + ms
        while self.now_ms < until_ms:
            each_100_ms()
            self.readings += self.source.take(self.now_ms)
            self.now_ms = min(self.source.wake_ms(self.now_ms), self.now_ms + 100, until_ms)
            assert self.now_ms <= until_ms
        return self

    def connected(self, **settings):
        self.run(100)
        self.process.say(Stage("open", False), Stage("connect", False), CONNECTED)
        return self.run(100)

    def noticed_after(self, counter, most_ms, each_100_ms=lambda: None):
        began_ms = self.now_ms
        while not self.source.counters[counter]:
            self.run(100, each_100_ms)
            assert self.now_ms - began_ms <= most_ms, self.source.counters
        return self.now_ms - began_ms

    def value(self, refusal=None):
        reading = Reading(self.now_ms, "speed_kmh", 50.0 if refusal is None else None)
        self.process.say(Reply(reading, refusal))


def test_it_is_a_source():
    source: Source = ObdSource("/dev/obd")
    assert (source.name, source.fileno(), dict(source.counters)) == ("obd", None, {})


def test_readings_come_out_as_they_were_said():
    car = Supervised().connected()
    car.value()
    car.value("length")
    car.run(100)
    assert [r.value for r in car.readings] == [50.0, None]
    assert car.source.counters == {"obd_connected": 1, "obd_refused_length": 1}
    assert car.source.health.adapter == "ELM327 v1.4b"


def test_a_computer_that_starts_no_process_is_tried_again_with_back_off():
    car = Supervised()
    spawn, car.source._spawn = car.source._spawn, refuse
    car.run(10_000)
    assert 1 <= car.source.counters["obd_failed"] <= 6
    assert car.source.health.last_failure == "no process can be started: Cannot allocate memory"
    car.source._spawn = spawn
    car.run(120_000)
    assert car.processes


def refuse(_options):
    raise OSError(12, "Cannot allocate memory")


def test_silence_is_noticed_in_five_seconds():
    car = Supervised().connected()
    car.run(10_000, car.value)
    assert car.noticed_after("obd_silent", 6_000) <= SILENT_MS + 100
    assert car.processes[0].killed
    assert car.source.health.adapter is None


def test_silence_while_connecting_is_noticed_in_five_seconds_of_the_last_byte():
    car = Supervised().run(100)
    car.process.say(Stage("open", False), Stage("connect", False))
    car.run(3_000)
    car.process.say(Stage("connect", False))
    car.run(100)
    assert car.noticed_after("obd_silent", 6_000) <= SILENT_MS


def test_an_adapter_that_says_it_searches_may_be_silent_for_longer():
    car = Supervised().run(100)
    car.process.say(Stage("open", False), Stage("connect", True))
    car.run(SEARCH_MS - 200)
    assert car.source.counters == {}
    car.noticed_after("obd_silent", 400)


def test_a_small_board_may_take_long_to_start_and_bluetooth_to_open():
    car = Supervised().run(START_MS - 200)
    assert car.source.counters == {}
    car.noticed_after("obd_silent", 400)
    assert "did not open" in car.source.health.last_failure


def test_an_adapter_that_never_stops_talking_is_given_up():
    car = Supervised().run(100)
    car.process.say(Stage("open", False), Stage("connect", False))
    car.run(100)
    car.noticed_after("obd_garbled", CONNECT_MS + 200, lambda: car.process.say(Stage("connect", False)))


@pytest.mark.parametrize(
    ("refusal", "counter"),
    [
        ("garbled", "garbled"),
        ("length", "garbled"),
        ("foreign", "garbled"),
        ("range", "garbled"),
        ("late", "garbled"),
        ("no_data", "no_data"),
    ],
)
def test_replies_none_of_which_is_a_value_are_noticed_in_five_seconds(refusal, counter):
    car = Supervised().connected()
    car.run(3_000, car.value)
    assert car.noticed_after(f"obd_{counter}", 6_000, lambda: car.value(refusal)) <= SILENT_MS + 200
    car.run(2_000)
    car.connected().run(3_000, car.value)
    assert car.source.counters["obd_connected"] == 2


def test_a_good_value_now_and_then_is_enough():
    car = Supervised().connected()
    for _ in range(10):
        car.run(4_000, lambda: car.value("length"))
        car.value()
    assert car.source.counters.keys() == {"obd_connected", "obd_refused_length"}


def test_an_adapter_that_repeats_itself_is_counted_apart():
    car = Supervised().connected()
    car.process.say(Failed("the adapter repeats old values", stale=True))
    car.process.ended = True
    car.run(200)
    assert car.source.counters["obd_stale"] == 1
    assert len(car.processes) == 1
    car.run(2_000)
    assert len(car.processes) == 2


def test_waits_grow_with_failures_in_a_row_and_begin_anew_after_a_connection():
    car = Supervised()
    waits = []
    for _ in range(9):
        car.run(100)
        car.process.ended = True
        started = len(car.processes)
        before_ms = car.now_ms
        while len(car.processes) == started:
            car.run(100)
        waits.append(car.now_ms - before_ms)
    expected = [*BACK_OFF_MS, BACK_OFF_MS[-1], BACK_OFF_MS[-1]]
    assert all(abs(wait - mean) <= JITTER * mean + 300 for wait, mean in zip(waits, expected, strict=True))
    assert len({wait / mean for wait, mean in zip(waits, expected, strict=True)}) > 5
    car.connected()
    car.process.ended = True
    car.run(BACK_OFF_MS[0] * 2)
    assert len(car.processes) == 11


def test_a_question_that_makes_a_clone_hang_is_not_asked_again():
    car = Supervised().run(100)
    assert car.process.options["skip"] == []
    car.process.say(Stage("open", False), Stage("connect", False), Stage("vin", False))
    car.noticed_after("obd_silent", 6_000)
    car.run(2_000)
    assert car.process.options["skip"] == ["vin"]
    assert car.source.counters["obd_skipped_vin"] == 1


def test_a_computer_that_slept_blames_no_adapter():
    car = Supervised().connected()
    car.run(3_000, car.value)
    car.now_ms += 3_600_000
    car.run(3_000, car.value)
    assert car.source.counters == {"obd_connected": 1}


def test_paused_nothing_runs_and_resumed_it_connects_at_once():
    car = Supervised().connected()
    car.source.pause()
    assert car.process.killed
    assert car.source.wake_ms(car.now_ms) > car.now_ms + 60_000
    car.run(10_000)
    assert len(car.processes) == 1
    car.source.resume()
    car.run(100)
    assert len(car.processes) == 2
    assert car.process.options["voltage_ms"] is None


def test_paused_the_adapter_alone_may_be_asked_for_its_voltage():
    car = Supervised(paused_voltage_ms=10_000).connected()
    car.source.pause()
    car.run(100)
    assert car.process.options["voltage_ms"] == 10_000
    assert car.process.options["baudrate"] == 38_400  # what was found before
    car.process.say(Stage("voltage", False), Reply(Reading(car.now_ms, "adapter_voltage_v", 12.4), None))
    car.run(100)
    assert car.readings[-1].value == 12.4
    car.run(14_000)
    assert car.source.counters["obd_silent"] == 0
    car.noticed_after("obd_silent", 2_000)
    car.run(2_000)
    watch = car.process
    car.source.resume()
    car.run(100)
    assert watch.killed
    assert car.process.options["voltage_ms"] is None


def test_measured_rate_is_that_of_the_latest_readings():
    car = Supervised().connected()
    assert car.source.speed_rate_hz is None
    car.run(20_000, car.value)
    assert car.source.speed_rate_hz == pytest.approx(10, rel=0.02)


@given(st.binary(max_size=300))
def test_any_bytes_of_the_process_are_lines_or_counted(noise):
    car = Supervised().connected()
    car.process.waiting += noise + b"\n"
    car.value()
    car.run(200)
    assert car.readings[-1].value == 50.0


@pytest.mark.parametrize(
    "text", [b"", b"7", b"null", b'"length"', b"{}", b"[]", b"[" * 8_000, b"\xff", b'[1, "rpm", NaN, null]']
)
def test_what_is_no_line_of_ours_says_nothing(text):
    assert parse_line(text) is None


@given(
    st.one_of(
        st.builds(Stage, st.text(st.characters(codec="ascii", categories=["L"]), max_size=20), st.booleans()),
        st.builds(Failed, st.text(st.characters(codec="ascii", categories=["L"]), max_size=20), st.booleans()),
        st.builds(
            Connected,
            st.just("ELM327"),
            st.just("CAN"),
            st.lists(st.integers(0, 255)).map(tuple),
            st.booleans(),
            st.one_of(st.none(), st.just("WVWZZZ1JZ3W386752")),
            st.one_of(st.none(), st.integers(1, 10**6)),
        ),
        st.builds(Reply, st.builds(Reading, st.integers(0, 2**50), st.just("rpm"), st.floats(0, 16_000)), st.none()),
        st.builds(Reply, st.builds(Reading, st.integers(0, 2**50), st.just("rpm"), st.none()), st.just("range")),
    )
)
def test_lines_come_out_as_they_were_made(line):
    assert parse_line(make_line(line).encode()) == line
