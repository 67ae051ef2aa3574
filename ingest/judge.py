"""Verdicts on payloads, many at once: what `wire.decode` says of each, without unpacking the columns of sound motion.

payloads -> opened one by one -> motion proven in bulk (`batches`), everything else read by `wire.read_body`
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from device.contract import bodies, wire
from device.contract import wire_pb2 as pb
from ingest.batches import prove_motion

# Decompressed motion that waits to be proven together: a bomb of a few bytes may become 1 MB.
HELD_BYTES: Final = 2 * 2**20

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
    waiting: list[_Waiting] = []
    held = 0
    for device, payload in payloads:
        opened = wire.open_message(payload, device)
        if isinstance(opened, wire.Opened) and opened.raw is not None and opened.header.body_kind == pb.BODY_MOTION:
            waiting.append((len(verdicts), device, opened, opened.raw))
            verdicts.append(_NOT_YET)
            held += len(opened.raw)
            if held >= HELD_BYTES:
                _prove(waiting, verdicts, admit)
                waiting, held = [], 0
        else:
            verdicts.append(_admitted(_verdict(opened, device), device, admit))
    _prove(waiting, verdicts, admit)
    return verdicts


_Waiting = tuple[int, str | None, wire.Opened, bytes]
_NOT_YET: Final = wire.Reject(wire.Reason.BAD_BODY, "not judged yet")
_NO_TOPIC: Final = wire.Reject(wire.Reason.WRONG_DEVICE, "the topic names no device")


def _prove(waiting: list[_Waiting], verdicts: list[Verdict], admit: Admit | None) -> None:
    """Fill in the verdicts on motion."""
    proof = prove_motion([raw for *_, raw in waiting])
    for (index, device, opened, raw), sound, trip_seq in zip(
        waiting, proof.sound.tolist(), proof.trip_seq.tolist(), strict=True
    ):
        if sound and device is not None:
            verdict: Verdict = Sound(opened.header, opened.hash, False, trip_seq, None, None)
        else:
            verdict = _NO_TOPIC if device is None else _read(opened, raw)
        verdicts[index] = verdict if admit is None else _admitted(verdict, device, admit)


def _verdict(opened: wire.Opened | wire.Reject, device: str | None) -> Verdict:
    if device is None:
        return _NO_TOPIC
    if isinstance(opened, wire.Reject):
        return opened
    if opened.raw is None:
        return Sound(opened.header, opened.hash, True, None, None, None)
    return _read(opened, opened.raw)


def _admitted(verdict: Verdict, device: str | None, admit: Admit | None) -> Verdict:
    """What the hook makes of a verdict; a body is shown to it and not held any longer."""
    refused = admit(verdict, device) if admit is not None else None
    if refused is not None:
        return refused
    return verdict if isinstance(verdict, wire.Reject) or verdict.body is None else verdict._replace(body=None)


def _read(opened: wire.Opened, raw: bytes) -> Verdict:
    body = wire.read_body(opened.header, raw)
    if isinstance(body, wire.Reject):
        return body
    if isinstance(body, bodies.TripStart):
        return Sound(opened.header, opened.hash, False, opened.header.seq, body.started_at_ms, body)
    trip_seq = (body.trip_seq or None) if isinstance(body, OF_A_TRIP) else None
    kept = None if isinstance(body, bodies.Motion) else body
    return Sound(opened.header, opened.hash, False, trip_seq, None, kept)
