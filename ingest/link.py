"""A stream of MQTT packets over TCP or TLS, without blocking: what is to be sent waits for the socket."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from typing import Final

from device.contract.broker import BrokerAddress
from device.contract.errors import TryAgainError, UbiError
from ingest import mqtt

# Room in the kernel for what comes while a segment is written, so that the broker works meanwhile and not afterwards.
# A kernel gives at most what net.core.rmem_max says.
WAITING_BYTES: Final = 4 * 2**20
READ_BYTES: Final = 262_144  # read at once: some 500 messages, of which 10 ms of work


class LinkError(Exception):
    """There is no connection, or no longer."""

    def as_ubi_error(self, address: BrokerAddress) -> UbiError:
        """What to tell whoever gave the address."""
        if isinstance(self.__cause__, ssl.SSLCertVerificationError):
            told = self.__cause__.verify_message
            return UbiError(f"{address}: its certificate is not trusted ({told}); see --ca-file")
        return TryAgainError(f"{address}: no broker there ({self}); start it, or correct --broker")


class Link:
    """One connection.

    Parameters
    ----------
    address : BrokerAddress
    tls : SSLContext or None
    connect_within_s : float
    keep_alive_s : float
        A silent broker is asked after half of it, and given up when it says nothing for another half.

    Attributes
    ----------
    pubacks : list of bytes
        Ids of the packets to confirm with the next `exchange`, all in one piece.

    Raises
    ------
    LinkError
        If nothing answers there, or its certificate is not trusted.
    """

    def __init__(
        self, address: BrokerAddress, tls: ssl.SSLContext | None, connect_within_s: float, keep_alive_s: float
    ) -> None:
        self.pubacks: list[bytes] = []
        self._keep_alive_s = keep_alive_s
        self._parser = mqtt.Parser()
        self._out = bytearray()
        try:
            plain = socket.create_connection((address.host, address.port), connect_within_s)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WAITING_BYTES)
            self._socket = tls.wrap_socket(plain, server_hostname=address.host) if tls else plain
        except OSError as error:
            raise LinkError(error.strerror or str(error)) from error
        self._socket.setblocking(False)
        self._heard_s = self._sent_s = time.monotonic()
        self._asked_s: float | None = None  # when a silent broker was asked

    def send(self, packet: bytes) -> None:
        """Queue a packet for the next `exchange`."""
        self._out += packet

    def exchange(self, timeout_s: float) -> list[tuple[int, bytes]]:
        """Send what is queued, wait up to `timeout_s`, and return the packets that have come.

        Raises
        ------
        LinkError
            If the connection broke, or the broker was silent for too long.
        """
        self._confirm()
        try:
            if not self._pending():
                select.select([self._socket], [self._socket] if self._out else [], [], timeout_s)
            self._flush()
            packets = self._parser.feed(self._read())
        except OSError as error:
            raise LinkError(error.strerror or str(error)) from error
        self._watch(time.monotonic())
        return packets

    def close(self, goodbye: bytes = b"") -> None:
        """Close the connection, with a last packet where it still takes one."""
        self._confirm()
        with contextlib.suppress(OSError):
            self._out += goodbye
            self._flush()
        self._socket.close()

    def _confirm(self) -> None:
        self._out += mqtt.pubacks(self.pubacks)
        self.pubacks.clear()

    def _pending(self) -> bool:
        return isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() > 0

    def _flush(self) -> None:
        try:
            while self._out:
                del self._out[: self._socket.send(self._out)]
                self._sent_s = time.monotonic()
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return

    def _read(self) -> bytes:
        try:
            data = self._socket.recv(READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return b""
        if not data:
            raise LinkError("the broker closed it")
        self._heard_s, self._asked_s = time.monotonic(), None
        return data

    def _watch(self, now_s: float) -> None:
        """Ask a broker of which nothing was heard whether it is there; give it up when it does not answer."""
        half_s = self._keep_alive_s / 2
        if self._asked_s is None and now_s - min(self._heard_s, self._sent_s) > half_s:
            self._out += mqtt.PINGREQ
            self._asked_s = now_s
        elif self._asked_s is not None and now_s - self._asked_s > half_s:
            raise LinkError(f"the broker was silent for {half_s:.0f} s")
