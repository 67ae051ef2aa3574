from __future__ import annotations

import random
import signal
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.chain import CHECKPOINT_MS
from device.contract import bodies
from device.contract import wire_pb2 as pb
from device.contract.motion import COLUMNS, PERIOD_MS, MotionSample
from device.contract.signals import Reading
from device.contract.signing import verify
from device.events import DetectedEvent
from device.messages import MAX_BATCH_ROWS
from device.outbox import Outbox
from device.pipeline import Pipeline, TripEnded, TripStarted
from tests.conftest import REPOSITORY
from tests.device.agents import (
    FULL,
    MONDAY_MS,
    OFF,
    SIGNER,
    STREAM,
    agent_on,
    decoded,
    drive,
    of_kind,
    payloads,
    play,
    stream_of,
)


def test_messages_say_what_the_pipeline_found(tmp_path):
    readings = drive(1_800)
    messages = decoded(stream_of(tmp_path / "a", readings))
    pipeline = Pipeline(lambda mono_ms: (MONDAY_MS + mono_ms, 60))
    found = [out for reading in readings for out in pipeline.push(reading)] + pipeline.finish()

    (started,), (ended,) = of_kind(messages, bodies.TripStart), of_kind(messages, bodies.TripEnd)
    (start,) = [out for out in found if isinstance(out, TripStarted)]
    (end,) = [out for out in found if isinstance(out, TripEnded)]
    assert (started.started_at_ms, started.utc_offset_min) == (MONDAY_MS + start.start_mono_ms, 60)
    assert (started.start_mono_ms, started.odometer_m) == (start.start_mono_ms, 1_000_000)
    assert (ended.trip_seq, ended.reason, ended.summary) == (1, end.reason, end.summary)
    assert ended.odometer_m > 1_000_000

    events = [out for out in found if isinstance(out, DetectedEvent)]
    sent = [{name: getattr(body, name) for name in DetectedEvent._fields} for body in of_kind(messages, bodies.Event)]
    assert sent == [event._asdict() for event in events]
    assert len(events) > 10

    rows = [
        MotionSample(batch.first_t_ms + index * PERIOD_MS, *values)
        for batch in of_kind(messages, bodies.Motion)
        for index, values in enumerate(zip(*(batch.columns[name] for name in COLUMNS), strict=True))
    ]
    assert rows == [out for out in found if isinstance(out, MotionSample)]

    counters = of_kind(messages, bodies.Health)[-1].counters
    nulls = sum(reading.value is None for reading in readings)
    assert (counters["readings"], counters["null_readings"]) == (len(readings), nulls)


def test_the_stream_is_one_chain_without_holes(tmp_path):
    head = b""
    for index, message in enumerate(decoded(stream_of(tmp_path / "a", drive(900)))):
        assert (message.header.seq, message.header.prev_hash) == (index + 1, head)
        head = message.hash


def test_a_trip_is_named_by_the_seq_of_its_start(tmp_path):
    readings = drive(300) + drive(300, seed=2, start_ms=900_000)
    messages = decoded(stream_of(tmp_path / "a", readings))
    starts = [message.header.seq for message in messages if isinstance(message.body, bodies.TripStart)]
    assert len(starts) == 2
    current = 0
    for message in messages:
        current = message.header.seq if isinstance(message.body, bodies.TripStart) else current
        if not isinstance(message.body, bodies.TripStart | bodies.Health):
            assert message.body.trip_seq == current


def test_privacy_changes_neither_events_nor_summaries(tmp_path):
    readings = drive(1_800)
    full = decoded(stream_of(tmp_path / "full", readings, FULL))
    off = decoded(stream_of(tmp_path / "off", readings, OFF))
    assert of_kind(off, bodies.Motion) == []
    assert of_kind(full, bodies.Motion)
    for kind in (bodies.TripStart, bodies.Event, bodies.TripEnd):
        assert of_kind(full, kind) == of_kind(off, kind)


