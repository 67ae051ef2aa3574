"""The road between cars and lake: messages that come twice, in another order, late, or not at first.

messages with the times they were sent -> what workers receive, in segments -> lake
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from device.contract import topics, wire
from ingest.contract.lake import Lake
from ingest.seal import seal
from ingest.worker import Worker
from tests.chaos.car import Drive

ON_THE_ROAD_MS: Final = 2_000
SEGMENT: Final = 200  # messages
WORKERS: Final = 3
DAY_MS: Final = 86_400_000


class Sent(NamedTuple):
    """A message, and when it came out of its car (UTC)."""

    at_ms: int
    device_id: str
    payload: bytes


Road = Callable[[list[Sent], float, random.Random], list[Sent]]


def sent_of(drive: Drive, payloads: Sequence[bytes]) -> list[Sent]:
    """Messages as they leave a car that is always online."""
    told = []
    for payload in payloads:
        message = wire.decode(payload)
        assert isinstance(message, wire.Message)
        told.append(Sent(drive.started_at_ms + message.header.mono_ms + ON_THE_ROAD_MS, drive.device_id, payload))
    return told


def at_the_end(sent: list[Sent]) -> list[Sent]:
    """As they leave cars that are online again when their drive is over."""
    last_ms = {message.device_id: message.at_ms for message in _by_time(sent)}
    return _by_time([message._replace(at_ms=last_ms[message.device_id]) for message in sent])


def duplicate(sent: list[Sent], share: float, rng: random.Random) -> list[Sent]:
    """A share comes again, once or twice, up to a minute later."""
    again = [
        message._replace(at_ms=message.at_ms + rng.randrange(60_000))
        for message in sent
        for _ in range(rng.randrange(1, 3))
        if rng.random() < share
    ]
    return _by_time([*sent, *again])


def reorder(sent: list[Sent], within: float, rng: random.Random) -> list[Sent]:
    """Messages of a car overtake each other by so many places; none comes before it was sent."""
    heard = []
    for device in sorted({message.device_id for message in sent}):
        mine = [message for message in sent if message.device_id == device]
        at_ms = 0
        for place in sorted(range(len(mine)), key=lambda place: place + rng.uniform(0, within)):
            at_ms = max(at_ms, mine[place].at_ms)
            heard.append(mine[place]._replace(at_ms=at_ms))
    return sorted(heard, key=lambda message: message.at_ms)  # which is stable


def delay(sent: list[Sent], hours: float, rng: random.Random) -> list[Sent]:
    """Each message waits up to so long: dead zones, a car in a cellar garage."""
    return _by_time([m._replace(at_ms=m.at_ms + round(rng.random() * hours * 3_600_000)) for m in sent])


def drop(sent: list[Sent], share: float, rng: random.Random) -> list[Sent]:
    """A share is lost on the way, again and again, and sent again after a minute, two, four until it is acked.

    A lost ack is the same to a car: what had come is sent once more.
    """
    heard = []
    for message in sent:
        wait_ms, at_ms = 60_000, message.at_ms
        while rng.random() < share:
            at_ms, wait_ms = at_ms + wait_ms, min(2 * wait_ms, 3_600_000)
            if rng.random() < share / 2:  # it was the ack that was lost
                heard.append(message._replace(at_ms=at_ms))
        heard.append(message._replace(at_ms=at_ms))
    return _by_time(heard)


def arrive(root: Path, sent: Sequence[Sent], rng: random.Random, seals: int = 0) -> Lake:
    """Let workers take what comes, and seal it; `seals` times in between as well, at any moment."""
    lake = Lake(root)
    workers = [Worker(lake, f"w{number}", lambda _topic, _payload: None) for number in range(WORKERS)]
    segments = [sent[at : at + SEGMENT] for at in range(0, len(sent), SEGMENT)]
    early = {rng.randrange(len(segments)) for _ in range(seals)}
    for number, segment in enumerate(segments):
        worker = rng.choice(workers)
        for message in segment:
            worker.take(topics.up(message.device_id), message.payload, message.at_ms)
        worker.flush(segment[-1].at_ms)
        if number in early:
            seal(lake, segment[-1].at_ms)
    seal(lake, max(message.at_ms for message in sent) + DAY_MS)
    return lake


def _by_time(sent: list[Sent]) -> list[Sent]:
    return sorted(sent, key=lambda message: message.at_ms)
