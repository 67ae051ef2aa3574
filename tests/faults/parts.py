"""The parts that are killed: real commands in real processes, started again whenever they end, as systemd would.

car      `ubi replay FILE`, one recording after the other, each as a device of its own
device   `ubi device run` on an ELM327 that plays a recording, one outbox for the whole campaign
worker   `ubi ingest run`, its wall clock some days off
"""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from device.contract.broker import parse_broker
from device.contract.errors import UbiError
from replay_data.elm327 import Elm327, PlayedAdapter
from replay_data.player import Player, read_recording
from tests.conftest import REPOSITORY
from tests.faults.journal import Journal, prepare_outbox, read_journal

RESTART_S: Final = 0.2
RATES: Final = ("100", "300", "1000", "max")
TRIPS: Final = tuple(sorted((REPOSITORY / "replay_data" / "trips").glob("*.ubirec")))


class Part:
    """A command that runs again and again until it is `retired`. `ended` counts exit statuses, kills aside."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.log = folder / f"{name}.log"
        self.ended: Counter[int] = Counter()
        self.lives = 0
        self.retired = False
        self._process: subprocess.Popen[bytes] | None = None
        self._start_at_s = 0.0

    @property
    def pid(self) -> int | None:
        """Process id; None while it is down."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def command(self) -> Sequence[str] | None:
        """Arguments of the next life; None when there is nothing left to do."""
        raise NotImplementedError

    def after(self, status: int) -> None:
        """Take note of how it ended by itself."""

    def tend(self) -> None:
        """Start it where it is down and due; take note of an end."""
        if self._process is not None:
            status = self._process.poll()
            if status is None:
                return
            self._process = None
            self._start_at_s = time.monotonic() + RESTART_S
            self.ended[status] += 1
            self.after(status)
        if time.monotonic() >= self._start_at_s and not self.retired:
            self._start()

    def kill9(self) -> bool:
        """Kill it; False when it was down."""
        if self._process is None or self._process.poll() is not None:
            return False
        self._process.kill()
        self._process.wait()
        self._process = None
        self._start_at_s = 0.0
        return True

    def terminate(self, within_s: float = 30.0) -> None:
        """Ask it to end, as an administrator would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.send_signal(signal.SIGCONT)  # it may be stalled
            self.ended[self._process.wait(within_s)] += 1
            self._process = None

    def _start(self) -> None:
        arguments = self.command()
        if arguments is None:
            return
        self.lives += 1
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *arguments], cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=log
            )


class WorkerPart(Part):
    """`ubi ingest run`. `days` is how far its clock is off from its next life on."""

    def __init__(self, name: str, folder: Path, url: str, lake: Path) -> None:
        super().__init__(name, folder)
        self._arguments = ["ingest", "run", "--broker", url, "--lake", str(lake)]
        self.days = 0.0

    def command(self) -> Sequence[str]:
        return ["tests.faults.shifted", str(self.days), *self._arguments]


class CarPart(Part):
    """`ubi replay`, recording after recording until `last` is set; each outbox keeps a journal."""

    def __init__(self, name: str, folder: Path, url: str, outboxes: Path, seed: str) -> None:
        super().__init__(name, folder)
        self._url = url
        self._outboxes = outboxes
        self._rng = random.Random(seed)
        self._played = 0
        self._begun: list[Path] = []
        self._current: tuple[Path, str] | None = None
        self._rate = "100"
        self.last = False

    @property
    def done(self) -> bool:
        """Whether all it has begun is delivered."""
        return self.last and self._current is None

    @property
    def journals(self) -> list[Journal]:
        """Journals of all outboxes it has had."""
        return [read_journal(path) for path in self._begun]

    def command(self) -> Sequence[str] | None:
        if self._current is None:
            if self.last:
                return None
            self._current = self._next()
        if self._current is None:
            return None
        path, device = self._current
        rate = "max" if self.last else self._rng.choice(RATES)
        where = ["--broker", self._url, "--outbox", str(self._outboxes), "--device", device]
        return ["tests.faults.chatty", str(path), *where, "--rate", rate, "--json"]

    def after(self, status: int) -> None:
        if status == 0:
            self._current = None

    def _next(self) -> tuple[Path, str] | None:
        path, device = self._rng.choice(TRIPS), f"{self.name}-{self._played}"
        self._played += 1
        recording = read_recording(path, device)
        player = Player(parse_broker(self._url), self._outboxes)
        outbox = player._outbox_path(recording)
        try:
            prepare_outbox(outbox, recording.stream_id)
            self._begun.append(outbox)
        except (UbiError, OSError, sqlite3.Error):  # the disk is full; a later try takes another device
            return None
        return path, device


class DevicePart(Part):
    """`ubi device run`, motion on, a batch and a commit every second of driving."""

    def __init__(self, name: str, folder: Path, url: str, outboxes: Path, seed: str) -> None:
        super().__init__(name, folder)
        recording = read_recording(random.Random(seed).choice(TRIPS), name)
        self.adapter = PlayedAdapter(Elm327(recording.readings), start_ms=30_000)
        self.adapter.__enter__()
        self._outbox = outboxes / f"{name}.outbox"
        prepare_outbox(self._outbox)
        self._config = folder / f"{name}.toml"
        keys = {
            "device_id": name,
            "zone": "Europe/Berlin",
            "broker": url,
            "obd_port": self.adapter.port,
            "obd_protocol": "6",
            "outbox": str(self._outbox),
            "key_file": str(folder / f"{name}.key"),
            "motion": "full",
            "batch_s": 1,
            "commit_s": 1,
        }
        self._config.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items()))

    @property
    def journal(self) -> Journal:
        """Journal of its outbox, while it is down."""
        return read_journal(self._outbox)

    def command(self) -> Sequence[str]:
        return ["ubi", "device", "run", "--config", str(self._config)]

    def unplug(self) -> None:
        """Take the adapter away at the end."""
        self.kill9()
        self.adapter.unplug()
