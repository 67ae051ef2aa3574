"""Agents on recorded clocks, drives to play into them, and what they made of it."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from device.agent import Agent, AgentSettings
from device.clock import RecordedClock
from device.contract import wire
from device.contract.signals import Reading
from device.contract.signing import Signer
from device.outbox import Outbox

STREAM = bytes(range(16))
SIGNER = Signer.from_seed(bytes(32))
MONDAY_MS = 1_735_516_800_000
FULL = AgentSettings("car", motion=True, batch_ms=250_000, commit_ms=30_000)
OFF = replace(FULL, motion=False)


def drive(seconds: int, seed: int = 1, start_ms: int = 0) -> list[Reading]:
    """A drive with engine, changing speed, hard braking now and then, missing answers, and stops within a trip."""
    draw, readings, speed, target = random.Random(seed), [], 0.0, 50.0
    for tick in range(seconds * 2):
        t_ms = start_ms + tick * 500 + draw.randrange(100)
        if tick % 80 == 0:
            target = draw.choice([0.0, 0.0, 30.0, 50.0, 90.0, 135.0])
        step = 9.0 if draw.random() < 0.1 else 2.0
        speed += max(-step, min(step, target - speed))
        readings.append(Reading(t_ms, "speed_kmh", None if draw.random() < 0.05 else float(round(speed))))
        readings.append(Reading(t_ms, "rpm", 900.0 + 20 * speed))
        if tick % 200 == 0:
            readings.append(Reading(t_ms, "odometer_km", 1_000 + tick / 100))
    return readings


def clock(boot_id: bytes = b"boot") -> RecordedClock:
    return RecordedClock(MONDAY_MS, 60, boot_id)


def agent_on(outbox: Outbox, setting: AgentSettings = FULL, boot_id: bytes = b"boot", now_ms: int = 0) -> Agent:
    return Agent(setting, outbox, SIGNER.sign, clock(boot_id), now_ms)


def play(agent: Agent, readings: list[Reading]) -> None:
    for reading in readings[agent.readings :]:
        agent.push(reading)


def payloads(outbox: Outbox) -> list[bytes]:
    return [row.payload for row in outbox.unacked(1_000_000)]


def decoded(stream: list[bytes]) -> list[wire.Message]:
    messages = [wire.decode(payload, "car") for payload in stream]
    taken = [message for message in messages if isinstance(message, wire.Message)]
    assert taken == messages
    return taken


def stream_of(path: Path, readings: list[Reading], setting: AgentSettings = FULL) -> list[bytes]:
    """All messages of readings played without interruption."""
    with Outbox(path, STREAM) as outbox:
        agent = agent_on(outbox, setting)
        play(agent, readings)
        agent.finish()
        return payloads(outbox)


def of_kind(messages: list[wire.Message], kind: type) -> list[Any]:
    return [message.body for message in messages if isinstance(message.body, kind)]
