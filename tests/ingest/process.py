"""Real processes and real deliveries for the tests of ingest: the worker as `ubi ingest run`, the car as its uplink."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from device.contract.broker import parse_broker
from device.contract.wire import Encoded
from device.outbox import Outbox
from device.uplink import Uplink
from tests.ingest.drive import Drive

PATIENCE_S = 30.0
RESEND_MS = 50


class Ingest:
    """`ubi ingest run` as a process, ready when it has subscribed. `module` may be one that dies on the way."""

    def __init__(self, url: str, lake: Path, *options: str, module: Sequence[str] = ("ubi",)) -> None:
        self.log = lake.parent / f"ingest-{time.monotonic_ns()}.log"
        command = [sys.executable, "-m", *module, "ingest", "run", "--broker", url, "--lake", str(lake), *options]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        wait_for(lambda: self.process.poll() is not None or b"connected to" in self.log.read_bytes())
        assert self.process.poll() is None, self.log.read_text()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.communicate(timeout=PATIENCE_S)

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal, wait for the end: exit status and stdout."""
        self.process.send_signal(number)
        out, _ = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, out


class Car:
    """A drive's messages in a real outbox, sent by the real uplink until the insurer acknowledges them."""

    def __init__(self, drive: Drive, url: str, folder: Path) -> None:
        self.drive = drive
        self.outbox = Outbox(folder / f"{drive.device_id}.outbox", drive.stream_id)
        self.uplink = Uplink(drive.device_id, parse_broker(url), resend_ms=RESEND_MS)
        self.uplink.add(self.outbox)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.uplink.stop()
        self.outbox.close()

    def queue(self) -> None:
        """Put what was driven since the last call into the outbox."""
        new = self.drive.messages[self.outbox.next_seq - 1 :]
        self.outbox.commit(self.outbox.next_seq, [Encoded(m.payload, m.hash) for m in new], b"")

    def step(self) -> int:
        """Let the uplink work for a moment; how many messages still wait for their ack."""
        self.uplink.step(time.monotonic_ns() // 1_000_000, 0.02)
        return self.outbox.waiting()

    def deliver(self) -> None:
        """Work until everything is acknowledged."""
        self.queue()
        wait_for(lambda: self.step() == 0)


def wait_for(condition, within_s: float = PATIENCE_S) -> None:
    """Poll until a condition holds; the test fails when it does not in time."""
    deadline_s = time.monotonic() + within_s
    pause = signal.sigtimedwait
    while not condition():
        assert time.monotonic() < deadline_s, "waited too long"
        pause([], 0.01)
