"""The device's configuration: one TOML file, every key a row of KEYS, nothing else accepted.

    device_id = "car-1"
    zone = "Europe/Berlin"
    broker = "mqtts://broker.example"
    obd_port = "/dev/ttyUSB0"

Relative paths count from the folder of the file.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from device.contract.bodies import MAX_TEXT
from device.contract.broker import BrokerAddress, ClientCertificate, parse_broker
from device.contract.errors import UsageError
from device.contract.signing import KEY_BYTES
from device.contract.topics import checked_device_id
from device.power import CUT_OFF_V
from device.privacy import LOCATIONS, MOTIONS, Privacy

Parse = Callable[[Any], Any]  # raises UsageError with the fix


@dataclass(frozen=True, slots=True)
class DeviceConfig:
    """Settings of one device. A field is a key of the file; one without a default is required.

    Attributes
    ----------
    device_id : str
        Name at the insurer, part of every topic.
    zone : ZoneInfo
        Where the car lives (IANA name): its local time decides what is night. Never the computer's own zone.
    broker : BrokerAddress
    obd_port : str
        Serial port of the ELM327 adapter.
    obd_baudrate : int or None
        None tries the usual ones.
    obd_protocol : str or None
        ELM327 protocol number; None lets the adapter search.
    gnss_port, imu_port : str or None
        Serial ports of a GNSS receiver (NMEA 0183) and of an IMU (WitMotion WT901); None = there is none.
    gnss_baudrate, imu_baudrate : int or None
        None tries the usual ones.
    outbox, key_file : Path
        Made where they do not exist.
    outbox_mb : int
        What the outbox may use of the disk. Beyond it the oldest motion is given up, never trips and events.
    ca_file : Path or None
        Certificates to trust; None = the system's.
    cert_file, cert_key_file : Path or None
        The device's own certificate and its key, for a broker that asks; both or neither.
    insecure : bool
        Accept a plain mqtt:// address beyond this machine.
    vehicle : str
        Make and model, told to the insurer; never a registration.
    insurer_key : bytes or None
        The insurer's Ed25519 public key, in hex; without it no configuration is taken from the broker.
    location : str
        "off", "coarse" or "full": which positions leave the car, see docs/privacy.md. The price is the same.
    motion : str
        "off" or "full": whether speed and acceleration leave the car. The price is the same.
    batch_s : int
        A motion batch is sent after this much driving, seconds.
    commit_s : int
        State is synced to the disk after this much driving, seconds, and at every event.
    cut_off_v : float
        With the engine off and the battery below this, nothing is asked and nothing sent; 0 = never.
    park_after_s : int
        A car that does nothing for so long is no longer asked.
    probe_s : int
        A parked car of which no sensor tells is asked this often whether it is used.
    """

    device_id: str
    zone: ZoneInfo
    broker: BrokerAddress
    obd_port: str
    obd_baudrate: int | None = None
    obd_protocol: str | None = None
    gnss_port: str | None = None
    gnss_baudrate: int | None = None
    imu_port: str | None = None
    imu_baudrate: int | None = None
    outbox: Path = Path("ubi.outbox")
    key_file: Path = Path("ubi.key")
    outbox_mb: int = 64
    ca_file: Path | None = None
    cert_file: Path | None = None
    cert_key_file: Path | None = None
    insecure: bool = False
    vehicle: str = ""
    insurer_key: bytes | None = None
    location: str = "off"
    motion: str = "off"
    batch_s: int = 60
    commit_s: int = 10
    cut_off_v: float = CUT_OFF_V
    park_after_s: int = 300
    probe_s: int = 600

    @property
    def consent(self) -> Privacy:
        """What the driver agreed to: nothing makes it looser."""
        return Privacy(self.location, self.motion)

    @property
    def client(self) -> ClientCertificate | None:
        """What the device shows to a broker that asks who it is."""
        if self.cert_file is None or self.cert_key_file is None:
            return None
        return ClientCertificate(self.cert_file, self.cert_key_file)


def load_config(path: Path) -> DeviceConfig:
    """Read a configuration.

    Raises
    ------
    UsageError
        The file is missing or no TOML, a key is unknown, missing or has a wrong value: one line with file, key and fix.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # an editor of Windows begins it with a mark
    except PermissionError as error:
        raise UsageError(f"{path}: {error.strerror}; run this as the user it belongs to: sudo -u USER ...") from error
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; name the device's configuration with --config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not TOML: {error}") from error
    for key in table:
        if key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"the keys are {', '.join(KEYS)}"
            raise UsageError(f"{path}: key '{key}' is not known; {hint}")
    if ("cert_file" in table) != ("cert_key_file" in table):
        raise UsageError(f"{path}: 'cert_file' and 'cert_key_file' go together; write both, or neither")
    values = {field.name: _value(path, table, field) for field in fields(DeviceConfig)}
    _refuse_one_file_twice(path, values)
    return DeviceConfig(**values)


