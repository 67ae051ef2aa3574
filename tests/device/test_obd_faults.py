"""Every fault of an adapter, through python-OBD on a pseudo-terminal: noticed, counted, and got over when it ends."""

from __future__ import annotations

import os
import random
import select
from contextlib import ExitStack

import pytest

from device.contract.signals import Reading
from device.sources.obd import SILENT_MS, ObdSource
from device.sources.source import Waiting, since_boot_ms
from replay_data.elm327 import Elm327, PlayedAdapter
from replay_data.elm327_faults import FAULTS, FaultyElm

pytestmark = pytest.mark.timeout(120)

VIN = "WVWZZZ1JZ3W386752"
PERIODS_MS = {"speed_kmh": 100, "rpm": 500, "run_time_s": 1_000}
# What each fault is counted as; noise leaves good replies between the bad ones.
COUNTED = {
    "silent": "obd_silent",
    "garbage": "obd_silent",  # no prompt: python-OBD waits for one for ever
    "noise": "obd_refused_garbled",
    "padded": "obd_garbled",
    "foreign": "obd_garbled",
    "stale": "obd_stale",
    "no_data": "obd_no_data",
    "low_voltage": "obd_garbled",
}
STALLS_MS = 4_000  # what a shared machine may stop for, and the replies before the fault


def cruising(seconds=600):
    """A car whose every value but the running time stays as it is."""
    for t_ms in range(0, seconds * 1_000, 1_000):
        yield Reading(t_ms, "speed_kmh", 100.0)
        yield Reading(t_ms, "rpm", 2_000.0)
        yield Reading(t_ms, "run_time_s", float(t_ms // 1_000))


class Car:
    """One adapter with one fault, and its source."""

    def __init__(self, fault, stack):
        self.fault = fault
        self.elm = FaultyElm(cruising(), random.Random(7))
        port = stack.enter_context(PlayedAdapter(self.elm)).port
        self.source = stack.enter_context(ObdSource(port, protocol="6", periods_ms=PERIODS_MS))
        self.good = self.running_s = 0
        self.failed_ms = self.noticed_ms = None

    def take(self, now_ms):
        for reading in self.source.take(now_ms):
            if reading.value is not None and reading.signal != "adapter_voltage_v":
                self.good += 1
                self.running_s = max(self.running_s, reading.value if reading.signal == "run_time_s" else 0)
        if self.failed_ms and not self.noticed_ms and self.source.counters[COUNTED[self.fault]]:
            self.noticed_ms = now_ms


def run(cars, until, most_s):
    """Take from all of them in one thread, as the agent does, until each has come to something."""
    end_ms = since_boot_ms() + most_s * 1_000
    while not all(until(car) for car in cars):
        now_ms = since_boot_ms()
        assert now_ms < end_ms, {car.fault: car.source.counters for car in cars if not until(car)}
        for car in cars:
            car.take(now_ms)
        files = [fileno for car in cars if (fileno := car.source.fileno()) is not None]
        wake_ms = min(car.source.wake_ms(now_ms) for car in cars)
        select.select(files, [], [], max(0.0, (wake_ms - now_ms) / 1_000))


def test_every_fault_is_noticed_counted_and_got_over():
    assert COUNTED.keys() == FAULTS.keys()
    with ExitStack() as stack:
        cars = [Car(fault, stack) for fault in FAULTS]
        # Old values can only be told once the running time was seen to count.
        run(cars, lambda car: car.running_s >= 2, most_s=40)
        children = {car.fault: car.source._process._process.pid for car in cars}
        for car in cars:
            car.failed_ms, car.elm.fault = since_boot_ms(), car.fault
        run(cars, lambda car: car.noticed_ms, most_s=20)
        late = {
            car.fault: car.noticed_ms - car.failed_ms
            for car in cars
            if car.noticed_ms - car.failed_ms > SILENT_MS + STALLS_MS
        }
        assert late == {}
        with pytest.raises(ProcessLookupError):  # stuck in python-OBD, and killed all the same
            os.kill(children["silent"], 0)
        for car in cars:
            car.elm.fault, car.good = None, 0
        run(cars, lambda car: car.good >= 5, most_s=40)
        for car in cars:
            assert car.source.counters["obd_connected"] >= (1 if car.fault == "noise" else 2), car.fault
            assert car.source.health.adapter


def test_an_adapter_that_is_silent_while_connecting_is_noticed_as_soon():
    with ExitStack() as stack:
        car = Car("silent", stack)
        car.elm.fault = "silent"
        run([car], lambda car: car.source.fileno() is not None, most_s=5)
        car.failed_ms = since_boot_ms()
        run([car], lambda car: car.noticed_ms, most_s=30)
        starting_ms = 4_000  # of the process, until the port is open
        assert car.noticed_ms - car.failed_ms <= SILENT_MS + starting_ms + STALLS_MS
        assert car.source.counters["obd_connected"] == 0
        car.elm.fault = None
        run([car], lambda car: car.good >= 5, most_s=40)


def test_car_and_adapter_are_known_by_vin_and_fingerprint():
    with ExitStack() as stack:
        for genuine, told in (
            (True, "ELM327 v1.4b"),
            (False, "ELM327 v1.5, clone: no such version was made; lacks ATRD ATIGN"),
        ):
            elm = Elm327(cruising(60), vin=VIN, genuine=genuine)
            port = stack.enter_context(PlayedAdapter(elm)).port
            source = stack.enter_context(ObdSource(port, protocol="6"))
            waiting = Waiting(source)
            assert waiting.read(30) is not None
            assert source.health.vin == VIN
            assert source.health.adapter == told
            assert source.health.is_clone is not genuine
            assert {0x0C, 0x0D} <= set(source.health.pids)


def test_paused_the_car_is_asked_nothing_and_the_adapter_its_voltage():
    commands = []

    class ListeningElm(Elm327):
        def respond(self, command, now_ms):
            commands.append(command)
            return super().respond(command, now_ms)

    readings = [*cruising(60), *(Reading(t, "adapter_voltage_v", 12.3) for t in range(0, 60_000, 1_000))]
    with (
        PlayedAdapter(ListeningElm(readings)) as adapter,
        ObdSource(adapter.port, protocol="6", periods_ms=PERIODS_MS, paused_voltage_ms=50) as source,
    ):
        waiting = Waiting(source)
        assert waiting.read(30) is not None
        source.pause()
        for _ in range(1_000):  # what was said before the pause may still come
            if waiting.read(0) is None:
                break
        commands.clear()
        voltages = [waiting.read(20) for _ in range(3)]
        assert [(r.signal, r.value) for r in voltages] == [("adapter_voltage_v", 12.3)] * 3
        assert set(commands) == {"ATRV"}
        source.resume()
        while (reading := waiting.read(30)).signal != "speed_kmh":
            assert reading is not None
        assert source.counters["obd_connected"] == 2
