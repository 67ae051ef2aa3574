"""Plays recordings through the device path to a broker, and waits until the insurer holds every message.

    load(path) -> readings -> Agent on the recording's own clock -> Outbox -> Uplink -> application ack

The same recording, file name and device give byte-identical messages in the same stream, however often and however fast
it is played: replaying twice adds no exposure. Under another name, or by a release that finds other motion, it is still
the same stream: the insurer keeps what came first and flags the rest as conflicts. A replay that was killed goes on
where its outbox says. An outbox is deleted once all of it is acknowledged.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import time
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from device.agent import Agent, AgentSettings
from device.clock import RecordedClock
from device.contract.broker import BrokerAddress
from device.contract.errors import TryAgainError, UbiError, UsageError
from device.contract.recording import RecordingHead, recording_sha256
from device.contract.signals import Reading
from device.contract.signing import Signer
from device.outbox import Outbox
from device.uplink import Uplink
from replay_data.importers import load, recognise

log = logging.getLogger(__name__)

CONNECT_WITHIN_S: Final = 5.0
RESEND_MS: Final = 20_000  # a replay is watched by somebody: do not let them wait a minute for a lost message
BATCH_MS: Final = 250_000  # 500 rows: nobody waits for a replay's motion
COMMIT_MS: Final = 60_000
MAX_OPEN: Final = 50  # recordings in delivery at a time: each has three files open
STEP_READINGS: Final = 2_000  # between two looks at the network
WAIT_S: Final = 0.02

# Shows the progress of a loop over readings: (readings, file) -> the same readings.
Progress = Callable[[list[Reading], str], Iterable[Reading]]


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording, and the device it is played as."""

    path: Path
    format: str
    sha256: str
    device_id: str
    head: RecordingHead
    readings: list[Reading]

    @property
    def file(self) -> str:
        """Name of the file as text; a file system may hold names that are none."""
        return os.fsencode(self.path.name).decode(errors="replace")

    @property
    def stream_id(self) -> bytes:
        """Stream of this recording played as this device."""
        return self._derived("stream")[:16]

    @property
    def signer(self) -> Signer:
        """Key of this recording played as this device. It proves a replay unchanged, not who played it."""
        return Signer.from_seed(self._derived("key"))

    def _derived(self, purpose: str) -> bytes:
        return hashlib.sha256(f"ubi replay {purpose}\0{self.device_id}\0{self.sha256}".encode()).digest()


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


def read_recording(path: Path, device_id: str | None = None, zone: str | None = None) -> Recording:
    """Read a recording of any known format; without a device id it is named after the vehicle, or else the file.

    `zone` (IANA) is where it was driven, for a file that does not tell.

    Raises
    ------
    RecordingError
        The file cannot be read or is of no known format.
    """
    importer = recognise(path)
    head, readings = load(path, zone)
    named = device_id or id_of(head.vehicle) or id_of(path.stem) or "recording"
    return Recording(path, importer.TITLE if importer else "", recording_sha256(path), named, head, readings)


