"""Verdicts on payloads, many at once: what `wire.decode` says of each, without unpacking the columns of sound motion.

payloads -> opened one by one -> motion proven in bulk (`batches`), everything else read by `wire.read_body`
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from device.contract import bodies, wire
from device.contract import wire_pb2 as pb
from ingest.batches import prove_motion

# What else decides whether a sound message is kept: the registry, consent. Header, body (None in a tombstone and for
# motion, which is not unpacked), device of the topic; None = keep it.
Admit = Callable[[wire.Header, bodies.Body | None], wire.Reject | None]

OF_A_TRIP: Final = (bodies.Event, bodies.Motion, bodies.Track, bodies.Impact, bodies.TripEnd)


class Sound(NamedTuple):
    """A message that passed every check that one message allows."""

    header: wire.Header
    hash: bytes
    is_tombstone: bool
    trip_seq: int | None
    started_at_ms: int | None
    body: bodies.Body | None


Verdict = Sound | wire.Reject


def judge(payloads: Iterable[tuple[str | None, bytes]], admit: Admit | None = None) -> list[Verdict]:
    """Judge payloads by themselves. Never raises on bytes.

    Parameters
    ----------
    payloads : iterable of (str or None, bytes)
        Device of the topic, None where it names none; payload.
    admit : callable or None
        Asked about every message that is sound.
    """
    verdicts: list[Verdict] = []
    motion: list[tuple[int, wire.Opened]] = []
    for index, (device, payload) in enumerate(payloads):
        opened = wire.open_message(payload, device)
        if device is None:
            verdicts.append(wire.Reject(wire.Reason.WRONG_DEVICE, "the topic names no device"))
        elif isinstance(opened, wire.Reject):
            verdicts.append(opened)
        elif opened.raw is None:
            verdicts.append(Sound(opened.header, opened.hash, True, None, None, None))
        elif opened.header.body_kind == pb.BODY_MOTION:
            motion.append((index, opened))
            verdicts.append(_NOT_YET)
        else:
            verdicts.append(_read(opened, opened.raw))
    proof = prove_motion([opened.raw or b"" for _, opened in motion])
    for (index, opened), sound, trip_seq in zip(motion, proof.sound.tolist(), proof.trip_seq.tolist(), strict=True):
        verdicts[index] = (
            Sound(opened.header, opened.hash, False, trip_seq, None, None)
            if sound
            else _read(opened, opened.raw or b"")
        )
    return verdicts if admit is None else [_admitted(verdict, admit) for verdict in verdicts]


_NOT_YET: Final = wire.Reject(wire.Reason.BAD_BODY, "not judged yet")


def _read(opened: wire.Opened, raw: bytes) -> Verdict:
    body = wire.read_body(opened.header, raw)
    if isinstance(body, wire.Reject):
        return body
    if isinstance(body, bodies.TripStart):
        return Sound(opened.header, opened.hash, False, opened.header.seq, body.started_at_ms, body)
    trip_seq = (body.trip_seq or None) if isinstance(body, OF_A_TRIP) else None
    kept = None if isinstance(body, bodies.Motion) else body
    return Sound(opened.header, opened.hash, False, trip_seq, None, kept)


def _admitted(verdict: Verdict, admit: Admit) -> Verdict:
    if isinstance(verdict, wire.Reject):
        return verdict
    return admit(verdict.header, verdict.body) or verdict
