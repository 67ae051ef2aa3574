"""Plays recordings through the device path to a broker, and waits until the insurer holds every message.

    load(path) -> readings -> Agent on the recording's own clock -> Outbox -> Uplink -> application ack

The same recording, file name and device give byte-identical messages in the same stream, however often and however fast
it is played: replaying twice adds no exposure. Under another name, or by a release that finds other motion, it is still
the same stream: the insurer keeps what came first and flags the rest as conflicts. A replay that was killed goes on
where its outbox says. An outbox is deleted once all of it is acknowledged.

As fast as it goes, recordings are played one after the other. At a rate, all devices drive at once, each its recordings
one after the other: a fleet, as an insurer's broker would see it.
"""

from __future__ import annotations

import hashlib
import heapq
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from device.agent import Agent
from device.contract.broker import BrokerAddress
from device.contract.errors import TryAgainError, UbiError, UsageError
from device.contract.signals import Reading
from device.outbox import Outbox
from device.uplink import Uplink
from replay_data.faults import Spec
from replay_data.recording import Recording, agent_of, id_of, read_recording
from replay_data.rough_road import RoughUplink

__all__ = ["Played", "Player", "Progress", "Recording", "id_of", "read_recording"]

log = logging.getLogger(__name__)

CONNECT_WITHIN_S: Final = 5.0
RESEND_MS: Final = 20_000  # a replay is watched by somebody: do not let them wait a minute for a lost message
MAX_OPEN: Final = 50  # recordings in delivery at a time: each has three files open
MAX_AT_ONCE: Final = 250  # devices that drive at the same time, for the same reason
STEP_READINGS: Final = 2_000  # between two looks at the network
WAIT_S: Final = 0.02
TELL_S: Final = 0.1

Reader = Callable[[Path], Recording]


class Progress(NamedTuple):
    """How far a player is; `recordings` counts what was played of those begun, in parts of one."""

    recordings: float = 0.0
    devices: int = 0
    messages: int = 0
    acked: int = 0  # or refused

    def plus(self, other: Progress) -> Progress:
        """Both together."""
        return Progress(
            self.recordings + other.recordings,
            self.devices + other.devices,
            self.messages + other.messages,
            self.acked + other.acked,
        )


Watch = Callable[[Progress], object]


@dataclass(slots=True)
class Played:
    """What became of a recording; `messages`, `acked` and `rejected` count messages."""

    file: str
    format: str
    device_id: str
    trips: int = 0
    distance_m: int = 0
    events: int = 0
    messages: int = 0
    acked: int = 0
    rejected: int = 0


class _Delivery(NamedTuple):
    played: Played
    readings: int
    agent: Agent
    outbox: Outbox
    uplink: Uplink

    @property
    def is_done(self) -> bool:
        return self.agent.finished and self.outbox.waiting() == 0

    @property
    def progress(self) -> Progress:
        part = 1.0 if self.agent.finished else self.agent.readings / max(self.readings, 1)
        return Progress(part, 0, self.outbox.next_seq - 1, self.outbox.stored + self.outbox.rejected)


