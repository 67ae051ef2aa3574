"""`ubi features`: the lake to trips, events and driver periods; the check of the device's events; the catalogue."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger(__name__)

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
    report = build(lake, options.out, policies, afresh=options.afresh, progress=_shows_progress(options))
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


def _derive(options: argparse.Namespace) -> int:
    from features.rederive import AGREES, DIFFERS, NOT_COMPARED, rederive
    from ingest.contract.lake import Lake

    rows = rederive(Lake.existing(options.lake), progress=_shows_progress(options)).to_dicts()
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


def _list(options: argparse.Namespace) -> int:
    from features.catalogue_page import markdown
    from features.contract.catalogue import as_table, load_catalogue

    catalogue = load_catalogue()
    if options.markdown:
        print(markdown(catalogue), end="")
    elif options.json:
        print(json.dumps(as_table(catalogue), ensure_ascii=False, indent=1))
    else:
        for feature in catalogue.features:
            print(f"{feature.name:<32}{feature.unit:<12}{'model' if feature.model else '-':<7}{feature.definition}")
        print(f"{len(catalogue.features)} features, version {catalogue.version}")
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
    build.add_argument(
        "--afresh", action="store_true", help="take over nothing that an earlier build left in DIR/parts"
    )

    derive = command(
        "derive",
        _derive,
        "derive sealed motion again and compare with what the devices said; exit 1 if a trip differs",
    )
    _add_lake(derive)

    catalogue = command("list", _list, "the feature catalogue")
    catalogue.add_argument("--markdown", action="store_true", help="as the page docs/features.md")
    return parser


def _add_lake(command: argparse.ArgumentParser) -> None:
    command.add_argument("--lake", required=True, type=Path, metavar="DIR", help="folder that ubi ingest run wrote")
