"""Readings from an ELM327: keeps a polling process alive, and kills it when adapter or car cannot be heard.

take(now_ms) -> lines of device.sources.obd_poll -> Reading
nothing heard for SILENT_MS, no usable value for UNUSABLE_MS, or the process has ended
    -> kill -9, count, wait (back-off), start again
"""

from __future__ import annotations

import json
import logging
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from device.contract.signals import Reading
from device.sources.back_off import BackOff
from device.sources.j1979 import PIDS, Refusal
from device.sources.obd_lines import MAX_LINE, Connected, Failed, Line, Reply, Stage, parse_line
from device.sources.obd_process import PollingProcess, Spawn, spawn
from device.sources.rates import Rates
from device.sources.schedule import FASTEST, PERIODS_MS
from device.sources.source import NEVER_MS, STALL_MS, WATCH_MS

log = logging.getLogger(__name__)

# Every request is answered within some 200 ms, be it with "NO DATA"; python-OBD itself waits for a reply for ever.
SILENT_MS: Final = 5_000
UNUSABLE_MS: Final = 5_000  # replies, but none of them a value
START_MS: Final = 30_000  # until the port is open: python-OBD's start on a small board, Bluetooth's connecting
SEARCH_MS: Final = 15_000  # of silence while the adapter says it searches: old buses wake up in 2 to 5 s, one by one
CONNECT_MS: Final = 60_000  # from the open port to the car's first answers, whatever is heard
# Questions that may make a clone hang; one that fell silent over them is not asked again.
OPTIONAL: Final = frozenset({"vin", "fingerprint"})


@dataclass
class Health:
    """What is known of the adapter. Counts are in `ObdSource.counters`.

    `adapter` is None while not connected, else one line of what it says and can do. `vin` is what the car told last,
    None if nothing; it never leaves the car but as a keyed hash.
    """

    adapter: str | None = None
    is_clone: bool | None = None
    protocol: str | None = None
    pids: tuple[int, ...] = ()
    vin: str | None = None
    last_failure: str | None = None


