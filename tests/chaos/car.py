"""A car that drives a recording: its agent, as it is and as somebody kills it or cuts its power."""

from __future__ import annotations

import hashlib
import os
import random
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from device.agent import Agent, AgentSettings
from device.contract import wire
from device.contract import wire_pb2 as pb
from device.contract.recording import RecordingHead, open_recording
from device.contract.signals import Reading
from device.contract.signing import Signer
from device.outbox import Outbox

SECTOR_BYTES: Final = 512
BATCH_MS: Final = 20_000
COMMIT_MS: Final = 10_000
ACK_MS: Final = 2_000


@dataclass(frozen=True)
class Drive:
    """A recorded trip as a car of its own: the recording is its sensors, and it does not say that it is one."""

    device_id: str
    head: RecordingHead
    readings: list[Reading]

    @property
    def stream_id(self) -> bytes:
        return hashlib.sha256(f"chaos {self.device_id}".encode()).digest()[:16]

    @property
    def started_at_ms(self) -> int:
        assert self.head.started_at_ms is not None
        return self.head.started_at_ms


def drive_of(path: Path, number: int) -> Drive:
    head, readings = open_recording(path)
    return Drive(f"car-{number:02d}", head, list(readings))


class Wrong(NamedTuple):
    """The computer's clock is off by so much until a time of the drive, and claims to be right or not.

    `offline`: whether acks come only when the drive is over.
    """

    by_ms: int
    until_ms: int
    known: bool
    offline: bool = False


@dataclass
class Clock:
    """The computer's clock: right, or wrong until something sets it."""

    drive: Drive
    wrong: Wrong = field(default_factory=lambda: Wrong(0, 0, known=True))
    now_ms: int = 0

    @property
    def boot_id(self) -> bytes:
        return self.drive.stream_id

    @property
    def quality(self) -> int:
        return pb.CLOCK_NTP if self.wrong.known or self.now_ms >= self.wrong.until_ms else pb.CLOCK_UNKNOWN

    def utc_ms(self, mono_ms: int) -> int:
        """UTC of a monotonic time as believed now, as `device.clock.SystemClock` does."""
        off_ms = self.wrong.by_ms if self.now_ms < self.wrong.until_ms else 0
        return self.drive.started_at_ms + mono_ms + off_ms

    def utc_offset_min(self, utc_ms: int) -> int | None:
        return self.drive.head.utc_offset_min


class Acks:
    """An insurer who acks what was committed, a moment later, and tells the time."""

    def __init__(self, drive: Drive, outbox: Outbox, agent: Agent) -> None:
        self._drive, self._outbox, self._agent = drive, outbox, agent
        self._seen = outbox.next_seq
        self._sent_ms: int | None = None

    def step(self, now_ms: int) -> None:
        if self._sent_ms is not None and now_ms >= self._sent_ms + ACK_MS:
            made_ms = self._sent_ms + ACK_MS // 2
            self._agent.hear_insurer(self._drive.started_at_ms + made_ms, self._sent_ms, now_ms)
            self._sent_ms = None
        if self._outbox.next_seq != self._seen and self._sent_ms is None:
            self._seen, self._sent_ms = self._outbox.next_seq, now_ms


def messages_of(drive: Drive, folder: Path, wrong: Wrong | None = None) -> list[bytes]:
    """Payloads of the drive, in order."""
    with Outbox(folder / f"{drive.device_id}.outbox", drive.stream_id) as outbox:
        _live(drive, outbox, wrong)
        return list(_payloads(outbox))


def messages_of_killed(drive: Drive, folder: Path, times: int, rng: random.Random) -> list[bytes]:
    """The same by a process that is killed with -9 so many times at any reading, and goes on."""
    path = folder / f"{drive.device_id}.outbox"
    for steps in sorted(rng.sample(range(1, len(drive.readings)), times)):
        _die(partial(_live_until, drive, path, steps))
    return messages_of(drive, folder)