@pytest.mark.parametrize("setting", [FULL, OFF, replace(FULL, batch_ms=60_000)], ids=["replay", "off", "live"])
def test_a_checkpoint_comes_with_each_trip_end_and_at_least_every_five_minutes_of_driving(tmp_path, setting):
    messages = decoded(stream_of(tmp_path / "a", drive(3_600), setting))
    signed = [message for message in messages if message.signature]
    assert all(verify(SIGNER.public_key, message.hash, message.signature) for message in signed)
    assert isinstance(messages[-1].body, bodies.TripEnd)
    assert messages[-1].signature
    times = [0, *(message.header.mono_ms for message in signed)]
    assert max(b - a for a, b in pairwise(times)) <= CHECKPOINT_MS + 1_000


def test_motion_batches_end_after_their_time_and_never_hold_more_than_600_rows(tmp_path):
    for batch_ms, rows in ((60_000, 120), (10_000_000, MAX_BATCH_ROWS)):
        setting = replace(FULL, batch_ms=batch_ms)
        messages = decoded(stream_of(tmp_path / str(batch_ms), drive(1_200), setting))
        counts = [batch.count for batch in of_kind(messages, bodies.Motion)]
        assert set(counts[:-1]) == {rows}
        assert 0 < counts[-1] <= rows


def test_an_event_is_in_the_outbox_at_once(tmp_path):
    readings = drive(1_200)
    with Outbox(tmp_path / "a", STREAM) as outbox:
        agent, seen = agent_on(outbox, replace(FULL, commit_ms=10**9)), 0
        for reading in readings:
            agent.push(reading)
            waiting = outbox.waiting()
            if waiting != seen:
                kinds = [type(message.body) for message in decoded(payloads(outbox)[seen:])]
                assert kinds[-1] in (bodies.TripStart, bodies.Event)
                seen = waiting
        assert seen > 10


def test_parked_or_driving_the_number_of_syncs_is_what_the_module_says(tmp_path):
    with Outbox(tmp_path / "a", STREAM) as outbox:
        commits = []
        store = outbox.commit
        outbox.commit = lambda *args: (commits.append(args), store(*args))
        agent = agent_on(outbox, replace(OFF, commit_ms=10_000))
        for tick in range(7_200):
            agent.push(Reading(tick * 500, "speed_kmh", 0.0))
            agent.push(Reading(tick * 500, "rpm", 0.0))
        assert commits == []
        for tick in range(7_200, 14_400):
            agent.push(Reading(tick * 500, "speed_kmh", 50.0))
        assert 355 <= len(commits) <= 365


@settings(max_examples=15)
@given(st.lists(st.integers(0, 3_500), max_size=6), st.sampled_from([1_000, 30_000, 10**9]))
def test_killed_at_any_reading_a_replay_goes_on_to_the_same_bytes(tmp_path_factory, kills, commit_ms):
    folder = tmp_path_factory.mktemp("agent")
    readings, setting = drive(600), replace(FULL, commit_ms=commit_ms, batch_ms=60_000)
    for kill in [*sorted(kills), None]:
        with Outbox(folder / "killed", STREAM) as outbox:
            agent = agent_on(outbox, setting)
            for reading in readings[agent.readings : kill]:
                agent.push(reading)
            if kill is None:
                agent.finish()
                assert payloads(outbox) == stream_of(folder / "whole", readings, setting)


PLAYER = """
import sys
from pathlib import Path
from device.events import DetectedEvent
from device.outbox import Outbox
from tests.device.agents import STREAM, agent_on, drive

with Outbox(Path(sys.argv[1]), STREAM) as outbox:
    agent = agent_on(outbox)
    for reading in drive(7_200)[agent.readings :]:
        agent.push(reading)
        if agent.readings % 50 == 0:
            print(agent.readings, flush=True)
    agent.finish()
"""


