"""A fleet of cars on one thread: each has its own connection, stream and chain, sends on time, and hears its acks.

    python -m tests.bench.fleet_cars PORT CARS EVERY_S SECONDS

Loopback only; at most MAX_CARS cars for MAX_S seconds. Prints what was sent and acked, and the time from sending to
the application ack, as JSON. MQTT 3.1.1 by hand, because 15,000 clients of a library are 15,000 threads or objects.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import perf_counter, process_time
from typing import Final

from device.chain import Chain
from device.contract import bodies, topics, wire
from device.contract import wire_pb2 as pb
from device.contract.signing import Signer
from tests.bench.drives import recorded_drives
from tests.bench.publisher import CLEAN_SESSION, CONNECT, PUBLISH_QOS1, packet, text
from tests.bench.wire import messages

MAX_CARS: Final = 15_000  # a connection is a file, of which a process here may have 20,000
MAX_S: Final = 120.0
QUIET_S: Final = 20.0  # after the last message: no ack for so long, and no more are waited for
ROWS: Final = 20  # ten seconds of driving without an IMU
RECORDINGS: Final = 5
KEEPALIVE_S: Final = 60
CONNACK, PUBACK, PUBLISH, SUBACK, SUBSCRIBE = 2, 4, 3, 9, 0x82


@dataclass(slots=True)
class Car:
    """One car; `unread` is the beginning of a packet, `sent_s` when each seq was sent, `waiting` the seqs unacked."""

    socket: socket.socket
    packets: list[bytes]
    unread: bytes = b""
    sent_s: list[float] = field(default_factory=list)
    waiting: set[int] = field(default_factory=set)
    ready: bool = False


class Fleet:
    """Cars on a broker of this machine."""

    def __init__(self, port: int, cars: int, count: int) -> None:
        self._selector = selectors.DefaultSelector()
        self.latencies_s: list[float] = []
        self.cars = []
        driven = tens_of_seconds()
        for number in range(cars):
            client = socket.create_connection(("127.0.0.1", port), timeout=10)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            car = Car(client, packets_of(number, count, driven))
            client.sendall(_hello(f"car-{number}"))
            client.setblocking(False)
            self._selector.register(client, selectors.EVENT_READ, car)
            self.cars.append(car)
        while not all(car.ready for car in self.cars):
            self.listen(0.1)

    def drive(self, every_s: float, count: int) -> float:
        """Every car sends `count` messages, `every_s` apart, spread evenly; seconds it took to the last ack."""
        began_s = perf_counter()
        gap_s = every_s / len(self.cars)
        for number in range(count * len(self.cars)):
            due_s = began_s + number * gap_s
            while (left_s := due_s - perf_counter()) > 0:
                self.listen(min(left_s, 0.05))
            car = self.cars[number % len(self.cars)]
            car.sent_s.append(perf_counter())
            car.waiting.add(len(car.sent_s))
            _send(car.socket, car.packets[len(car.sent_s) - 1])
            if number % 50 == 0:
                self.listen(0)
        sent = count * len(self.cars)
        heard, heard_s = len(self.latencies_s), perf_counter()
        while len(self.latencies_s) < sent and perf_counter() - heard_s < QUIET_S:
            self.listen(0.1)
            if len(self.latencies_s) > heard:
                heard, heard_s = len(self.latencies_s), perf_counter()
        return perf_counter() - began_s

    def listen(self, timeout_s: float) -> None:
        """Hear what has come."""
        for key, _ in self._selector.select(timeout_s):
            car: Car = key.data
            came = car.socket.recv(65_536)
            if not came:
                raise ConnectionError("the broker closed a car's connection")
            car.unread += came
            for kind, body in _packets(car):
                if kind == SUBACK:
                    car.ready = True
                elif kind == PUBLISH:
                    self._acked(car, body)

    def _acked(self, car: Car, body: bytes) -> None:
        start = 2 + int.from_bytes(body[:2], "big")
        _send(car.socket, bytes([PUBACK << 4, 2]) + body[start : start + 2])
        now_s = perf_counter()
        for span in pb.Ack.FromString(body[start + 2 :]).stored:
            for seq in car.waiting & set(range(span.first, span.last + 1)):
                self.latencies_s.append(now_s - car.sent_s[seq - 1])
                car.waiting.discard(seq)


def tens_of_seconds() -> list[bodies.Motion]:
    """Motion of ten seconds each, of the project's own recorded trips."""
    recordings = recorded_drives()[-1].read()[:RECORDINGS]
    decoded = (wire.decode(payload) for recording in recordings for payload in messages(recording, ROWS))
    motion = (message.body for message in decoded if isinstance(message, wire.Message))
    return [body for body in motion if isinstance(body, bodies.Motion) and body.count == ROWS]


