"""What the insurer sends to the car: application acks, and a signed configuration.

    ack      -> read_ack -> the outbox releases rows
    config   -> Downlink.take: signature, device, version, expiry, consent, rules -> in force, or refused and counted

Any bytes may come: a broker is not trusted. A refused configuration changes nothing; the one in force stays.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any, Final

from google.protobuf.message import DecodeError

from device.contract import wire_pb2 as pb
from device.contract.configuration import ConfigFault, ConfigUpdate, Refusal, read_config
from device.contract.errors import ContractError
from device.contract.rules import load_rules
from device.contract.wire import STREAM_ID_BYTES
from device.privacy import Privacy

log = logging.getLogger(__name__)

MAX_ACK_BYTES: Final = 65_536
MAX_SEQ: Final = 2**63 - 1


class Downlink:
    """Judges configurations, and remembers the one in force.

    Parameters
    ----------
    device_id : str
    insurer_key : bytes or None
        Raw Ed25519 public key; without one every configuration is refused.
    consent : Privacy
        The settings of the device's own file: what the driver agreed to. Nothing makes them looser.

    Attributes
    ----------
    applied : ConfigUpdate or None
        In force; it stays so after it expired, until a newer one comes.
    counters : Counter
        `config_applied`, and `config_refused_<reason>` for each `ConfigFault`.
    """

    def __init__(self, device_id: str, insurer_key: bytes | None, consent: Privacy) -> None:
        self.applied: ConfigUpdate | None = None
        self.counters: Counter[str] = Counter()
        self._device_id = device_id
        self._key = insurer_key
        self._consent = consent
        self._payload = b""
        self._waiting = b""
        self._last_fault: ConfigFault | None = None

    @property
    def privacy(self) -> Privacy:
        """Settings in force: never looser than the consent, also where that was made stricter later."""
        if self.applied is None:
            return self._consent
        asked = Privacy(self.applied.location or self._consent.location, self.applied.motion or self._consent.motion)
        return self._consent.stricter(asked)

    @property
    def version(self) -> int:
        """Version in force; 0 = none."""
        return self.applied.version if self.applied else 0

    def take(self, payload: bytes, utc_ms: int | None) -> ConfigUpdate | Refusal | None:
        """Judge what came on the config topic.

        Parameters
        ----------
        payload : bytes
        utc_ms : int or None
            Now; None while the clock is not known: the payload then waits for `advance`.

        Returns
        -------
        ConfigUpdate
            Now in force.
        Refusal
            It changes nothing.
        None
            Nothing new: it is in force already, it waits, or it is the empty message that deletes a retained one.
        """
        if not payload or payload == self._payload:
            return None
        if utc_ms is None:
            self._waiting = payload
            return None
        self._waiting = b""
        answer = self._judge(payload, utc_ms)
        if isinstance(answer, Refusal):
            self.counters[f"config_refused_{answer.fault}"] += 1
            if answer.fault != self._last_fault:  # a broker may send as many as it likes
                log.warning("configuration refused (%s): %s", answer.fault, answer.detail)
            self._last_fault = answer.fault
            return answer
        self.applied, self._payload, self._last_fault = answer, payload, None
        self.counters["config_applied"] += 1
        log.info("configuration %d is in force", answer.version)
        return answer

    def advance(self, utc_ms: int | None) -> ConfigUpdate | Refusal | None:
        """The clock may have become known: judge what waited for it, see `take`."""
        return self.take(self._waiting, utc_ms) if self._waiting and utc_ms is not None else None

    def to_state(self) -> dict[str, Any]:
        """JSON form of what is in force."""
        return {"config": self._payload.hex()}

    def restore(self, state: dict[str, Any]) -> None:
        """Put in force what was at `to_state`, unless insurer, device or release is another one since."""
        payload = bytes.fromhex(state["config"])
        update = read_config(payload, self._key) if payload else None
        if isinstance(update, ConfigUpdate) and update.device_id == self._device_id and _rules_fault(update) is None:
            self.applied, self._payload = update, payload

    def _judge(self, payload: bytes, utc_ms: int) -> ConfigUpdate | Refusal:
        update = read_config(payload, self._key)
        if isinstance(update, Refusal):
            return update
        if update.device_id != self._device_id:
            return Refusal(ConfigFault.WRONG_DEVICE, f"it is for {update.device_id}")
        if update.version <= self.version:
            return Refusal(ConfigFault.NOT_NEWER, f"version {update.version}, in force is {self.version}")
        if update.expires_at_ms < utc_ms:
            ago_s = (utc_ms - update.expires_at_ms) // 1_000
            return Refusal(ConfigFault.EXPIRED, f"version {update.version} expired {ago_s} s ago")
        asked = Privacy(update.location or "off", update.motion or "off")
        if not asked.is_within(self._consent):
            return Refusal(ConfigFault.BEYOND_CONSENT, f"it asks for {_told(asked)}, agreed is {_told(self._consent)}")
        fault = _rules_fault(update)
        return Refusal(ConfigFault.OUT_OF_RANGE, fault) if fault else update


def read_ack(payload: bytes) -> pb.Ack | None:
    """Read an application ack; None for bytes that are none, too long, or name seqs that cannot be."""
    if len(payload) > MAX_ACK_BYTES:
        return None
    try:
        ack = pb.Ack.FromString(payload)
    except DecodeError:
        return None
    spans = [*ack.stored, *ack.rejected]
    if len(ack.stream_id) != STREAM_ID_BYTES or any(not 1 <= span.first <= span.last <= MAX_SEQ for span in spans):
        return None
    return ack


def _rules_fault(update: ConfigUpdate) -> str | None:
    try:
        if update.rules_version is not None:
            load_rules(update.rules_version)
    except ContractError as error:
        return str(error)
    return None


def _told(privacy: Privacy) -> str:
    return f"location {privacy.location}, motion {privacy.motion}"
