"""What the sensors of a simulated car deliver, byte by byte on a virtual clock, as read by the device's own parsers.

truth -> control unit -> ELM327 responder -> replies   -> j1979
      -> receiver     -> NMEA 0183 sentences           -> NmeaParser
      -> IMU          -> WT901 frames                  -> Wt901Parser
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from device.contract.signals import BY_NAME, Reading
from device.sources.j1979 import PIDS, Refusal, parse_reply
from device.sources.nmea import NmeaParser
from device.sources.schedule import PERIODS_MS, Schedule
from device.sources.wt901 import Wt901Parser
from replay_data.elm327 import Elm327
from replay_data.serial_gnss import to_nmea
from replay_data.serial_imu import to_wt901

SETTINGS: Final = ("ATZ", "ATE0", "ATH1", "ATL0", "ATSP6")


class Adapter(NamedTuple):
    """How long an adapter takes for a request, and how often it loses one."""

    name: str
    latency_ms: float
    jitter_ms: float
    lost: float


WIRED: Final = Adapter("wired", 35, 4, 0.0)
BLUETOOTH: Final = Adapter("bluetooth", 75, 25, 0.002)
CLONE: Final = Adapter("clone", 115, 20, 0.005)
SLOW_CLONE: Final = Adapter("slow clone", 290, 110, 0.02)
ADAPTERS: Final = {adapter.name: adapter for adapter in (WIRED, BLUETOOTH, CLONE, SLOW_CLONE)}


def polled(ecu: Iterable[Reading], end_ms: int, adapter: Adapter, rng: random.Random) -> Iterator[Reading]:
    """Poll the responder reply by reply, as the polling process does; yield its readings."""
    elm = Elm327(ecu, lambda reply: b"NO DATA\r\r>" if rng.random() < adapter.lost else reply)
    for command in SETTINGS:
        elm.respond(command, 0)
    schedule = Schedule([name for name, pid in PIDS.items() if pid in elm.pids], PERIODS_MS)
    now_ms = 0.0
    while now_ms < end_ms:
        signal = schedule.pick(now_ms)
        if signal is None:
            now_ms += max(schedule.wait_ms(now_ms), 1.0)
            continue
        took_ms = max(adapter.latency_ms / 2, rng.gauss(adapter.latency_ms, adapter.jitter_ms))
        reply = elm.respond(f"01{PIDS[signal]:02X}", now_ms + took_ms / 2)
        now_ms += took_ms
        value = parse_reply(signal, _payload(reply))
        yield Reading(int(now_ms), signal, None if isinstance(value, Refusal) else value)


def received(readings: Iterable[Reading], started_at_ms: int) -> Iterator[Reading]:
    """Say the fixes of a receiver in NMEA sentences, and read these as the device does."""
    parser = NmeaParser()
    for t_ms, sentences in to_nmea(readings, started_at_ms):
        yield from _plausible(parser.feed(sentences, t_ms))


def shaken(readings: Iterable[Reading]) -> Iterator[Reading]:
    """Say the samples of an IMU in frames of its protocol, and read these as the device does."""
    parser = Wt901Parser()
    for t_ms, frames in to_wt901(readings):
        yield from _plausible(parser.feed(frames, t_ms))


def _plausible(readings: Iterable[Reading]) -> Iterator[Reading]:
    for reading in readings:
        signal = BY_NAME[reading.signal]
        if reading.value is None or signal.low <= reading.value <= signal.high:
            yield reading


def _payload(reply: bytes) -> bytes:
    """Data of a single-frame reply with header (7E8 03 41 0D 32 ...); empty for anything else."""
    head, *frame = reply.split(b"\r")[0].split() or [b""]
    if head != b"7E8":
        return b""
    data = bytes.fromhex(b"".join(frame).decode())
    return data[1 : 1 + data[0]]
