"""The door through which a worker is watched: /metrics for Prometheus, /health for a supervisor.

On the loopback unless another host is named. It only reads; a request changes nothing, and neither answer names a
device or a person.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from device.contract.errors import TryAgainError, UsageError
from ingest.vitals import COUNTERS, REJECTED, Vitals

PREFIX: Final = "ubi_ingest_"
TURN_S: Final = 0.1  # between two looks at whether to end
PATIENCE_S: Final = 5.0  # with a client that says nothing


class MonitorAddress(NamedTuple):
    """Where to listen."""

    host: str
    port: int


def parse_address(text: str) -> MonitorAddress:
    """Read `PORT` or `HOST:PORT`; without a host it is the loopback.

    Raises
    ------
    UsageError
        If it is neither.
    """
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65_535:
        raise UsageError(f"--monitor {text}: say PORT, or HOST:PORT; for example 9464")
    return MonitorAddress(host.strip("[]") or "127.0.0.1", int(port))


@contextmanager
def monitor(vitals: Vitals, address: MonitorAddress) -> Iterator[str]:
    """Answer requests in threads of their own; yields the URL.

    Raises
    ------
    TryAgainError
        If the port is taken.
    UsageError
        If the host is not one of this machine.
    """
    server = _listening(address, _answers(vitals))
    thread = threading.Thread(target=server.serve_forever, args=(TURN_S,), name="monitor", daemon=True)
    thread.start()
    try:
        yield f"http://{address.host}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


Answer = tuple[HTTPStatus, str, bytes]


def _answers(vitals: Vitals) -> dict[str, Callable[[], Answer]]:
    registry = CollectorRegistry()
    registry.register(_Numbers(vitals))
    ProcessCollector(registry=registry)

    def metrics() -> Answer:
        return HTTPStatus.OK, CONTENT_TYPE_PLAIN_0_0_4, generate_latest(registry)

    def health() -> Answer:
        told = vitals.health(time.monotonic())
        status = HTTPStatus.SERVICE_UNAVAILABLE if told["trouble"] else HTTPStatus.OK
        return status, "application/json", json.dumps(told).encode() + b"\n"

    return {"/metrics": metrics, "/health": health}


class _Numbers(Collector):
    """The worker's numbers as Prometheus wants them."""

    def __init__(self, vitals: Vitals) -> None:
        self._vitals = vitals

    def collect(self) -> Iterable[Metric]:
        """Families of the numbers as they are now."""
        vitals, now_s = self._vitals, time.monotonic()
        rejected = CounterMetricFamily(f"{PREFIX}rejected", COUNTERS["rejected"], labels=["reason"])
        for name, value in sorted(vitals.counters().items()):
            if name.startswith(REJECTED):
                rejected.add_metric([name.removeprefix(REJECTED)], value)
            elif name != "rejected":  # the sum over its reasons
                yield CounterMetricFamily(PREFIX + name, COUNTERS.get(name, name), value)
        yield rejected
        gauges = {
            "connected": ("1 while the broker can be heard", vitals.connected),
            "healthy": ("1 while /health answers with 200", not vitals.trouble(now_s)),
            "held_messages": ("messages that are not on disk yet", vitals.held),
            "held_seconds": ("how long the first of them has been held", vitals.held_s),
            "clock_disagreement": (
                "share of the devices heard last whose clock disagrees with this computer's",
                vitals.clock_disagreement,
            ),
            "turn_age_seconds": ("time since the worker's loop last turned", now_s - vitals.turned_s),
        }
        for name, (told, level) in gauges.items():
            yield GaugeMetricFamily(PREFIX + name, told, float(level))
        told = "to judge, write, sync and acknowledge a segment"
        yield SummaryMetricFamily(f"{PREFIX}commit_seconds", told, vitals.commits, vitals.commit_s)


def _listening(address: MonitorAddress, answers: dict[str, Callable[[], Answer]]) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        timeout = PATIENCE_S
        server_version, sys_version = "ubi", ""

        def do_GET(self) -> None:
            answer = answers.get(self.path.partition("?")[0])
            none = (HTTPStatus.NOT_FOUND, "text/plain", b"there are /metrics and /health\n")
            status, kind, content = none if answer is None else answer()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """A scrape every few seconds is no news."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        address_family = socket.AF_INET6 if ":" in address.host else socket.AF_INET

    try:
        return Server(address, Handler)
    except socket.gaierror as error:
        raise UsageError(f"--monitor {address.host}: not a host of this machine ({error.strerror})") from error
    except OSError as error:
        raise TryAgainError(f"--monitor {address.host}:{address.port}: {error.strerror}; name another port") from error
