"""Bodies to messages: the next seq, the hash of the message before, and which messages carry a signed checkpoint."""

from __future__ import annotations

from typing import Final

from device.contract import wire
from device.contract.bodies import Body, Sign, TripEnd

CHECKPOINT_MS: Final = 300_000  # at least one signature in this much driving


class Chain:
    """Fixes the bytes of one stream's messages, in order.

    Parameters
    ----------
    device_id : str
    stream_id, boot_id : bytes
    next_seq : int
        Seq of the next message.
    head : bytes
        Hash of the message before it, empty before the first.
    sign : callable
        Ed25519 signature over a message's hash.
    signed_ms : int
        Monotonic time of the last checkpoint.
    """

    def __init__(
        self,
        *,
        device_id: str,
        stream_id: bytes,
        boot_id: bytes,
        next_seq: int,
        head: bytes,
        sign: Sign,
        signed_ms: int,
    ) -> None:
        self.next_seq = next_seq
        self.signed_ms = signed_ms
        self._device_id = device_id
        self._stream_id = stream_id
        self._boot_id = boot_id
        self._head = head
        self._sign = sign

    def add(self, body: Body, *, mono_ms: int, utc_ms: int, quality: int, next_within_ms: int) -> wire.Encoded:
        """Make the next message.

        It is signed at a trip's end, and when the next message, expected within `next_within_ms`, might come too late
        for the checkpoint that is due `CHECKPOINT_MS` after the last.
        """
        header = wire.Header(
            device_id=self._device_id,
            stream_id=self._stream_id,
            seq=self.next_seq,
            prev_hash=self._head,
            boot_id=self._boot_id,
            queued_at_ms=utc_ms,
            mono_ms=mono_ms,
            clock_quality=quality,
        )
        signed = isinstance(body, TripEnd) or mono_ms + next_within_ms - self.signed_ms > CHECKPOINT_MS
        message = wire.encode(header, body, self._sign if signed else None)
        self.next_seq += 1
        self._head = message.hash
        if signed:
            self.signed_ms = mono_ms
        return message

    def is_checkpoint_due(self, now_ms: int) -> bool:
        """Whether driving has gone on for too long without a signature."""
        return now_ms - self.signed_ms >= CHECKPOINT_MS