def test_kill_9_in_mid_trip_and_run_again_gives_the_same_bytes(tmp_path):
    seed = random.randrange(2**32)
    draw = random.Random(seed)
    kills = 0
    for _ in range(20):
        command = [sys.executable, "-c", PLAYER, str(tmp_path / "killed")]
        lines = draw.randrange(1, 80)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as process:
            for _line, _ in zip(process.stdout, range(lines), strict=False):
                pass
            process.send_signal(signal.SIGKILL)
        kills += process.returncode == -signal.SIGKILL
        if process.returncode == 0:
            break
    assert kills >= 3, f"seed {seed}"
    with Outbox(tmp_path / "killed", STREAM) as outbox:
        agent = agent_on(outbox)
        readings = drive(7_200)
        if not agent.finished:
            play(agent, readings)
            agent.finish()
        assert payloads(outbox) == stream_of(tmp_path / "whole", readings), f"seed {seed}"


def test_another_boot_ends_the_running_trip_and_goes_on_with_the_chain(tmp_path):
    with Outbox(tmp_path / "a", STREAM) as outbox:
        agent = agent_on(outbox)
        play(agent, drive(300))
        agent.commit()
    with Outbox(tmp_path / "a", STREAM) as outbox:
        agent = agent_on(outbox, boot_id=b"other", now_ms=20_000)
        for reading in drive(300, seed=3, start_ms=21_000):
            agent.push(reading)
        agent.finish()
        messages = decoded(payloads(outbox))
    ends = of_kind(messages, bodies.TripEnd)
    assert [end.reason for end in ends] == [pb.END_REBOOT, pb.END_OF_RECORDING]
    assert len(of_kind(messages, bodies.TripStart)) == 2
    assert [message.header.seq for message in messages] == list(range(1, len(messages) + 1))
    boots = [message.header.boot_id for message in messages]
    assert boots == sorted(boots)
    assert {*boots} == {b"boot", b"other"}


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (b'{"version":99}', "state of version 99 is dropped"),
        (b'{"version":2,"pipeline":{"rules_version":99}}', "state of event rules version 99 is dropped"),
    ],
)
def test_a_state_of_another_release_is_dropped_and_the_chain_goes_on(tmp_path, caplog, state, told):
    with Outbox(tmp_path / "a", STREAM) as outbox:
        play(agent_on(outbox), drive(60))
        before = outbox.next_seq
        outbox.commit(outbox.next_seq, [], state)
        agent = agent_on(outbox)
        assert agent.readings == 0
        play(agent, drive(60))
        assert decoded(payloads(outbox))[before - 1].header.seq == before
    assert told in caplog.text


def test_time_without_readings_ends_a_trip(tmp_path):
    with Outbox(tmp_path / "a", STREAM) as outbox:
        agent = agent_on(outbox)
        play(agent, drive(120))
        for now_ms in range(121_000, 400_000, 1_000):
            agent.advance(now_ms)
        (end,) = of_kind(decoded(payloads(outbox)), bodies.TripEnd)
        assert end.reason == pb.END_INACTIVE
        assert not agent.finished


def test_a_trip_begun_by_the_first_release_goes_on(tmp_path):
    """The state is one that the first release committed after 900 readings of `drive(300)`."""
    with Outbox(tmp_path / "a", STREAM) as outbox:
        play(agent_on(outbox), drive(300)[:900])
        outbox.commit(outbox.next_seq, [], (REPOSITORY / "tests/device/state_version_1.json").read_bytes())
    with Outbox(tmp_path / "a", STREAM) as outbox:
        agent = agent_on(outbox)
        assert agent.readings == 900
        play(agent, drive(300))
        agent.finish()
        (end,) = of_kind(decoded(payloads(outbox)), bodies.TripEnd)
    (whole,) = of_kind(decoded(stream_of(tmp_path / "whole", drive(300))), bodies.TripEnd)
    assert (end.trip_seq, end.reason, end.odometer_m) == (whole.trip_seq, whole.reason, whole.odometer_m)
    assert (end.summary.samples, end.summary.duration_ms) == (whole.summary.samples, whole.summary.duration_ms)
    assert end.summary.distance_mm == pytest.approx(
        whole.summary.distance_mm, rel=1e-3
    )  # its motion was built otherwise
