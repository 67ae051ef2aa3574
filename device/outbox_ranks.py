"""What is sent first, and what is given up first when there is no room: one number for each message, its rank.

Sent in rising order of rank, oldest first in each. An accident is told at once, whatever waits. What prices the
driver goes before the motion it was derived from: after hours without a network, minutes of one deliver every trip.

Given up in the order of `SACRIFICED`, oldest first in each: the body goes, header, hash and signature stay (a
tombstone), so that the chain and its checkpoints verify and the insurer knows exactly what is missing. Never given up:
impacts, events and trips, without which a trip has no price; and health, which is hardly larger than its tombstone
and carries the counts of what was given up.

Withdrawn, into the same tombstones: motion and track that wait when the settings no longer let them leave the car.
"""

from __future__ import annotations

from collections import Counter
from enum import IntEnum
from typing import Final

from google.protobuf.message import DecodeError

from device.contract import bodies
from device.contract import wire_pb2 as pb
from device.contract.wire import Encoded, tombstone
from device.privacy import Privacy, silent


class Rank(IntEnum):
    """Place of a message in the order of sending."""

    URGENT = 0
    PRICED = 1
    TRACK = 2
    MOTION = 3
    REST = 4  # tombstones: nothing in them but the chain


RANKS: Final[dict[int, Rank]] = {
    pb.BODY_IMPACT: Rank.URGENT,
    pb.BODY_TRIP_START: Rank.PRICED,
    pb.BODY_EVENT: Rank.PRICED,
    pb.BODY_TRIP_END: Rank.PRICED,
    pb.BODY_HEALTH: Rank.PRICED,
    pb.BODY_TRACK: Rank.TRACK,
    pb.BODY_MOTION: Rank.MOTION,
}
SACRIFICED: Final = {Rank.MOTION: "sacrificed_motion", Rank.TRACK: "sacrificed_track"}  # in this order -> its counter
WITHDRAWN: Final = {Rank.MOTION: "withdrawn_motion", Rank.TRACK: "withdrawn_track"}
_OPTIONAL: Final[dict[type, Rank]] = {bodies.Motion: Rank.MOTION, bodies.Track: Rank.TRACK}


def rank_of(payload: bytes) -> Rank:
    """Rank of a message's bytes; a kind that is not in the table is never given up."""
    envelope = pb.Envelope.FromString(payload)
    if envelope.body_hash:
        return Rank.REST
    return RANKS.get(pb.Header.FromString(envelope.header).body_kind, Rank.PRICED)


def withheld_under(privacy: Privacy) -> frozenset[Rank]:
    """Ranks of which nothing may leave the car."""
    return frozenset(_OPTIONAL[body] for body in silent(privacy))


def smaller(payload: bytes) -> bytes:
    """The tombstone of a message, or the message itself where that is no larger, or cannot be read."""
    try:
        stone = tombstone(payload)
    except DecodeError:
        return payload
    return min(payload, stone, key=len)


def give_up(messages: list[Encoded], max_bytes: int) -> Counter[str]:
    """Bring messages that no disk takes down to `max_bytes` of memory, if that can be; counts of what was given up.

    Parameters
    ----------
    messages : list of Encoded
        Changed in place; seq and hash of each stay.
    max_bytes : int
    """
    counts: Counter[str] = Counter()
    size = sum(len(message.payload) for message in messages)
    ranks = [rank_of(message.payload) for message in messages] if size > max_bytes else []
    for rank, counter in SACRIFICED.items():
        for index, of in enumerate(ranks):
            if of is rank and size > max_bytes:
                payload = messages[index].payload
                stone = smaller(payload)
                messages[index] = Encoded(stone, messages[index].hash)
                size -= len(payload) - len(stone)
                counts[counter] += len(stone) < len(payload)
                counts["sacrificed_bytes"] += len(payload) - len(stone)
    return +counts
