"""A TCP link that counts what passes: bytes and segments of every connection, in both directions."""

from __future__ import annotations

import socket
import struct
import threading
from typing import NamedTuple, Self

IP_AND_TCP_BYTES = 52  # a segment's headers: IPv4 20, TCP 20, time stamps 12
SEGMENTS_AT = 136  # tcpi_segs_out and tcpi_segs_in in Linux's struct tcp_info


class Passed(NamedTuple):
    """What has passed so far; a segment counts with its headers in `on_the_air`."""

    up: int
    down: int
    segments: int

    @property
    def on_the_air(self) -> int:
        return self.up + self.down + self.segments * IP_AND_TCP_BYTES

    def since(self, before: Passed) -> Passed:
        return Passed(*(now - then for now, then in zip(self, before, strict=True)))


class CountingLink:
    """Listens on `port` and passes everything on to another port of the loopback."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._bytes = [0, 0]
        self._cars: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for car in self._cars:
            car.close()

    def passed(self) -> Passed:
        """Totals since the link was made."""
        return Passed(self._bytes[0], self._bytes[1], sum(map(_segments, self._cars)))

    def _accept(self) -> None:
        while True:
            try:
                car, _ = self._server.accept()
            except OSError:
                return
            broker = socket.create_connection(("127.0.0.1", self._target))
            self._cars.append(car)
            for source, target, direction in ((car, broker, 0), (broker, car, 1)):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._pass_on, args=(source, target, direction), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, direction: int) -> None:
        try:
            while piece := source.recv(65_536):
                self._bytes[direction] += len(piece)
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return


def _segments(connection: socket.socket) -> int:
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    return sum(struct.unpack_from("=II", info, SEGMENTS_AT))
