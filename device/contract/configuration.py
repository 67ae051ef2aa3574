"""The insurer's configuration for one device: what it may say, within which bounds, and how it is signed.

ConfigUpdate -> its bytes -> Ed25519 over a prefix and these bytes -> SignedConfig, a retained message
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from google.protobuf.message import DecodeError

from device.contract import signing, topics
from device.contract import wire_pb2 as pb
from device.contract.errors import ContractError
from device.contract.signals import BY_NAME

MAX_CONFIG_BYTES: Final = 8_192
SIGNATURE_BYTES: Final = 64
PREFIX: Final = b"ubi/v1/config\n"  # so that a signature over anything else is never one over a configuration
MAX_VERSION: Final = 2**53
MAX_RULES_VERSION: Final = 2**31 - 1
MAX_TIME_MS: Final = 2**42  # year 2109
PERIODS_MS: Final = (50, 3_600_000)
SPEED_PERIODS_MS: Final = (50, 1_000)  # slower than this and acceleration is withheld as coarse
BATCH_S: Final = (1, 240)
COMMIT_S: Final = (1, 3_600)

LOCATIONS: Final = {"off": pb.LOCATION_OFF, "coarse": pb.LOCATION_COARSE, "full": pb.LOCATION_FULL}
MOTIONS: Final = {"off": pb.MOTION_OFF, "full": pb.MOTION_FULL}


class ConfigFault(StrEnum):
    """Why a configuration is not taken; with `config_refused_` before it a counter of the health messages."""

    OVERSIZED = "oversized"
    GARBAGE = "garbage"
    UNSIGNED = "unsigned"
    NO_KEY = "no_key"
    BAD_SIGNATURE = "bad_signature"
    OUT_OF_RANGE = "out_of_range"
    WRONG_DEVICE = "wrong_device"
    NOT_NEWER = "not_newer"
    EXPIRED = "expired"
    BEYOND_CONSENT = "beyond_consent"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A configuration that is not taken, and why."""

    fault: ConfigFault
    detail: str


@dataclass(frozen=True, slots=True)
class ConfigUpdate:
    """What the insurer sets; None, and a signal that is not named, stays as the device's own file says.

    `version` rises with each configuration of a device. `periods_ms`: signal -> period of its polling. Times are UTC.
    """

    device_id: str
    version: int
    issued_at_ms: int
    expires_at_ms: int
    rules_version: int | None = None
    location: str | None = None
    motion: str | None = None
    periods_ms: Mapping[str, int] = field(default_factory=dict)
    batch_s: int | None = None
    commit_s: int | None = None


def sign_config(update: ConfigUpdate, sign: Callable[[bytes], bytes]) -> bytes:
    """Payload of the retained message.

    Raises
    ------
    ContractError
        If a value is out of range.
    """
    fault = _fault(update)
    if fault:
        raise ContractError(fault)
    message = pb.DeviceConfigUpdate(
        device_id=update.device_id,
        version=update.version,
        issued_at_ms=update.issued_at_ms,
        expires_at_ms=update.expires_at_ms,
        rules_version=update.rules_version,
        location=LOCATIONS[update.location] if update.location else None,
        motion=MOTIONS[update.motion] if update.motion else None,
        periods_ms=update.periods_ms,
        batch_s=update.batch_s,
        commit_s=update.commit_s,
    )
    config = message.SerializeToString(deterministic=True)
    return pb.SignedConfig(config=config, signature=sign(PREFIX + config)).SerializeToString(deterministic=True)


def read_config(payload: bytes, public_key: bytes | None) -> ConfigUpdate | Refusal:
    """Read any bytes; nothing of them is looked at before the signature is found good.

    Parameters
    ----------
    payload : bytes
    public_key : bytes or None
        The insurer's; without one nothing is taken.
    """
    if len(payload) > MAX_CONFIG_BYTES:
        return Refusal(ConfigFault.OVERSIZED, f"{len(payload)} bytes, at most {MAX_CONFIG_BYTES}")
    try:
        envelope = pb.SignedConfig.FromString(payload)
    except DecodeError:
        return Refusal(ConfigFault.GARBAGE, "not a signed configuration")
    if len(envelope.signature) != SIGNATURE_BYTES:
        return Refusal(ConfigFault.UNSIGNED, "it has no signature")
    if public_key is None:
        return Refusal(ConfigFault.NO_KEY, "the device's configuration has no insurer_key")
    if not signing.verify(public_key, PREFIX + envelope.config, envelope.signature):
        return Refusal(ConfigFault.BAD_SIGNATURE, "the signature is not by the insurer's key")
    try:
        update = _update(pb.DeviceConfigUpdate.FromString(envelope.config))
    except DecodeError:
        return Refusal(ConfigFault.GARBAGE, "not a configuration")
    except ContractError as error:
        return Refusal(ConfigFault.OUT_OF_RANGE, str(error))
    fault = _fault(update)
    return Refusal(ConfigFault.OUT_OF_RANGE, fault) if fault else update


def _update(message: pb.DeviceConfigUpdate) -> ConfigUpdate:
    return ConfigUpdate(
        device_id=message.device_id,
        version=message.version,
        issued_at_ms=message.issued_at_ms,
        expires_at_ms=message.expires_at_ms,
        rules_version=message.rules_version if message.HasField("rules_version") else None,
        location=_choice("location", message.location, LOCATIONS),
        motion=_choice("motion", message.motion, MOTIONS),
        periods_ms=dict(sorted(message.periods_ms.items())),
        batch_s=message.batch_s if message.HasField("batch_s") else None,
        commit_s=message.commit_s if message.HasField("commit_s") else None,
    )


def _choice(key: str, number: int, choices: Mapping[str, int]) -> str | None:
    if not number:
        return None
    for name, known in choices.items():
        if known == number:
            return name
    raise ContractError(f"{key} {number} is not known")


def _fault(update: ConfigUpdate) -> str | None:
    """What is out of range."""
    whole: list[tuple[str, int | None, tuple[int, int]]] = [
        ("version", update.version, (1, MAX_VERSION)),
        ("issued_at_ms", update.issued_at_ms, (0, MAX_TIME_MS)),
        ("expires_at_ms", update.expires_at_ms, (update.issued_at_ms, MAX_TIME_MS)),
        ("rules_version", update.rules_version, (1, MAX_RULES_VERSION)),
        ("batch_s", update.batch_s, BATCH_S),
        ("commit_s", update.commit_s, COMMIT_S),
    ]
    for signal, period_ms in update.periods_ms.items():
        known = BY_NAME.get(signal)
        if known is None or known.period_ms is None:
            return f"{signal!r} is not a signal that is polled"
        bounds = SPEED_PERIODS_MS if signal == "speed_kmh" else PERIODS_MS
        whole.append((f"period of {signal} in ms", period_ms, bounds))
    for name, value, (low, high) in whole:
        if value is not None and not low <= value <= high:
            return f"{name} of {value} is outside {low} to {high}"
    if update.location not in (None, *LOCATIONS) or update.motion not in (None, *MOTIONS):
        return f"location {update.location!r} or motion {update.motion!r} is not known"
    return None if topics.DEVICE_ID.fullmatch(update.device_id) else "device_id is not an id"
