"""`ubi replay`: recorded trips through the device path to a broker, or into recordings of the project's own format."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import math
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from device.contract.errors import UbiError, UsageError

if TYPE_CHECKING:
    from replay_data.faults import Spec
    from replay_data.jobs import Task
    from replay_data.player import Progress

log = logging.getLogger(__name__)

EPILOG = """\
'--show' draws speed, acceleration and events of recordings here and now, '--html FILE' writes them as a page; neither
needs a broker. 'ubi replay serve FILE' is the car of a recording on serial ports, for any program that reads cars.
An outbox keeps what the insurer has not acknowledged: a replay that was cut off goes on where it was, and replaying
twice sends the same messages again, which add nothing. 'ubi replay import FILES... --out DIR' writes recordings of the
project's own format (.ubirec) instead. A file called import is ./import.
"""


def main(argv: list[str]) -> int:
    """Run `ubi replay`, `ubi replay import` or `ubi replay serve`."""
    if argv[:1] == ["import"]:
        return _import(_import_parser().parse_args(argv[1:]))
    if argv[:1] == ["serve"]:
        return _serve(_serve_parser().parse_args(argv[1:]))
    parser = _parser()
    options = parser.parse_args(argv)
    is_shown = options.show or options.html is not None
    if options.broker is None and not is_shown:
        parser.error("the following arguments are required: --broker (or --show, which needs none)")
    task = None if options.broker is None else _task(options)
    check_known(options.files)
    if is_shown:
        _show(options)
    return 0 if task is None else _replay(task, options)


def _show(options: argparse.Namespace) -> None:
    from device.contract.topics import checked_device_id
    from replay_data.recording import read_recording
    from replay_data.show import Paper, draw
    from replay_data.show_page import page
    from replay_data.view import view

    device_id = None if options.device is None else checked_device_id(options.device)
    folder = options.html if options.html is not None and options.html.is_dir() else None
    if options.html is not None and len(options.files) > 1 and folder is None:
        raise UsageError(f"--html {options.html}: is no folder, and there are {len(options.files)} recordings to write")
    pages = [options.html if folder is None else folder / f"{path.stem}.html" for path in options.files]
    if folder is not None:
        _refuse_twins(options.files, pages)
    encoding = sys.stdout.encoding or "ascii"
    paper = Paper(
        width=shutil.get_terminal_size().columns,
        colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ,
        unicode=encoding.lower().replace("-", "") == "utf8",
    )
    spec = _spec(options.faults)
    if spec is not None and spec.of_the_road and options.broker is None:
        log.warning("--faults %s: of the road, met only on the way to a --broker", ", ".join(spec.of_the_road))
    for path, target in zip(options.files, pages, strict=True):
        recording = read_recording(path, device_id, options.zone)
        seen = view(recording if spec is None else spec.laid_over(recording))
        if options.show:
            print(draw(seen, paper), end="\n\n" if path is not options.files[-1] else "\n", flush=True)
        if target is not None:
            target.write_text(page(seen), encoding="utf-8")
            log.info("%s: written to %s", path, target)


def _task(options: argparse.Namespace) -> Task:
    from device.contract.broker import parse_broker
    from device.contract.topics import checked_device_id
    from replay_data.jobs import Task

    return Task(
        files=tuple(options.files),
        broker=parse_broker(options.broker, insecure=options.insecure),
        outbox=options.outbox,
        device_id=None if options.device is None else checked_device_id(options.device),
        zone=options.zone,
        ca_file=options.ca_file,
        rate=options.rate,
        patience_s=options.until_acked,
        faults=_spec(options.faults),
    )


def _spec(text: str | None) -> Spec | None:
    from replay_data.faults import parse_faults

    return None if text is None else parse_faults(text)


def _replay(task: Task, options: argparse.Namespace) -> int:
    from replay_data.jobs import replay
    from replay_data.player import Played

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # what was queued is in the outbox, the rest can be replayed
    played: dict[Path, Played] = {}
    try:
        with _bar(len(options.files)) as watch:
            error = replay(task, played, options.jobs, watch)
    finally:
        told = [played[path] for path in options.files if path in played]
        _tell([dataclasses.asdict(result) for result in told], as_json=options.json)
    if error is not None:
        raise error
    refused = [result for result in told if result.rejected]
    if refused:
        count = sum(result.rejected for result in refused)
        raise UbiError(f"the insurer refused {count} messages, first of {refused[0].file}; see 'ubi ingest rejects'")
    return 0


@contextmanager
def _bar(recordings: int) -> Iterator[Callable[[Progress], None]]:
    """Show how much of the recordings is played, by how many devices, and what is acknowledged; quiet but on a tty."""
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    layout = "replay {percentage:3.0f}%|{bar}| {n:.1f} of {total:.0f} recordings [{elapsed}<{remaining}{postfix}]"
    with logging_redirect_tqdm(), tqdm(total=recordings, bar_format=layout, disable=None) as bar:

        def watch(progress: Progress) -> None:
            if not bar.disable:
                cars = f"{progress.devices} device" + "s" * (progress.devices != 1)
                bar.set_postfix_str(f"{cars}, {progress.acked} of {progress.messages} messages acked", refresh=False)
                bar.update(progress.recordings - bar.n)

        yield watch


def _tell(results: list[dict[str, str | int]], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(results, indent=1))
        return
    width = max((len(str(result["file"])) for result in results), default=0)
    for result in results:
        refused = f", {result['rejected']} refused" if result["rejected"] else ""
        print(
            f"{result['file']:<{width}}  {result['format']}, device {result['device_id']}: trips {result['trips']}, "
            f"{int(result['distance_m']) / 1_000:.2f} km, events {result['events']}, "
            f"messages {result['messages']}, acked {result['acked']}{refused}"
        )


def _serve(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from replay_data.recording import read_recording
    from replay_data.serve import served, wait

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    wanted = tuple(port for port in ("elm327", "nmea", "imu") if getattr(options, port))
    layout = "drive {percentage:3.0f}%|{bar}| [{elapsed}]"
    recording = read_recording(options.file, zone=options.zone)
    with served(recording, wanted, options.rate) as drive, tqdm(total=1, bar_format=layout, disable=None) as bar:
        ports = drive.ports
        print(json.dumps(ports) if options.json else "\n".join(f"{n:<7} {p}" for n, p in ports.items()), flush=True)
        begin = "the first request for a value" if "elm327" in ports else f"{options.delay:g} s"
        log.info("the drive of %.0f s begins after %s", recording.duration_ms / 1_000 / options.rate, begin)
        wait(drive, options.delay, lambda part: bar.update(part - bar.n))
    return 0


def _import(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from device.contract.recording import SUFFIX, write_recording
    from replay_data.recording import read_recording

    check_known(options.files)
    targets = [options.out / (path.stem + SUFFIX) for path in options.files]
    _refuse_twins(options.files, targets)
    options.out.mkdir(parents=True, exist_ok=True)
    for target, path in tqdm(list(zip(targets, options.files, strict=True)), unit=" files", disable=None):
        recording = read_recording(path, zone=options.zone)
        write_recording(target, recording.head, recording.readings)
        minutes = (recording.readings[-1].t_ms - recording.readings[0].t_ms) / 60_000 if recording.readings else 0
        repairs = ", ".join(f"{name} {count}" for name, count in sorted(recording.head.repairs.items())) or "none"
        print(
            f"{target}  {recording.format}: readings {len(recording.readings)}, {minutes:.1f} min, repairs: {repairs}"
        )
    return 0


def _refuse_twins(files: list[Path], targets: list[Path]) -> None:
    begun: dict[Path, Path] = {}
    for path, target in zip(files, targets, strict=True):
        if begun.setdefault(target, path) != path:
            raise UsageError(f"{path}: would write {target}, as {begun[target]} does; rename one of them")


def check_known(files: list[Path]) -> None:
    """Before anything is done, refuse the first file that is missing, of no known format or named twice.

    Raises
    ------
    RecordingError, UsageError
    """
    from replay_data.importers import load, recognise

    for number, path in enumerate(files):
        if path in files[:number]:
            raise UsageError(f"{path}: stands there twice; name it once")
    for path in files:
        if recognise(path) is None:
            load(path)  # raises, and says which formats are known


def _parser() -> argparse.ArgumentParser:
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
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    return parser


def _import_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ubi replay import", description="Write recordings of any known format as .ubirec files."
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="recordings of any known format")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder of the .ubirec files")
    _add_zone(parser)
    return parser


def _serve_parser() -> argparse.ArgumentParser:
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
