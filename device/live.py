"""The agent in a running car: adapter -> agent -> uplink, until it is told to stop.

    read a reading, or none for POLL_S -> agent.push or agent.advance -> outbox -> uplink.step

One thread: only the MQTT client's own network thread and the adapter's process run beside it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from device.agent import Agent, AgentSettings
from device.clock import SystemClock
from device.config import DeviceConfig
from device.contract.errors import TryAgainError
from device.contract.recording import RecordingHead, reading_order, write_recording
from device.contract.signals import Reading
from device.contract.signing import Signer
from device.outbox import Outbox
from device.sources.obd import ObdSource
from device.sources.source import Waiting
from device.uplink import Uplink

log = logging.getLogger(__name__)

POLL_S: Final = 0.2
FLUSH_MS: Final = 3_000  # how long a stopped agent waits for acks; what is not acked then is sent after the next start

Stopping = Callable[[], bool]


def run(config: DeviceConfig, stopping: Stopping) -> None:
    """Run the agent until `stopping()`; then commit, give acks a moment and say goodbye."""
    clock = SystemClock(config.zone)
    signer = Signer.from_file(config.key_file)
    settings = AgentSettings(
        device_id=config.device_id,
        motion=config.motion == "full",
        batch_ms=config.batch_s * 1_000,
        commit_ms=config.commit_s * 1_000,
        vehicle=config.vehicle,
    )
    with Outbox(config.outbox) as outbox, adapter(config) as source:
        agent = Agent(settings, outbox, signer.sign, clock, clock.mono_ms())
        uplink = Uplink(config.device_id, config.broker, config.ca_file, client=config.client)
        uplink.add(outbox)
        counters = CounterFeed(agent)
        waiting = Waiting(source)
        log.info("%s: %d messages wait, motion %s", config.device_id, outbox.waiting(), config.motion)
        try:
            while not stopping():
                reading = waiting.read(POLL_S)
                agent.messages.adapter = source.health.adapter or agent.messages.adapter
                counters.feed(source, uplink)
                if reading is None:
                    agent.advance(clock.mono_ms())
                else:
                    agent.push(reading)
                uplink.step(clock.mono_ms())
            agent.commit()
            until_ms = clock.mono_ms() + FLUSH_MS
            while uplink.is_ready and outbox.waiting() and clock.mono_ms() < until_ms:
                uplink.step(clock.mono_ms(), POLL_S)
        finally:
            uplink.stop()
        log.info("%s: stopped, %d messages wait for the next start", config.device_id, outbox.waiting())


class CounterFeed:
    """Passes what source and uplink have counted since the last time on to the agent's health messages."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._told: dict[str, int] = {}

    def feed(self, source: ObdSource, uplink: Uplink) -> None:
        """Tell the agent of what is new."""
        totals = dict(source.counters)
        totals |= {f"uplink_{name}": count for name, count in uplink.counters.items()}
        for name, total in totals.items():
            if total > self._told.get(name, 0):
                self._agent.count(name, total - self._told.get(name, 0))
                self._told[name] = total


def record(config: DeviceConfig, target: Path, stopping: Stopping, seconds: float | None = None) -> int:
    """Write what the adapter says to a recording until `stopping()`, or for so many seconds from the first reading on.

    Returns
    -------
    int
        How many readings were written.

    Raises
    ------
    TryAgainError
        Not one reading came.
    """
    clock = SystemClock(config.zone)
    with adapter(config) as source:
        incoming = Waiting(source)
        first = next(_incoming(incoming, stopping), None)
        if first is None:
            raise TryAgainError(
                f"{config.obd_port}: {source.health.last_failure or 'stopped before the first reading'}"
            )
        started_at_ms = clock.utc_ms(first.t_ms)
        head = RecordingHead(
            source="obd",
            vehicle=config.vehicle,
            started_at_ms=started_at_ms,
            utc_offset_min=clock.utc_offset_min(started_at_ms),
            notes={"adapter": source.health.adapter or "", "device_id": config.device_id},
        )
        until_ms = math.inf if seconds is None else first.t_ms + seconds * 1_000
        rest = _incoming(incoming, lambda: stopping() or clock.mono_ms() >= until_ms)
        written = 0

        def counted() -> Iterator[Reading]:
            nonlocal written
            for reading in rising(first, rest):
                written += 1
                yield reading._replace(t_ms=reading.t_ms - first.t_ms)

        write_recording(target, head, counted())
        return written


def rising(first: Reading, rest: Iterator[Reading]) -> Iterator[Reading]:
    """Readings in the strict order of a recording; a late one, and a signal's second in one millisecond, is dropped."""
    same_ms = [first]
    for reading in rest:
        if reading.t_ms > same_ms[0].t_ms:
            yield from sorted(same_ms, key=reading_order)
            same_ms = [reading]
        elif reading.t_ms == same_ms[0].t_ms and all(reading.signal != other.signal for other in same_ms):
            same_ms.append(reading)
    yield from sorted(same_ms, key=reading_order)


def adapter(config: DeviceConfig) -> ObdSource:
    """The adapter that the configuration names."""
    return ObdSource(config.obd_port, baudrate=config.obd_baudrate, protocol=config.obd_protocol)


def _incoming(waiting: Waiting, stopping: Stopping) -> Iterator[Reading]:
    while not stopping():
        reading = waiting.read(POLL_S)
        if reading is not None:
            yield reading
