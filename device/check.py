"""`ubi device check`: what works and what does not, part by part, each failure with its fix."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from device import live
from device.clock import SystemClock
from device.config import DeviceConfig
from device.contract import wire_pb2 as pb
from device.contract.errors import TryAgainError, UbiError
from device.contract.signing import Signer
from device.outbox import Outbox
from device.sources.source import Waiting
from device.uplink import Uplink

ADAPTER_WITHIN_MS: Final = 35_000  # a slow search for the bus, and one more attempt
BROKER_WITHIN_MS: Final = 10_000


class Finding(NamedTuple):
    """One part of the device: whether it works, and what was seen or what to do."""

    part: str
    ok: bool
    told: str


def check(config: DeviceConfig) -> Iterator[Finding]:
    """Try each part in turn; what the agent itself holds just now is not touched."""
    clock = SystemClock(config.zone)
    yield _clock(clock)
    yield _part("key", lambda: _key(config))
    running = False
    try:
        with Outbox(config.outbox) as outbox:
            waits = f"{outbox.waiting()} messages wait, stream {outbox.stream_id.hex()}"
            yield Finding("outbox", ok=True, told=f"{config.outbox}: {waits}")
    except TryAgainError:
        running = True
        yield Finding("outbox", ok=True, told=f"{config.outbox}: in use, an agent is running")
    except UbiError as error:
        yield Finding("outbox", ok=False, told=str(error))
    if running:
        yield Finding("adapter", ok=True, told="not tried: the running agent holds the port; see its log")
        yield Finding("broker", ok=True, told="not tried: the running agent holds the connection; see its log")
        return
    yield _part("adapter", lambda: _adapter(config, clock))
    yield _part("broker", lambda: _broker(config, clock))


def _part(part: str, attempt: Callable[[], str]) -> Finding:
    try:
        return Finding(part, ok=True, told=attempt())
    except (UbiError, OSError) as error:
        return Finding(part, ok=False, told=str(error))


def _clock(clock: SystemClock) -> Finding:
    if clock.quality == pb.CLOCK_NTP:
        return Finding("clock", ok=True, told="synchronised by NTP")
    return Finding("clock", ok=True, told="not known to be synchronised; times are told to the insurer as such")


def _key(config: DeviceConfig) -> str:
    return f"{config.key_file}: public key {Signer.from_file(config.key_file).public_key.hex()}"


def _adapter(config: DeviceConfig, clock: SystemClock) -> str:
    until_ms = clock.mono_ms() + ADAPTER_WITHIN_MS
    with live.adapter(config) as source:
        waiting = Waiting(source)
        while clock.mono_ms() < until_ms:
            reading = waiting.read(live.POLL_S)
            if reading is not None and reading.value is not None:
                health = source.health
                return f"{config.obd_port}: {health.adapter}, {health.protocol}, {reading.signal} {reading.value:g}"
            if source.counters["obd_failed"] or source.counters["obd_silent"]:
                break
        reason = source.health.last_failure or "no value from the car"
    raise UbiError(f"{config.obd_port}: {reason}; check the plug, the ignition and 'obd_port'")


def _broker(config: DeviceConfig, clock: SystemClock) -> str:
    uplink = Uplink(config.device_id, config.broker, config.ca_file, client=config.client)
    until_ms = clock.mono_ms() + BROKER_WITHIN_MS
    try:
        while not uplink.is_ready and not uplink.last_error and clock.mono_ms() < until_ms:
            uplink.step(clock.mono_ms(), live.POLL_S)
        if uplink.is_ready:
            return f"{config.broker}: connected, acks can be heard"
        reason = uplink.last_error or f"no answer within {BROKER_WITHIN_MS // 1_000} s"
        raise UbiError(f"{config.broker}: {reason}; check the address, the network and 'ca_file'")
    finally:
        uplink.stop()
