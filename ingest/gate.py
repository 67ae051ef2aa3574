"""The gate: whether a message may be kept, by the insurer's registry, the person's consent and the erasures.

What does not pass leaves no body behind: a reject of one of `BODILESS` keeps header, hash and reason; one of a
forgotten device not even the header.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from device.contract import wire_pb2 as pb
from device.contract.bodies import Body
from device.contract.wire import Header, Reason, Reject
from ingest.contract.erasure import Erasures
from ingest.devices import ACTIVE, Consent
from ingest.registry import Registry, RegistryFile

BODILESS: Final = frozenset({Reason.UNKNOWN_DEVICE, Reason.REVOKED_DEVICE, Reason.BEYOND_CONSENT, Reason.FORGOTTEN})
# Not acknowledged: the device keeps what nobody may take yet, and once it is registered its next resend is taken.
UNACKED: Final = frozenset({Reason.UNKNOWN_DEVICE})

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
    """Judges messages by a registry file and a lake's erasures, both as they are at the last `refresh`.

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
    def registry(self) -> Registry | None:
        """The devices; None where every device is taken."""
        return self._file.registry if self._file is not None else None

    @property
    def errors(self) -> int:
        """How often a changed registry could not be used."""
        return self._file.errors if self._file is not None else 0

    def refresh(self) -> bool:
        """Look for a changed registry and for new erasures; True where somebody was forgotten since."""
        if self._file is not None:
            self._file.refresh()
        return self._erasures.refresh()

    def judge(
        self, header: Header | None, topic_device: str | None, body: Body | None = None, *, tombstone: bool = False
    ) -> Reject | None:
        """Refuse what may not be kept; None for what may. Rejects are judged too: their bytes may hold anything.

        Parameters
        ----------
        header : Header or None
            None where it could not be read.
        topic_device : str or None
            Device id of the topic it came on.
        body : Body or None
            Where it was decoded; motion and tracks are judged by their kind alone.
        tombstone : bool
            The message says nothing but its header.
        """
        devices = {topic_device, header.device_id if header is not None else None} - {None}
        for device_id in devices:
            name = self.forgotten(str(device_id))
            if name is not None:
                return Reject(Reason.FORGOTTEN, f"erasure {name}", header)
        if self.registry is None or not devices:
            return None
        device_id = header.device_id if header is not None else str(topic_device)
        device = self.registry.get(device_id)
        if device is None:
            return Reject(Reason.UNKNOWN_DEVICE, f"{device_id} is not registered", header)
        if device.status != ACTIVE:
            return Reject(Reason.REVOKED_DEVICE, f"{device_id} is {device.status}", header)
        if header is None or tombstone:
            return None
        beyond = beyond_consent(device.consent, header.body_kind, body)
        return Reject(Reason.BEYOND_CONSENT, beyond, header) if beyond is not None else None

    def forgotten(self, device_id: str) -> str | None:
        """Name of the device's erasure; None if it was not erased."""
        return self._erasures.name_of(device_id)

    @contextmanager
    def writing(self) -> Iterator[bool]:
        """Hold off new erasures while a segment is written; tells whether somebody was forgotten since `refresh`."""
        with self._erasures.writing():
            yield self._erasures.refresh()


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
