"""`ubi ingest config`: the configuration of one device, signed with the insurer's key and left at the broker.

The message is retained: a device that is not connected finds it later. A broker without persistence forgets it when it
restarts; the devices that have it keep it.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any, Final

from device.contract import topics
from device.contract.broker import BrokerAddress, ClientCertificate, parse_broker, tls_context
from device.contract.configuration import LOCATIONS, MOTIONS, ConfigUpdate, sign_config
from device.contract.errors import ContractError, TryAgainError, UbiError, UsageError
from device.contract.signing import KEY_BYTES, Signer
from ingest import mqtt
from ingest.contract.private import read_private, write_private
from ingest.link import Link, LinkError

WITHIN_S: Final = 5.0
VALID_DAYS: Final = 30
DAY_MS: Final = 86_400_000
_PACKET_ID: Final = 1


def configure(options: argparse.Namespace, now_ms: int) -> dict[str, Any]:
    """Sign a configuration and publish it, or write it to a file; with `new_key` only make a key.

    Returns
    -------
    dict
        What was done, to be told.

    Raises
    ------
    UsageError
        If the key cannot be used, a value is out of range, or neither broker nor file is named.
    UbiError
        If the broker refuses it.
    TryAgainError
        If no broker answers.
    """
    if options.new_key:
        return _new_key(options.key)
    if options.device is None or (options.broker is None) == (options.out is None):
        raise UsageError("ubi ingest config: name the device with --device ID, and --broker URL or --out FILE")
    signer = _signer(options.key)
    update = ConfigUpdate(
        device_id=topics.checked_device_id(options.device),
        version=now_ms // 1_000 if options.version is None else options.version,
        issued_at_ms=now_ms,
        expires_at_ms=now_ms + options.valid_days * DAY_MS,
        rules_version=options.rules_version,
        location=options.location,
        motion=options.motion,
        periods_ms=dict(options.period or ()),
        batch_s=options.batch_s,
        commit_s=options.commit_s,
    )
    try:
        payload = sign_config(update, signer.sign)
    except ContractError as error:
        raise UsageError(f"ubi ingest config: {error}") from None
    topic = topics.config(update.device_id)
    if options.out is not None:
        options.out.write_bytes(payload)
    else:
        client = None
        if options.cert_file is not None and options.cert_key_file is not None:
            client = ClientCertificate(options.cert_file, options.cert_key_file)
        address = parse_broker(options.broker, insecure=options.insecure)
        publish_retained(address, topic, payload, options.ca_file, client)
    return {
        "device": update.device_id,
        "version": update.version,
        "expires_at_ms": update.expires_at_ms,
        "insurer_key": signer.public_key.hex(),
        "sent_to": str(options.out or topic),
    }


def publish_retained(
    address: BrokerAddress,
    topic: str,
    payload: bytes,
    ca_file: Path | None = None,
    client: ClientCertificate | None = None,
) -> None:
    """Leave one retained message at a broker, and wait until it says that it has it.

    Raises
    ------
    TryAgainError
        If nothing answers at the address.
    UbiError
        If the broker refuses the connection or the message.
    """
    tls = tls_context(ca_file, client) if address.tls else None
    for version in (mqtt.MQTT5, mqtt.MQTT311):
        try:
            link = Link(address, tls, WITHIN_S, WITHIN_S)
            try:
                if _sent(link, version, address, mqtt.publish(version, _PACKET_ID, topic, payload, retain=True)):
                    return
            finally:
                link.close(mqtt.DISCONNECT)
        except LinkError as error:
            raise error.as_ubi_error(address) from error
        except mqtt.MqttError:
            continue
    raise TryAgainError(f"{address}: something listens there, but it does not answer as an MQTT broker")


def period(text: str) -> tuple[str, int]:
    """Read `SIGNAL=MS`."""
    signal, _, milliseconds = text.partition("=")
    if not milliseconds.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not SIGNAL=MS, such as speed_kmh=200")
    return signal, int(milliseconds)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("--key", type=Path, required=True, metavar="FILE", help="the insurer's private key, 32 bytes")
    parser.add_argument("--new-key", action="store_true", help="only make that file, and tell the public key")
    parser.add_argument("--device", metavar="ID", help="the device it is for")
    parser.add_argument("--broker", metavar="URL", help="where to leave it: mqtts://HOST[:PORT]")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the signed message to a file instead")
    parser.add_argument("--version", type=int, metavar="N", help="rises with each; default: the time in seconds")
    parser.add_argument("--valid-days", type=int, default=VALID_DAYS, metavar="N", help="not taken later (default 30)")
    parser.add_argument("--rules-version", type=int, metavar="N", help="event rules from the next trip on")
    parser.add_argument("--location", choices=LOCATIONS, help="never looser than the device's own file says")
    parser.add_argument("--motion", choices=MOTIONS, help="never looser than the device's own file says")
    parser.add_argument(
        "--period", type=period, action="append", metavar="SIGNAL=MS", help="period of a signal's polls"
    )
    parser.add_argument("--batch-s", type=int, metavar="S", help="driving in one motion message")
    parser.add_argument("--commit-s", type=int, metavar="S", help="driving between two syncs to the disk")
    parser.add_argument("--ca-file", type=Path, metavar="FILE", help="certificates to trust; default: the system's")
    parser.add_argument("--cert-file", type=Path, metavar="FILE", help="our certificate, for a broker that asks")
    parser.add_argument("--cert-key-file", type=Path, metavar="FILE", help="its private key")
    parser.add_argument("--insecure", action="store_true", help="accept a plain connection that leaves this machine")


def _new_key(path: Path) -> dict[str, Any]:
    if path.exists():
        raise UsageError(f"{path}: is there already; a new key would make every device refuse what it is sent")
    write_private(path, os.urandom(KEY_BYTES))
    return {"key": str(path), "insurer_key": _signer(path).public_key.hex()}


def _signer(path: Path) -> Signer:
    seed = read_private(path)
    if len(seed) != KEY_BYTES:
        raise UsageError(f"{path}: the insurer's key has {KEY_BYTES} bytes, this file has {len(seed)}; see --new-key")
    return Signer.from_seed(seed)


def _sent(link: Link, version: int, address: BrokerAddress, packet: bytes) -> bool:
    """Greet, publish, wait for the PUBACK; False where the broker does not speak this version."""
    link.send(mqtt.connect(version, f"ubi-config-{os.urandom(6).hex()}", int(WITHIN_S), {}))
    body = _answer(link, mqtt.CONNACK)
    if body is None:
        return False
    code = mqtt.read_greeting(version, body).reason
    if code and mqtt.reason_of(version, code) == mqtt.UNSUPPORTED_VERSION:
        return False
    if code:
        raise UbiError(f"{address}: the broker refuses the connection: {mqtt.reason_of(version, code)}")
    link.send(packet)
    body = _answer(link, mqtt.PUBACK)
    if body is None:
        raise TryAgainError(f"{address}: the broker does not confirm the message; send it again")
    if len(body) > 2 and body[2] >= mqtt.FAILURE:
        raise UbiError(f"{address}: the broker refuses the message: {mqtt.reason_of(version, body[2])}")
    return True


def _answer(link: Link, kind: int) -> bytes | None:
    """Body of the next packet of a kind; None where none comes in time."""
    deadline_s = time.monotonic() + WITHIN_S
    while (left_s := deadline_s - time.monotonic()) > 0:
        for first, body in link.exchange(left_s):
            if first >> 4 == kind:
                return body
    return None
