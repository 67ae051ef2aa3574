"""Readings from an ELM327: keeps a polling process alive, and kills it when it falls silent.

read(timeout_s) -> lines of device.sources.obd_poll -> Reading
no line for SILENT_S, or the process has ended -> kill -9, count, wait (back-off), start again
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from device.contract.signals import Reading
from device.sources.schedule import PERIODS_MS

log = logging.getLogger(__name__)

# Every request is answered within some 200 ms, be it with "NO DATA"; python-OBD itself waits for a reply for ever.
SILENT_S: Final = 5.0
# Until the first line: python-OBD's start (1 s, more on a small board), its waits (3 s), the search for the bus (10 s).
CONNECT_S: Final = 30.0
BACK_OFF_S: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 60.0)
NANOSECONDS_PER_MS: Final = 1_000_000


@dataclass
class Health:
    """What the agent reports of its adapter. Counts are since the start of the source."""

    adapter: str | None = None  # what it says it is; None while not connected
    protocol: str | None = None
    connected: int = 0
    silent: int = 0  # killed, because no reply came for SILENT_S
    failed: int = 0  # ended by itself: no port, no car, port gone
    last_failure: str | None = None
    refused: Counter[str] = field(default_factory=Counter)  # replies that are no reading, by `j1979.Refusal`


class ObdSource:
    """A supervised ELM327. `read` is all there is to call; connecting, watching and restarting happen inside it.

    `Reading.t_ms` counts from boot, as `device.clock` does.

    Parameters
    ----------
    port : str
        Serial port, such as /dev/ttyUSB0 or /dev/rfcomm0.
    baudrate : int, optional
        None lets python-OBD try the usual ones.
    protocol : str, optional
        ELM327 protocol number, such as "6"; None lets the adapter search.
    periods_ms : mapping of str to int
        How often each signal is asked.
    """

    def __init__(
        self,
        port: str,
        *,
        baudrate: int | None = None,
        protocol: str | None = None,
        periods_ms: Mapping[str, int] = PERIODS_MS,
    ) -> None:
        self.health = Health()
        self._options = json.dumps(
            {"port": port, "baudrate": baudrate, "protocol": protocol, "periods_ms": dict(periods_ms)}
        )
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._readings: deque[Reading] = deque()
        self._partial = b""
        self._ending: str | None = None  # why the child says it ends
        self._heard = 0.0  # monotonic seconds of the last line, or of the start
        self._retry_at = 0.0
        self._failures_in_row = 0

    def read(self, timeout_s: float) -> Reading | None:
        """Return the next reading, or None when none came within `timeout_s` seconds."""
        until = time.monotonic() + timeout_s
        while not self._readings:
            now = time.monotonic()
            if now >= until:
                return None
            if self._process is None and now >= self._retry_at:
                self._start(now)
            if self._process is None:
                time.sleep(min(until, self._retry_at) - now)
            else:
                self._listen(self._process, now, until)
        return self._readings.popleft()

    def close(self) -> None:
        """Kill the polling process. Nothing is lost: what it said before is in the readings already."""
        if self._process is not None:
            self._kill(self._process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, now: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "device.sources.obd_poll", self._options],
            stdin=subprocess.PIPE,  # never written: its end tells the child that we are gone
            stdout=subprocess.PIPE,
            process_group=0,  # Ctrl-C is for us alone
        )
        self._partial = b""
        self._heard = now
        self.health.adapter = self._ending = None

    def _listen(self, process: subprocess.Popen[bytes], now: float, until: float) -> None:
        allowed_s = SILENT_S if self.health.adapter else CONNECT_S
        deadline = self._heard + allowed_s
        assert process.stdout is not None
        if select.select([process.stdout], [], [], max(0.0, min(until, deadline) - now))[0]:
            data = os.read(process.stdout.fileno(), 65_536)
            if not data:
                self.health.failed += 1
                self._restart(process, self._ending or "the polling process ended without a word")
                return
            self._heard = time.monotonic()
            *lines, self._partial = (self._partial + data).split(b"\n")
            for line in lines:
                self._take(json.loads(line))
        elif time.monotonic() >= deadline:
            self.health.silent += 1
            self._restart(process, f"no reply for {allowed_s:.0f} s")

    def _take(self, line: Any) -> None:
        if isinstance(line, list):
            t_ns, signal, value, refusal = line
            if refusal is not None:
                self.health.refused[refusal] += 1
            self._readings.append(Reading(t_ns // NANOSECONDS_PER_MS, signal, value))
        elif "failed" in line:
            self._ending = line["failed"]
        else:
            self.health.connected += 1
            self.health.adapter, self.health.protocol = line["adapter"], line["protocol"]
            self._failures_in_row = 0
            log.info("%s: %s, %s, %d PIDs", self._port, line["adapter"], line["protocol"], len(line["pids"]))

    def _restart(self, process: subprocess.Popen[bytes], reason: str) -> None:
        self._kill(process)
        wait_s = BACK_OFF_S[min(self._failures_in_row, len(BACK_OFF_S) - 1)]
        self._failures_in_row += 1
        self._retry_at = time.monotonic() + wait_s
        self.health.adapter = None
        self.health.last_failure = reason
        log.warning("%s: %s; next try in %.0f s", self._port, reason, wait_s)

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        self._process = None
