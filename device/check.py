"""`ubi device check`: what works and what does not, part by part, each failure with its fix."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

from device.check_sensors import check_sensors
from device.clock import SystemClock
from device.config import DeviceConfig
from device.contract import wire_pb2 as pb
from device.contract.broker import tls_context
from device.contract.certificate import read_certificate
from device.contract.errors import DiskError, TryAgainError, UbiError
from device.contract.signing import Signer
from device.finding import Finding
from device.outbox import Outbox
from device.uplink import Uplink

BROKER_WITHIN_MS: Final = 10_000
BROKER_STEP_S: Final = 0.2
FREE_MB: Final = 64  # an hour of driving with motion on is under 1 MB; the rest is for the system
BYTES_PER_MB: Final = 1_000_000
EXPIRES_DAYS: Final = 30

KEY_FIX: Final = "name the right 'key_file', let this user read it, or enrol the device again"
BROKER_FIX: Final = "check the address, the network, the clock, 'ca_file' and 'cert_file'"
HELD: Final = "not tried: the running agent holds it; see its log"


def check(config: DeviceConfig) -> Iterator[Finding]:
    """Try each part in turn; what the agent itself holds just now is not touched."""
    clock = SystemClock(config.zone)
    yield _clock(clock)
    yield _disk(config)
    yield _part("key", lambda: _key(config), KEY_FIX)
    if config.client is not None:
        yield _certificate(config, datetime.now(UTC))
    try:
        yield _outbox(config)
    except TryAgainError:
        yield Finding("outbox", ok=True, told=f"{config.outbox}: in use, an agent is running")
        yield from (Finding(part, ok=True, told=HELD) for part in ("adapter", "gnss", "imu", "broker"))
        return
    yield from check_sensors(config, clock.mono_ms)
    yield _part("broker", lambda: _broker(config, clock), BROKER_FIX)


def _part(part: str, attempt: Callable[[], str], fix: str) -> Finding:
    try:
        return Finding(part, ok=True, told=attempt())
    except (UbiError, OSError) as error:
        return Finding(part, ok=False, told=str(error), fix=fix)


def _clock(clock: SystemClock) -> Finding:
    if clock.quality == pb.CLOCK_NTP:
        return Finding("clock", ok=True, told="synchronised by NTP")
    told = "not known to be synchronised; GNSS corrects it while driving, else times are told to the insurer as such"
    return Finding("clock", ok=True, told=told)


def _disk(config: DeviceConfig) -> Finding:
    folder = config.outbox.resolve().parent
    try:
        free_mb = shutil.disk_usage(folder).free // BYTES_PER_MB
    except OSError as error:
        return Finding("disk", ok=False, told=f"{folder}: {error.strerror}", fix="make the folder, or change 'outbox'")
    fix = "" if free_mb >= FREE_MB else f"make room: at least {FREE_MB} MB"
    return Finding("disk", ok=not fix, told=f"{folder}: {free_mb} MB free", fix=fix)


def _key(config: DeviceConfig) -> str:
    return f"{config.key_file}: public key {Signer.from_file(config.key_file).public_key.hex()}"


def _certificate(config: DeviceConfig, now: datetime) -> Finding:
    fix = "let this user read both files; else enrol the device again (`ubi ingest enrol`) and copy them here"
    assert config.cert_file is not None
    try:
        tls_context(config.ca_file, config.client)
        found = read_certificate(config.cert_file)
    except UbiError as error:
        return Finding("certificate", ok=False, told=str(error), fix=fix)
    days = (found.expires_at - now).days
    told = f"{config.cert_file}: for '{found.name}', until {found.expires_at:%Y-%m-%d}"
    if found.name != config.device_id:
        return Finding("certificate", ok=False, told=f"{told}; this device is '{config.device_id}'", fix=fix)
    return Finding("certificate", ok=days >= EXPIRES_DAYS, told=told, fix="" if days >= EXPIRES_DAYS else fix)


def _outbox(config: DeviceConfig) -> Finding:
    """Open it as the agent does. What was not there before is taken away: it would be this user's, not the agent's."""
    is_new = not config.outbox.exists()
    try:
        with Outbox(config.outbox) as outbox:
            told = f"{config.outbox}: {outbox.waiting()} messages wait, stream {outbox.stream_id.hex()}"
        if is_new:
            config.outbox.unlink()
            told = f"{config.outbox}: can be made, by the agent's first start"
        return Finding("outbox", ok=True, told=told)
    except DiskError as error:
        fix = "give folder and file to the agent's user, make room, or mount the disk for writing"
        return Finding("outbox", ok=False, told=str(error), fix=fix)
    except TryAgainError:
        raise
    except UbiError as error:
        return Finding(
            "outbox", ok=False, told=str(error), fix="`ubi device run` sets a damaged file aside and goes on"
        )


def _broker(config: DeviceConfig, clock: SystemClock) -> str:
    uplink = Uplink(config.device_id, config.broker, config.ca_file, client=config.client)
    until_ms = clock.mono_ms() + BROKER_WITHIN_MS
    try:
        while not uplink.is_ready and not uplink.last_error and clock.mono_ms() < until_ms:
            uplink.step(clock.mono_ms(), BROKER_STEP_S)
        if uplink.is_ready:
            return f"{config.broker}: connected, acks can be heard"
        raise UbiError(f"{config.broker}: {uplink.last_error or f'no answer within {BROKER_WITHIN_MS // 1_000} s'}")
    finally:
        uplink.stop()