def packets_of(number: int, count: int, driven: list[bodies.Motion]) -> list[bytes]:
    """PUBLISH packets of a car, ten seconds of driving each."""
    chain = Chain(
        device_id=f"car-{number}",
        stream_id=number.to_bytes(16, "big"),
        boot_id=bytes(16),
        next_seq=1,
        head=b"",
        sign=Signer.from_seed(bytes(32)).sign,
        signed_ms=0,
    )
    out = []
    for index in range(count):
        body = driven[(7 * number + index) % len(driven)]
        time_ms = 10_000 * index
        made = chain.add(body, mono_ms=time_ms, utc_ms=time_ms, quality=1, next_within_ms=60_000)
        out.append(_publish(topics.up(f"car-{number}"), made.payload, index + 1))
    return out


def _tell(text: str) -> None:
    """Say something, and wait for a word back: our own connections stay while the parent measures."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
    sys.stdin.readline()


def _hello(name: str) -> bytes:
    connect = packet(CONNECT, text("MQTT") + bytes([4, CLEAN_SESSION]) + KEEPALIVE_S.to_bytes(2, "big") + text(name))
    return connect + packet(SUBSCRIBE, b"\0\1" + text(topics.ack(name)) + b"\1")


def _publish(topic: str, payload: bytes, packet_id: int) -> bytes:
    return packet(PUBLISH_QOS1, text(topic) + packet_id.to_bytes(2, "big") + payload)


def _send(client: socket.socket, data: bytes) -> None:
    if client.send(data) != len(data):
        raise BufferError("a socket's buffer is full: the broker does not read")


def _packets(car: Car) -> Iterator[tuple[int, bytes]]:
    data, at = car.unread, 0
    while len(data) - at >= 2:
        length, shift, start = 0, 0, at + 1
        while start < len(data):
            byte = data[start]
            length, shift, start = length | (byte & 127) << shift, shift + 7, start + 1
            if not byte & 128:
                break
        else:
            break
        if len(data) < start + length:
            break
        yield data[at] >> 4, data[start : start + length]
        at = start + length
    car.unread = data[at:]


def main(port: int, cars: int, every_s: float, seconds: float) -> None:
    """Run a fleet and tell what came of it."""
    if not 1 <= cars <= MAX_CARS or not 0 < seconds <= MAX_S or every_s <= 0:
        raise SystemExit(f"fleet: 1 to {MAX_CARS} cars for at most {MAX_S:g} s")
    count = max(1, round(seconds / every_s))
    fleet = Fleet(port, cars, count)
    _tell("ready")
    cpu_s = process_time()
    took_s = fleet.drive(every_s, count)
    latencies = sorted(fleet.latencies_s)

    def quantile(share: float) -> float:
        return latencies[min(int(share * len(latencies)), len(latencies) - 1)] if latencies else float("nan")

    told = {
        "sent": count * cars,
        "acked": len(latencies),
        "took_s": took_s,
        "median_s": quantile(0.5),
        "p99_s": quantile(0.99),
        "cpu_s": process_time() - cpu_s,
    }
    _tell(json.dumps(told))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
