"""Settings made stricter while messages wait: what they forbid stays in the car, and all the rest is as it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from device.agent import Agent, AgentSettings
from device.contract import bodies, wire
from device.contract.configuration import ConfigUpdate, sign_config
from device.contract.errors import DiskError
from device.contract.signals import Reading
from device.contract.signing import Signer
from device.downlink import Downlink
from device.outbox import STEP_BYTES, Outbox
from device.outbox_file import OutboxFile
from device.outbox_ranks import SACRIFICED, WITHDRAWN, Rank, withheld_under
from device.outbox_room import Limits
from device.privacy import LOCATIONS, MOTIONS, Privacy
from tests.device.agents import FULL, MONDAY_MS, SIGNER, STREAM, clock, decoded, drive, payloads, play
from tests.device.queued import event, health, impact, motion, queue, track, trip_end, verify, verify_parts

ALL = replace(FULL, location="full", batch_ms=30_000)
NOTHING = replace(ALL, location="off", motion=False)
INSURER = Signer.from_seed(b"insurer".ljust(32, b"."))
FORBIDDEN = (Rank.MOTION, Rank.TRACK)


def on_the_way(seconds: int) -> list[Reading]:
    told = drive(seconds)
    for t_ms in range(0, seconds * 1_000, 1_000):
        told += [Reading(t_ms, "latitude_deg", 48.1 + 3e-8 * t_ms), Reading(t_ms, "longitude_deg", 11.5)]
    return sorted(told, key=lambda reading: reading.t_ms)


READINGS = on_the_way(300)


def agent_on(outbox: Outbox, settings: AgentSettings, *rescued: Outbox) -> tuple[Agent, Downlink]:
    downlink = Downlink("car", INSURER.public_key, settings.privacy)
    return Agent(settings, outbox, SIGNER.sign, clock(), 0, downlink, rescued), downlink


def configuration(version: int = 7, **changes: Any) -> bytes:
    return sign_config(ConfigUpdate("car", version, MONDAY_MS, MONDAY_MS + 10**10, **changes), INSURER.sign)


def leaving(outbox: Outbox) -> list[bytes]:
    """What an uplink would send."""
    sent = [outbox.payload(seq) for seq in sorted(outbox.in_order(1_000_000))]
    assert None not in sent
    return [payload for payload in sent if payload is not None]


def withdrawn(before: Sequence[bytes], kinds: tuple[type, ...]) -> list[bytes]:
    """What shall become of messages when these kinds may not leave."""
    made = zip(before, decoded(list(before)), strict=True)
    return [wire.tombstone(payload) if isinstance(message.body, kinds) else payload for payload, message in made]


def test_for_each_setting_the_kinds_are_withheld_of_which_it_lets_nothing_leave():
    for location in LOCATIONS:
        for moving in MOTIONS:
            withheld = {Rank.TRACK} if location != "full" else set()
            withheld |= {Rank.MOTION} if moving == "off" else set()
            assert withheld_under(Privacy(location, moving)) == withheld
    assert set(WITHDRAWN) == set(SACRIFICED)


@pytest.mark.parametrize(
    ("settings", "kinds"),
    [
        (NOTHING, (bodies.Motion, bodies.Track)),
        (replace(ALL, location="coarse"), (bodies.Track,)),
        (replace(ALL, location="off"), (bodies.Track,)),
        (replace(ALL, motion=False), (bodies.Motion,)),
        (ALL, ()),
    ],
)
def test_a_stricter_file_withdraws_at_the_start_what_waits(tmp_path, settings, kinds):
    with Outbox(tmp_path / "a", STREAM) as outbox:
        agent, _ = agent_on(outbox, ALL)
        play(agent, READINGS)
        agent.commit()
        before, state = payloads(outbox), json.loads(outbox.state)
        assert state["memory"]["batch"]
        assert state["memory"]["track"]
    with Outbox(tmp_path / "a", STREAM) as outbox:
        agent, _ = agent_on(outbox, settings)
        expected = withdrawn(before, kinds)
        assert leaving(outbox) == payloads(outbox) == expected
        agent.finish()
        kept = payloads(outbox)
        verify(kept)
        assert not any(isinstance(message.body, kinds) for message in decoded(kept))
        count = sum(old != new for old, new in zip(before, expected, strict=True))
        assert sum(outbox.counters.values()) == count
        assert (count > 0) == bool(kinds)
    with Outbox(tmp_path / "a", STREAM) as outbox:  # who agrees again agrees to what is to come
        agent_on(outbox, ALL)
        assert leaving(outbox) == kept


def test_a_stricter_configuration_holds_at_once_for_what_waits_and_for_the_running_trip(tmp_path):
    with Outbox(tmp_path / "a", STREAM) as outbox:
        agent, downlink = agent_on(outbox, ALL)
        for reading in READINGS:
            agent.push(reading)
            if outbox.waiting() > 5 and agent.messages.queued:  # not all of it is on the disk
                break
        agent.configure(configuration(location="off", motion="off"))
        assert downlink.version == 7
        play(agent, READINGS)
        agent.finish()
        kept = payloads(outbox)
        verify(kept)
        assert not any(isinstance(message.body, bodies.Motion | bodies.Track) for message in decoded(kept))
        assert sum(message.body is None for message in decoded(kept)) == sum(outbox.counters.values()) > 0
        priced = [m.body for m in decoded(kept) if isinstance(m.body, bodies.Event | bodies.TripEnd)]
    with Outbox(tmp_path / "b", STREAM) as outbox:
        agent, _ = agent_on(outbox, ALL)
        play(agent, READINGS)
        agent.finish()
        told = [m.body for m in decoded(payloads(outbox)) if isinstance(m.body, bodies.Event | bodies.TripEnd)]
    assert [anywhere(body) for body in priced] == [anywhere(body) for body in told]


def anywhere(body: bodies.Event | bodies.TripEnd) -> bodies.Event | bodies.TripEnd:
    return replace(body, cell=None) if isinstance(body, bodies.Event) else replace(body, end_cell=None)


def test_setting_and_withdrawal_come_into_force_together_or_not_at_all(tmp_path, monkeypatch):
    """The disk refuses at each statement in turn; a power cut afterwards finds the file as it was, or all done."""
    with Outbox(tmp_path / "a", STREAM) as outbox:
        agent, _ = agent_on(outbox, ALL)
        play(agent, READINGS)
        agent.commit()
        before = payloads(outbox)
    statements = 0
    run: Callable[..., int] = OutboxFile.run
    for refused in range(1, 10_000, 7):
        shutil.copy(tmp_path / "a", tmp_path / "b")
        with Outbox(tmp_path / "b", STREAM) as outbox, monkeypatch.context() as disk:
            agent, _ = agent_on(outbox, ALL)
            statements = 0

            def refusing(file: OutboxFile, statement: str, values: Any = (), last: int = refused) -> int:
                nonlocal statements
                statements += 1
                if statements == last:
                    raise DiskError("full")
                return run(file, statement, values)

            disk.setattr(OutboxFile, "run", refusing)
            agent.configure(configuration(location="off", motion="off"))
            assert leaving(outbox) == withdrawn(before, (bodies.Motion, bodies.Track))
        with Outbox(tmp_path / "b", STREAM) as outbox:
            _, downlink = agent_on(outbox, ALL)
            changed = payloads(outbox) != before
            assert changed == (downlink.version == 7)
            assert leaving(outbox) == (withdrawn(before, (bodies.Motion, bodies.Track)) if changed else before)
        if statements < refused:
            break
    assert changed
    assert statements > 20


def test_what_was_rescued_from_a_damaged_outbox_is_withdrawn_too(tmp_path):
    with Outbox(tmp_path / "a") as outbox, Outbox(tmp_path / "rescued") as rescued:
        made = queue(rescued, event(), motion(), track(), trip_end())
        agent, _ = agent_on(outbox, ALL, rescued)
        assert leaving(rescued) == made
        agent.configure(configuration(location="off"))
        assert payloads(rescued) == withdrawn(made, (bodies.Track,))
        agent_on(outbox, NOTHING, rescued)
        assert payloads(rescued) == withdrawn(made, (bodies.Motion, bodies.Track))


def test_of_an_outbox_larger_than_a_step_all_is_withdrawn_and_each_body_counted(tmp_path):
    with Outbox(tmp_path / "a", limits=Limits()) as outbox:
        made = [payload for seed in range(4) for payload in queue(outbox, *[motion(600, seed)] * 500, event())]
        assert sum(map(len, made)) > 1.5 * STEP_BYTES
        outbox.withhold(FORBIDDEN)
        outbox.withdraw()
        assert payloads(outbox) == withdrawn(made, (bodies.Motion,))
        assert outbox.counters == {"withdrawn_motion": 2_000}


def test_a_body_that_is_smaller_than_its_tombstone_is_withdrawn_all_the_same(tmp_path):
    tiny = bodies.Motion(1, 0, 1, {"quality": [0]})
    with Outbox(tmp_path / "a", limits=Limits(max_bytes=0, keep_free_bytes=0)) as outbox:
        made = queue(outbox, tiny, event())
        assert payloads(outbox) == made  # nothing is gained by giving it up
        outbox.withhold(FORBIDDEN)
        assert leaving(outbox) == withdrawn(made, (bodies.Motion,))
        outbox.withdraw()
        assert payloads(outbox) == withdrawn(made, (bodies.Motion,))


@pytest.mark.parametrize("give_up", ["sacrifice", "withdraw"])
def test_a_message_that_the_disk_changed_is_lost_and_makes_no_tombstone(tmp_path, give_up):
    """A tombstone over other bytes would look like a chain that somebody broke."""
    limits = Limits(max_bytes=0, keep_free_bytes=0) if give_up == "sacrifice" else None
    with Outbox(tmp_path / "a") as outbox:
        queue(outbox, motion(), event())
        outbox._file.run("UPDATE message SET payload = substr(payload, 1, 300) || x'00' WHERE seq = 1")
    with Outbox(tmp_path / "a", limits=limits) as outbox:
        if give_up == "withdraw":
            outbox.withhold(FORBIDDEN)
        queue(outbox, health(), impact())
        assert outbox.payload(1) is None
        outbox.commit(outbox.next_seq, [], b"")
        assert outbox.counters == {"damaged_messages": 1}
        verify_parts(leaving(outbox))
