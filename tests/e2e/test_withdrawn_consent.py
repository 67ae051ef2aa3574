"""A driver switches location and motion off while messages wait: from the car over broker and worker to the price."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest

from device.agent import Agent, AgentSettings
from device.contract import bodies, wire
from device.contract import wire_pb2 as pb
from device.contract.broker import parse_broker
from device.outbox import Outbox
from device.uplink import Uplink
from ingest.contract.lake import Lake
from ingest.seal import seal
from tests.device.agents import MONDAY_MS, SIGNER, STREAM, clock, decoded, drive, payloads, play
from tests.features.test_privacy_and_price import with_gnss
from tests.features.whole import Built, tables_of
from tests.ingest.process import Ingest, wait_for

FULL = AgentSettings("car", motion=True, location="full")
OFF = AgentSettings("car")
READINGS = with_gnss(drive(420) + drive(200, seed=5, start_ms=1_020_000))
TRACK, MOTION = pb.BODY_TRACK, pb.BODY_MOTION


class Came(NamedTuple):
    """What waited when the car drove on with the settings, what the lake has, and what is built of it."""

    waited: list[bytes]
    messages: pl.DataFrame
    trips: pl.DataFrame
    built: Built


@pytest.mark.broker
def test_what_waits_when_consent_is_withdrawn_stays_in_the_car_and_the_price_is_the_same(mosquitto, tmp_path):
    kept, off = (driven(mosquitto.url, tmp_path / name, then) for name, then in (("kept", FULL), ("off", OFF)))
    assert kept.messages["tombstone"].sum() == 0
    waited = decoded(off.waited)
    forbidden = {m.header.seq for m in waited if isinstance(m.body, bodies.Motion | bodies.Track)}
    assert {type(m.body) for m in waited if m.header.seq in forbidden} == {bodies.Motion, bodies.Track}

    later = off.messages.filter(pl.col("seq") >= waited[0].header.seq)
    assert set(later.filter(pl.col("tombstone"))["seq"]) == forbidden
    assert not later.filter(~pl.col("tombstone") & pl.col("body_kind").is_in([TRACK, MOTION])).height
    whole = {message.header.seq: payload for message, payload in zip(waited, off.waited, strict=True)}
    came = {row["seq"]: row["payload"] for row in later.to_dicts()}
    assert {seq: came[seq] for seq in whole.keys() - forbidden} == {s: whole[s] for s in whole.keys() - forbidden}

    assert sorted(off.messages["seq"]) == list(range(1, off.messages.height + 1))  # nothing is missing
    assert off.trips["complete"].all()
    assert off.trips["chain_ok"].all()
    assert off.trips["tombstones"].sum() == len(forbidden)
    told = [wire.decode(row) for row in off.messages["payload"]]
    healths = [m.body.counters for m in told if isinstance(m, wire.Message) and isinstance(m.body, bodies.Health)]
    counted = sum(health.get(f"outbox_withdrawn_{kind}", 0) for health in healths for kind in ("motion", "track"))
    assert counted == len(forbidden)
    assert off.built.driver_periods.equals(kept.built.driver_periods)


def driven(url: str, folder: Path, then: AgentSettings) -> Came:
    """Two trips with all settings on; after a few acks in the first the car restarts with settings `then`."""
    folder.mkdir()
    half = len(READINGS) // 2
    with Ingest(url, folder / "lake"):
        with Outbox(folder / "outbox", STREAM) as outbox:
            agent = Agent(FULL, outbox, SIGNER.sign, clock())
            play(agent, READINGS[: half // 3])
            deliver(url, outbox)
            play(agent, READINGS[:half])
            agent.commit()
            waited = payloads(outbox)
        with Outbox(folder / "outbox", STREAM) as outbox:
            agent = Agent(then, outbox, SIGNER.sign, clock())
            count(agent, outbox)
            play(agent, READINGS)
            agent.finish()
            deliver(url, outbox)
    lake = Lake(folder / "lake")
    seal(lake, MONDAY_MS)
    messages = pl.read_parquet(folder / "lake" / "messages" / "*" / "*.parquet").sort("seq")
    return Came(waited, messages, lake.scan("trips").collect(), tables_of(lake))


def count(agent: Agent, outbox: Outbox) -> None:
    """As the running agent does each second."""
    for name, total in outbox.counters.items():
        agent.count_total(f"outbox_{name}", total)


def deliver(url: str, outbox: Outbox) -> None:
    uplink = Uplink("car", parse_broker(url))
    uplink.add(outbox)

    def all_acked() -> bool:
        uplink.step(time.monotonic_ns() // 1_000_000, 0.02)
        return outbox.waiting() == 0

    wait_for(all_acked)
    uplink.stop()