def _refuse_one_file_twice(path: Path, values: dict[str, Any]) -> None:
    """Refuse an outbox that is another file's place: what is no outbox is set aside, be it a key."""
    outbox = values["outbox"].resolve()
    others = {key: value for key, value in values.items() if key != "outbox" and isinstance(value, Path)}
    for key, file in {"--config": path, **others}.items():
        if file.resolve() == outbox:
            raise UsageError(f"{path}: 'outbox' and '{key}' name one file, {file}; the outbox wants a file of its own")


def _value(path: Path, table: dict[str, Any], field: Field[Any]) -> Any:
    key = field.name
    if key not in table:
        if field.default is MISSING:
            raise UsageError(f"{path}: key '{key}' is missing, for example {key} = {EXAMPLES[key]}")
        value = field.default
    else:
        try:
            value = KEYS[key](table[key])
            if key == "broker":
                value = _broker(value, insecure=table.get("insecure") is True)
        except UsageError as error:
            raise UsageError(f"{path}: key '{key}': {error}") from None
    return path.parent / value if isinstance(value, Path) else value


def _broker(url: str, *, insecure: bool) -> BrokerAddress:
    address = parse_broker(url, insecure=True)
    if not (address.tls or address.is_loopback or insecure):
        raise UsageError(f"{url!r}: plain MQTT leaves this machine; write mqtts://, or beside it insecure = true")
    return address


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_TEXT or not value.isprintable():
        raise UsageError(f"{value!r} is not a text of 1 to {MAX_TEXT} printable characters")
    return value


def _device_id(value: Any) -> str:
    return checked_device_id(_text(value))


def _path(value: Any) -> Path:
    return Path(_text(value))


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{value!r} is neither true nor false")
    return value


def _zone(value: Any) -> ZoneInfo:
    try:
        return ZoneInfo(_text(value))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(f'{value!r} is not an IANA time zone; write one such as "Europe/Berlin"') from None


def _number(low: int, high: int) -> Parse:
    def parse(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise UsageError(f"{value!r} is not a whole number from {low} to {high}")
        return value

    return parse


def _one_of(*choices: str) -> Parse:
    def parse(value: Any) -> str:
        if value not in choices:
            raise UsageError(f"{_toml(value)} is not one of {', '.join(map(_toml, choices))}")
        return str(value)

    return parse


def _toml(value: Any) -> str:
    """Write a value as the file has it: "6" is not 6."""
    return str(value).lower() if isinstance(value, bool) else json.dumps(value, ensure_ascii=False, default=str)


def _volts(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not (value == 0 or 9 <= value <= 13):
        raise UsageError(f"{value!r} is not a voltage of a 12 V battery, 9 to 13; 0 = never")
    return float(value)


def _key(value: Any) -> bytes:
    try:
        key = bytes.fromhex(_text(value))
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise UsageError(f"{value!r} is not a public key of {2 * KEY_BYTES} hex digits, as the insurer tells it")
    return key


KEYS: Final[dict[str, Parse]] = {
    "device_id": _device_id,
    "zone": _zone,
    "broker": _text,
    "obd_port": _text,
    "obd_baudrate": _number(300, 4_000_000),
    "obd_protocol": _one_of(*"123456789ABC"),
    "gnss_port": _text,
    "gnss_baudrate": _number(300, 4_000_000),
    "imu_port": _text,
    "imu_baudrate": _number(300, 4_000_000),
    "outbox": _path,
    "key_file": _path,
    "outbox_mb": _number(1, 65_536),
    "ca_file": _path,
    "cert_file": _path,
    "cert_key_file": _path,
    "insecure": _flag,
    "vehicle": _text,
    "insurer_key": _key,
    "location": _one_of(*LOCATIONS),
    "motion": _one_of(*MOTIONS),
    "batch_s": _number(1, 240),
    "commit_s": _number(1, 3_600),
    "cut_off_v": _volts,
    "park_after_s": _number(200, 86_400),
    "probe_s": _number(60, 86_400),
}
EXAMPLES: Final = {
    "device_id": '"car-1"',
    "zone": '"Europe/Berlin"',
    "broker": '"mqtts://broker.example"',
    "obd_port": '"/dev/ttyUSB0"',
}
