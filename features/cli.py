"""`ubi features`: the lake to trips, events and driver periods; the check of the device's events; the catalogue."""

from __future__ import annotations

import argparse
import errno
import json
import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from device.contract.errors import UbiError, UsageError
from features.arguments import parser

if TYPE_CHECKING:
    from features.engine import Engine

log = logging.getLogger(__name__)

READ_ONLY: Final = (errno.EACCES, errno.EPERM, errno.EROFS)  # who may only read a lake can build of what is sealed


def main(argv: list[str], before_build: Callable[[Path], object] = lambda _lake: None) -> int:
    """Run one `ubi features` command line.

    Parameters
    ----------
    argv : list of str
    before_build : callable
        Called with the lake's folder before anything is built: `ubi` seals there what is open.
    """
    options = parser().parse_args(argv)
    options.before_build = before_build
    return ACTIONS[options.command](options)


def _build(options: argparse.Namespace) -> int:
    from features.build import build
    from features.policies import read_policies
    from ingest.contract.lake import Lake

    policies = read_policies(options.policies) if options.policies else None
    lake = Lake.existing(options.lake)
    if options.out.exists() and not options.out.is_dir():
        raise UsageError(f"--out {options.out}: is a file; name a folder")
    try:
        options.before_build(lake.root)
    except OSError as error:
        if error.errno not in READ_ONLY:
            raise
        log.warning(
            "%s: %s: nothing was sealed first, so trips that came since are not in the tables",
            error.filename or lake.root,
            error.strerror,
        )
    try:
        with _engine(options) as engine:
            report = build(
                lake, options.out, policies, engine=engine, afresh=options.afresh, progress=_shows_progress(options)
            )
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise UbiError(f"{options.out}: no space left on its disk; tables of before stay as they are") from error
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


ACTIONS: Final[dict[str, Callable[[argparse.Namespace], int]]] = {
    "build": _build,
    "derive": _derive,
    "sql": _sql,
    "places": _places,
    "exposure": _exposure,
    "list": _list,
}
