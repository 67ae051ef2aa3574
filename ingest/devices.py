"""A device as the insurer knows it, and its line in the registry: one JSON object.

    {"device_id": "car-1", "status": "active", "enrolled_on": "2026-11-22",
     "consent": {"purposes": ["pricing"], "location": "off", "motion": "off"},
     "keys": [{"public_key": "<64 hex>", "since": "2026-11-22", "until": null}],
     "certificates": [{"serial": "<hex>", "until": "2028-11-21"}],
     "policies": [{"policy_id": "P-1", "driver_id": "D-1", "start": "2026-11-22", "end": null}]}

Days are UTC. `until` and `end` are the first day that no longer counts, null or left out: open.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any, Final, TypeVar

from device.contract.errors import UsageError
from device.contract.topics import checked_device_id

PURPOSES: Final = ("pricing", "accident")
LOCATION: Final = ("off", "coarse", "full")  # each allows what stands before it
MOTION: Final = ("off", "full")
ACTIVE: Final = "active"
REVOKED: Final = "revoked"
MAX_TEXT: Final = 256
_Record = TypeVar("_Record")
_Parse = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Consent:
    """What the person agreed to: purposes of `PURPOSES`, and the most of `LOCATION` and `MOTION` that may come."""

    purposes: tuple[str, ...] = ()
    location: str = "off"
    motion: str = "off"


@dataclass(frozen=True, slots=True)
class Key:
    """An Ed25519 public key (hex), and the days on which its signatures are believed."""

    public_key: str
    since: date
    until: date | None = None


@dataclass(frozen=True, slots=True)
class Certificate:
    """A client certificate that was not revoked: serial number (hex), and the day it expires."""

    serial: str
    until: date


@dataclass(frozen=True, slots=True)
class PolicyLink:
    """The policy and driver a device belongs to."""

    policy_id: str
    driver_id: str
    start: date
    end: date | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """One device: who it is, whether its messages are taken, and what of them may be kept."""

    device_id: str
    status: str
    enrolled_on: date
    consent: Consent
    keys: tuple[Key, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    policies: tuple[PolicyLink, ...] = ()

    def keys_at(self, at_ms: int) -> tuple[bytes, ...]:
        """Raw public keys that are believed at a time (UTC ms), newest first."""
        day = datetime.fromtimestamp(at_ms / 1_000, UTC).date()
        held = (key for key in reversed(self.keys) if key.since <= day and (key.until is None or day < key.until))
        return tuple(bytes.fromhex(key.public_key) for key in held)

    def to_line(self) -> bytes:
        """The device's line, without its end."""
        return json.dumps(asdict(self), default=str, ensure_ascii=False).encode()


def parse_device(line: bytes) -> Device:
    """Read a line.

    Raises
    ------
    UsageError
        Naming the key that cannot be used, and what to write.
    """
    try:
        value = json.loads(line)
    except ValueError as error:
        raise UsageError(f"not JSON: {error}") from None
    device = _DEVICE(value)
    for one, other in pairwise(sorted(device.policies, key=lambda link: link.start)):
        if one.end is None or other.start < one.end:
            raise UsageError(f"policies: '{other.policy_id}' begins while '{one.policy_id}' runs; end that one first")
    return device


def _record(cls: Callable[..., _Record], readers: Mapping[str, _Parse]) -> Callable[[Any], _Record]:
    """Parser of an object with the fields of a dataclass, in any order; one without a default is required."""

    def parse(value: Any) -> _Record:
        if not isinstance(value, dict):
            raise UsageError(f"{value!r} is not an object of {', '.join(known)}")
        for name in value:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean '{near[0]}'?" if near else f"the keys are {', '.join(known)}"
                raise UsageError(f"key '{name}' is not known; {hint}")
        missing = [name for name, default in known.items() if default is MISSING and name not in value]
        if missing:
            raise UsageError(f"key '{missing[0]}' is missing")
        return cls(**{name: _told(name, readers[name], item) for name, item in value.items()})

    known = {field.name: field.default for field in fields(cls)}  # type: ignore[arg-type]
    return parse


def _told(name: str, parse: _Parse, value: Any) -> Any:
    try:
        return parse(value)
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from None


def _several(parse: _Parse) -> _Parse:
    def parse_all(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise UsageError(f"{value!r} is not a list")
        return tuple(parse(item) for item in value)

    return parse_all


def _one_of(*choices: str) -> _Parse:
    def parse(value: Any) -> str:
        if value not in choices:
            raise UsageError(f"{value!r} is not one of {', '.join(choices)}")
        return str(value)

    return parse


def _hex(least: int, most: int) -> _Parse:
    def parse(value: Any) -> str:
        if not isinstance(value, str) or not least <= len(value) <= most or set(value) - set("0123456789abcdef"):
            length = f"{least}" if least == most else f"{least} to {most}"
            raise UsageError(f"{value!r} is not {length} lower-case hex digits")
        return value

    return parse


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_TEXT or not value.isprintable():
        raise UsageError(f"{value!r} is not a text of 1 to {MAX_TEXT} printable characters")
    return value


def _day(value: Any) -> date:
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise UsageError(f"{value!r} is not a day; write one such as 2026-11-22") from None


def _open_day(value: Any) -> date | None:
    return None if value is None else _day(value)


_CONSENT: Final = _record(
    Consent,
    {"purposes": _several(_one_of(*PURPOSES)), "location": _one_of(*LOCATION), "motion": _one_of(*MOTION)},
)
_KEY: Final = _record(Key, {"public_key": _hex(64, 64), "since": _day, "until": _open_day})
_CERTIFICATE: Final = _record(Certificate, {"serial": _hex(1, 40), "until": _day})
_POLICY: Final = _record(PolicyLink, {"policy_id": _text, "driver_id": _text, "start": _day, "end": _open_day})
_DEVICE: Final = _record(
    Device,
    {
        "device_id": lambda value: checked_device_id(_text(value)),
        "status": _one_of(ACTIVE, REVOKED),
        "enrolled_on": _day,
        "consent": _CONSENT,
        "keys": _several(_KEY),
        "certificates": _several(_CERTIFICATE),
        "policies": _several(_POLICY),
    },
)
