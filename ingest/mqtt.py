"""MQTT packets as bytes, 3.1.1 and 5: only what a subscriber at QoS 1 that also publishes needs. No socket, no clock.

Source: OASIS MQTT 3.1.1 and 5.0. A packet is one byte (type, flags), its length in 7-bit groups, and a body.
"""

from __future__ import annotations

from typing import Final, NamedTuple

MQTT311: Final = 4
MQTT5: Final = 5
MAX_PACKET_BYTES: Final = 1_048_576  # longer than anything asked for: the stream is not MQTT, or out of step

CLEAN: Final = 0x02
QOS1: Final = 0x02
RECEIVE_MAXIMUM: Final = 0x21
MAXIMUM_PACKET_SIZE: Final = 0x27
SERVER_KEEP_ALIVE: Final = 0x13
REASON_STRING: Final = 0x1F

# Types of packets: the upper half of the first byte.
CONNACK: Final = 2
PUBLISH: Final = 3
PUBACK: Final = 4
SUBACK: Final = 9
DISCONNECTED: Final = 14  # from a server, MQTT 5 only

PINGREQ: Final = b"\xc0\x00"
DISCONNECT: Final = b"\xe0\x00"

# Width of the properties a server may send, in bytes; -1: text or bytes, -2: two texts, -3: 7-bit groups.
_WIDTHS: Final = {
    0x01: 1, 0x02: 4, 0x03: -1, 0x08: -1, 0x09: -1, 0x0B: -3, 0x11: 4, 0x12: -1, SERVER_KEEP_ALIVE: 2, 0x15: -1,
    0x16: -1, 0x1A: -1, 0x1C: -1, REASON_STRING: -1, RECEIVE_MAXIMUM: 2, 0x22: 2, 0x23: 2, 0x24: 1, 0x25: 1, 0x26: -2,
    MAXIMUM_PACKET_SIZE: 4, 0x28: 1, 0x29: 1, 0x2A: 1,
}  # fmt: skip

FAILURE: Final = 0x80  # reason codes from here on
UNSUPPORTED_VERSION: Final = "Unsupported protocol version"
_REASONS: Final = {
    MQTT311: {
        1: UNSUPPORTED_VERSION,
        2: "Client identifier not valid",
        3: "Server unavailable",
        4: "Bad user name or password",
        5: "Not authorized",
    },
    MQTT5: {
        0x80: "Unspecified error",
        0x82: "Protocol error",
        0x84: UNSUPPORTED_VERSION,
        0x85: "Client identifier not valid",
        0x86: "Bad user name or password",
        0x87: "Not authorized",
        0x88: "Server unavailable",
        0x89: "Server busy",
        0x8A: "Banned",
        0x8D: "Keep alive timeout",
        0x8E: "Session taken over",
        0x93: "Receive maximum exceeded",
        0x95: "Packet too large",
        0x97: "Quota exceeded",
        0x9E: "Shared subscriptions not supported",
    },
}


class MqttError(Exception):
    """The bytes are no MQTT. The connection is of no more use."""


class Greeting(NamedTuple):
    """What a server answers to CONNECT: 0 or its reason to refuse, and the properties that are numbers."""

    reason: int
    properties: dict[int, int]


def connect(version: int, client_id: str, keep_alive_s: int, properties: dict[int, int]) -> bytes:
    """CONNECT with a clean session; `properties` (Receive Maximum, Maximum Packet Size) in MQTT 5 only."""
    told = b"".join(bytes([key]) + value.to_bytes(_WIDTHS[key], "big") for key, value in properties.items())
    head = _text("MQTT") + bytes([version, CLEAN]) + keep_alive_s.to_bytes(2, "big")
    return _packet(0x10, head + (_length(len(told)) + told if version == MQTT5 else b"") + _text(client_id))


def subscribe(version: int, packet_id: int, topic_filter: str) -> bytes:
    """SUBSCRIBE to one filter at QoS 1."""
    none = b"\0" if version == MQTT5 else b""
    return _packet(0x82, packet_id.to_bytes(2, "big") + none + _text(topic_filter) + b"\1")


def publish(version: int, packet_id: int, topic: str, payload: bytes, *, retain: bool = False) -> bytes:
    """PUBLISH at QoS 1; a retained one is kept by the broker for whoever subscribes later."""
    none = b"\0" if version == MQTT5 else b""
    return _packet(0x33 if retain else 0x32, _text(topic) + packet_id.to_bytes(2, "big") + none + payload)


