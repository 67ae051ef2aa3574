"""Encode and decode messages. Encoding fixes the bytes once; decoding answers any bytes with a Message or a Reject.

body dataclass -> protobuf -> zstd when it pays -> Envelope(header, body[, signature]) -> bytes
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import zstandard
from google.protobuf.message import DecodeError

from device.contract import bodies, packing, topics
from device.contract import wire_pb2 as pb
from device.contract.errors import ContractError

SCHEMA_VERSION: Final = 1
MAX_PAYLOAD_BYTES: Final = 262_144  # one message as sent; the largest real one (500 rows, all columns) has under 20 kB
MAX_BODY_BYTES: Final = 1_048_576  # one body after decompression, checked before memory is taken
STREAM_ID_BYTES: Final = 16
HASH_BYTES: Final = 32
MAX_HEADER_BYTES: Final = 1_024  # looked for at the front of a payload that is too large to be read; a real one has 150
ZSTD_LEVEL: Final = 3
# A clock that claims to be right may be off by so much. The kernel takes the mark of NTP away at an error of 16 s, and
# the insurer's clock has as much; hours of a trip are not moved by it.
CLOCK_TOLERANCE_MS: Final = 120_000
_HEADER_TAG: Final = pb.Envelope.HEADER_FIELD_NUMBER << 3 | 2


class Reason(StrEnum):
    """Why a message could not be taken; the `reason` column of rejects."""

    OVERSIZED = "oversized"
    GARBAGE = "garbage"
    UNKNOWN_VERSION = "unknown_version"
    BAD_HEADER = "bad_header"
    WRONG_DEVICE = "wrong_device"
    BAD_BODY = "bad_body"
    ABSURD_VALUE = "absurd_value"
    # what the registry of the insurer says; of these no body is ever kept
    UNKNOWN_DEVICE = "unknown_device"
    REVOKED_DEVICE = "revoked_device"
    BEYOND_CONSENT = "beyond_consent"
    FORGOTTEN = "forgotten"


@dataclass(frozen=True, slots=True)
class Header:
    """Header of every message; times in ms, ids and hashes raw."""

    device_id: str
    stream_id: bytes
    seq: int
    prev_hash: bytes
    boot_id: bytes
    queued_at_ms: int
    mono_ms: int
    clock_quality: int
    body_kind: int = 0
    body_codec: int = 0
    body_size: int = 0
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True)
class Message:
    """A message that passed every check that one message allows. `body` is None in a tombstone."""

    header: Header
    body: bodies.Body | None
    hash: bytes
    signature: bytes
    body_hash: bytes


@dataclass(frozen=True, slots=True)
class Opened:
    """A message whose header is sound and whose body was decompressed but not read; `raw` is None in a tombstone."""

    header: Header
    raw: bytes | None
    hash: bytes
    signature: bytes
    body_hash: bytes


@dataclass(frozen=True, slots=True)
class Reject:
    """A message that could not be taken, and why; with its header where that says which message it is.

    A reject with a header can be acknowledged, so that the device does not send it for ever.
    """

    reason: Reason
    detail: str
    header: Header | None = None


@dataclass(frozen=True, slots=True)
class Encoded:
    """The bytes of a message, fixed for ever, and its hash (the next message's `prev_hash`)."""

    payload: bytes
    hash: bytes


def encode(header: Header, body: bodies.Body, sign: bodies.Sign | None = None) -> Encoded:
    """Fix the bytes of a message.

    Parameters
    ----------
    header : Header
        `body_kind`, `body_codec` and `body_size` are filled in here.
    body : Body
    sign : callable or None
        Makes this message a checkpoint: called with the hash, returns the signature.
    """
    raw = packing.to_bytes(body)
    if len(raw) > MAX_BODY_BYTES:
        raise ContractError(f"body of {len(raw)} bytes is over {MAX_BODY_BYTES}; queue smaller batches")
    packed = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(raw)
    codec, sent = (pb.CODEC_ZSTD, packed) if len(packed) < len(raw) else (pb.CODEC_RAW, raw)
    head = pb.Header(
        schema_version=header.schema_version,
        device_id=header.device_id,
        stream_id=header.stream_id,
        seq=header.seq,
        prev_hash=header.prev_hash,
        boot_id=header.boot_id,
        queued_at_ms=header.queued_at_ms,
        mono_ms=header.mono_ms,
        clock_quality=pb.ClockQuality.Name(header.clock_quality),  # refuses a number the contract does not know
        body_kind=packing.kind_of(body),
        body_codec=codec,
        body_size=len(raw),
    ).SerializeToString(deterministic=True)
    digest = chain_hash(head, hashlib.sha256(sent).digest())
    envelope = pb.Envelope(header=head, body=sent, signature=sign(digest) if sign else b"")
    return Encoded(envelope.SerializeToString(deterministic=True), digest)


def tombstone(payload: bytes) -> bytes:
    """The message without its body: same header, same hash, same signature; the chain still verifies."""
    envelope = pb.Envelope.FromString(payload)
    if envelope.body_hash:
        return payload
    stone = pb.Envelope(
        header=envelope.header, body_hash=hashlib.sha256(envelope.body).digest(), signature=envelope.signature
    )
    return stone.SerializeToString(deterministic=True)


def chain_hash(header: bytes, body_hash: bytes) -> bytes:
    """Hash of a message: SHA-256 over the header's bytes and the SHA-256 of the body's bytes."""
    return hashlib.sha256(header + body_hash).digest()


def decode(payload: bytes, topic_device: str | None = None) -> Message | Reject:
    """Read any bytes. Never raises on them.

    Parameters
    ----------
    payload : bytes
    topic_device : str or None
        Device id of the topic the message came on; must match the header's.
    """
    opened = open_message(payload, topic_device)
    if isinstance(opened, Reject):
        return opened
    if opened.raw is None:
        return Message(opened.header, None, opened.hash, opened.signature, opened.body_hash)
    body = read_body(opened.header, opened.raw)
    if isinstance(body, Reject):
        return body
    return Message(opened.header, body, opened.hash, opened.signature, opened.body_hash)


def open_message(payload: bytes, topic_device: str | None = None) -> Opened | Reject:
    """Read all but the body, the first half of `decode`: for readers that judge many bodies at once."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        detail = f"{len(payload)} bytes, at most {MAX_PAYLOAD_BYTES}"
        return Reject(Reason.OVERSIZED, detail, _header_in_front(payload))
    try:
        envelope = pb.Envelope.FromString(payload)
        header = _header(pb.Header.FromString(envelope.header))
    except DecodeError:
        return Reject(Reason.GARBAGE, "not an envelope of this contract")
    if not envelope.header:
        return Reject(Reason.GARBAGE, "an envelope without a header")
    fault = _identity_fault(header)
    known = header if fault is None else None
    if header.schema_version != SCHEMA_VERSION:
        detail = f"schema version {header.schema_version}, known is {SCHEMA_VERSION}"
        return Reject(Reason.UNKNOWN_VERSION, detail, known)
    fault = fault or _header_fault(header, envelope)
    if fault:
        return Reject(Reason.BAD_HEADER, fault, known)
    if topic_device is not None and header.device_id != topic_device:
        return Reject(Reason.WRONG_DEVICE, f"header says {header.device_id}, topic says {topic_device}", known)
    body_hash = envelope.body_hash or hashlib.sha256(envelope.body).digest()
    raw = None if envelope.body_hash else _decompressed(header, envelope.body)
    if isinstance(raw, Reject):
        return raw
    return Opened(header, raw, chain_hash(envelope.header, body_hash), envelope.signature, body_hash)


def read_body(header: Header, raw: bytes) -> bodies.Body | Reject:
    """Read the body of an opened message, the second half of `decode`."""
    try:
        return packing.from_bytes(header.body_kind, raw)
    except DecodeError:
        return Reject(Reason.BAD_BODY, "not a body of its kind", header)
    except ContractError as error:
        return Reject(Reason.ABSURD_VALUE, str(error), header)


def body_bytes(payload: bytes) -> bytes:
    """Bytes of the body, decompressed, of a message that `decode` has taken whole: for readers that decode columns
    in their own way.
    """
    envelope = pb.Envelope.FromString(payload)
    head = pb.Header.FromString(envelope.header)
    if head.body_codec != pb.CODEC_ZSTD:
        return envelope.body
    return _ZSTD.decompressor.decompress(envelope.body, max_output_size=head.body_size)


def _header(head: pb.Header) -> Header:
    return Header(
        device_id=head.device_id,
        stream_id=head.stream_id,
        seq=head.seq,
        prev_hash=head.prev_hash,
        boot_id=head.boot_id,
        queued_at_ms=head.queued_at_ms,
        mono_ms=head.mono_ms,
        clock_quality=int(head.clock_quality),
        body_kind=int(head.body_kind),
        body_codec=int(head.body_codec),
        body_size=head.body_size,
        schema_version=head.schema_version,
    )


def _identity_fault(header: Header) -> str | None:
    """What is wrong with the fields that say which message it is."""
    if not topics.DEVICE_ID.fullmatch(header.device_id):
        return "device_id is not an id"
    if len(header.stream_id) != STREAM_ID_BYTES:
        return "stream_id is not 16 bytes"
    return None if 1 <= header.seq < 2**63 else "seq is out of range"


def _header_in_front(payload: bytes) -> Header | None:
    """Header of a payload of any size, where it comes first, as an encoder writes it; no more than that is read."""
    length, start = payload[1], 2
    if length > 127:  # two groups of seven bits; a third would be beyond MAX_HEADER_BYTES
        length, start = length & 127 | payload[2] << 7, 3
    if payload[0] != _HEADER_TAG or not 0 < length <= MAX_HEADER_BYTES:
        return None
    try:
        header = _header(pb.Header.FromString(payload[start : start + length]))
    except DecodeError:
        return None
    return header if _identity_fault(header) is None else None


def _header_fault(header: Header, envelope: pb.Envelope) -> str | None:
    if len(header.prev_hash) != (HASH_BYTES if header.seq > 1 else 0):
        return "prev_hash has the wrong length"
    if len(header.boot_id) > 16:
        return "boot_id is over 16 bytes"
    if abs(header.queued_at_ms) >= 2**53 or header.mono_ms >= 2**53:
        return "a time is out of range"
    if not (0 <= header.clock_quality < 256 and 0 <= header.body_kind < 256):
        return "an enum is out of range"
    if header.body_size > MAX_BODY_BYTES:
        return f"body of {header.body_size} bytes, at most {MAX_BODY_BYTES}"
    if len(envelope.signature) not in (0, 64):
        return "signature is not 64 bytes"
    if len(envelope.body_hash) not in (0, HASH_BYTES):
        return "body_hash is not 32 bytes"
    return "both a body and a tombstone" if envelope.body and envelope.body_hash else None


class _Zstd(threading.local):
    """A decompressor for each thread: making one costs six times what a body does."""

    def __init__(self) -> None:
        self.decompressor = zstandard.ZstdDecompressor()


_ZSTD: Final = _Zstd()


def _decompressed(header: Header, sent: bytes) -> bytes | Reject:
    raw = sent
    if header.body_codec == pb.CODEC_ZSTD:
        try:
            if zstandard.frame_content_size(sent) != header.body_size:
                return Reject(Reason.BAD_BODY, "compressed size differs from the header", header)
            raw = _ZSTD.decompressor.decompress(sent, header.body_size, allow_extra_data=False)
        except zstandard.ZstdError as error:
            return Reject(Reason.BAD_BODY, f"not zstd: {error}", header)
    elif header.body_codec != pb.CODEC_RAW:
        return Reject(Reason.BAD_BODY, f"unknown codec {header.body_codec}", header)
    if len(raw) != header.body_size:
        return Reject(Reason.BAD_BODY, "size differs from the header", header)
    return raw
