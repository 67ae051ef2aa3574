"""Signatures of checkpoints. One signature speaks for all messages before it: each holds the hash of the one before.

So of a trip only the last checkpoint is verified; `chain_ok` tells whether the messages before it hang together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from device.contract import signing
from device.contract import wire_pb2 as pb

# Public keys (raw Ed25519, 32 bytes) that a device may have signed with at a time (UTC ms); none: it is not known.
KeysOf = Callable[[str, int], Sequence[bytes]]


class Signed(NamedTuple):
    """A message that may carry a checkpoint."""

    payload: bytes
    hash: bytes
    received_at_ms: int


def signature_of(messages: Sequence[Signed], device_id: str, keys_of: KeysOf | None) -> str:
    """Verdict on the last checkpoint of a run, one of `tables.SIGNATURES`.

    Parameters
    ----------
    messages : sequence of Signed
        By rising seq.
    device_id : str
    keys_of : callable or None
    """
    for message in reversed(messages):
        signature = pb.Envelope.FromString(message.payload).signature
        if not signature:
            continue
        keys = keys_of(device_id, message.received_at_ms) if keys_of is not None else ()
        if not keys:
            return "unverified"
        good = any(signing.verify(key, message.hash, signature) for key in keys)
        return "verified" if good else "bad"
    return "none"
