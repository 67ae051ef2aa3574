from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.contract import bodies, signing, wire
from device.contract import wire_pb2 as pb
from device.contract.errors import ContractError
from device.contract.wire import Header, Message
from tests.device.any_body import FIRST, GOLDEN, any_body, golden, taken
from tests.golden import wire_v1


@given(any_body)
def test_what_is_encoded_is_decoded(body):
    encoded = wire.encode(FIRST, body)
    message = taken(encoded.payload)
    assert message.body == body
    assert message.hash == encoded.hash
    filled = replace(message.header, body_kind=0, body_codec=0, body_size=0)
    assert filled == FIRST


@given(any_body)
def test_the_same_body_has_the_same_bytes(body):
    assert wire.encode(FIRST, body) == wire.encode(FIRST, body)


@given(
    device_id=st.from_regex(r"\A[A-Za-z0-9_-]{1,64}\Z"),
    stream_id=st.binary(min_size=16, max_size=16),
    seq=st.integers(2, 2**63 - 1),
    prev_hash=st.binary(min_size=32, max_size=32),
    boot_id=st.binary(max_size=16),
    queued_at_ms=st.integers(-(2**53) + 1, 2**53 - 1),
    mono_ms=st.integers(0, 2**53 - 1),
    clock_quality=st.integers(0, 4),
)
def test_every_header_comes_back(**fields):
    header = Header(**fields)
    back = taken(wire.encode(header, bodies.Health({})).payload).header
    assert replace(back, body_kind=0, body_codec=0, body_size=0) == header


@pytest.mark.parametrize("name", golden())
def test_golden_payloads_of_every_version_decode_to_what_they_said(name):
    (file,) = GOLDEN.glob(f"v*/{name}.json")
    assert wire_v1.told(golden()[name]) == json.loads(file.read_text())


def test_the_golden_payloads_are_one_chain_with_signed_messages():
    messages = sorted((taken(p) for n, p in golden().items() if n != "motion_tombstone"), key=lambda m: m.header.seq)
    head = b""
    for index, message in enumerate(messages):
        assert (message.header.seq, message.header.prev_hash) == (index + 1, head)
        head = message.hash
    assert sum(signing.verify(wire_v1.SIGNER.public_key, m.hash, m.signature) for m in messages) == len(wire_v1.SIGNED)
    assert signing.verify(wire_v1.SIGNER.public_key, head, messages[-1].signature)
    assert not signing.verify(bytes(32), head, messages[-1].signature)
    assert not signing.verify(wire_v1.SIGNER.public_key, messages[0].hash, messages[-1].signature)


@given(any_body, st.booleans())
def test_a_tombstone_keeps_header_hash_and_signature(body, signed):
    sign = wire_v1.SIGNER.sign if signed else None
    encoded = wire.encode(FIRST, body, sign)
    whole, stone = taken(encoded.payload), taken(wire.tombstone(encoded.payload))
    assert stone.body is None
    assert (stone.header, stone.hash, stone.signature, stone.body_hash) == (
        whole.header,
        whole.hash,
        whole.signature,
        whole.body_hash,
    )
    assert wire.tombstone(wire.tombstone(encoded.payload)) == wire.tombstone(encoded.payload)


@given(st.data())
def test_a_changed_byte_is_refused_or_changes_the_hash(data):
    """What the chain covers: header and body. The rest of an envelope is the signature, which is checked against it."""
    payload = wire.encode(FIRST, data.draw(any_body)).payload
    where = data.draw(st.integers(0, len(payload) - 1))
    changed = payload[:where] + bytes([payload[where] ^ data.draw(st.integers(1, 255))]) + payload[where + 1 :]
    message, before = wire.decode(changed), taken(payload)
    if isinstance(message, Message) and message.hash == before.hash:
        assert (message.header, message.body) == (before.header, before.body)


def test_an_oversized_body_is_not_encoded():
    with pytest.raises(ContractError, match="queue smaller batches"):
        wire.encode(FIRST, bodies.Health({f"counter {n} {'x' * 200}": n for n in range(6_000)}))


def test_the_hash_is_of_the_bytes_as_sent():
    payload = wire.encode(FIRST, bodies.Health({"a": 1})).payload
    envelope = pb.Envelope.FromString(payload)
    body_hash = hashlib.sha256(envelope.body).digest()
    assert taken(payload).hash == hashlib.sha256(envelope.header + body_hash).digest()
