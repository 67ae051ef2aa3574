"""Enrolment: a device gets keys, a certificate and a line in the registry; revocation takes them back.

    enrol    keys and certificate -> line in the registry -> bundle for the car
    revoke   line in the registry -> list of revoked certificates

The registry comes first and the bundle last, so that a device that can speak is known. Killed in between, `revoke` can
simply be run again, and `enrol` with `again`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Final

from device.contract.errors import UsageError
from device.contract.signing import KEY_BYTES, Signer
from device.contract.topics import checked_device_id
from ingest.authority import WORKER, Authority
from ingest.contract.durable import commit
from ingest.contract.private import write_private
from ingest.devices import ACTIVE, REVOKED, Certificate, Consent, Device, Key, PolicyLink
from ingest.registry import Registry, change_registry

CAR_DAYS: Final = 730
RESERVED: Final = (WORKER, "probe")  # names that mean something else on the broker
HEAD: Final = """\
# Device {device_id}, enrolled {today}. Beside this file lie its private keys: only the agent's user may read them.
"""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What an enrolment decides.

    Attributes
    ----------
    device_id : str
    consent : Consent or None
        `device.toml` says the same: what the person did not agree to never leaves the car. None: as before, for a
        device that is enrolled again.
    configuration : mapping
        Further keys of `device.toml`: zone, broker, obd_port, ...
    policy : tuple of str or None
        policy_id and driver_id that the device belongs to from today on.
    days : int
        How long the certificate is valid.
    """

    device_id: str
    consent: Consent | None
    configuration: Mapping[str, str | int]
    policy: tuple[str, str] | None = None
    days: int = CAR_DAYS


def enrol(what: Enrolment, authority: Authority, registry: Path, bundle: Path, now: datetime, *, again: bool) -> Device:
    """Enrol a device, and write the bundle that goes into the car.

    Parameters
    ----------
    what : Enrolment
    authority : Authority
    registry : Path
        Made where it is not there.
    bundle : Path
        Folder that is not there yet, or empty.
    now : datetime
        UTC.
    again : bool
        The device is known, and gets new keys: its certificates so far are revoked, its signing key counts no longer
        from today on. Without it a known device is refused.

    Returns
    -------
    Device
        Its line in the registry.

    Raises
    ------
    UsageError
        If the name is reserved, the device known (or, with `again`, not), or the bundle's folder in use.
    """
    checked_device_id(what.device_id)
    if what.device_id in RESERVED:
        raise UsageError(f"device id '{what.device_id}' means something else on the broker; choose another")
    if bundle.exists() and (not bundle.is_dir() or any(bundle.iterdir())):
        raise UsageError(f"{bundle}: is in use; name a new folder for the car's keys")
    seed = os.urandom(KEY_BYTES)
    pair = authority.issue_car(what.device_id, now, what.days)
    services, insurer_key = authority.services, authority.insurer_key
    today = now.date()
    key = Key(Signer.from_seed(seed).public_key.hex(), today)
    certificate = Certificate(pair.serial, pair.expires_at.date())
    enrolled: list[Device] = []
    withdrawn: list[str] = []

    def change(devices: Registry) -> None:
        before = devices.get(what.device_id)
        _check_known(before, what, registry, again=again)
        withdrawn.extend(old.serial for old in (before.certificates if before is not None else ()))
        device = _line(before, what, key, certificate, today)
        devices.devices[device.device_id] = device
        enrolled.append(device)

    change_registry(registry, change)
    if withdrawn:
        authority.revoke(withdrawn, now)
    bundle.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(bundle / "ubi.key", seed)
    write_private(bundle / "tls.key", pair.key)
    commit({bundle / "tls.pem": pair.certificate, bundle / "ca.pem": services})
    write_private(bundle / "device.toml", _configuration(what, enrolled[0], insurer_key).encode())
    return enrolled[0]


def revoke(device_id: str, authority: Authority | None, registry: Path, now: datetime) -> Device:
    """Refuse a device from now on: its line says so, and its certificates are on the list of the revoked.

    Raises
    ------
    UsageError
        If it is not registered.
    """
    found: list[Device] = []

    def change(devices: Registry) -> None:
        device = devices.get(device_id)
        if device is None:
            no_file = "" if registry.exists() else "; there is no such file"
            raise UsageError(f"{registry}: no device '{device_id}'{no_file}")
        found.append(device)
        devices.devices[device_id] = replace(device, status=REVOKED)

    change_registry(registry, change)
    if authority is not None:
        authority.revoke([certificate.serial for certificate in found[0].certificates], now)
    return replace(found[0], status=REVOKED)


def _check_known(before: Device | None, what: Enrolment, registry: Path, *, again: bool) -> None:
    device_id = what.device_id
    if before is not None and not again:
        raise UsageError(f"{registry}: '{device_id}' is enrolled; --again gives it new keys and revokes the old ones")
    if before is None and again:
        raise UsageError(f"{registry}: no device '{device_id}'; leave out --again to enrol it")
    if before is None and what.consent is None:
        raise UsageError(f"'{device_id}': say what the person agreed to, for example --purpose pricing")


def _line(before: Device | None, what: Enrolment, key: Key, certificate: Certificate, today: date) -> Device:
    linked = () if what.policy is None else (PolicyLink(*what.policy, start=today),)
    if before is None:
        return Device(what.device_id, ACTIVE, today, what.consent or Consent(), (key,), (certificate,), linked)
    closed = tuple(
        old if old.until is not None and old.until <= today else replace(old, until=today) for old in before.keys
    )
    ended = tuple(
        replace(link, end=today) if linked and (link.end is None or link.end > today) else link
        for link in before.policies
    )
    kept = tuple(link for link in ended if link.end is None or link.start < link.end)
    return replace(
        before,
        status=ACTIVE,
        consent=what.consent or before.consent,
        keys=(*closed, key),
        certificates=(certificate,),
        policies=(*kept, *linked),
    )


def _configuration(what: Enrolment, device: Device, insurer_key: str) -> str:
    keys = {
        "device_id": what.device_id,
        **what.configuration,
        "location": device.consent.location,
        "motion": device.consent.motion,
        "key_file": "ubi.key",
        "ca_file": "ca.pem",
        "cert_file": "tls.pem",
        "cert_key_file": "tls.key",
        "insurer_key": insurer_key,
    }
    return HEAD.format(device_id=device.device_id, today=device.keys[-1].since) + "".join(
        f"{name} = {json.dumps(value)}\n" for name, value in keys.items()
    )
