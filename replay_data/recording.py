"""A recording, the device it is played as, and the agent that plays it.

Stream and key follow from the device and the recording's SHA-256, so that playing it again makes the same messages.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from device.agent import Agent, AgentSettings
from device.clock import RecordedClock
from device.contract.recording import RecordingHead, open_recording, recording_sha256
from device.contract.signals import Reading
from device.contract.signing import Signer
from device.outbox import Outbox
from replay_data.importers import load, recognise, ubirec

BATCH_MS = 250_000  # 500 rows: nobody waits for a replay's motion
COMMIT_MS = 60_000


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
    def duration_ms(self) -> int:
        """From the first reading to the last."""
        return self.readings[-1].t_ms - self.readings[0].t_ms if self.readings else 0

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
    named = device_id or _device_of(head, path)
    return Recording(path, importer.TITLE if importer else "", recording_sha256(path), named, head, readings)


def device_of(path: Path, device_id: str | None = None) -> str:
    """Device that `read_recording` names; of the project's own format the readings are not read for it."""
    if device_id is not None:
        return device_id
    return _device_of(open_recording(path)[0] if recognise(path) is ubirec else load(path)[0], path)


def _device_of(head: RecordingHead, path: Path) -> str:
    return id_of(head.vehicle) or id_of(path.stem) or "recording"


def id_of(name: str) -> str:
    """A device id that resembles a name; empty if nothing is left of it."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_]+", "-", plain)[:64].strip("-")


def agent_of(recording: Recording, outbox: Outbox) -> Agent:
    """Return the agent that plays a recording into an outbox, or goes on where the outbox's state was taken."""
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
