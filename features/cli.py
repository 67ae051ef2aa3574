"""`ubi features`: the lake to trips, events and driver periods; the check of the device's events; the catalogue."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device.contract.errors import UsageError

if TYPE_CHECKING:
    from features.engine import Engine

log = logging.getLogger(__name__)

MAX_MONTHS = 1_200

EPILOG = """\
Start with:
  ubi features build --lake LAKE --out FEATURES --policies policies.csv
"""


def main(argv: list[str], before_build: Callable[[Path], object] = lambda _lake: None) -> int:
    """Run one `ubi features` command line.

    Parameters
    ----------
    argv : list of str
    before_build : callable
        Called with the lake's folder before anything is built: `ubi` seals there what is open.
    """
    options = _parser().parse_args(argv)
    options.before_build = before_build
    action: Callable[[argparse.Namespace], int] = options.action
    return action(options)


def _build(options: argparse.Namespace) -> int:
    from features.build import build
    from features.policies import read_policies
    from ingest.contract.lake import Lake

    policies = read_policies(options.policies) if options.policies else None
    lake = Lake.existing(options.lake)
    options.before_build(lake.root)
    with _engine(options) as engine:
        report = build(
            lake, options.out, policies, engine=engine, afresh=options.afresh, progress=_shows_progress(options)
        )
    if options.json:
        print(json.dumps(report._asdict()))
    else:
        print(f"{report.trips:,} trips, {report.events:,} events")
        print(f"{report.driver_periods:,} driver periods of {report.drivers:,} drivers, {report.distance_km:,.1f} km")
        if report.uncovered_trips:
            print(f"{report.uncovered_trips:,} trips are covered by no policy and count for no driver")
        if report.incomplete_trips:
            print(f"{report.incomplete_trips:,} trips are incomplete")
    log.info("%d of %d parts made, the others kept", report.units_made, report.units)
    log.info("tables written to %s", options.out)
    return 0


def _engine(options: argparse.Namespace) -> AbstractContextManager[Engine]:
    """Where the work is done."""
    from features.engine import here

    if options.engine == "local":
        if options.spark_master is not None:
            raise UsageError("--spark-master is for --engine spark")
        return nullcontext(here)
    try:
        from features.spark import spark_engine
    except ModuleNotFoundError as error:
        raise UsageError(f"the library '{error.name}' is not installed; run: pip install 'ubi[spark]'") from error
    return spark_engine(options.spark_master)


def _derive(options: argparse.Namespace) -> int:
    if options.rules is not None:
        if options.engine != "local":
            raise UsageError("--engine spark derives by the rules in force; leave it out with --rules")
        return _change_rules(options)
    if options.csv is not None or options.policies is not None:
        raise UsageError("--csv and --policies belong to --rules")
    from features.rederive import AGREES, DIFFERS, NOT_COMPARED, rederive
    from ingest.contract.lake import Lake

    lake = Lake.existing(options.lake)
    with _engine(options) as engine:
        rows = rederive(lake, engine=engine, progress=_shows_progress(options)).to_dicts()
    if options.json:
        print(json.dumps(rows))
    else:
        for row in rows:
            differs = f": {', '.join(row['differs'])}" if row["verdict"] == DIFFERS else ""
            name = row["recorded_file"] or row["trip_id"]
            print(f"{row['verdict']:<13}{row['samples']:>8} samples {row['events']:>4} events  {name}{differs}")
        counts = {
            verdict: sum(row["verdict"] == verdict for row in rows) for verdict in (AGREES, DIFFERS, NOT_COMPARED)
        }
        print(f"device and batch: {counts[AGREES]} trips agree, {counts[DIFFERS]} differ", end="")
        print(f", {counts[NOT_COMPARED]} not compared (messages are missing)" if counts[NOT_COMPARED] else "")
    return 1 if any(row["verdict"] == DIFFERS for row in rows) else 0


def _change_rules(options: argparse.Namespace) -> int:
    from features.policies import read_policies
    from features.rules_change import by_kind, change, read_rules
    from ingest.contract.lake import Lake

    rules = read_rules(options.rules)
    policies = read_policies(options.policies) if options.policies else None
    rows = change(Lake.existing(options.lake), rules, policies, progress=_shows_progress(options))
    if options.csv is not None:
        options.csv.write_text(rows.write_csv(), encoding="utf-8")
        log.info("%d rows written to %s", rows.height, options.csv)
    if options.json:
        print(json.dumps(rows.to_dicts()))
    else:
        _print_change(by_kind(rows).to_dicts(), rows.to_dicts())
    return 0


def _print_change(kinds: list[dict[str, Any]], drivers: list[dict[str, Any]]) -> None:
    def line(name: str, kind: str, row: dict[str, Any]) -> str:
        low, high = row["after_at_least_per_100km"], row["after_at_most_per_100km"]
        bounds = "" if low == high else f"  ({_rate(low).strip()} to {_rate(high).strip()})"
        return f"{name:<24}{kind:<20}{_rate(row['before_per_100km'])}{_rate(row['after_about_per_100km'])}{bounds}"

    print(f"{'events per 100 km':<44}{'before':>10}{'after':>10}  (at least to at most, where motion was not kept)")
    for row in kinds:
        print(line("all", row["kind"], row))
    for row in drivers:
        if row["before"] != row["after_at_least"] or row["before"] != row["after_at_most"]:
            print(line(row["driver_id"], row["kind"], row))


def _rate(value: float | None) -> str:
    return f"{'?':>10}" if value is None else f"{value:>10.2f}"


def _sql(options: argparse.Namespace) -> int:
    from features.sql import Given, ask, ask_json, script, views_of

    if options.lake is None and options.features is None:
        raise UsageError(
            "nothing to ask; name the lake with --lake, the output of 'ubi features build' with --features"
        )
    views = views_of(
        Given(
            options.lake, options.features, options.policies, options.claims, options.rating_date or (), options.months
        )
    )
    if options.write is not None:
        options.write.write_text(script(views), encoding="utf-8")
        log.info("%d views written to %s", len(views), options.write)
    if options.query is not None:
        if options.json:
            print(json.dumps(ask_json(views, options.query), ensure_ascii=False))
        else:
            answer = ask(views, options.query)
            _print_table(answer.columns, answer.rows)
            log.info("%d rows", len(answer.rows))
    elif options.write is None:
        if options.json:
            print(json.dumps([{"view": view.name, "shows": view.text} for view in views]))
        else:
            for view in views:
                print(f"{view.name:<22}{view.text}")
    return 0


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[str | None]]) -> None:
    """Columns as wide as their widest value; null is a dash."""
    cells = [list(columns), *(["-" if value is None else value for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells if columns else ():
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _places(options: argparse.Namespace) -> int:
    from features.places import places, told
    from features.policies import read_policies
    from ingest.contract.lake import Lake

    policies = read_policies(options.policies) if options.policies else None
    table = places(Lake.existing(options.lake), policies)
    if options.json:
        print(json.dumps(table.to_dicts()))
    else:
        _print_table(table.columns, [told(row) for row in table.rows()])
    return 0


def _exposure(options: argparse.Namespace) -> int:
    from features.exposure import HEADINGS, exposure_of, next_month, read_periods, told

    periods = read_periods(options.features)
    end = options.rating_date or next_month(periods)
    table = exposure_of(periods, end, options.months)
    if table.is_empty():
        log.warning("no driver has a trip in the %d whole months before %s", options.months, end)
    if options.json:
        print(json.dumps(table.to_dicts()))
    else:
        _print_table(HEADINGS, [told(row) for row in table.rows()])
    return 0


def _list(options: argparse.Namespace) -> int:
    from features.catalogue_page import markdown, screen
    from features.contract.catalogue import as_table, load_catalogue

    catalogue = load_catalogue()
    if options.markdown:
        print(markdown(catalogue), end="")
    elif options.json:
        print(json.dumps(as_table(catalogue), ensure_ascii=False, indent=1))
    else:
        print(screen(catalogue))
    return 0


def _shows_progress(options: argparse.Namespace) -> bool:
    return sys.stderr.isatty() and not options.json


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ubi features",
        description="Sealed trips to trips, events and driver periods; the feature catalogue.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, action: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        added.set_defaults(action=action)
        added.add_argument("--json", action="store_true", help="print JSON for machines")
        return added

    build = command("build", _build, "seal what is open, then write the three tables as Parquet")
    _add_lake(build)
    build.add_argument("--out", required=True, type=Path, metavar="DIR", help="where to write the three tables")
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
        _derive,
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

    sql = command(
        "sql", _sql, "ask the lake, the tables, policies and claims in SQL, or write the views for any DuckDB"
    )
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

    where = command("places", _places, "how many places drivers have, as far as consent goes; never read by pricing")
    _add_lake(where)
    where.add_argument("--policies", type=Path, metavar="FILE", help="as for build")

    exposure = command(
        "exposure", _exposure, "what each driver drove, what was recorded of it, and what does not look right"
    )
    exposure.add_argument("--features", required=True, type=Path, metavar="DIR", help="folder of ubi features build")
    exposure.add_argument(
        "--rating-date",
        type=_day,
        metavar="YYYY-MM-DD",
        help="end of the window (default: after the last month of the driver periods)",
    )
    exposure.add_argument("--months", type=_months, default=12, metavar="N", help="months before it (default: 12)")

    catalogue = command("list", _list, "the feature catalogue")
    catalogue.add_argument("--markdown", action="store_true", help="as the page docs/features.md")
    return parser


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
