"""Ports of the loopback for servers that a test starts, kills, and starts again where they were."""

from __future__ import annotations

import os
import random
import socket
from typing import Final

# Below the ports that Linux gives to clients and to servers that ask for any: no other program's connection comes to
# lie on a port between two starts of the test's own server.
FIRST: Final = 10_000
LAST: Final = 32_767


def free_port() -> int:
    """Pick a port that was free a moment ago; no two workers of pytest-xdist pick from the same."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    draw = random.SystemRandom()  # not the stream of numbers that a test may have seeded
    while True:
        port = draw.randrange(FIRST + worker, LAST + 1, workers)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port


def free_ports(count: int) -> list[int]:
    """Pick some such ports, all different, in rising order."""
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return sorted(ports)
