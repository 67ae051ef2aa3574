"""`ubi ingest`: messages from a broker to the lake, sealing, and what the lake says about itself."""

from __future__ import annotations

import argparse
import errno
import gc
import json
import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import NoneType
from typing import Any

from device.contract.errors import UbiError, UsageError

log = logging.getLogger(__name__)

EPILOG = """\
A worker acknowledges a message only when it is on disk, so it may be killed at
any time: devices send again what was not acknowledged, and sealing counts each
message once. Start with:
  ubi ingest run --embedded-broker 1883 --lake LAKE --until-idle 30
  ubi ingest seal --lake LAKE
"""

WITHOUT_LAKE = ("export", "config", "ca", "enrol", "revoke", "devices")
WRITES = ("seal", "forget", "retain")
LISTED = 50  # devices that a person is told of at once


def main(argv: list[str]) -> int:
    """Run one `ubi ingest` command line."""
    options = _parser().parse_args(argv)
    action: Callable[[argparse.Namespace], None] = options.action
    try:
        action(options)
    except OSError as error:
        if error.errno != errno.ENOSPC or error.filename is not None or not options.writes:
            raise
        raise UbiError(f"{options.lake}: no space left on its disk; make some and run this again") from error
    return 0


def _run(options: argparse.Namespace) -> None:
    from device.contract.broker import ClientCertificate, parse_broker
    from ingest.contract.lake import Lake
    from ingest.monitor import parse_address
    from ingest.serve import serve

    if (options.cert_file is None) != (options.cert_key_file is None):
        raise UsageError("ubi ingest run: --cert-file and --cert-key-file go together; say both, or neither")
    client = ClientCertificate(options.cert_file, options.cert_key_file) if options.cert_file is not None else None
    monitor_at = parse_address(options.monitor) if options.monitor is not None else None
    with _frozen(), _stop_signals() as stop, _broker(options) as url:
        counters = serve(
            Lake(options.lake),
            parse_broker(url, insecure=options.insecure),
            stop,
            until_idle_s=options.until_idle,
            insecure=options.insecure,
            ca_file=options.ca_file,
            client=client,
            registry=options.registry,
            monitor_at=monitor_at,
        )
    names = ("received", "stored", "duplicates", "rejected", "segments", "acks")
    _tell({name: counters[name] for name in names} | dict(sorted(counters.items())), as_json=options.json)


def _seal(options: argparse.Namespace) -> None:
    from ingest.contract.lake import Lake
    from ingest.registry import RegistryFile
    from ingest.seal import seal

    keys_of = RegistryFile(options.registry).registry.keys_of if options.registry is not None else None
    report = seal(
        Lake.existing(options.lake),
        time.time_ns() // 1_000_000,
        keys_of=keys_of,
        afresh=options.afresh,
        progress=not options.json,
    )
    _tell(report._asdict(), as_json=options.json)


def _ask(question: str) -> Callable[[argparse.Namespace], None]:
    def ask(options: argparse.Namespace) -> None:
        from ingest import query
        from ingest.contract.lake import Lake

        _tell_rows(getattr(query, question)(Lake.existing(options.lake), options.device), as_json=options.json)

    return ask


def _status(options: argparse.Namespace) -> None:
    from ingest.contract.lake import Lake
    from ingest.query import foremost, status, total

    rows = status(Lake.existing(options.lake), options.device)
    if options.json or len(rows) < 2:
        _tell_rows(rows, as_json=options.json)
        return
    listed = foremost(rows, LISTED)
    _tell_rows([total(rows), *listed], as_json=False)
    if len(listed) < len(rows):
        print(f"and {len(rows) - len(listed)} more with less to look at: --device ID tells of one, --json of all")


