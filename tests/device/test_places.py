"""Where the car was a moment ago, and what of it the messages tell."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from device.agent import Agent, AgentSettings
from device.contract import bodies
from device.contract.configuration import ConfigUpdate, sign_config
from device.contract.signals import Reading
from device.contract.signing import Signer
from device.downlink import Downlink
from device.messages import TRACK_PERIOD_MS
from device.outbox import Outbox
from device.places import KEEP_MS, NEAR_MS, Places
from device.trips import END_INACTIVE
from tests.device.agents import FULL, MONDAY_MS, SIGNER, STREAM, clock, decoded, drive, of_kind, payloads

INSURER = Signer.from_seed(b"i" * 32)
FROM_DEG = (52.5, 13.4)


def hear(places: Places, t_ms: int, latitude_deg: float | None, longitude_deg: float | None) -> None:
    places.hear(Reading(t_ms, "latitude_deg", latitude_deg))
    places.hear(Reading(t_ms, "longitude_deg", longitude_deg))


def on_the_way(readings: list[Reading]) -> list[Reading]:
    """The same with a fix a second, going north-east."""
    fixes = []
    for t_ms in range(0, readings[-1].t_ms, 1_000):
        fixes.append(Reading(t_ms, "latitude_deg", FROM_DEG[0] + t_ms / 1e7))
        fixes.append(Reading(t_ms, "longitude_deg", FROM_DEG[1] + t_ms / 5e6))
    return sorted([*readings, *fixes], key=lambda reading: reading.t_ms)


def told(path: Any, settings: AgentSettings, readings: list[Reading]) -> list[Any]:
    with Outbox(path, STREAM) as outbox:
        agent = Agent(settings, outbox, SIGNER.sign, clock())
        for reading in readings:
            agent.push(reading)
        agent.finish()
        return decoded(payloads(outbox))


def test_a_place_is_the_last_fix_and_only_while_it_is_fresh():
    places = Places()
    assert places.cell(0) is None
    hear(places, 1_000, 52.5, 13.4)
    assert places.cell(999) is None
    assert places.cell(1_000) == places.cell(1_000 + NEAR_MS) == bodies.Cell(5_250, 1_340)
    assert places.point(1_000) == (5_250_000, 1_340_000)
    assert places.cell(1_001 + NEAR_MS) is None


def test_latitude_and_longitude_of_two_fixes_are_no_place():
    places = Places()
    places.hear(Reading(0, "latitude_deg", 52.5))
    places.hear(Reading(1_000, "longitude_deg", 13.4))
    hear(places, 2_000, None, 13.4)
    assert places.cell(2_000) is None


def test_the_last_minutes_are_remembered_and_outlive_a_restart():
    places = Places()
    for t_ms in range(0, 10 * KEEP_MS, 100):
        hear(places, t_ms, t_ms / 1e6, 13.4)
    again = Places()
    again.restore(json.loads(json.dumps(places.to_state())))
    assert again.cell(10 * KEEP_MS - 1_000) == places.cell(10 * KEEP_MS - 1_000) is not None
    assert again.cell(9 * KEEP_MS - 10_000) is None
    assert len(again.to_state()[0]) <= KEEP_MS // 1_000
    again.clear()
    assert again.to_state() == [[], []]


@pytest.mark.parametrize("location", ["off", "coarse", "full"])
def test_messages_tell_of_places_what_the_setting_allows(tmp_path, location):
    messages = told(tmp_path / "a", replace(FULL, location=location), on_the_way(drive(600)))
    (start,), (end,) = of_kind(messages, bodies.TripStart), of_kind(messages, bodies.TripEnd)
    events, tracks = of_kind(messages, bodies.Event), of_kind(messages, bodies.Track)
    assert events
    if location == "off":
        assert (start.start_cell, end.end_cell, {event.cell for event in events}) == (None, None, {None})
    else:
        assert start.start_cell == bodies.Cell(5_250, 1_340)
        assert end.end_cell == bodies.Cell(5_256, 1_352)
        assert all(abs(event.cell.lat_cdeg - (5_250 + event.peak_ms / 1e5)) <= 1 for event in events)
    if location != "full":
        assert tracks == []
        return
    assert all(a.first_t_ms + len(a.lat_e5deg) * TRACK_PERIOD_MS == b.first_t_ms for a, b in pairwise(tracks))
    points = [point for track in tracks for point in zip(track.lat_e5deg, track.lon_e5deg, strict=True)]
    assert len(points) == pytest.approx(end.summary.duration_ms / TRACK_PERIOD_MS, abs=1)
    assert sum(point == (None, None) for point in points) <= 3


def parked(from_ms: int, seconds: int) -> list[Reading]:
    """The engine is off, and the receiver goes on."""
    readings = []
    for t_ms in range(from_ms, from_ms + seconds * 1_000, 1_000):
        readings += [Reading(t_ms, "speed_kmh", 0.0), Reading(t_ms, "rpm", 0.0)]
    return readings


def test_where_a_trip_ended_is_known_once_it_is_known_to_have_ended(tmp_path):
    drove, driving_ms = drive(300), 300_000
    messages = told(tmp_path / "a", replace(FULL, location="full"), on_the_way([*drove, *parked(driving_ms, 240)]))
    (end,) = of_kind(messages, bodies.TripEnd)
    assert end.reason == END_INACTIVE
    assert end.end_cell == bodies.Cell(5_253, 1_346)


def test_a_wait_in_mid_trip_has_its_points(tmp_path):
    again = [reading._replace(t_ms=reading.t_ms + 460_000) for reading in drive(60)]
    readings = on_the_way([*drive(300), *parked(300_000, 160), *again])
    tracks = of_kind(told(tmp_path / "a", replace(FULL, location="full"), readings), bodies.Track)
    points = [point for track in tracks for point in track.lat_e5deg]
    assert len(points) > 500
    assert sum(point is None for point in points) <= 3


def test_with_location_off_no_place_is_stored_in_the_car_either(tmp_path):
    told(tmp_path / "a", FULL, on_the_way(drive(60)))
    with Outbox(tmp_path / "a", STREAM) as outbox:
        assert json.loads(outbox.state)["boot"]["places"] == [[], []]


def test_points_that_wait_are_forgotten_once_the_driver_takes_the_location_back(tmp_path):
    def stored() -> Any:
        with Outbox(tmp_path / "a", STREAM) as outbox:
            return json.loads(outbox.state)["memory"]["track"]

    for location in ("full", "off"):
        with Outbox(tmp_path / "a", STREAM) as outbox:
            agent = Agent(replace(FULL, location=location), outbox, SIGNER.sign, clock(), 0)
            if location == "full":
                for reading in on_the_way(drive(60)):
                    agent.push(reading)
            agent.commit()
        assert bool(stored()) == (location == "full")


def configuration(version: int, **changes: Any) -> bytes:
    update = ConfigUpdate("car", version, MONDAY_MS, MONDAY_MS + 10**10, **changes)
    return sign_config(update, INSURER.sign)


def test_a_configuration_holds_from_the_next_trip_on_and_over_a_restart(tmp_path):
    def downlink() -> Downlink:
        return Downlink("car", INSURER.public_key, replace(FULL, location="full").privacy)

    def start(outbox: Outbox, now_ms: int) -> Agent:
        return Agent(replace(FULL, location="full"), outbox, SIGNER.sign, clock(), now_ms, downlink())

    with Outbox(tmp_path / "a", STREAM) as outbox:
        agent = start(outbox, 0)
        for reading in on_the_way(drive(120)):
            agent.push(reading)
        agent.configure(configuration(7, location="off", motion="off", batch_s=30))
        for now_ms in range(120_000, 310_000, 1_000):
            agent.advance(now_ms)
    with Outbox(tmp_path / "a", STREAM) as outbox:
        agent = start(outbox, 400_000)
        agent.configure(configuration(6))  # older than what is in force
        for reading in drive(120, start_ms=400_000):
            agent.push(reading)
        agent.finish()
        messages = decoded(payloads(outbox))
    first, second = of_kind(messages, bodies.TripStart)
    assert (first.config_version, second.config_version) == (0, 7)
    assert first.start_cell is not None
    assert second.start_cell is None
    assert not any(isinstance(message.body, bodies.Motion | bodies.Track) for message in messages)


def test_a_configuration_that_came_before_the_clock_was_known_waits_for_it(tmp_path):
    class Later:
        boot_id, quality = b"boot", 0

        def utc_ms(self, mono_ms: int) -> int:
            return MONDAY_MS + mono_ms

        def utc_offset_min(self, utc_ms: int) -> int | None:
            return 60

    later, downlink = Later(), Downlink("car", INSURER.public_key, FULL.privacy)
    with Outbox(tmp_path / "a", STREAM) as outbox:
        agent = Agent(FULL, outbox, SIGNER.sign, later, 0, downlink)
        agent.configure(configuration(3, motion="off"))
        agent.advance(1_000)
        assert downlink.version == 0
        later.quality = 2
        agent.advance(2_000)
        assert downlink.version == 3


def test_local_time_is_that_of_the_zone_the_car_is_in_over_a_restart_too(tmp_path):
    with Outbox(tmp_path / "a", STREAM) as outbox:
        agent = Agent(FULL, outbox, SIGNER.sign, clock())
        agent.enter(ZoneInfo("Asia/Shanghai"))
        agent.commit()
    messages = told(tmp_path / "a", FULL, drive(60))
    (start,) = of_kind(messages, bodies.TripStart)
    assert start.utc_offset_min == 480
