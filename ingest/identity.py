"""`ubi ingest ca`, `enrol`, `revoke`, `devices`: command lines to calls, and what is told of them."""

from __future__ import annotations

import argparse
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from device.contract.errors import UsageError
from ingest.authority import CAR_PORT, WORKER_PORT, Authority
from ingest.contract import durable
from ingest.devices import LOCATION, MOTION, PURPOSES, Consent, Device
from ingest.enrol import CAR_DAYS, Enrolment, enrol, revoke
from ingest.registry import read_registry

Facts = dict[str, Any]


def ca(options: argparse.Namespace, now: datetime) -> Facts:
    """Make the authorities, the broker's folder and the workers'."""
    authority = Authority(options.out)
    authority.create(options.host, now, options.broker_folder, (options.car_port, options.worker_port))
    return {"broker": str(options.out / "broker"), "worker": str(options.out / "worker")}


def enrol_device(options: argparse.Namespace, now: datetime) -> Facts:
    """Enrol a device and write its bundle."""
    consent = None
    if options.purpose or not options.again:
        if not options.purpose:
            raise UsageError("ubi ingest enrol: say what the person agreed to, for example --purpose pricing")
        consent = Consent(tuple(sorted(set(options.purpose))), options.location, options.motion)
    elif options.location != "off" or options.motion != "off":
        raise UsageError("ubi ingest enrol: --location and --motion are part of the consent; say --purpose as well")
    if (options.policy is None) != (options.driver is None):
        raise UsageError("ubi ingest enrol: --policy and --driver go together; say both, or neither")
    asked = Enrolment(
        device_id=options.device,
        consent=consent,
        configuration={"zone": options.zone, "broker": options.broker, "obd_port": options.obd_port},
        policy=None if options.policy is None else (options.policy, options.driver),
        days=options.days,
    )
    device = enrol(asked, Authority(options.ca), options.registry, options.out, now, again=options.again)
    return {"device": device.device_id, "bundle": str(options.out), "certificate_until": str(_until(device))}


def revoke_device(options: argparse.Namespace, now: datetime) -> Facts:
    """Refuse a device from now on."""
    device = revoke(options.device, Authority(options.ca), options.registry, now)
    return {"device": device.device_id, "status": device.status, "crl": str(options.ca / "broker" / "crl.pem")}


def list_devices(options: argparse.Namespace, now: datetime) -> list[Facts]:
    """Tell of each device of the registry; with `policies`, write who drove under which policy when."""
    registry = read_registry(options.registry)[0]
    devices = [registry.devices[name] for name in sorted(registry.devices)]
    if options.policies is not None:
        rows = [
            f"{link.policy_id},{link.driver_id},{device.device_id},{link.start},{link.end or ''}\n"
            for device in devices
            for link in device.policies
        ]
        content = "policy_id,driver_id,device_id,start,end\n" + "".join(rows)
        durable.commit({options.policies.absolute(): content.encode()})
    return [_row(device, now.date()) for device in devices]


def add_ca(parser: argparse.ArgumentParser) -> None:
    """Arguments of `ca`."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new folder; its keys are the insurer's")
    parser.add_argument(
        "--host", action="append", required=True, metavar="NAME", help="name or address of the broker; may be repeated"
    )
    parser.add_argument(
        "--broker-folder",
        type=Path,
        metavar="DIR",
        help="where DIR/broker will lie on the broker's machine, such as /etc/mosquitto/ubi; default: where it is made",
    )
    parser.add_argument("--car-port", type=int, default=CAR_PORT, metavar="PORT", help=f"default {CAR_PORT}")
    parser.add_argument("--worker-port", type=int, default=WORKER_PORT, metavar="PORT", help=f"default {WORKER_PORT}")


def add_enrol(parser: argparse.ArgumentParser) -> None:
    """Arguments of `enrol`."""
    parser.add_argument("device", metavar="DEVICE", help="its id: 1 to 64 letters, digits, '_' or '-'")
    _add_registry(parser, ca=True)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new folder: what goes into the car")
    parser.add_argument("--broker", required=True, metavar="URL", help="mqtts://HOST[:PORT], as the car reaches it")
    parser.add_argument("--zone", required=True, metavar="ZONE", help="IANA zone where the car lives")
    parser.add_argument("--obd-port", default="/dev/ttyUSB0", metavar="PORT", help="default /dev/ttyUSB0")
    parser.add_argument(
        "--purpose", action="append", choices=PURPOSES, help="what the person agreed to; may be repeated"
    )
    parser.add_argument("--location", choices=LOCATION, default="off", help="the most they agreed to; default off")
    parser.add_argument("--motion", choices=MOTION, default="off", help="the most they agreed to; default off")
    parser.add_argument("--policy", metavar="ID", help="policy that the device belongs to from today on")
    parser.add_argument("--driver", metavar="ID", help="its driver")
    parser.add_argument("--days", type=int, default=CAR_DAYS, metavar="N", help="of the certificate; default 730")
    parser.add_argument("--again", action="store_true", help="new keys for a device that is enrolled; revokes the old")


def add_revoke(parser: argparse.ArgumentParser) -> None:
    """Arguments of `revoke`."""
    parser.add_argument("device", metavar="DEVICE")
    _add_registry(parser, ca=True)


def add_devices(parser: argparse.ArgumentParser) -> None:
    """Arguments of `devices`."""
    _add_registry(parser)
    parser.add_argument(
        "--policies", type=Path, metavar="FILE", help="also write the policy links as CSV, for 'ubi features build'"
    )


def _add_registry(parser: argparse.ArgumentParser, *, ca: bool = False) -> None:
    parser.add_argument("--registry", type=Path, required=True, metavar="FILE", help="the devices, one a line")
    if ca:
        parser.add_argument("--ca", type=Path, required=True, metavar="DIR", help="folder that 'ubi ingest ca' made")


def _row(device: Device, today: date) -> Facts:
    now = [link for link in device.policies if link.start <= today and (link.end is None or today < link.end)]
    return {
        "device_id": device.device_id,
        "status": device.status,
        "purposes": "+".join(device.consent.purposes) or None,
        "location": device.consent.location,
        "motion": device.consent.motion,
        "policy_id": now[0].policy_id if now else None,
        "driver_id": now[0].driver_id if now else None,
        "enrolled_on": str(device.enrolled_on),
        "certificate_until": str(_until(device)) if device.certificates else None,
    }


def _until(device: Device) -> date:
    return max(certificate.until for certificate in device.certificates)


def utc_now() -> datetime:
    """The time of a command."""
    return datetime.now(UTC)
