"""`ubi replay`: recorded trips through the device path to a broker, or into recordings of the project's own format."""

from __future__ import annotations

import argparse
import dataclasses
import errno
import json
import logging
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from device.contract.errors import UbiError, UsageError
from replay_data import arguments

if TYPE_CHECKING:
    from replay_data.faults import Spec
    from replay_data.jobs import Task
    from replay_data.player import Progress
    from replay_data.show import Paper

log = logging.getLogger(__name__)


def main(argv: list[str]) -> int:
    """Run `ubi replay`, `ubi replay import` or `ubi replay serve`."""
    if argv[:1] == ["import"]:
        return _import(arguments.import_parser().parse_args(argv[1:]))
    if argv[:1] == ["serve"]:
        return _serve(arguments.serve_parser().parse_args(argv[1:]))
    parser = arguments.replay_parser()
    options = parser.parse_args(argv)
    is_shown = options.show or options.html is not None
    if options.broker is None and not is_shown:
        parser.error("the following arguments are required: --broker (or --show, which needs none)")
    if options.show and options.json and options.broker is not None:
        raise UsageError(
            "--json with --broker tells what was sent; for what is seen give --show --json without --broker"
        )
    _refuse_idle(parser, options)
    task = None if options.broker is None else _task(options)
    check_known(options.files)
    if is_shown:
        _show(options)
    return 0 if task is None else _replay(task, options)


def _show(options: argparse.Namespace) -> None:
    from device.contract.topics import checked_device_id
    from replay_data.recording import read_recording
    from replay_data.show import draw
    from replay_data.show_json import as_json
    from replay_data.show_page import page
    from replay_data.view import view

    device_id = None if options.device is None else checked_device_id(options.device)
    pages, paper, spec = _pages(options), _paper(), _spec(options.faults)
    if spec is not None and spec.of_the_road and options.broker is None:
        log.warning("--faults %s: of the road, met only on the way to a --broker", ", ".join(spec.of_the_road))
    told = []
    for path, target in zip(options.files, pages, strict=True):
        recording = read_recording(path, device_id, options.zone)
        seen = view(recording if spec is None else spec.laid_over(recording))
        if options.json and options.broker is None:
            told.append(as_json(seen))
        elif options.show:
            print(draw(seen, paper), end="\n\n" if path is not options.files[-1] else "\n", flush=True)
        if target is not None:
            _write(target, page(seen))
            log.info("%s: written to %s", path, target)
    if told:
        print(json.dumps(told, indent=1))


def _pages(options: argparse.Namespace) -> list[Path | None]:
    """Where the page of each recording is written."""
    html: Path | None = options.html
    if html is None:
        return [None] * len(options.files)
    if not html.parent.is_dir():
        raise UsageError(f"--html {html}: there is no folder {html.parent}; make it, or name another")
    if not html.is_dir():
        if len(options.files) > 1:
            raise UsageError(f"--html {html}: is no folder, and there are {len(options.files)} recordings to write")
        return [html]
    pages = [html / f"{path.stem}.html" for path in options.files]
    _refuse_twins(options.files, pages)
    return [*pages]


def _write(target: Path, text: str) -> None:
    """Write a page; what could be written of it only in part is taken away."""
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        if error.errno == errno.ENOSPC and target.is_file():
            target.unlink()
        raise UbiError(f"{target}: cannot be written: {error.strerror}") from error


def _paper() -> Paper:
    from replay_data.show import Paper

    return Paper(
        width=shutil.get_terminal_size().columns,
        colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ,
        unicode=(sys.stdout.encoding or "ascii").lower().replace("-", "") == "utf8",
    )


def _refuse_idle(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuse options that would do nothing."""
    if options.broker is None:
        for name in arguments.OF_A_BROKER:
            if getattr(options, name) != parser.get_default(name):
                raise UsageError(f"--{name.replace('_', '-')} is for playing to a --broker, and there is none")
    elif options.ca_file is not None and options.broker.startswith("mqtt://"):
        raise UsageError(f"--ca-file {options.ca_file}: mqtt:// asks for no certificate; write mqtts://")


def _task(options: argparse.Namespace) -> Task:
    from device.contract.broker import parse_broker
    from device.contract.topics import checked_device_id
    from replay_data.jobs import Task

    return Task(
        files=tuple(options.files),
        broker=parse_broker(options.broker, insecure=options.insecure),
        outbox=_folder("--outbox", options.outbox),
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
    except (KeyboardInterrupt, SystemExit):
        log.warning("cut off; the same command goes on where it was, with what waits in %s", options.outbox)
        raise
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
    for path, target in zip(options.files, targets, strict=True):
        if target.exists() and target.samefile(path):
            raise UsageError(f"{path}: would be written over itself; name another folder with --out")
    _folder("--out", options.out).mkdir(parents=True, exist_ok=True)
    for target, path in tqdm(list(zip(targets, options.files, strict=True)), unit=" files", disable=None):
        recording = read_recording(path, zone=options.zone)
        write_recording(target, recording.head, recording.readings)
        minutes = (recording.readings[-1].t_ms - recording.readings[0].t_ms) / 60_000 if recording.readings else 0
        repairs = ", ".join(f"{name} {count}" for name, count in sorted(recording.head.repairs.items())) or "none"
        print(
            f"{target}  {recording.format}: readings {len(recording.readings)}, {minutes:.1f} min, repairs: {repairs}"
        )
    return 0


def _folder(option: str, folder: Path) -> Path:
    """Refuse what is there and is no folder."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{option} {folder}: is no folder; name another")
    return folder


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
