"""Arguments of `ubi features`: commands, options, and what values they take."""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path
from typing import Final

MAX_MONTHS: Final = 1_200

EPILOG = """\
Start with:
  ubi features build --lake LAKE --out FEATURES --policies policies.csv
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser; `command` of what it parsed is the name of a subcommand."""
    whole = argparse.ArgumentParser(
        prog="ubi features",
        description="Sealed trips to trips, events and driver periods; the feature catalogue.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = whole.add_subparsers(metavar="COMMAND", required=True, dest="command")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        added.add_argument("--json", action="store_true", help="print JSON for machines")
        return added

    build = command("build", "seal what is open, then write the four tables as Parquet")
    _add_lake(build)
    build.add_argument("--out", required=True, type=Path, metavar="DIR", help="where to write the four tables")
    build.add_argument(
        "--policies",
        type=Path,
        metavar="FILE",
        help="Parquet or CSV with policy_id, driver_id, device_id, start, end, and region (DE, DE-BY; for public "
        "holidays) if known; without it each device is its own driver",
    )
    _add_engine(build)
    build.add_argument(
        "--afresh", action="store_true", help="take over nothing that an earlier build left in DIR/parts"
    )

    derive = command(
        "derive",
        "derive sealed motion again and compare with what the devices said; exit 1 if a trip differs; "
        "or tell what other rules would change",
    )
    _add_lake(derive)
    derive.add_argument(
        "--rules",
        metavar="FILE|VERSION",
        help="tell what these event rules would find instead, by driver and kind, counted where motion was kept and "
        "bounded where it was not; the lake stays as it is",
    )
    derive.add_argument("--policies", type=Path, metavar="FILE", help="with --rules: who drove, as for build")
    derive.add_argument("--csv", type=Path, metavar="FILE", help="with --rules: write the rows there, too")
    _add_engine(derive)

    sql = command("sql", "ask the lake, the tables, policies and claims in SQL, or write the views for any DuckDB")
    sql.add_argument("query", nargs="?", metavar="SQL", help="one question; without it the views are listed")
    sql.add_argument(
        "--lake", type=Path, metavar="DIR", help="adds the sealed tables, as sealed_trips, sealed_events, ..."
    )
    sql.add_argument("--features", type=Path, metavar="DIR", help="adds the tables of ubi features build, and evidence")
    sql.add_argument("--policies", type=Path, metavar="FILE", help="adds policies and exposure")
    sql.add_argument("--claims", type=Path, metavar="FILE", help="adds claims; with all others rating_rows")
    sql.add_argument(
        "--rating-date",
        type=_day,
        action="append",
        metavar="YYYY-MM-DD",
        help="date that rating_rows look from, may be repeated (default: after the last month of the driver periods)",
    )
    sql.add_argument("--months", type=_months, default=12, metavar="N", help="months before and after it (default: 12)")
    sql.add_argument("--write", type=Path, metavar="FILE.sql", help="write the CREATE VIEW statements")

    where = command("places", "how many places drivers have, as far as consent goes; never read by pricing")
    _add_lake(where)
    where.add_argument("--policies", type=Path, metavar="FILE", help="as for build")

    exposure = command("exposure", "what each driver drove, what was recorded of it, and what does not look right")
    exposure.add_argument("--features", required=True, type=Path, metavar="DIR", help="folder of ubi features build")
    exposure.add_argument(
        "--rating-date",
        type=_day,
        metavar="YYYY-MM-DD",
        help="end of the window (default: after the last month of the driver periods)",
    )
    exposure.add_argument("--months", type=_months, default=12, metavar="N", help="months before it (default: 12)")

    catalogue = command("list", "the feature catalogue")
    catalogue.add_argument("--markdown", action="store_true", help="as the page docs/features.md")
    return whole


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a date (YYYY-MM-DD)") from None


def _months(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_MONTHS:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of months (1 to {MAX_MONTHS})")
    return int(text)


def _add_engine(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--engine", choices=("local", "spark"), default="local", help="where the work is done (default: local)"
    )
    command.add_argument(
        "--spark-master",
        metavar="URL",
        help="cluster of --engine spark, as spark://HOST:7077 (default: what Spark is configured for)",
    )


def _add_lake(command: argparse.ArgumentParser) -> None:
    command.add_argument("--lake", required=True, type=Path, metavar="DIR", help="folder that ubi ingest run wrote")
