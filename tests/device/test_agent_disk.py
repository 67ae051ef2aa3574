"""An agent over a disk that takes nothing for a while, and over an outbox that gives up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from device import agent as agent_module
from device.contract import bodies
from device.contract.errors import DiskError
from device.outbox import Outbox
from device.outbox_room import Limits
from tests.device.agents import FULL, STREAM, agent_on, decoded, drive, payloads, play
from tests.device.queued import tombstones, verify

SETTINGS = replace(FULL, batch_ms=120_000)
READINGS = drive(3_600)


def told(outbox: Outbox, counter: str) -> int:
    """What the health messages add up to."""
    healths = [message.body for message in decoded(payloads(outbox)) if isinstance(message.body, bodies.Health)]
    return sum(health.counters.get(counter, 0) for health in healths)


def of_trips(outbox: Outbox) -> list[bodies.Body]:
    """Events and ends of trips."""
    made = [message.body for message in decoded(payloads(outbox))]
    return [body for body in made if isinstance(body, bodies.Event | bodies.TripEnd)]


@pytest.fixture
def undisturbed(tmp_path):
    with Outbox(tmp_path / "undisturbed", STREAM) as outbox:
        agent = agent_on(outbox, SETTINGS)
        play(agent, READINGS)
        agent.finish()
        return of_trips(outbox)


def test_what_no_disk_takes_waits_in_bounded_memory_and_costs_motion_alone(tmp_path, undisturbed, monkeypatch):
    monkeypatch.setattr(agent_module, "MAX_MEMORY_BYTES", 4_000)
    with Outbox(tmp_path / "a", STREAM) as outbox:
        agent = agent_on(outbox, SETTINGS)
        play(agent, READINGS[:2_000])
        with monkeypatch.context() as broken:
            broken.setattr(outbox, "commit", lambda *_: (_ for _ in ()).throw(DiskError("full")))
            play(agent, READINGS[:10_000])
            queued = [message.payload for message in agent.messages.queued]
            assert not any(isinstance(message.body, bodies.Motion) for message in decoded(queued))
        play(agent, READINGS)
        agent.finish()
        verify(payloads(outbox))
        assert of_trips(outbox) == undisturbed
        assert tombstones(payloads(outbox)) == told(outbox, "outbox_sacrificed_motion") > 3
        assert told(outbox, "commits_refused") > 5


def test_what_an_outbox_gives_up_is_told_once_over_any_number_of_restarts(tmp_path, undisturbed):
    for last in range(2_000, len(READINGS), 2_000):
        with Outbox(tmp_path / "a", STREAM, Limits(max_bytes=50_000, keep_free_bytes=0)) as outbox:
            agent = agent_on(outbox, SETTINGS)
            play(agent, READINGS[:last])
            for name, total in outbox.counters.items():
                agent.count_total(f"outbox_{name}", total)
            agent.commit()
    with Outbox(tmp_path / "a", STREAM) as outbox:
        agent = agent_on(outbox, SETTINGS)
        play(agent, READINGS)
        for name, total in outbox.counters.items():
            agent.count_total(f"outbox_{name}", total)
        agent.finish()
        verify(payloads(outbox))
        assert of_trips(outbox) == undisturbed
        assert tombstones(payloads(outbox)) == told(outbox, "outbox_sacrificed_motion") > 3
