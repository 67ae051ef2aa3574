"""The law: driver periods do not depend on what the driver lets leave the car."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from device.agent import Agent, AgentSettings
from device.clock import RecordedClock
from device.contract import bodies, topics, wire
from device.contract.signals import Reading
from device.contract.signing import Signer
from device.outbox import Outbox
from device.privacy import LOCATIONS, MOTIONS, Privacy
from ingest.contract.lake import Lake
from ingest.seal import seal
from ingest.worker import Worker
from replay_data.importers import load
from tests.device.agents import MONDAY_MS, drive
from tests.features.whole import Built, tables_of

COMBINATIONS = [Privacy(location, motion) for location in LOCATIONS for motion in MOTIONS]
PARKED_MS = 600_000
RECORDED_MS = 240_000


class Sent(NamedTuple):
    """What left the car under some settings, and what became of it."""

    kinds: set[type]
    cells: int
    built: Built


def with_gnss(readings: list[Reading]) -> list[Reading]:
    """The same drive with a receiver that tells place and speed each second."""
    told = list(readings)
    for t_ms in range(readings[0].t_ms, readings[-1].t_ms, 1_000):
        told += [
            Reading(t_ms, "latitude_deg", 48.1 + 3e-8 * t_ms),
            Reading(t_ms, "longitude_deg", 11.5 + 1e-7 * t_ms),
            Reading(t_ms, "gnss_course_deg", t_ms // 200 % 360),
        ]
    return sorted(told, key=lambda reading: reading.t_ms)


def driven(folder, readings: list[Reading], privacy: Privacy) -> Sent:
    """The readings through agent, worker, sealing and features."""
    settings = AgentSettings("car", privacy.motion == "full", privacy.location, commit_ms=60_000)
    clock = RecordedClock(MONDAY_MS, 60, b"boot")
    lake = Lake(folder / "lake")
    worker = Worker(lake, "w", lambda topic, payload: None)
    folder.mkdir()
    with Outbox(folder / "outbox", bytes(16)) as outbox:
        agent = Agent(settings, outbox, Signer.from_seed(bytes(32)).sign, clock)
        for reading in readings:
            agent.push(reading)
        agent.finish()
        payloads = [row.payload for row in outbox.unacked(outbox.next_seq)]
    for payload in payloads:
        worker.take(topics.up("car"), payload, MONDAY_MS)
    worker.flush(MONDAY_MS)
    seal(lake, MONDAY_MS)
    told = [message.body for message in map(wire.decode, payloads) if isinstance(message, wire.Message)]
    assert len(told) == len(payloads)
    cells = lake.scan("events").collect()["cell_lat_cdeg"].count()
    return Sent({type(body) for body in told}, cells, tables_of(lake))


def same_price_in_all(tmp_path, readings: list[Reading]) -> dict[Privacy, Sent]:
    sent = {privacy: driven(tmp_path / f"{number}", readings, privacy) for number, privacy in enumerate(COMBINATIONS)}
    first = sent[Privacy()].built
    assert first.driver_periods["distance_mm"].sum() > 0
    for other in sent.values():
        assert other.built.driver_periods.equals(first.driver_periods)
        # a trip's id holds the number of a message, and that does depend on how many there were
        assert other.built.events.drop("trip_id").equals(first.events.drop("trip_id"))
        assert other.built.trips.drop("trip_id", "has_motion").equals(first.trips.drop("trip_id", "has_motion"))
    return sent


def test_driver_periods_are_the_same_in_all_six_settings(tmp_path):
    later = drive(200, seed=5, start_ms=420_000 + PARKED_MS)
    sent = same_price_in_all(tmp_path, with_gnss(drive(420) + later))
    assert sent[Privacy()].built.trips.height == 2
    assert sent[Privacy()].built.events.height > 0
    for privacy, told in sent.items():  # and the settings did make a difference to what was sent
        assert (bodies.Motion in told.kinds) == (privacy.motion == "full")
        assert (bodies.Track in told.kinds) == (privacy.location == "full")
        assert (told.cells > 0) == (privacy.location != "off")


def test_of_a_recorded_drive_with_a_receiver_too(tmp_path, shared_data):
    file = shared_data / "polidriving" / "pablo_20231123_094610_col.csv"
    if not file.exists():
        pytest.skip(f"{file} is not there")
    _, readings = load(file)
    assert any(reading.signal == "latitude_deg" for reading in readings)
    sent = same_price_in_all(tmp_path, [reading for reading in readings if reading.t_ms < RECORDED_MS])
    assert bodies.Track in sent[Privacy("full", "off")].kinds