def id_of(name: str) -> str:
    """A device id that resembles a name; empty if nothing is left of it."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_]+", "-", plain)[:64].strip("-")


class _Delivery(NamedTuple):
    played: Played
    agent: Agent
    outbox: Outbox
    uplink: Uplink


class Player:
    """Plays recordings, one after the other, and delivers what they make.

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

    Attributes
    ----------
    results : list of Played
        One for each recording, in order; the counts are set when it is delivered, or on `close`.
    """

    def __init__(
        self,
        broker: BrokerAddress,
        folder: Path,
        ca_file: Path | None = None,
        rate: float | None = None,
        patience_s: float = 60.0,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._broker = broker
        self._folder = folder
        self._ca_file = ca_file
        self._rate = rate
        self._patience_s = patience_s
        self._uplinks: dict[str, Uplink] = {}
        self._streams: dict[bytes, Path] = {}
        self._deliveries: list[_Delivery] = []
        self.results: list[Played] = []

    def play(self, recording: Recording, progress: Progress = lambda readings, _file: readings) -> None:
        """Play a recording into its outbox, sending meanwhile; `deliver` waits for the rest.

        Raises
        ------
        UsageError
            The same recording was played before as the same device.
        UbiError
            The outbox of an earlier replay cannot be continued.
        """
        twin = self._streams.setdefault(recording.stream_id, recording.path)
        if twin != recording.path:
            raise UsageError(f"{recording.path}: the same recording as {twin}; name it once")
        self.deliver(leave=MAX_OPEN - 1)
        outbox = Outbox(self._outbox_path(recording), recording.stream_id)
        agent = _agent(recording, outbox)
        if outbox.next_seq > 1 and not agent.readings:  # its trips would be driven a second time in one stream
            outbox.close()
            raise UbiError(f"{outbox.path}: begun by another release of ubi; finish it with that one, or delete it")
        uplink = self._uplink(recording.device_id)
        uplink.add(outbox)
        played = Played(recording.file, recording.format, recording.device_id)
        self.results.append(played)
        self._deliveries.append(_Delivery(played, agent, outbox, uplink))
        if not agent.finished:
            rest = recording.readings[agent.readings :]
            if agent.readings:
                log.info("%s: goes on at reading %d, where a replay was cut off", recording.path, agent.readings)
            self._push(agent, progress(rest, played.file))
            agent.finish()
        self._turn()

    def deliver(self, leave: int = 0, on_ack: Callable[[int], object] = lambda _messages: None) -> None:
        """Wait until all but `leave` recordings are acknowledged; `on_ack` is told of how many messages were.

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
                on_ack(before - waiting)
                heard = now
            errors = [uplink.last_error for uplink in self._uplinks.values()]
            met = any(uplink.counters["connects"] for uplink in self._uplinks.values())
            if all(errors) and now - heard > (self._patience_s if met else CONNECT_WITHIN_S):
                raise TryAgainError(f"{self._broker} does not answer: {errors[0]}; {self._later(waiting)}")
            if now - heard > self._patience_s:
                silence = f"no ack from an insurer behind {self._broker} for {self._patience_s:g} s"
                raise TryAgainError(f"{silence}; is 'ubi ingest run' running? {self._later(waiting)}")

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

    def _push(self, agent: Agent, readings: Iterable[Reading]) -> None:
        began, first_ms = time.monotonic(), None
        for number, reading in enumerate(readings):
            if self._rate is not None:
                first_ms = reading.t_ms if first_ms is None else first_ms
                due = began + (reading.t_ms - first_ms) / 1_000 / self._rate
                while (left_s := due - time.monotonic()) > 0:
                    self._turn(min(left_s, WAIT_S))
            elif number % STEP_READINGS == 0:
                self._turn()
            agent.push(reading)

    def _turn(self, wait_s: float = 0.0) -> None:
        """Let every uplink do what it can; close what is delivered."""
        for uplink in self._uplinks.values():
            uplink.step(time.monotonic_ns() // 1_000_000, wait_s / len(self._uplinks))
        for delivery in list(self._deliveries):
            if delivery.agent.finished and delivery.outbox.waiting() == 0:
                _count(delivery)
                self._deliveries.remove(delivery)
                delivery.uplink.remove(delivery.outbox)
                delivery.outbox.close()
                delivery.outbox.path.unlink()

    def _uplink(self, device_id: str) -> Uplink:
        if device_id not in self._uplinks:
            self._uplinks[device_id] = Uplink(device_id, self._broker, self._ca_file, RESEND_MS)
        return self._uplinks[device_id]

    def _outbox_path(self, recording: Recording) -> Path:
        """One file for each recording, device and broker: what one insurer acknowledged another may still want."""
        broker = hashlib.sha256(str(self._broker).encode()).hexdigest()[:8]
        return self._folder / f"{recording.device_id}.{recording.stream_id.hex()}.{broker}.outbox"

    def _later(self, waiting: int) -> str:
        return f"{waiting} messages wait in {self._folder} and the same command sends them"


def _agent(recording: Recording, outbox: Outbox) -> Agent:
    head = recording.head
    settings = AgentSettings(
        device_id=recording.device_id,
        motion=True,
        batch_ms=BATCH_MS,
        commit_ms=COMMIT_MS,
        vehicle=head.vehicle[:256],
        adapter=head.source[:256],
        recording=recording.sha256,
        recorded_file=recording.file[:256],
    )
    clock = RecordedClock(head.started_at_ms, head.utc_offset_min, boot_id=recording.stream_id)
    return Agent(settings, outbox, recording.signer.sign, clock)


def _count(delivery: _Delivery) -> None:
    played, outbox, totals = delivery.played, delivery.outbox, delivery.agent.totals
    played.trips, played.events = totals["trips"], totals["events"]
    played.distance_m = round(totals["distance_mm"] / 1_000)
    played.messages, played.acked, played.rejected = outbox.next_seq - 1, outbox.stored, outbox.rejected