def pubacks(packet_ids: list[bytes]) -> bytes:
    """PUBACKs of these packet ids (2 bytes each), all that went well; the same in both versions."""
    return b"\x40\x02" + b"\x40\x02".join(packet_ids) if packet_ids else b""


def read_greeting(version: int, body: bytes) -> Greeting:
    """Read a CONNACK.

    Raises
    ------
    MqttError
        If it is none.
    """
    if len(body) < 2:
        raise MqttError("a CONNACK of less than two bytes")
    return Greeting(body[1], _properties(body, 2) if version == MQTT5 and len(body) > 2 else {})


def reason_of(version: int, code: int) -> str:
    """What a reason code says."""
    return _REASONS[version].get(code, f"reason 0x{code:02x}")


class Parser:
    """Cuts a stream of bytes into packets."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Take what has come; the packets that are whole now, as first byte and body.

        Raises
        ------
        MqttError
            If a length is none, or too large.
        """
        stream = self._rest + data if self._rest else data
        size, at = len(stream), 0
        packets: list[tuple[int, bytes]] = []
        while at + 2 <= size:
            length, start = stream[at + 1], at + 2
            if length > 127:
                length, shift = length & 127, 7
                while start < size and shift < 28:
                    digit = stream[start]
                    length |= (digit & 127) << shift
                    start, shift = start + 1, shift + 7
                    if digit < 128:
                        break
                else:
                    if shift >= 28:
                        raise MqttError("a packet's length has more than four bytes")
                    break
                if length > MAX_PACKET_BYTES:
                    raise MqttError(f"a packet of {length} bytes, asked for {MAX_PACKET_BYTES} at most")
            end = start + length
            if end > size:
                break
            packets.append((stream[at], stream[start:end]))
            at = end
        self._rest = stream[at:]
        return packets


def read_publish(version: int, flags: int, body: bytes) -> tuple[bytes, bytes, bytes]:
    """Topic, packet id (2 bytes; empty at QoS 0) and payload of a PUBLISH.

    Raises
    ------
    MqttError
        If it ends before its payload begins.
    """
    at = 2 + (body[0] << 8 | body[1]) if len(body) > 1 else 2
    topic = body[2:at]
    packet_id = b""
    if flags & 6:
        packet_id = body[at : at + 2]
        at += 2
    if version == MQTT5 and at < len(body):
        length = body[at]
        at += 1
        if length:
            at = _end_of_properties(body, at - 1)
    elif version == MQTT5:
        at += 1
    if at > len(body):
        raise MqttError("a PUBLISH that is cut short")
    return topic, packet_id, body[at:]


def _properties(body: bytes, at: int) -> dict[int, int]:
    """Properties that are numbers; the texts are passed over."""
    length, at = _read_length(body, at)
    end = at + length
    found: dict[int, int] = {}
    while at < end <= len(body):
        key = body[at]
        at += 1
        width = _WIDTHS.get(key)
        if width is None:
            raise MqttError(f"unknown property 0x{key:02x}")
        if width > 0:
            found[key] = int.from_bytes(body[at : at + width], "big")
            at += width
        elif width == -3:
            found[key], at = _read_length(body, at)
        else:
            for _ in range(-width):
                at += 2 + int.from_bytes(body[at : at + 2], "big")
    if at != end:
        raise MqttError("properties that are cut short")
    return found


def _end_of_properties(body: bytes, at: int) -> int:
    length, at = _read_length(body, at)
    return at + length


def _read_length(body: bytes, at: int) -> tuple[int, int]:
    """A number in 7-bit groups, and where it ends."""
    value = 0
    for shift in (0, 7, 14, 21):
        if at >= len(body):
            break
        digit = body[at]
        at += 1
        value |= (digit & 127) << shift
        if digit < 128:
            return value, at
    raise MqttError("a length that does not end")


def _packet(first: int, body: bytes) -> bytes:
    return bytes([first]) + _length(len(body)) + body


def _length(number: int) -> bytes:
    if number < 128:
        return bytes([number])
    groups = bytearray()
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def _text(text: str) -> bytes:
    encoded = text.encode()
    return len(encoded).to_bytes(2, "big") + encoded