def _rejects(options: argparse.Namespace) -> None:
    from ingest.contract.lake import Lake
    from ingest.gate import Gate
    from ingest.rejected import Which, export, readmit

    lake, which = Lake.existing(options.lake), Which(options.device, options.reason)
    if options.out is not None:
        _tell({"file": str(options.out), "rows": export(lake, which, options.out)}, as_json=options.json)
    elif options.readmit:
        gate = Gate(lake.root, options.registry)
        with gate.writing():
            _tell(readmit(lake, which, time.time_ns() // 1_000_000, gate.judge), as_json=options.json)
    else:
        _ask("rejects")(options)


def _export(options: argparse.Namespace) -> None:
    from tqdm import tqdm

    from ingest.export import export_recording, targets

    chosen = targets(options.files, options.out)
    done = [export_recording(path, target) for path, target in tqdm(chosen.items(), unit=" files", disable=None)]
    _tell_rows([row._asdict() for row in done], as_json=options.json)


def _config(options: argparse.Namespace) -> None:
    from ingest.configure import configure

    _tell(configure(options, time.time_ns() // 1_000_000), as_json=options.json)


def _identity(action: str) -> Callable[[argparse.Namespace], None]:
    def act(options: argparse.Namespace) -> None:
        from ingest import identity

        told = getattr(identity, action)(options, identity.utc_now())
        (_tell_rows if isinstance(told, list) else _tell)(told, as_json=options.json)

    return act


def _privacy(action: str) -> Callable[[argparse.Namespace], None]:
    def act(options: argparse.Namespace) -> None:
        from ingest import privacy

        told = getattr(privacy, action)(options, time.time_ns() // 1_000_000)
        (_tell_rows if isinstance(told, list) else _tell)(told, as_json=options.json)

    return act


@contextmanager
def _broker(options: argparse.Namespace) -> Iterator[str]:
    """Address of the broker to read from, which runs in here if asked for."""
    if (options.broker is None) == (options.embedded_broker is None):
        raise UsageError("ubi ingest run: name a broker with --broker URL, or start one with --embedded-broker PORT")
    if options.broker is not None:
        yield options.broker
        return
    from ingest.embedded import EmbeddedBroker

    with EmbeddedBroker(options.embedded_broker) as broker:
        log.info("embedded broker at %s", broker.url)
        yield broker.url


@contextmanager
def _frozen() -> Iterator[None]:
    """Spare the collector what is loaded already, which it would walk through again for every segment.

    It gets all back in the end: who leaves modules frozen until the process ends leaks what they hold (nanobind, which
    DuckDB is bound with, says so).
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and the first Ctrl-C set; a second Ctrl-C interrupts as usual."""
    stop = threading.Event()

    def on_signal(number: int, _frame: object) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.default_int_handler)

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(facts: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(facts, indent=1))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:<{width}}  {value}")


def _tell_rows(rows: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    if not rows:
        print("none")
        return
    cells = [[_cell(name, value) for name, value in row.items()] for row in rows]
    head = [name.removesuffix("_ms") for name in rows[0]]
    widths = [max(len(line[i]) for line in [head, *cells]) for i in range(len(head))]
    numeric = [
        all(isinstance(row[name], (int, float, NoneType)) for row in rows) and "_at" not in name for name in rows[0]
    ]
    for line in [head, *cells]:
        aligned = (f"{c:>{w}}" if n else f"{c:<{w}}" for c, w, n in zip(line, widths, numeric, strict=True))
        print("  ".join(aligned).rstrip())


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name.endswith("_at_ms"):
        return datetime.fromtimestamp(value / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(value)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time in seconds")
    return seconds


def _port(text: str) -> int:
    port = int(text) if text.isdecimal() else -1
    if not 0 <= port < 65_536:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port")
    return port


def _parser() -> argparse.ArgumentParser:
    from ingest.configure import add_arguments
    from ingest.identity import add_ca, add_devices, add_enrol, add_revoke
    from ingest.privacy import add_forget, add_retain

    parser = argparse.ArgumentParser(
        prog="ubi ingest",
        description="MQTT messages to the lake: checked, on disk, then acknowledged.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, action: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", allow_abbrev=False)
        added.set_defaults(action=action, writes=name in WRITES)
        if name not in WITHOUT_LAKE:
            added.add_argument("--lake", type=Path, required=True, metavar="DIR", help="folder of the lake")
        added.add_argument("--json", action="store_true", help="print JSON for machines")
        return added

    run = command("run", _run, "take messages from a broker until told to stop; SIGTERM writes what is held")
    run.add_argument("--broker", metavar="URL", help="mqtts://HOST[:PORT], or mqtt://localhost[:PORT]")
    run.add_argument(
        "--embedded-broker",
        type=_port,
        metavar="PORT",
        help="start a small broker here instead, on the loopback (0: any free port); for trying out",
    )
    run.add_argument("--until-idle", type=_seconds, metavar="SECONDS", help="stop when nothing came for so long")
    run.add_argument("--ca-file", type=Path, metavar="FILE", help="certificates to trust (PEM); default: the system's")
    run.add_argument("--cert-file", type=Path, metavar="FILE", help="our certificate, for a broker that asks")
    run.add_argument("--cert-key-file", type=Path, metavar="FILE", help="its private key")
    run.add_argument(
        "--registry",
        type=Path,
        metavar="FILE",
        help="devices whose messages are taken, with their consent; read again when it changes",
    )
    run.add_argument(
        "--insecure",
        action="store_true",
        help="accept a plain connection that leaves this machine, and unregistered devices from there",
    )
    run.add_argument(
        "--monitor",
        metavar="[HOST:]PORT",
        help="answer /metrics (Prometheus) and /health there; on the loopback unless HOST is said (PORT 0: any free)",
    )
    seals = command("seal", _seal, "turn messages into typed tables of whole trips; safe to kill and to repeat")
    seals.add_argument("--registry", type=Path, metavar="FILE", help="devices, whose keys verify the checkpoints")
    seals.add_argument("--afresh", action="store_true", help="read all messages again: after keys became known")
    status = command("status", _status, "tell of all devices and of each what has come, what is missing, and when")
    gaps = command("gaps", _ask("gaps"), "list the sequence numbers that have not come")
    rejects = command("rejects", _rejects, "tell what could not be taken, by device and reason; export or re-admit it")
    for asked in (status, gaps, rejects):
        asked.add_argument("--device", metavar="ID", help="of this device only")
    rejects.add_argument("--reason", metavar="REASON", help="of this reason only, with --out or --readmit")
    do = rejects.add_mutually_exclusive_group()
    do.add_argument("--out", type=Path, metavar="FILE", help="write them with their payloads as Parquet")
    do.add_argument("--readmit", action="store_true", help="judge them again, and store what is sound now")
    rejects.add_argument("--registry", type=Path, metavar="FILE", help="with --readmit: devices and their consent")
    export = command("export", _export, "write recordings (.ubirec) as Parquet tables of readings")
    export.add_argument("files", nargs="+", type=Path, metavar="RECORDING")
    export.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the Parquet files")
    add_ca(command("ca", _identity("ca"), "make the authorities for cars, broker and workers, and the broker's folder"))
    add_enrol(command("enrol", _identity("enrol_device"), "give a device its keys and a line in the registry"))
    add_revoke(command("revoke", _identity("revoke_device"), "refuse a device from now on"))
    add_devices(command("devices", _identity("list_devices"), "list the devices of a registry"))
    add_forget(command("forget", _privacy("forget_devices"), "erase devices, and prove it by a search of every file"))
    add_retain(command("retain", _privacy("retain_tables"), "let go of what was kept as long as it may be, by table"))
    command("erasures", _privacy("list_erasures"), "list the erasures of a lake; of whom is not known")
    add_arguments(command("config", _config, "sign a device's configuration and leave it at the broker"))
    return parser
