"""Verdicts on payloads, many at once: what `wire.decode` says of each, without unpacking the columns of sound motion.

payloads -> opened one by one -> motion proven in bulk (`batches`), everything else read by `wire.read_body`
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from device.contract import bodies, wire
from device.contract import wire_pb2 as pb
from ingest.batches import prove_motion

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
# What else decides whether something is kept: registry, consent, erasures. A verdict (the body is None in a tombstone
# and for motion, which is not unpacked) and the device of the topic; None = it stays as it was judged.
Admit = Callable[[Verdict, str | None], wire.Reject | None]


def judge(payloads: Iterable[tuple[str | None, bytes]], admit: Admit | None = None) -> list[Verdict]:
    """Judge payloads by themselves. Never raises on bytes.

    Parameters
    ----------
    payloads : iterable of (str or None, bytes)
        Device of the topic, None where it names none; payload.
    admit : callable or None
        Asked about everything, rejects as well.
    """
    verdicts: list[Verdict] = []
    devices: list[str | None] = []
    motion: list[tuple[int, wire.Opened]] = []
    for index, (device, payload) in enumerate(payloads):
        devices.append(device)
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
    if admit is None:
        return verdicts
    return [admit(verdict, device) or verdict for verdict, device in zip(verdicts, devices, strict=True)]


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
