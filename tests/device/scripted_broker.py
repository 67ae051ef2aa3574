"""A broker that does as it is told: answers nothing, stops halfway, floods, or says anything (MQTT 3.1.1, bytes)."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Self

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, DISCONNECT = 1, 2, 3, 4, 8, 9, 14
Answer = Callable[[int, bytes], list[bytes]]  # packet type and its bytes after the length -> what to say


def packet(kind: int, content: bytes, flags: int = 0) -> bytes:
    length, left = b"", len(content)
    while True:
        left, digit = left >> 7, left & 0x7F
        length += bytes([digit | (0x80 if left else 0)])
        if not left:
            return bytes([kind << 4 | flags]) + length + content


def publish(topic: str, payload: bytes) -> bytes:
    return packet(PUBLISH, len(topic).to_bytes(2) + topic.encode() + payload)


def connack(code: int = 0) -> bytes:
    return packet(CONNACK, bytes([0, code]))


def suback(content: bytes, *codes: int) -> bytes:
    return packet(SUBACK, content[:2] + bytes(codes or (1, 1)))


class ScriptedBroker:
    """Listens on the loopback; `answer` decides what is said to each packet. `heard` has their types, in order."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.heard: list[int] = []
        self.connections = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()
        self.cut()

    def cut(self) -> None:
        """End every connection without a word."""
        while self._open:
            connection = self._open.pop()
            with connection:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        try:
            with connection.makefile("rb") as stream:
                while head := stream.read(1):
                    shift = length = 0
                    while True:
                        digit = stream.read(1)[0]
                        length |= (digit & 0x7F) << shift
                        shift += 7
                        if not digit & 0x80:
                            break
                    content = stream.read(length)
                    self.heard.append(head[0] >> 4)
                    for said in self.answer(head[0] >> 4, content):
                        connection.sendall(said)
        except (OSError, IndexError, ValueError):
            return