class ObdSource:
    """A supervised ELM327, a `device.sources.source.Source`.

    Parameters
    ----------
    port : str
        Serial port, such as /dev/ttyUSB0 or /dev/rfcomm0, or socket://HOST:PORT.
    baudrate : int, optional
        None lets python-OBD try the usual ones.
    protocol : str, optional
        ELM327 protocol number, such as "6"; None lets the adapter search.
    periods_ms : mapping of str to int
        How often each signal is asked.
    paused_voltage_ms : int, optional
        How often the adapter, not the car, is asked for its voltage while paused; None = never, nothing runs then.
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
        paused_voltage_ms: int | None = None,
        spawn: Spawn = spawn,
        rng: random.Random | None = None,
    ) -> None:
        self.health = Health()
        self.counters: Counter[str] = Counter()
        self.rates = Rates()
        self._port = port
        self._baudrate, self._protocol, self._periods_ms = baudrate, protocol, dict(periods_ms)
        self._paused_voltage_ms = paused_voltage_ms
        self._spawn = spawn
        self._back_off = BackOff(rng)
        self._process: PollingProcess | None = None
        self._paused = False
        self._skip: set[str] = set()  # of OPTIONAL
        self._partial = b""
        self._stage = Stage("start", searching=False)
        self._ending: Failed | None = None  # why the process says it ends
        self._begun_ms = self._heard_ms = self._usable_ms = self._taken_ms = 0
        self._unusable: Counter[str] = Counter()  # refusals since the last usable value

    @property
    def speed_rate_hz(self) -> float | None:
        """Measured rate of the latest speed readings; None before there are two."""
        return self.rates.hz().get(FASTEST)

    def fileno(self) -> int | None:
        """What to wait on; None while no process runs."""
        return self._process.fileno() if self._process else None

    def take(self, now_ms: int) -> list[Reading]:
        """Return what has come; start, watch and restart the polling process."""
        if self._process is None:
            if self._rests or now_ms < self._back_off.retry_ms(now_ms):
                return []
            try:
                self._start(now_ms)
            except OSError as error:  # no memory for another process
                self._restart(now_ms, "failed", f"no process can be started: {error.strerror}")
                return []
        elif now_ms - self._taken_ms > STALL_MS:
            slept_ms = now_ms - self._taken_ms
            self._begun_ms, self._heard_ms = self._begun_ms + slept_ms, self._heard_ms + slept_ms
            self._usable_ms += slept_ms
        self._taken_ms = now_ms
        return self._listen(now_ms)

    def wake_ms(self, now_ms: int) -> int:
        """Return the end of the back-off, or the next look at the process."""
        if self._rests:
            return now_ms + NEVER_MS
        if self._process is None:
            return self._back_off.retry_ms(now_ms)
        return max(now_ms, min(now_ms + WATCH_MS, self._deadline()[0]))

    def ask_every(self, periods_ms: Mapping[str, int]) -> None:
        """Ask signals at these periods from the next connection on."""
        self._periods_ms = dict(periods_ms)

    def pause(self) -> None:
        """Ask the car nothing more: the polling process ends."""
        if not self._paused:
            self._paused = True
            self._kill()
            self._back_off.clear()

    def resume(self) -> None:
        """Connect with the next `take`."""
        if self._paused:
            self._paused = False
            self._kill()
            self._back_off.clear()

    def close(self) -> None:
        """Kill the polling process. Nothing is lost: what it said before was taken already."""
        self._kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _rests(self) -> bool:
        return self._paused and self._paused_voltage_ms is None

    def _start(self, now_ms: int) -> None:
        options = {
            "port": self._port,
            "baudrate": self._baudrate,
            "protocol": self._protocol,
            "periods_ms": self._periods_ms,
            "skip": sorted(self._skip),
            "voltage_ms": self._paused_voltage_ms if self._paused else None,
        }
        self._process = self._spawn(json.dumps(options))
        self._partial = b""
        self._ending = None
        self._stage = Stage("start", searching=False)
        self._begun_ms = self._heard_ms = now_ms

    def _listen(self, now_ms: int) -> list[Reading]:
        assert self._process is not None
        readings: list[Reading] = []
        data = self._process.read()
        if data is None:
            ending = self._ending or Failed("the polling process ended without a word", stale=False)
            self._restart(now_ms, "stale" if ending.stale else "failed", ending.reason)
            return readings
        *lines, self._partial = (self._partial + data).split(b"\n")
        for text in lines:
            line = parse_line(text)
            if line is None:
                self.counters["obd_unreadable"] += 1
            else:
                self._understand(line, now_ms, readings)
        self._partial = self._partial[: MAX_LINE + 1]
        deadline_ms, counter, reason = self._deadline()
        if now_ms >= deadline_ms:
            self._restart(now_ms, counter, reason)
        return readings

    def _understand(self, line: Line, now_ms: int, readings: list[Reading]) -> None:
        self._heard_ms = now_ms
        if isinstance(line, Reply):
            readings.append(line.reading)
            if line.refusal is not None:
                self.counters[f"obd_refused_{line.refusal}"] += 1
                self._unusable[line.refusal] += 1
            else:
                self.rates.saw(line.reading.signal, line.reading.t_ms)
                if line.reading.signal in PIDS:
                    self._usable(now_ms)
        elif isinstance(line, Stage):
            if line.name == "connect" != self._stage.name:
                self._begun_ms = now_ms
            self._stage = line
        elif isinstance(line, Failed):
            self._ending = line
        else:
            self._connected(line, now_ms)

    def _connected(self, line: Connected, now_ms: int) -> None:
        self.counters["obd_connected"] += 1
        health = self.health
        health.adapter, health.is_clone, health.protocol = line.adapter, line.is_clone, line.protocol
        health.pids, health.vin = line.pids, line.vin
        self._baudrate = self._baudrate or line.baudrate
        self.rates.clear()
        self._usable(now_ms)
        self._back_off.clear()
        log.info("%s: %s, %s, %d PIDs", self._port, line.adapter, line.protocol, len(line.pids))

    def _usable(self, now_ms: int) -> None:
        self._usable_ms = now_ms
        self._unusable.clear()

    def _deadline(self) -> tuple[int, str, str]:
        """When patience ends, and the counter and reason if it does."""
        if self.health.adapter:
            if not self._unusable:
                return self._silence(SILENT_MS)
            garbled = {name: n for name, n in self._unusable.items() if name != Refusal.NO_DATA.value}
            told = ", ".join(f"{n} {name}" for name, n in garbled.items())
            kind = "garbled" if garbled else "no_data"
            reason = f"no usable reply ({told})" if garbled else "the car gives no data; is the ignition on?"
            return min(self._silence(SILENT_MS), (self._usable_ms + UNUSABLE_MS, kind, reason))
        if self._paused:
            return self._silence(SILENT_MS + (self._paused_voltage_ms or 0))
        if self._stage.name in {"start", "open"}:
            return self._begun_ms + START_MS, "silent", f"the port did not open for {START_MS // 1_000} s"
        endless = self._begun_ms + CONNECT_MS, "garbled", f"no car after {CONNECT_MS // 1_000} s of connecting"
        return min(self._silence(SEARCH_MS if self._stage.searching else SILENT_MS), endless)

    def _silence(self, allowed_ms: int) -> tuple[int, str, str]:
        return self._heard_ms + allowed_ms, "silent", f"no reply for {allowed_ms // 1_000} s"

    def _restart(self, now_ms: int, counter: str, reason: str) -> None:
        if counter == "silent" and not self.health.adapter and self._stage.name in OPTIONAL:
            self._skip.add(self._stage.name)
            self.counters[f"obd_skipped_{self._stage.name}"] += 1
        self._kill()
        self.counters[f"obd_{counter}"] += 1
        self.health.last_failure = reason
        wait_ms = self._back_off.fail(now_ms)
        log.warning("%s: %s; next try in %.0f s", self._port, reason, wait_ms / 1_000)

    def _kill(self) -> None:
        self.health.adapter = None
        if self._process is not None:
            self._process.kill()
            self._process = None
