"""The insurer's configuration on its whole way: signed, retained at a real broker, through the uplink into a trip."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

import device.trips
from device.agent import Agent, AgentSettings
from device.contract import bodies, topics
from device.contract.broker import parse_broker
from device.contract.configuration import ConfigUpdate, sign_config
from device.contract.rules import CURRENT_VERSION
from device.contract.signals import Reading
from device.contract.signing import Signer
from device.downlink import Downlink
from device.outbox import Outbox
from device.privacy import Privacy
from device.uplink import Uplink
from ingest.configure import publish_retained
from tests.device.agents import MONDAY_MS, SIGNER, STREAM, clock, decoded, drive, of_kind, payloads, play

INSURER = Signer.from_seed(b"insurer".ljust(32, b"."))
CONSENT = Privacy("full", "full")
SETTINGS = AgentSettings("car", motion=True, location="full", batch_ms=60_000)
UPDATE = ConfigUpdate("car", 3, MONDAY_MS, MONDAY_MS + 86_400_000, motion="off", location="off", batch_s=30)
WITHIN_S = 20.0
IDLING = (("speed_kmh", 0.0), ("rpm", 800.0))


def agent_on(outbox: Outbox) -> tuple[Agent, Downlink]:
    link = Downlink("car", INSURER.public_key, CONSENT)
    return Agent(SETTINGS, outbox, SIGNER.sign, clock(), downlink=link), link


def hear(mosquitto, outbox: Outbox, agent: Agent, link: Downlink, counted: int) -> None:
    """Be connected until so many configurations were judged."""
    uplink = Uplink("car", parse_broker(mosquitto.url), on_config=agent.configure)
    uplink.add(outbox)
    deadline_s = time.monotonic() + WITHIN_S
    while sum(link.counters.values()) < counted and time.monotonic() < deadline_s:
        uplink.step(time.monotonic_ns() // 1_000_000, 0.01)
    uplink.stop()
    assert sum(link.counters.values()) == counted


@pytest.mark.broker
def test_a_configuration_left_at_the_broker_governs_the_next_trip_and_survives_a_restart(mosquitto, tmp_path):
    address, topic = parse_broker(mosquitto.url), topics.config("car")
    publish_retained(address, topic, sign_config(UPDATE, INSURER.sign))
    with Outbox(tmp_path / "outbox", STREAM) as outbox:
        agent, link = agent_on(outbox)
        hear(mosquitto, outbox, agent, link, counted=1)
        assert link.applied == UPDATE

    with Outbox(tmp_path / "outbox", STREAM) as outbox:  # no broker since
        agent, link = agent_on(outbox)
        assert link.version == 3
        play(agent, drive(300))
        agent.finish()
        messages = decoded(payloads(outbox))
        (start,) = of_kind(messages, bodies.TripStart)
        assert start.config_version == 3
        assert of_kind(messages, bodies.Motion) == of_kind(messages, bodies.Track) == []

        other = Signer.from_seed(bytes(32))
        publish_retained(address, topic, sign_config(ConfigUpdate("car", 9, 0, MONDAY_MS * 2), other.sign))
        hear(mosquitto, outbox, agent, link, counted=1)
        assert link.counters == {"config_refused_bad_signature": 1}
        assert link.version == 3


def test_without_a_configuration_the_file_on_the_device_counts(tmp_path):
    with Outbox(tmp_path / "outbox", STREAM) as outbox:
        agent, _ = agent_on(outbox)
        play(agent, drive(300))
        agent.finish()
        messages = decoded(payloads(outbox))
        (start,) = of_kind(messages, bodies.TripStart)
        assert start.config_version == 0
        assert of_kind(messages, bodies.Motion)


def test_other_rules_hold_from_the_next_trip_on_and_no_longer_than_they_are_asked_for(tmp_path, monkeypatch):
    """Also where one trip ends at the very cell with which the next begins, with an event that is still open."""
    monkeypatch.setattr(device.trips, "MAX_TRIP_MS", 300_000)
    asked = [replace(UPDATE, rules_version=2), replace(UPDATE, version=4, rules_version=None)]
    idle = [Reading(t_ms, name, value) for t_ms in range(0, 800_000, 500) for name, value in IDLING]
    with Outbox(tmp_path / "outbox", STREAM) as outbox:
        agent, _ = agent_on(outbox)
        for number, reading in enumerate(idle):
            if number in (400, 1_600):
                agent.configure(sign_config(asked.pop(0), INSURER.sign))
            agent.push(reading)
        agent.finish()
        messages = decoded(payloads(outbox))
    starts, events = of_kind(messages, bodies.TripStart), of_kind(messages, bodies.Event)
    assert [start.rules_version for start in starts] == [CURRENT_VERSION, 2, CURRENT_VERSION]
    assert [event.rules_version for event in events] == [CURRENT_VERSION, 2, CURRENT_VERSION]
