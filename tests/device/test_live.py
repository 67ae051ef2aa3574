"""The agent's loop on a virtual clock: the car, the battery and the computer as they come."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from typing import Any

import pytest

from device.agent import Agent, AgentSettings
from device.contract import bodies
from device.contract import wire_pb2 as pb
from device.contract.signals import Reading
from device.outbox import Outbox
from device.power import Power
from device.sensors import IMU, Sensors
from device.sources.obd import ObdSource
from device.sources.schedule import PERIODS_MS
from tests.device.agents import SIGNER, clock, decoded, of_kind
from tests.device.virtual import Adapter, Computer, Drive, World

SETTINGS = AgentSettings("car", patience_ms=30_000)
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


def on_the_road(tmp_path, *drives: Drive, settings: AgentSettings = SETTINGS) -> Computer:
    computer = Computer(World(drives), tmp_path, settings)
    computer.start()
    return computer


def told(computer: Computer) -> list[Any]:
    payloads = [computer.insurer.payloads[key] for key in sorted(computer.insurer.payloads)]
    return decoded(payloads)


@pytest.mark.parametrize("electric", [False, True])
def test_a_day_of_three_drives_is_three_trips_and_the_parked_car_is_left_alone(tmp_path, electric):
    drives = [Drive(start_ms, start_ms + 12 * MINUTE_MS, electric) for start_ms in (HOUR_MS, 3 * HOUR_MS, 5 * HOUR_MS)]
    computer = on_the_road(tmp_path, *drives)
    asked_ms, parked_ms = 0, 0
    while computer.world.now_ms < 6 * HOUR_MS:
        computer.run(computer.world.now_ms + MINUTE_MS)
        assert computer.live is not None
        parked_ms += MINUTE_MS * (computer.world.driving(computer.world.now_ms) is None)
        asked_ms += MINUTE_MS * computer.live.battery.state.asks_car
    messages = told(computer)
    ends, starts = of_kind(messages, bodies.TripEnd), of_kind(messages, bodies.TripStart)
    assert [end.reason for end in ends] == [pb.END_INACTIVE] * 3
    for drive, end in zip(drives, ends, strict=True):
        # The alternator is noticed within two readings of the voltage, and the car answers a moment later.
        assert end.summary.distance_mm / 1_000 == pytest.approx(drive.distance_m, rel=0.03)
    assert asked_ms < 12 * 3 * MINUTE_MS + 60 * MINUTE_MS
    assert computer.live.battery.state is Power.PARKED
    assert [len(start.vin_hash) for start in starts] == [32, 32, 32]
    assert starts[0].vin_hash == starts[1].vin_hash
    assert all(start.adapter == "ELM327 v1.4b" for start in starts)


def test_counters_of_adapter_network_and_battery_reach_the_insurer_once(tmp_path):
    computer = on_the_road(tmp_path, Drive(0, 10 * MINUTE_MS), Drive(HOUR_MS, HOUR_MS + 10 * MINUTE_MS))
    computer.run(2 * MINUTE_MS)
    computer.world.broken.add("silent")
    computer.run(3 * MINUTE_MS)
    computer.world.broken.clear()
    computer.run(2 * HOUR_MS)
    totals: dict[str, int] = {}
    for health in of_kind(told(computer), bodies.Health):
        for name, count in health.counters.items():
            totals[name] = totals.get(name, 0) + count
    assert totals["obd_silent"] == computer.obd.counters["obd_silent"] >= 1
    assert totals["obd_connected"] == computer.obd.counters["obd_connected"]
    assert totals["power_parked"] >= 1


def test_a_silent_adapter_is_asked_again_and_the_time_is_told_as_unobserved(tmp_path):
    drive = Drive(0, 20 * MINUTE_MS)
    computer = on_the_road(tmp_path, drive)
    computer.run(10 * MINUTE_MS)
    computer.world.broken.add("silent")
    computer.run(11 * MINUTE_MS)
    computer.world.broken.clear()
    computer.run(40 * MINUTE_MS)
    (end,) = of_kind(told(computer), bodies.TripEnd)
    assert MINUTE_MS <= end.summary.unobserved_ms <= 2 * MINUTE_MS
    lost_m = drive.distance_m - end.summary.distance_mm / 1_000
    assert 0 < lost_m <= end.summary.unobserved_ms / 1_000 * 60 / 3.6 + 200


def test_a_low_battery_stops_adapter_and_network_and_loses_no_message(tmp_path):
    computer = on_the_road(tmp_path, Drive(0, 10 * MINUTE_MS), Drive(8 * HOUR_MS, 8 * HOUR_MS + 10 * MINUTE_MS))
    computer.run(HOUR_MS)
    assert computer.live is not None
    computer.world.broken.add("low voltage")
    computer.run(HOUR_MS + 5 * MINUTE_MS)
    assert computer.live.battery.state is Power.LOW
    assert not computer.insurer.is_ready
    assert computer.live.status().startswith("low, 11.2 V, no trip, 0 messages wait")
    computer.world.broken.clear()
    computer.run(10 * HOUR_MS)
    assert len(of_kind(told(computer), bodies.TripEnd)) == 2


def test_a_day_without_network_is_sent_afterwards_in_one_chain(tmp_path):
    drives = [Drive(hour * HOUR_MS, hour * HOUR_MS + 10 * MINUTE_MS) for hour in range(0, 9, 4)]
    computer = on_the_road(tmp_path, *drives)
    computer.world.broken.add("no broker")
    computer.run(9 * HOUR_MS)
    assert computer.insurer.payloads == {}
    computer.world.broken.clear()
    computer.run(9 * HOUR_MS + MINUTE_MS)
    messages = told(computer)
    assert len(of_kind(messages, bodies.TripEnd)) == len(drives)
    assert all(b.header.prev_hash == a.hash for a, b in pairwise(messages))
    assert computer.outbox.waiting() == 0


def test_a_full_disk_is_outlived_in_memory(tmp_path):
    drive = Drive(0, 10 * MINUTE_MS)
    computer = on_the_road(tmp_path, drive)
    computer.run(4 * MINUTE_MS)
    computer.world.broken.add("disk full")
    computer.run(9 * MINUTE_MS)
    computer.world.broken.clear()
    computer.run(30 * MINUTE_MS)
    (end,) = of_kind(told(computer), bodies.TripEnd)
    assert end.summary.distance_mm / 1_000 == pytest.approx(drive.distance_m, rel=0.03)
    assert end.summary.unobserved_ms == 0
    assert sum(health.counters.get("commits_refused", 0) for health in of_kind(told(computer), bodies.Health)) > 5


def test_killed_at_any_moment_it_loses_seconds_of_a_trip(tmp_path):
    drive = Drive(0, 20 * MINUTE_MS)
    computer = on_the_road(tmp_path, drive)
    for minute in range(2, 18, 3):
        computer.run(minute * MINUTE_MS + minute * 777)
        computer.cut()
        computer.start()
    computer.run(40 * MINUTE_MS)
    (end,) = of_kind(told(computer), bodies.TripEnd)
    assert computer.insurer.changed == 0
    assert end.summary.unobserved_ms <= 6 * 15_000
    assert end.summary.distance_mm / 1_000 >= drive.distance_m - 6 * 15 * 60 / 3.6 - 200


def test_stopped_in_good_order_it_stores_what_it_has_heard(tmp_path):
    computer = on_the_road(tmp_path, Drive(0, 20 * MINUTE_MS))
    computer.run(5 * MINUTE_MS)
    assert computer.live is not None
    computer.live.stop(computer.world.mono_ms)
    readings = computer.agent.readings
    computer.cut()
    computer.start()
    assert computer.agent.readings == readings


def test_periods_that_the_insurer_wants_hold_from_the_next_connection_on():
    options: list[dict[str, Any]] = []

    def spawn(text: str) -> Any:
        options.append(json.loads(text))
        return Adapter(World([Drive(0, 1)]), text, random.Random(0))

    sensors = Sensors(ObdSource("/dev/obd", spawn=spawn))
    list(sensors.take(0))
    sensors.ask_every({"rpm": 5_000})
    sensors.obd.pause()
    sensors.obd.resume()
    list(sensors.take(1_000))
    assert [asked["periods_ms"]["rpm"] for asked in options] == [PERIODS_MS["rpm"], 5_000]
    assert options[0]["periods_ms"].keys() == options[1]["periods_ms"].keys()


def blow(at_ms: int, until_ms: int, peak_mps2: float) -> list[Reading]:
    """An IMU at rest that is struck once, in a car that drives 50 km/h."""
    readings = []
    for t_ms in range(0, until_ms, 10):
        if t_ms % 200 == 0:
            readings += [Reading(t_ms, "speed_kmh", 50.0), Reading(t_ms, "rpm", 2_000.0)]
        values = (peak_mps2 if t_ms == at_ms else 0.1, 0.0, 9.81, 0.0, 0.0, 0.0)
        readings += [Reading(t_ms, signal, value) for signal, value in zip(sorted(IMU), values, strict=True)]
    return readings


def test_an_impact_is_stored_at_once_and_told_again_with_the_motion_around_it(tmp_path):
    with Outbox(tmp_path / "a") as outbox:
        agent = Agent(AgentSettings("car"), outbox, SIGNER.sign, clock())
        seen_ms = None
        for reading in blow(60_000, 90_000, 60.0):
            agent.push(reading)
            told = [message.body for message in decoded([row.payload for row in outbox.unacked(100)])]
            if seen_ms is None and any(isinstance(body, bodies.Impact) for body in told):
                seen_ms = reading.t_ms
        alert, report = of_kind(decoded([row.payload for row in outbox.unacked(100)]), bodies.Impact)
    assert seen_ms == 60_000
    assert (alert.complete, report.complete) == (False, True)
    assert alert.peak_cmps2 == report.peak_cmps2 > 5_000
    assert alert.trip_seq == report.trip_seq == 1
    assert report.speed_dkmh == 500
    assert report.around.first_t_ms <= report.t_ms < report.around.first_t_ms + report.around.count * report.period_ms
