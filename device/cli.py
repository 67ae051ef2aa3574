"""`ubi device`: the agent in the car."""

from __future__ import annotations

import argparse
import json
import math
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from device.contract.errors import UbiError

EPILOG = """\
example of a configuration:
  device_id = "car-1"
  zone = "Europe/Berlin"
  broker = "mqtts://broker.example"
  obd_port = "/dev/ttyUSB0"
"""


def main(argv: list[str]) -> int:
    """Run one `ubi device` command."""
    options = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = options.run
    return command(options)


def _run(options: argparse.Namespace) -> int:
    from device import live
    from device.config import load_config

    live.run(load_config(options.config), _told_to_stop())
    return 0


def _check(options: argparse.Namespace) -> int:
    from device.check import check
    from device.config import load_config

    config = load_config(options.config)
    findings = []
    for finding in check(config):
        findings.append(finding)
        if not options.json:
            print(f"{finding.part:<9}{'ok' if finding.ok else 'FAILS':<7}{finding.told}", flush=True)
    if options.json:
        print(json.dumps([finding._asdict() for finding in findings], indent=1))
    return 0 if all(finding.ok for finding in findings) else UbiError.exit_code


def _calibrate(options: argparse.Namespace) -> int:
    from device.config import load_config

    load_config(options.config)
    raise UbiError("there is nothing to calibrate: this release reads no IMU, only the diagnostic port")


def _record(options: argparse.Namespace) -> int:
    from device import live
    from device.config import load_config

    config = load_config(options.config)
    written = live.record(config, options.out, _told_to_stop(), options.seconds)
    print(f"{options.out}: readings {written}")
    return 0


def _told_to_stop() -> Callable[[], bool]:
    """Whether SIGTERM or Ctrl-C came; both end the work in good order."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop.is_set


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ubi device",
        description="The agent in the car.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, text in (
        ("run", _run, "read the car, send trips and events, until SIGTERM"),
        ("check", _check, "try clock, key, outbox, adapter and broker, and say what to do about failures"),
        ("calibrate", _calibrate, "find how an IMU is mounted (this release reads none)"),
        ("record", _record, "write what the adapter says to a recording that 'ubi replay' plays"),
    ):
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", allow_abbrev=False)
        command.set_defaults(run=run)
        command.add_argument(
            "--config", required=True, type=Path, metavar="FILE", help="the device's TOML configuration"
        )
        if name == "check":
            command.add_argument("--json", action="store_true", help="print the findings as JSON")
        if name == "record":
            command.add_argument("--out", required=True, type=Path, metavar="FILE", help="the recording (.ubirec)")
            command.add_argument(
                "--seconds", type=_seconds, metavar="N", help="stop after this long (default: SIGTERM)"
            )
    return parser


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value
