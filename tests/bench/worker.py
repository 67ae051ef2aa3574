"""A real `ubi ingest run` process, started, watched and stopped as an operator would."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.bench.measure import ROOT, cpu_s, memory_mb

PATIENCE_S = 60.0


class IngestWorker:
    """One worker. `where` is `--broker URL` or `--embedded-broker PORT`; `counters` is what it told at its end."""

    def __init__(self, folder: Path, lake: Path, *where: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / "log"
        self._command = [sys.executable, "-m", "ubi", "ingest", "run", "--lake", str(lake), "--json", *where]
        self.counters: dict[str, int] = {}

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log)
        until(lambda: "connected to" in self._log.read_text() or self._process.poll() is not None)
        if self._process.poll() is not None:
            raise RuntimeError(f"the worker ended:\n{self._log.read_text()}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.send_signal(signal.SIGTERM)
        told, _ = self._process.communicate(timeout=PATIENCE_S)
        if kind is None:
            self.counters = json.loads(told)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def cpu_s(self) -> float:
        """CPU seconds until now."""
        return cpu_s(self._process.pid)

    @property
    def peak_mb(self) -> float:
        """Most memory held until now."""
        return memory_mb(self._process.pid)


def until(condition: Callable[[], object], within_s: float = PATIENCE_S) -> None:
    """Wait for a condition of another process."""
    deadline_s = time.monotonic() + within_s
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"waited for {within_s:g} s")
        pause.wait(0.005)
