"""Devices played by several processes at once. A device is played by one of them: a broker knows it by its name.

    files -> by device -> processes, each with a player -> progress and results over a pipe -> added up here

A process ends when the one that began it is gone, however that went, so that the same command can be given again.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

from device.contract.broker import BrokerAddress
from device.contract.errors import TryAgainError, UbiError, UsageError
from replay_data.faults import Spec
from replay_data.player import Played, Player, Progress, Watch
from replay_data.recording import Recording, device_of, read_recording

LEAVE_WITHIN_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Task:
    """What to replay, and how. Parameters are those of `Player` and `read_recording`."""

    files: tuple[Path, ...]
    broker: BrokerAddress
    outbox: Path
    device_id: str | None = None
    zone: str | None = None
    ca_file: Path | None = None
    rate: float | None = None
    patience_s: float = 60.0
    faults: Spec | None = None

    def read(self, path: Path) -> Recording:
        """Read one of the files."""
        recording = read_recording(path, self.device_id, self.zone)
        return recording if self.faults is None else self.faults.laid_over(recording)

    def player(self, watch: Watch | None = None) -> Player:
        """Return a player for these files."""
        return Player(self.broker, self.outbox, self.ca_file, self.rate, self.patience_s, watch, self.faults)


def replay(task: Task, played: dict[Path, Played], jobs: int = 1, watch: Watch | None = None) -> UbiError | None:
    """Replay and wait until everything is acknowledged; return the first error.

    Parameters
    ----------
    task : Task
    played : dict of Path to Played
        Filled with what became of the files, also when this is left by an exception.
    jobs : int
        Processes at most; no more than there are devices.
    watch : callable or None
        Told of the progress of all.
    """
    is_simple = jobs == 1 and task.rate is None
    try:
        devices = [list(task.files)] if is_simple else by_device(task)
    except UbiError as error:
        return error
    jobs = min(jobs, len(devices))
    if jobs == 1:
        return _play(task, devices, played, watch)
    return _Processes(task, _shares(devices, jobs), played, watch).run()


def by_device(task: Task) -> list[list[Path]]:
    """Files of each device, in their order."""
    devices: dict[str, list[Path]] = {}
    for path in task.files:
        devices.setdefault(device_of(path, task.device_id), []).append(path)
    return list(devices.values())


def _shares(devices: Sequence[list[Path]], jobs: int) -> list[list[list[Path]]]:
    """Devices of each process: the largest first, always to the process with the least to do, by size of files."""
    sizes = [sum(path.stat().st_size for path in paths) for paths in devices]
    shares: list[list[list[Path]]] = [[] for _ in range(jobs)]
    load = [0] * jobs
    for size, paths in sorted(zip(sizes, devices, strict=True), key=lambda pair: -pair[0]):
        least = load.index(min(load))
        shares[least].append(paths)
        load[least] += size
    return [share for share in shares if share]


def _play(task: Task, devices: list[list[Path]], played: dict[Path, Played], watch: Watch | None) -> UbiError | None:
    player = task.player(watch)
    try:
        player.play_all(devices, task.read)
        player.deliver()
    except UbiError as error:
        return error
    finally:
        player.close()
        played |= player.played
    return None


class _Processes:
    def __init__(
        self, task: Task, shares: list[list[list[Path]]], played: dict[Path, Played], watch: Watch | None
    ) -> None:
        self._task, self._shares = task, shares
        self._played = played
        self._watch = watch
        self._processes: dict[Connection, BaseProcess] = {}
        self._progress: dict[Connection, Progress] = {}
        self._error: UbiError | None = None

    def run(self) -> UbiError | None:
        """Begin all processes and wait for them; when this is left early they are asked to leave, too."""
        context = multiprocessing.get_context("spawn")  # a forked SQLite or MQTT client would be two in one
        try:
            for share in self._shares:
                here, there = context.Pipe(duplex=False)
                process: BaseProcess = context.Process(target=_work, args=(self._task, share, there), daemon=True)
                process.start()
                there.close()
                self._processes[here] = process
            while self._processes:
                self._hear(None)
        finally:
            for process in self._processes.values():
                process.terminate()
            until_s = time.monotonic() + LEAVE_WITHIN_S
            while self._processes and (left_s := until_s - time.monotonic()) > 0:
                self._hear(left_s)
        return self._error

    def _hear(self, wait_s: float | None) -> None:
        """Wait until a process says something, and take it."""
        for here in connection.wait(list(self._processes), wait_s):
            if not isinstance(here, Connection):
                continue
            try:
                said = here.recv()
            except EOFError:
                self._processes[here].join()
                self._end(here, {}, TryAgainError(_died(self._processes[here].exitcode)))
                continue
            if isinstance(said, Progress):
                self._progress[here] = said
                if self._watch is not None:
                    self._watch(functools.reduce(Progress.plus, self._progress.values()))
            else:
                played, told = said
                self._end(here, played, _error(told))

    def _end(self, here: Connection, played: dict[Path, Played], error: UbiError | None) -> None:
        self._played |= played
        self._error = self._error or error
        self._processes.pop(here).join(LEAVE_WITHIN_S)
        here.close()


def _work(task: Task, devices: list[list[Path]], said: Connection) -> None:
    """One process: play these devices; say the progress, and at last what became of them."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it comes to the parent as well, which asks to leave
    played: dict[Path, Played] = {}
    error: UbiError | None = None
    try:
        error = _play(task, devices, played, lambda progress: _say(said, progress))
    finally:
        _say(said, (played, None if error is None else (error.exit_code, str(error))))


def _say(said: Connection, what: object) -> None:
    try:
        said.send(what)
    except OSError:
        os._exit(0)  # nobody is left to hear it; what is queued is in the outbox, as after a kill


def _error(told: tuple[int, str] | None) -> UbiError | None:
    """An error of another process by its exit code: not every error can be sent as it is."""
    if told is None:
        return None
    code, text = told
    kinds = {kind.exit_code: kind for kind in (UsageError, TryAgainError)}
    return kinds.get(code, UbiError)(text)


def _died(exit_code: int | None) -> str:
    how = f"was ended by signal {-exit_code}" if exit_code is not None and exit_code < 0 else f"ended with {exit_code}"
    return f"one of the processes that play {how}; the same command goes on where it was"
