"""The gate: whether a message may be kept, by the insurer's registry, the person's consent and the erasures.

What does not pass leaves no body behind: header, hash and reason are kept, of a forgotten device not even the header.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from device.contract import wire_pb2 as pb
from device.contract.bodies import Body
from device.contract.wire import Reason, Reject
from ingest.contract.erasure import Erasures
from ingest.devices import ACTIVE, Consent
from ingest.judge import Sound, Verdict
from ingest.registry import RegistryFile

# Body -> the purpose it is collected for. Health serves the device itself and needs none.
PURPOSE: Final = {
    int(pb.BODY_TRIP_START): "pricing",
    int(pb.BODY_EVENT): "pricing",
    int(pb.BODY_MOTION): "pricing",
    int(pb.BODY_TRIP_END): "pricing",
    int(pb.BODY_TRACK): "pricing",
    int(pb.BODY_IMPACT): "accident",
}
_CELLS: Final = ("cell", "start_cell", "end_cell")


class Gate:
    """Judges messages by a registry file and a lake's erasures, as both were when `writing` was entered.

    Parameters
    ----------
    root : Path
        Folder of the lake.
    registry : Path or None
        None takes every device that was not forgotten.
    """

    def __init__(self, root: Path, registry: Path | None = None) -> None:
        self._erasures = Erasures(root)
        self._file = RegistryFile(registry) if registry is not None else None

    @property
    def errors(self) -> int:
        """How often a changed registry could not be used."""
        return self._file.errors if self._file is not None else 0

    def judge(self, verdict: Verdict, topic_device: str | None) -> Reject | None:
        """Refuse what may not be kept; None for what may.

        Parameters
        ----------
        verdict : Sound or Reject
            A reject is judged too: its bytes may hold what nobody agreed to.
        topic_device : str or None
            Device id of the topic it came on.
        """
        header = verdict.header
        device_id = header.device_id if header is not None else topic_device
        for one in {device_id, topic_device}:
            erasure = self.forgotten(one) if one is not None else None
            if erasure is not None:
                return Reject(Reason.FORGOTTEN, f"erasure {erasure}", header)
        if self._file is None or device_id is None:
            return None
        device = self._file.registry.get(device_id)
        if device is None:
            return Reject(Reason.UNKNOWN_DEVICE, "not registered", header)
        if device.status != ACTIVE:
            return Reject(Reason.REVOKED_DEVICE, device.status, header)
        if header is None or (isinstance(verdict, Sound) and verdict.is_tombstone):
            return None  # a tombstone says nothing about the person
        body = verdict.body if isinstance(verdict, Sound) else None
        beyond = beyond_consent(device.consent, header.body_kind, body)
        return Reject(Reason.BEYOND_CONSENT, beyond, header) if beyond is not None else None

    def forgotten(self, device_id: str) -> str | None:
        """Name of the device's erasure; None if it was not erased."""
        return self._erasures.name_of(device_id)

    @contextmanager
    def writing(self) -> Iterator[bool]:
        """Judge by what holds now, and hold off new erasures while a segment is judged and written.

        Gives True if somebody was forgotten since the last time.

        Raises
        ------
        UbiError
            If there are erasures and their key is gone.
        """
        if self._file is not None:
            self._file.refresh()
        with self._erasures.writing() as somebody_forgotten:
            yield somebody_forgotten


def beyond_consent(consent: Consent, kind: int, body: Body | None) -> str | None:
    """What of a message the consent does not cover; None where it covers all.

    Parameters
    ----------
    consent : Consent
    kind : int
        Of the body, as the header says.
    body : Body or None
        None where it was not decoded: then only its kind is judged.
    """
    purpose = PURPOSE.get(kind)
    if purpose is not None and purpose not in consent.purposes:
        return f"no consent to {purpose}"
    if kind == pb.BODY_MOTION and consent.motion != "full":
        return f"motion, and the consent is motion = {consent.motion}"
    if kind == pb.BODY_TRACK and consent.location != "full":
        return f"a track, and the consent is location = {consent.location}"
    cell = next((name for name in _CELLS if getattr(body, name, None) is not None), None)
    if cell is not None and consent.location == "off":
        return f"{cell}, and the consent is location = off"
    return None
