"""Arguments of `ubi replay`, `ubi replay import` and `ubi replay serve`, and what values they take."""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

EPILOG = """\
'--show' draws speed, acceleration and events of recordings, '--html FILE' makes a page of them; neither needs a broker.
'ubi replay serve FILE' is the car of a recording on serial ports, for any program that reads cars.
An outbox keeps what the insurer has not acknowledged: a replay that was cut off goes on where it was, and replaying
twice sends the same messages again, which add nothing. 'ubi replay import FILES... --out DIR' writes recordings of the
project's own format (.ubirec) instead. A file called import is ./import.
"""

# What only `--broker` gives a meaning.
OF_A_BROKER: Final = ("rate", "jobs", "outbox", "until_acked", "ca_file", "insecure")


def replay_parser() -> argparse.ArgumentParser:
    """Arguments of `ubi replay` itself."""
    parser = argparse.ArgumentParser(
        prog="ubi replay",
        description="Play recorded trips through the device path to a broker, and wait for the insurer's ack.",
        epilog=EPILOG,
        allow_abbrev=False,
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="recordings of any known format")
    parser.add_argument("--broker", metavar="URL", help="mqtts://HOST[:PORT], or mqtt://localhost[:PORT]")
    parser.add_argument("--show", action="store_true", help="draw speed, acceleration and events in the terminal")
    parser.add_argument(
        "--html",
        type=Path,
        metavar="FILE",
        help="write them as a page, with a map; several into a folder",
    )
    parser.add_argument("--device", metavar="ID", help="play as this device; default: named after the vehicle or file")
    _add_zone(parser)
    parser.add_argument(
        "--rate", type=_rate, default=None, metavar="N|max", help="times real time; max (default): as fast as it goes"
    )
    parser.add_argument(
        "--jobs", type=_count, default=1, metavar="N", help="processes; those of one device go through one (default: 1)"
    )
    parser.add_argument(
        "--outbox", type=Path, default=_state_folder(), metavar="DIR", help="where messages wait (default: %(default)s)"
    )
    parser.add_argument(
        "--until-acked",
        type=_seconds,
        default=60.0,
        metavar="SECONDS",
        help="give up, with status 75, when no ack came for this long (default: 60)",
    )
    parser.add_argument(
        "--faults", metavar="SPEC", help="lay faults over the recordings, such as spike:0.01,stall:4,reorder,seed:2"
    )
    parser.add_argument("--ca-file", type=Path, metavar="FILE", help="certificates to trust instead of the system's")
    parser.add_argument("--insecure", action="store_true", help="accept a plain mqtt:// address beyond this machine")
    parser.add_argument(
        "--json", action="store_true", help="print the results as JSON; without --broker what is seen: trips, events"
    )
    return parser


def import_parser() -> argparse.ArgumentParser:
    """Arguments of `ubi replay import`."""
    parser = argparse.ArgumentParser(
        prog="ubi replay import", description="Write recordings of any known format as .ubirec files."
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="recordings of any known format")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder of the .ubirec files")
    _add_zone(parser)
    return parser


def serve_parser() -> argparse.ArgumentParser:
    """Arguments of `ubi replay serve`."""
    parser = argparse.ArgumentParser(
        prog="ubi replay serve",
        description="Be the car of a recording, on pseudo-terminals: prints the name of each port, and ends with the "
        "drive. Without --elm327, --nmea or --imu: every port for which the recording has readings.",
        epilog="With an adapter the drive begins when a program first asks it for a value.",
        allow_abbrev=False,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a recording of any known format")
    parser.add_argument("--elm327", action="store_true", help="an ELM327 adapter that answers with the car's values")
    parser.add_argument("--nmea", action="store_true", help="a GNSS receiver (NMEA 0183: GGA, RMC)")
    parser.add_argument("--imu", action="store_true", help="an IMU (WitMotion WT901)")
    parser.add_argument("--rate", type=_seconds, default=1.0, metavar="N", help="times real time (default: 1)")
    parser.add_argument(
        "--delay",
        type=_delay,
        default=10.0,
        metavar="SECONDS",
        help="before it begins without an adapter (default: 10)",
    )
    _add_zone(parser)
    parser.add_argument("--json", action="store_true", help="print the ports as JSON")
    return parser


def _add_zone(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--zone", type=_zone, metavar="NAME", help="where it was driven (Europe/Berlin), for files that do not tell"
    )


def _zone(text: str) -> str:
    try:
        return ZoneInfo(text).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise argparse.ArgumentTypeError(f"{text!r} is no IANA zone, such as Europe/Berlin") from None


def _rate(text: str) -> float | None:
    return None if text == "max" else _seconds(text)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def _delay(text: str) -> float:
    return 0.0 if text == "0" else _seconds(text)


def _state_folder() -> Path:
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "ubi" / "replay"