class Player:
    """Plays recordings and delivers what they make.

    Parameters
    ----------
    broker : BrokerAddress
    folder : Path
        Where the outboxes are kept until they are delivered.
    ca_file : Path or None
        Certificates to trust; None = the system's.
    rate : float or None
        Times real time; None = as fast as it goes.
    patience_s : float
        How long to wait for an ack while none comes.
    watch : callable or None
        Told of the progress now and then, and when all is delivered.
    faults : Spec or None
        Those of the road are laid between here and the broker.

    Attributes
    ----------
    played : dict of Path to Played
        One for each recording, in the order they were begun; the counts are set when it is delivered, or on `close`.
    """

    def __init__(
        self,
        broker: BrokerAddress,
        folder: Path,
        ca_file: Path | None = None,
        rate: float | None = None,
        patience_s: float = 60.0,
        watch: Watch | None = None,
        faults: Spec | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._broker = broker
        self._folder = folder
        self._ca_file = ca_file
        self._rate = rate
        self._patience_s = patience_s
        self._watch = watch
        self._told_s = 0.0
        self._faults = faults
        self._uplinks: dict[str, Uplink] = {}
        self._streams: dict[bytes, Path] = {}
        self._deliveries: list[_Delivery] = []
        self._delivered = Progress()
        self.played: dict[Path, Played] = {}

    @property
    def results(self) -> list[Played]:
        """What became of each recording, in the order they were begun."""
        return list(self.played.values())

    def play_all(self, devices: Sequence[Sequence[Path]], read: Reader = read_recording) -> None:
        """Play the files of some devices, those of one device one after the other; `deliver` waits for the rest.

        Raises
        ------
        UsageError
            The same recording was played before as the same device, or more than `MAX_AT_ONCE` devices at a rate.
        UbiError
            The outbox of an earlier replay cannot be continued.
        """
        if self._rate is None:
            for path in (path for paths in devices for path in paths):
                self.play(read(path))
            return
        if len(devices) > MAX_AT_ONCE:
            told = f"{len(devices)} devices at once are too many, at most {MAX_AT_ONCE}"
            raise UsageError(f"{told}; play some of them, or all with --rate max")
        self._paced(heapq.merge(*(self._drive(paths, read) for paths in devices), key=lambda step: step.at_ms))

    def play(self, recording: Recording) -> None:
        """Play one recording; see `play_all`."""
        if self._rate is not None:
            self._paced(self._drive([recording.path], lambda _path: recording))
            return
        self.deliver(leave=MAX_OPEN - 1)
        delivery = self._begin(recording)
        agent = delivery.agent
        if not agent.finished:
            for number, reading in enumerate(recording.readings[agent.readings :]):
                if number % STEP_READINGS == 0:
                    self._turn()
                agent.push(reading)
            agent.finish()
        self._turn()

    def deliver(self, leave: int = 0) -> None:
        """Wait until all but `leave` recordings are acknowledged.

        Raises
        ------
        TryAgainError
            No broker answers, or no insurer acknowledges for `patience_s`. What waits stays in the outboxes.
        """
        heard = time.monotonic()
        waiting = self.waiting()
        while len(self._deliveries) > leave:
            self._turn(WAIT_S)
            now, before, waiting = time.monotonic(), waiting, self.waiting()
            if waiting < before:
                heard = now
            errors = [uplink.last_error for uplink in self._uplinks.values()]
            met = any(uplink.counters["connects"] for uplink in self._uplinks.values())
            if all(errors) and now - heard > (self._patience_s if met else min(CONNECT_WITHIN_S, self._patience_s)):
                raise TryAgainError(f"{self._broker} does not answer: {errors[0]}; {self._later(waiting)}")
            if now - heard > self._patience_s:
                silence = f"no ack from an insurer behind {self._broker} for {self._patience_s:g} s"
                raise TryAgainError(f"{silence}; is 'ubi ingest run' running? {self._later(waiting)}")
        if self._watch is not None:
            self._tell(self._watch)

    def waiting(self) -> int:
        """Messages that are not acknowledged yet."""
        return sum(delivery.outbox.waiting() for delivery in self._deliveries)

    def close(self) -> None:
        """Say goodbye to the broker and close what is open; nothing that waits is lost."""
        for uplink in self._uplinks.values():
            uplink.stop()
        for delivery in self._deliveries:
            _count(delivery)
            delivery.outbox.close()
        self._uplinks, self._deliveries = {}, []

    def _begin(self, recording: Recording) -> _Delivery:
        twin = self._streams.setdefault(recording.stream_id, recording.path)
        if twin != recording.path:
            raise UsageError(f"{recording.path}: the same recording as {twin}; name it once")
        outbox = Outbox(self._outbox_path(recording), recording.stream_id)
        agent = agent_of(recording, outbox)
        if outbox.next_seq > 1 and not agent.readings:  # its trips would be driven a second time in one stream
            outbox.close()
            raise UbiError(f"{outbox.path}: begun by another release of ubi; finish it with that one, or delete it")
        if agent.readings and not agent.finished:
            log.info("%s: goes on at reading %d, where a replay was cut off", recording.path, agent.readings)
        uplink = self._uplink(recording.device_id)
        uplink.add(outbox)
        played = self.played[recording.path] = Played(recording.file, recording.format, recording.device_id)
        delivery = _Delivery(played, len(recording.readings), agent, outbox, uplink)
        self._deliveries.append(delivery)
        return delivery

    def _drive(self, paths: Sequence[Path], read: Reader) -> Iterator[_Step]:
        """Readings of one device's recordings, each at its time since the first of the rest that is to be played."""
        begun_ms = 0
        for path in paths:
            if len(self._deliveries) >= MAX_AT_ONCE:
                silence = f"{MAX_AT_ONCE} recordings wait for their acks"
                raise TryAgainError(f"{silence}; is 'ubi ingest run' running? {self._later(self.waiting())}")
            recording = read(path)
            agent = self._begin(recording).agent
            rest = recording.readings[agent.readings :]
            for reading in rest:
                yield _Step(begun_ms + reading.t_ms - rest[0].t_ms, agent, reading)
            begun_ms += rest[-1].t_ms - rest[0].t_ms if rest else 0
            if not agent.finished:
                agent.finish()

    def _paced(self, steps: Iterator[_Step]) -> None:
        """Take each step when it is due by the wall clock."""
        rate = self._rate or 1.0
        began = time.monotonic()
        for at_ms, agent, reading in steps:
            while (left_s := began + at_ms / 1_000 / rate - time.monotonic()) > 0:
                self._turn(min(left_s, WAIT_S))
            agent.push(reading)
        self._turn()

    def _turn(self, wait_s: float = 0.0) -> None:
        """Let every uplink do what it can; close what is delivered; tell the progress."""
        for uplink in self._uplinks.values():
            uplink.step(time.monotonic_ns() // 1_000_000, wait_s / len(self._uplinks))
        for delivery in [delivery for delivery in self._deliveries if delivery.is_done]:
            _count(delivery)
            self._delivered = self._delivered.plus(delivery.progress)
            self._deliveries.remove(delivery)
            delivery.uplink.remove(delivery.outbox)
            delivery.outbox.close()
            delivery.outbox.path.unlink()
        if self._watch is not None and time.monotonic() - self._told_s >= TELL_S:
            self._tell(self._watch)

    def _tell(self, watch: Watch) -> None:
        self._told_s = time.monotonic()
        progress = self._delivered
        for delivery in self._deliveries:
            progress = progress.plus(delivery.progress)
        watch(progress._replace(devices=len(self._uplinks)))

    def _uplink(self, device_id: str) -> Uplink:
        if device_id not in self._uplinks:
            road = self._faults.of_the_road if self._faults else {}
            self._uplinks[device_id] = (
                RoughUplink(device_id, self._broker, self._ca_file, road, self._faults.seed)
                if self._faults and road
                else Uplink(device_id, self._broker, self._ca_file, RESEND_MS)
            )
        return self._uplinks[device_id]

    def _outbox_path(self, recording: Recording) -> Path:
        """One file for each recording, device and broker: what one insurer acknowledged another may still want."""
        broker = hashlib.sha256(str(self._broker).encode()).hexdigest()[:8]
        return self._folder / f"{recording.device_id}.{recording.stream_id.hex()}.{broker}.outbox"

    def _later(self, waiting: int) -> str:
        return f"{waiting} messages wait in {self._folder} and the same command sends them"


class _Step(NamedTuple):
    """A reading that is due at `at_ms` of recorded time since the player began."""

    at_ms: int
    agent: Agent
    reading: Reading


def _count(delivery: _Delivery) -> None:
    played, outbox, totals = delivery.played, delivery.outbox, delivery.agent.totals
    played.trips, played.events = totals["trips"], totals["events"]
    played.distance_m = round(totals["distance_mm"] / 1_000)
    played.messages, played.acked, played.rejected = outbox.next_seq - 1, outbox.stored, outbox.rejected
