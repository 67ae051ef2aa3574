"""A recording through the device path without a broker: the messages that the car would have sent, and what they say.

readings -> Agent -> Outbox in a folder that is thrown away -> messages -> trips
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from device.contract import bodies, wire
from device.contract.errors import ContractError
from device.contract.motion import COLUMNS, MotionSample
from device.outbox import Outbox
from replay_data.recording import Recording, agent_of

MESSAGES_AT_ONCE = 1_000


@dataclass(slots=True)
class Trip:
    """What the messages of one trip say. Times of samples, events and impacts are since the trip's start.

    A trip that had not ended yet has no `end`.
    """

    start: bodies.TripStart
    samples: list[MotionSample] = field(default_factory=list)
    events: list[bodies.Event] = field(default_factory=list)
    impacts: list[bodies.Impact] = field(default_factory=list)
    end: bodies.TripEnd | None = None


def messages_of(recording: Recording) -> list[bytes]:
    """Return the payloads that replaying this recording sends, in order of seq; see `player`."""
    with tempfile.TemporaryDirectory(prefix="ubi-replay-") as folder:
        outbox = Outbox(Path(folder) / "outbox", recording.stream_id)
        try:
            agent = agent_of(recording, outbox)
            for reading in recording.readings:
                agent.push(reading)
            agent.finish()
            payloads: list[bytes] = []
            while rows := outbox.unacked(MESSAGES_AT_ONCE, len(payloads)):
                payloads += [row.payload for row in rows]
            return payloads
        finally:
            outbox.close()


def trips_of(payloads: Iterable[bytes]) -> list[Trip]:
    """Return the trips that the messages of one stream tell of, in order. Impact alerts give way to their report."""
    trips: dict[int, Trip] = {}
    for payload in payloads:
        message = wire.decode(payload)
        if isinstance(message, wire.Reject):
            raise ContractError(f"the device path made a message that is refused: {message.reason}, {message.detail}")
        match message.body:
            case bodies.TripStart() as start:
                trips[message.header.seq] = Trip(start)
            case bodies.Motion() as motion:
                trips[motion.trip_seq].samples += _samples(motion, trips[motion.trip_seq].start.period_ms)
            case bodies.Event() as event:
                trips[event.trip_seq].events.append(event)
            case bodies.Impact(complete=True) as impact if impact.trip_seq:
                trips[impact.trip_seq].impacts.append(impact)
            case bodies.TripEnd() as end:
                trips[end.trip_seq].end = end
    for trip in trips.values():
        trip.events.sort(key=lambda event: (event.onset_ms, event.kind))
    return list(trips.values())


def _samples(motion: bodies.Motion, period_ms: int) -> list[MotionSample]:
    columns = (motion.columns[name] for name in COLUMNS)
    rows = zip(*columns, strict=True)
    return [MotionSample(motion.first_t_ms + n * period_ms, *row) for n, row in enumerate(rows)]
