"""Readings from an ELM327: keeps a polling process alive, and kills it when it falls silent.

take(now_ms) -> lines of device.sources.obd_poll -> Reading
no line for SILENT_MS, or the process has ended -> kill -9, count, wait (back-off), start again
"""

from __future__ import annotations

import json
import logging
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from device.contract.signals import Reading
from device.sources.back_off import BackOff
from device.sources.obd_process import PollingProcess, Spawn, spawn
from device.sources.schedule import PERIODS_MS
from device.sources.source import NANOSECONDS_PER_MS, NEVER_MS, STALL_MS, WATCH_MS

log = logging.getLogger(__name__)

# Every request is answered within some 200 ms, be it with "NO DATA"; python-OBD itself waits for a reply for ever.
SILENT_MS: Final = 5_000
# Until the first line: python-OBD's start (1 s, more on a small board), its waits (3 s), the search for the bus (10 s).
CONNECT_MS: Final = 30_000


@dataclass
class Health:
    """What is known of the adapter. Counts are in `ObdSource.counters`."""

    adapter: str | None = None  # what it says it is; None while not connected
    protocol: str | None = None
    vin: str | None = None  # never leaves the car but as a keyed hash
    last_failure: str | None = None


class ObdSource:
    """A supervised ELM327, a `device.sources.source.Source`.

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
    spawn : callable
        Starts the polling process.
    rng : random.Random, optional
        Jitter of the back-off.
    """

    name = "obd"

    def __init__(
        self,
        port: str,
        *,
        baudrate: int | None = None,
        protocol: str | None = None,
        periods_ms: Mapping[str, int] = PERIODS_MS,
        spawn: Spawn = spawn,
        rng: random.Random | None = None,
    ) -> None:
        self.health = Health()
        self.counters: Counter[str] = Counter()
        self._options = json.dumps(
            {"port": port, "baudrate": baudrate, "protocol": protocol, "periods_ms": dict(periods_ms)}
        )
        self._port = port
        self._spawn = spawn
        self._back_off = BackOff(rng)
        self._process: PollingProcess | None = None
        self._paused = False
        self._partial = b""
        self._ending: str | None = None  # why the process says it ends
        self._heard_ms = 0  # of the last line, or of the start
        self._taken_ms: int | None = None

    def fileno(self) -> int | None:
        """What to wait on; None while no process runs."""
        return self._process.fileno() if self._process else None

    def take(self, now_ms: int) -> list[Reading]:
        """Return what has come; start, watch and restart the polling process."""
        if self._paused:
            return []
        if self._process is None:
            if now_ms < self._back_off.retry_ms(now_ms):
                return []
            self._start(now_ms)
        elif self._taken_ms is not None and now_ms - self._taken_ms > STALL_MS:
            self._heard_ms += now_ms - self._taken_ms
        self._taken_ms = now_ms
        return self._listen(now_ms)

    def wake_ms(self, now_ms: int) -> int:
        """Return the end of the back-off, or the next look at the process."""
        if self._paused:
            return now_ms + NEVER_MS
        if self._process is None:
            return self._back_off.retry_ms(now_ms)
        return min(now_ms + WATCH_MS, self._deadline_ms())

    def pause(self) -> None:
        """Ask the car nothing more: the polling process ends."""
        self._paused = True
        self._kill()

    def resume(self) -> None:
        """Connect with the next `take`."""
        if self._paused:
            self._paused = False
            self._back_off.clear()

    def close(self) -> None:
        """Kill the polling process. Nothing is lost: what it said before was taken already."""
        self._kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, now_ms: int) -> None:
        self._process = self._spawn(self._options)
        self._partial = b""
        self._heard_ms = now_ms
        self._ending = None

    def _listen(self, now_ms: int) -> list[Reading]:
        assert self._process is not None
        readings: list[Reading] = []
        data = self._process.read()
        if data:
            self._heard_ms = now_ms
            *lines, self._partial = (self._partial + data).split(b"\n")
            for line in lines:
                self._understand(line, readings)
        elif data is None:
            self.counters["obd_failed"] += 1
            self._restart(now_ms, self._ending or "the polling process ended without a word")
        elif now_ms >= self._deadline_ms():
            self.counters["obd_silent"] += 1
            self._restart(now_ms, f"no reply for {self._allowed_ms() // 1_000} s")
        return readings

    def _allowed_ms(self) -> int:
        return SILENT_MS if self.health.adapter else CONNECT_MS

    def _deadline_ms(self) -> int:
        return self._heard_ms + self._allowed_ms()

    def _understand(self, text: bytes, readings: list[Reading]) -> None:
        line: Any = json.loads(text)
        if isinstance(line, list):
            t_ns, signal, value, refusal = line
            if refusal is not None:
                self.counters[f"obd_refused_{refusal}"] += 1
            readings.append(Reading(t_ns // NANOSECONDS_PER_MS, signal, value))
        elif "failed" in line:
            self._ending = line["failed"]
        else:
            self.counters["obd_connected"] += 1
            self.health.adapter, self.health.protocol = line["adapter"], line["protocol"]
            self._back_off.clear()
            log.info("%s: %s, %s, %d PIDs", self._port, line["adapter"], line["protocol"], len(line["pids"]))

    def _restart(self, now_ms: int, reason: str) -> None:
        self._kill()
        self.health.last_failure = reason
        wait_ms = self._back_off.fail(now_ms)
        log.warning("%s: %s; next try in %.0f s", self._port, reason, wait_ms / 1_000)

    def _kill(self) -> None:
        self.health.adapter = None
        if self._process is not None:
            self._process.kill()
            self._process = None
