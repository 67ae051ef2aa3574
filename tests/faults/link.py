"""The road between two programs: a TCP proxy that can be cut or stall, and that doubles, delays and replays messages.

    client <-> Link.port <-> target port

It reads MQTT's framing (type, length), nothing more, so that a message is delayed or doubled as a whole.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections import Counter, deque
from concurrent.futures import Future
from typing import Any, Final, Self

PUBLISH: Final = 3
REMEMBERED: Final = 500  # messages that may be replayed
LONGEST_DELAY_S: Final = 2.0
ABORT: Final = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset, unsent bytes are lost


class Link:
    """A proxy in a thread of its own, on a loopback port of its own.

    Attributes
    ----------
    doubled, delayed, replayed : float
        Share of the client's PUBLISH packets that are sent twice; that wait while later ones pass; after which an
        old one is sent again.
    counters : Counter
        `cut` (connections), `doubled`, `delayed`, `replayed` (messages).
    """

    def __init__(self, target_port: int, seed: int) -> None:
        self._target_port = target_port
        self._rng = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._flows = asyncio.Event()
        self._roads: set[_Road] = set()
        self._remembered: deque[bytes] = deque(maxlen=REMEMBERED)
        self._thread = threading.Thread(target=self._loop.run_forever, name="link", daemon=True)
        self.doubled = self.delayed = self.replayed = 0.0
        self.counters: Counter[str] = Counter()
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._listen()).result(10)
        return self

    def __exit__(self, *exception: object) -> None:
        self._run(self._end()).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def url(self) -> str:
        """Where a client connects."""
        return f"mqtt://127.0.0.1:{self.port}"

    def cut(self, *, inside: bool = False) -> None:
        """Break every connection with a reset; `inside`: in the middle of its next packet."""
        self._run(self._cut(inside=inside)).result(10)

    def stall(self) -> None:
        """Pass nothing more, and close nothing: a dead zone."""
        self._loop.call_soon_threadsafe(self._flows.clear)

    def flow(self) -> None:
        """Pass again."""
        self._loop.call_soon_threadsafe(self._flows.set)

    def honest(self) -> None:
        """Neither double, delay nor replay any more; pass everything."""
        self.doubled = self.delayed = self.replayed = 0.0
        self.flow()

    def _run(self, work: Any) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _listen(self) -> None:
        self._flows.set()
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _end(self) -> None:
        self._server.close()
        await self._cut(inside=False)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _cut(self, *, inside: bool) -> None:
        self.counters["cut"] += len(self._roads)
        for road in list(self._roads):
            if inside:
                road.cut_inside = True
            else:
                road.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        road = _Road(writer)
        try:
            back, forth = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            road.abort()
            return
        road.ends.append(forth)
        self._roads.add(road)
        try:
            pumps = [self._pump(road, reader, forth, tricks=True), self._pump(road, back, writer, tricks=False)]
            await asyncio.wait([asyncio.create_task(pump) for pump in pumps], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._roads.discard(road)
            road.abort()

    async def _pump(
        self, road: _Road, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, tricks: bool
    ) -> None:
        try:
            while True:
                packet = await _packet(reader)
                await self._flows.wait()
                if road.cut_inside:
                    writer.write(packet[: len(packet) // 2])
                    await writer.drain()
                    return
                if tricks and packet[0] >> 4 == PUBLISH:
                    self._publish(writer, packet)
                else:
                    writer.write(packet)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            return

    def _publish(self, writer: asyncio.StreamWriter, packet: bytes) -> None:
        if self._chance(self.delayed, "delayed"):
            self._loop.call_later(self._rng.uniform(0, LONGEST_DELAY_S), _write, writer, packet)
        else:
            writer.write(packet)
        if self._chance(self.doubled, "doubled"):
            writer.write(packet)
        if self._remembered and self._chance(self.replayed, "replayed"):
            writer.write(self._rng.choice(self._remembered))
        self._remembered.append(packet)

    def _chance(self, share: float, name: str) -> bool:
        happens = self._rng.random() < share
        self.counters[name] += happens
        return happens


class _Road:
    """One client's connection and ours to the target."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.ends = [writer]
        self.cut_inside = False

    def abort(self) -> None:
        for end in self.ends:
            raw = end.get_extra_info("socket")
            if raw is not None and raw.fileno() >= 0:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
            end.transport.abort()


def _write(writer: asyncio.StreamWriter, packet: bytes) -> None:
    if not writer.is_closing():
        writer.write(packet)


async def _packet(reader: asyncio.StreamReader) -> bytes:
    """One MQTT packet: type, length in up to four bytes of seven bits, content."""
    head = await reader.readexactly(2)
    length, shift = head[1] & 127, 7
    while head[-1] & 128 and shift < 28:
        head += await reader.readexactly(1)
        length |= (head[-1] & 127) << shift
        shift += 7
    return head + await reader.readexactly(length)