def messages_of_cut(drive: Drive, folder: Path, times: int, rng: random.Random) -> list[bytes]:
    """The same by a computer whose power is cut so many times in the middle of a write, with what that tears."""
    path = folder / f"{drive.device_id}.outbox"
    for _ in range(times):
        commits = rng.randrange(1, max(2, drive.readings[-1].t_ms // COMMIT_MS // times))
        if _die(partial(_live_doomed, drive, path, commits)):
            _tear(path, rng)
    return messages_of(drive, folder)


class _DoomedOutbox(Outbox):
    """Its process dies right after a commit; what the files were before it is kept beside them."""

    def __init__(self, path: Path, stream_id: bytes, commits: int) -> None:
        super().__init__(path, stream_id)
        self._left = commits

    def commit(self, first_seq: int, messages: Sequence[wire.Encoded], state: bytes) -> None:
        self._left -= 1
        if self._left == 0:
            for file in _files(self.path):
                before = file.read_bytes() if file.exists() else b""
                file.with_name(f"{file.name}.before").write_bytes(before)
        super().commit(first_seq, messages, state)
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def _tear(path: Path, rng: random.Random) -> None:
    """Let the last commit be one that the disk had not finished: each sector is of before, of after, or nothing.

    SQLite syncs its log before it touches the database, so only what it was writing last may be torn.
    """
    database, log = _files(path)
    torn = log
    if database.read_bytes() != _before(database):
        torn = rng.choice([database, log])
        if torn == log:
            database.write_bytes(_before(database))
    old, new = _before(torn), torn.read_bytes()
    size = max(len(old), len(new))
    old, new = old.ljust(size, b"\0"), new.ljust(size, b"\0")
    sectors = []
    for at in range(0, size, SECTOR_BYTES):
        was, is_now = old[at : at + SECTOR_BYTES], new[at : at + SECTOR_BYTES]
        sectors.append(is_now if was == is_now else rng.choice([was, is_now]))
    torn.write_bytes(b"".join(sectors))
    for file in (database, log):
        file.with_name(f"{file.name}.before").unlink()


def _before(file: Path) -> bytes:
    return file.with_name(f"{file.name}.before").read_bytes()


def _files(path: Path) -> tuple[Path, Path]:
    return path, path.with_name(f"{path.name}-wal")


def _live(drive: Drive, outbox: Outbox, wrong: Wrong | None = None, kill_at: int = -1) -> None:
    """Go on where the outbox says; with `kill_at` the process dies at that reading of the drive, if it gets there."""
    settings = AgentSettings(device_id=drive.device_id, motion=True, batch_ms=BATCH_MS, commit_ms=COMMIT_MS)
    clock = Clock(drive, wrong) if wrong else Clock(drive)
    agent = Agent(settings, outbox, Signer.from_seed(drive.stream_id * 2).sign, clock)
    if agent.finished:
        return
    acks = Acks(drive, outbox, agent)
    for number in range(agent.readings, len(drive.readings)):
        if number == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        reading = drive.readings[number]
        clock.now_ms = reading.t_ms
        agent.push(reading)
        if wrong and not wrong.offline:
            acks.step(reading.t_ms)
    agent.finish()
    if wrong:
        acks.step(clock.now_ms)
        acks.step(clock.now_ms + ACK_MS)


def _live_until(drive: Drive, path: Path, kill_at: int) -> None:
    _live(drive, Outbox(path, drive.stream_id), kill_at=kill_at)


def _live_doomed(drive: Drive, path: Path, commits: int) -> None:
    _live(drive, _DoomedOutbox(path, drive.stream_id, commits))


def _die(life: Callable[[], None]) -> bool:
    """Live in a process of one's own; whether it was killed."""
    child = os.fork()
    if not child:
        code = 1
        try:
            life()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    if not killed and status:
        raise RuntimeError("the car's process ended by itself, with an error")
    return killed


def _payloads(outbox: Outbox) -> Iterator[bytes]:
    yield from (row.payload for row in outbox.unacked(100_000))
