"""The one command, `ubi`: a table of subcommands, each importing its stage only when called.

So the car never imports the model, and `ubi --help` needs nothing installed. A stage offers
`main(argv) -> int`; this file turns what can go wrong into one line on stderr and an exit status:
0 done, 1 domain error, 2 usage, 75 try again, 130 interrupted, 141 the reader of stdout went away.
"""

from __future__ import annotations

import argparse
import difflib
import errno
import importlib
import importlib.metadata
import io
import json
import logging
import os
import select
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from device.contract.errors import UbiError, UsageError

log = logging.getLogger("ubi")
STDOUT = 1


class Command(NamedTuple):
    """One subcommand: the module whose `main` runs it, the extra with its libraries, a line of help.

    `tools` are handed to `main` where a stage needs what only several stages together can do, which it may not call.
    """

    module: str
    extra: str
    help: str
    tools: tuple[Callable[..., Any], ...] = ()


def _seal(lake: Path) -> None:
    """Seal what is open in a lake."""
    from ingest.contract.lake import Lake
    from ingest.seal import seal

    if Lake(lake).message_files():
        seal(Lake(lake), time.time_ns() // 1_000_000)


def _from_lake(lake: Path, features: Path, policies: Path | None) -> Any:
    """What `pricing.verify` asks a lake for."""
    from driven import from_lake

    return from_lake(lake, features, policies)


def _with_trip(recording: Path, case: Any, own: Any, monthly: bool, language: str) -> str:
    """Tell what a recorded trip would do to a driver's factor."""
    import what_if

    return what_if.tell(what_if.with_drive(case, own, what_if.drive(recording), monthly=monthly), case, language)


COMMANDS = {
    "demo": Command("demo", "insurer", "the whole pipeline on recorded trips, with an embedded broker"),
    "device": Command("device.cli", "device", "the agent in the car: run, check, calibrate, record"),
    "replay": Command("replay_data.cli", "device", "play recorded trips through the device path to a broker"),
    "ingest": Command("ingest.cli", "insurer", "MQTT messages to the lake; seal it, tell gaps and rejects"),
    "features": Command("features.cli", "insurer", "the lake to trips, events and driver periods", tools=(_seal,)),
    "pricing": Command(
        "pricing.cli", "insurer", "train a model, score a book, explain, verify", tools=(_from_lake, _with_trip)
    ),
}
OWN_PACKAGES = ("demo", "device", "driven", "features", "ingest", "pricing", "replay_data", "ubi", "what_if")


def main(argv: list[str] | None = None) -> int:
    """Run one `ubi` command line and return its exit status."""
    _escape_what_stdout_cannot_show()
    try:
        status = _run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except BrokenPipeError:
        if not _stdout_is_closed():
            raise
        return 141
    except KeyboardInterrupt:
        return 130
    except UbiError as error:
        return _fail(error, str(error), error.exit_code)
    except OSError as error:  # a file the user named: missing, not readable, disk full
        if error.filename is not None:
            return _fail(error, f"{error.filename}: {error.strerror}", UbiError.exit_code)
        if error.errno != errno.ENOSPC:
            raise
        _let_go_of_stdout()
        return _fail(error, "what is written does not fit: no space left; make some", UbiError.exit_code)
    return status


def _run(argv: list[str]) -> int:
    parser = _parser()
    options = parser.parse_args(argv)
    _log_to_stderr("debug" if options.verbose else options.log_level, as_json=options.log_format == "json")
    if options.command is None:
        sys.stdout.write(parser.format_help())  # print_help would hide a closed stdout
        return 0
    if options.command not in COMMANDS:
        near = difflib.get_close_matches(options.command, COMMANDS, n=1)
        hint = f"did you mean 'ubi {near[0]}'?" if near else f"the commands are {', '.join(COMMANDS)}"
        raise UsageError(f"there is no command '{options.command}'; {hint}")
    return _call(COMMANDS[options.command], options.arguments)


def _call(command: Command, arguments: list[str]) -> int:
    try:
        main_of = importlib.import_module(command.module).main
        status: int = main_of(arguments, *command.tools)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in OWN_PACKAGES:
            raise
        raise UsageError(
            f"the library '{error.name}' is not installed; run: pip install 'ubi[{command.extra}]'"
        ) from error
    return status


def _parser() -> argparse.ArgumentParser:
    rows = "\n".join(f"  {name:<10}{command.help}" for name, command in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="ubi",
        usage="ubi [-v | --log-level LEVEL] [--log-format FORMAT] COMMAND ...",
        description="Usage-based insurance pricing, from the car to a filed premium factor.",
        epilog=f"commands:\n{rows}\n\n'ubi COMMAND --help' tells the rest. Start with: ubi demo",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ubi {importlib.metadata.version('ubi')}")
    parser.add_argument("-v", "--verbose", action="store_true", help="same as --log-level debug")
    parser.add_argument(
        "--log-level",
        metavar="LEVEL",
        choices=("debug", "info", "warning", "error"),
        default="info",
        help="what is logged on stderr: debug, info (default), warning or error",
    )
    parser.add_argument(
        "--log-format",
        metavar="FORMAT",
        choices=("text", "json"),
        default="text",
        help="text (default), or json: one object a line, for a log collector",
    )
    parser.add_argument("command", nargs="?", metavar="COMMAND", help=argparse.SUPPRESS)
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message; `facts` a record was given, and its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Turn a record into its line."""
        time_utc = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "time": time_utc.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {"facts": record.facts} if hasattr(record, "facts") else {}
        line |= {"traceback": self.formatException(record.exc_info)} if record.exc_info else {}
        return json.dumps(line, ensure_ascii=False, default=str)


def _log_to_stderr(level: str, *, as_json: bool) -> None:
    """Log this project at `level`, and libraries from warnings on: brokers tell every packet at info."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    if as_json:
        for handler in logging.getLogger().handlers:
            handler.setFormatter(JsonLines())
        logging.captureWarnings(capture=True)
    for package in OWN_PACKAGES:
        logging.getLogger(package).setLevel(level.upper())


def _fail(error: Exception, message: str, exit_code: int) -> int:
    log.debug("traceback of the error below", exc_info=error)
    if any(isinstance(handler.formatter, JsonLines) for handler in logging.getLogger().handlers):
        log.error(message, extra={"facts": {"exit_status": exit_code}})
    else:
        sys.stderr.write(f"ubi: error: {message}\n")
    return exit_code


def _stdout_is_closed() -> bool:
    """Tell `ubi ... | head` from a broken pipe elsewhere; silences the interpreter's own last flush."""
    poll = select.poll()
    poll.register(STDOUT, 0)
    closed = any(event & select.POLLERR for _, event in poll.poll(0))
    if closed:
        os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)
    return closed


def _escape_what_stdout_cannot_show() -> None:
    """Names of files and drivers may hold what an encoding has not: they are escaped, as on stderr."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def _let_go_of_stdout() -> None:
    """Where stdout itself is full, silence the interpreter's own last flush."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)


if __name__ == "__main__":
    sys.exit(main())
