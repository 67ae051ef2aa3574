"""`ubi device`: the agent in the car."""

from __future__ import annotations

import argparse
import json
import math
import signal
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from device.contract.errors import UbiError
from device.finding import Finding

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

    return _tell(check(load_config(options.config)), as_json=options.json)


def _calibrate(options: argparse.Namespace) -> int:
    from device.calibrate import calibrate, set_up
    from device.config import load_config
    from device.sources.source import since_boot_ms

    config = load_config(options.config)
    if options.set_up_imu:
        return _tell([set_up(config, since_boot_ms)], as_json=options.json)
    return _tell(calibrate(config, since_boot_ms, forget=options.forget), as_json=options.json)


def _tell(findings: Iterable[Finding], *, as_json: bool) -> int:
    """Print findings as they are made; a failure among them is the exit status."""
    told = []
    for finding in findings:
        told.append(finding)
        if not as_json:
            print(finding.lines(), flush=True)
    if as_json:
        print(json.dumps([finding._asdict() for finding in told], indent=1))
    return 0 if all(finding.ok for finding in told) else UbiError.exit_code


def _record(options: argparse.Namespace) -> int:
    from device.config import load_config
    from device.record import record

    config = load_config(options.config)
    written = record(config, options.out, _told_to_stop(), options.seconds)
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
        ("check", _check, "try clock, disk, key, outbox, sensors and broker, and say what to do about failures"),
        (
            "calibrate",
            _calibrate,
            "tell how the IMU is mounted, as far as the agent has learnt it, and what to do next",
        ),
        ("record", _record, "write what the sensors say to a recording that 'ubi replay' plays"),
    ):
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", allow_abbrev=False)
        command.set_defaults(run=run)
        command.add_argument(
            "--config", required=True, type=Path, metavar="FILE", help="the device's TOML configuration"
        )
        if name in {"check", "calibrate"}:
            command.add_argument("--json", action="store_true", help="print the findings as JSON")
        if name == "calibrate":
            command.add_argument("--forget", action="store_true", help="begin anew: the box stands elsewhere now")
            command.add_argument(
                "--set-up-imu",
                action="store_true",
                help="make a WT901 send 100 times a second at 115200 baud, and keep it",
            )
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
