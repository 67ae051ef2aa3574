"""A publisher that costs next to nothing, so that what is measured is the subscriber: MQTT packets made beforehand.

MQTT 3.1.1, QoS 1, one socket. Packets are sent half a window at a time; their PUBACKs are counted, not parsed.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Self

WINDOW = 1_000  # packets without PUBACK, at most
CONNECT, PUBLISH_QOS1 = 0x10, 0x32
CLEAN_SESSION = 0x02
CONNACK_BYTES = PUBACK_BYTES = 4
SOCKET_S = 60.0


class Publisher:
    """A connection to a broker on this machine."""

    def __init__(self, port: int, name: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=SOCKET_S)
        self._socket.sendall(packet(CONNECT, text("MQTT") + bytes([4, CLEAN_SESSION, 0, 0]) + text(name)))
        self._read(CONNACK_BYTES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, packets: Sequence[bytes]) -> None:
        """Send packets; return when the broker has acknowledged all of them."""
        waiting = 0
        for start in range(0, len(packets), WINDOW // 2):
            half = packets[start : start + WINDOW // 2]
            self._socket.sendall(b"".join(half))
            self._read(PUBACK_BYTES * waiting)
            waiting = len(half)
        self._read(PUBACK_BYTES * waiting)

    def _read(self, count: int) -> None:
        while count:
            got = len(self._socket.recv(min(count, 65_536)))
            if not got:
                raise ConnectionError("the broker closed the connection")
            count -= got


def publish_packet(topic: str, payload: bytes, number: int) -> bytes:
    """Make a PUBLISH; `number` counts messages, packet ids begin again after 65,535."""
    return packet(PUBLISH_QOS1, text(topic) + (number % 65_535 + 1).to_bytes(2, "big") + payload)


def packet(kind: int, content: bytes) -> bytes:
    """Make any packet: its first byte, its length, its content."""
    length, left = bytearray(), len(content)
    while left > 127:
        length.append(left & 127 | 128)
        left >>= 7
    return bytes([kind, *length, left]) + content


def text(words: str) -> bytes:
    """Make a text of MQTT."""
    return len(words).to_bytes(2, "big") + words.encode()
