"""The lake to trips, events and driver periods, with work for what is new only.

    sealed files -> units (month, or bucket of one) -> parts of each, kept beside the tables -> driver periods by month
                                                    -> driver measures by month
                                                    -> four Parquet files joined of parts, each whole or not there,
                                                       and all of one build, or `features.contract.whole` says so

The same lake and policies give the same bytes, whatever was kept from earlier builds. Motion is not read: what a trip
is worth does not depend on whether it was sent. Memory holds some trips of one unit, or the driver periods of a range
of drivers in one month.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl
from tqdm import tqdm

from device.contract.errors import UbiError
from features.contract.driver_measures import DRIVER_MEASURES, driver_measures
from features.contract.periods import DRIVER_PERIODS
from features.contract.tables import EVENTS, TRIPS
from features.contract.whole import TOLD, UNFINISHED
from features.engine import Engine, here
from features.periods import merge
from features.row_groups import joined
from features.store import Parts
from features.units import TABLES, Unit, make, units_of
from ingest.contract import durable
from ingest.contract.lake import Lake, scan_files
from ingest.contract.publish import to_parquet

log = logging.getLogger(__name__)

MONTHS: Final = "months"
MEASURES: Final = "measures"
RANGE_PERIODS: Final = 50_000  # merged at once: a driver period with its histograms takes some KB


class BuildReport(NamedTuple):
    """What one build did, in counts."""

    trips: int
    events: int
    driver_periods: int
    drivers: int
    uncovered_trips: int  # no policy covers their start
    incomplete_trips: int
    distance_km: float
    units: int  # months of the lake, or their buckets where they are large
    units_made: int  # the others were taken over from an earlier build


class UnitTask(NamedTuple):
    """A unit to make and the folder of the tables."""

    unit: Unit
    out: Path


class MonthTask(NamedTuple):
    """A month, and its driver periods: those of its units to merge, or the merged ones to measure."""

    month: str
    key: str
    periods: list[Path]
    out: Path


Made = dict[str, Path]  # parts by the names of TABLES, or of MONTHS or MEASURES


def build(
    lake: Lake,
    out: Path,
    policies: pl.DataFrame | None = None,
    *,
    engine: Engine = here,
    afresh: bool = False,
    progress: bool = False,
) -> BuildReport:
    """Write trips.parquet, events.parquet, driver_periods.parquet and driver_measures.parquet.

    Parameters
    ----------
    lake : Lake
    out : Path
        Folder, made if it is not there; files of the same names are replaced. Its folder `parts` is for the next build.
    policies : pl.DataFrame, optional
        As from `policies.read_policies`; without, each device is its own driver.
    engine : Engine
        Where the work is done: here, or by `features.spark` on a cluster.
    afresh : bool
        Take over nothing from an earlier build.
    progress : bool
        Show a bar on stderr.

    Raises
    ------
    UbiError
        If the lake has no sealed trip, or the policies cover none: the tables stay as they are.
    TryAgainError
        If another build is writing to the folder.
    """
    units = units_of(lake, policies)
    out = out.resolve()
    parts = Parts(out)
    if not units:
        raise UbiError(_nothing(lake, out, parts))
    with parts.alone():
        kept, kept_months, measures = _take_over(parts, [] if afresh else units)
        new = [UnitTask(unit, out) for unit in units if unit.key not in kept]
        made = tqdm(engine(make_parts, new), total=len(new), desc="features", unit="part", disable=not progress)
        kept |= {task.unit.key: paths for task, paths in zip(new, made, strict=True)}
        months = {key: paths[0] for _, key, paths in _months(units, kept) if len(paths) == 1} | kept_months
        every = [MonthTask(*month, out) for month in _months(units, kept)]
        if policies is not None and not _rows(path for task in every for path in task.periods):
            raise UbiError(_uncovered(out, kept[units[0].key]["trips"]))
        apart = [task for task in every if task.key not in months]
        joint = tqdm(engine(merge_month, apart), total=len(apart), desc="merge", unit="month", disable=not progress)
        months |= {task.key: paths[MONTHS] for task, paths in zip(apart, joint, strict=True)}
        bare = [task._replace(periods=[months[task.key]]) for task in every if task.key not in measures]
        told = tqdm(engine(measure_month, bare), total=len(bare), desc="measure", unit="month", disable=not progress)
        measures |= {task.key: paths[MEASURES] for task, paths in zip(bare, told, strict=True)}
        of_months = [(months[task.key], measures[task.key]) for task in every]
        _commit(out, [kept[unit.key] for unit in units], of_months)
        of_units = (path for paths in kept.values() for path in paths.values())
        parts.keep_only([*of_units, *months.values(), *measures.values()])
        return _report(out, len(units), len(new))


def _nothing(lake: Lake, out: Path, parts: Parts) -> str:
    """Say that there is no trip. All may have been erased: what an earlier build kept of them goes, too."""
    reason = f"{lake.root}: no sealed trip; a trip is sealed when all its messages have come, see 'ubi ingest status'"
    if not parts.folder.is_dir():
        return reason
    with parts.alone():
        parts.keep_only([])
    return f"{reason}. The tables in {out} are of an earlier build: delete them if their trips were erased"


def _rows(periods: Iterable[Path]) -> int:
    """Driver periods in some parts."""
    return int(scan_files([*periods], DRIVER_PERIODS).select(pl.len()).collect().item())


def _uncovered(out: Path, trips: Path) -> str:
    """Say that nobody is known to have driven: the policies of another fleet, or of another year."""
    device = scan_files([trips], TRIPS).select("device_id").first().collect().item()
    return (
        f"no policy covers the start of any trip, so nothing is written to {out}; "
        f"do device_id, start and end of the policies fit? A device of the lake is called '{device}'"
    )


def make_parts(task: UnitTask) -> Made:
    """Make the parts of one unit: files in, files out."""
    parts, unit = Parts(task.out), task.unit
    return {name: parts.put(name, unit.place, unit.key, [content]) for name, content in make(unit).items()}


def merge_month(task: MonthTask) -> Made:
    """Merge the driver periods of one month: files in, a file out."""
    return {MONTHS: Parts(task.out).put(MONTHS, task.month, task.key, merged(task.periods))}


def measure_month(task: MonthTask) -> Made:
    """Measure the driver periods of one month: a file in, a file out."""
    return {MEASURES: Parts(task.out).put(MEASURES, task.month, task.key, measured(*task.periods))}


def merged(parts: Sequence[Path]) -> Iterator[bytes]:
    """Driver periods of a month as pieces of Parquet, merged from those of its units, a range of drivers at a time."""
    scans = [scan_files([path], DRIVER_PERIODS) for path in parts]
    drivers = pl.concat(scan.select("driver_id") for scan in scans).collect().to_series().sort()
    cuts = drivers.gather_every(RANGE_PERIODS).unique().sort()[1:]
    drivers_of = pl.col("driver_id")
    ranges = [
        (pl.lit(value=True) if low is None else drivers_of >= low)
        & (pl.lit(value=True) if high is None else drivers_of < high)
        for low, high in pairwise([None, *cuts, None])
    ]
    files = (to_parquet(merge([scan.filter(one).collect() for scan in scans]).rechunk()) for one in ranges)
    return joined(to_parquet(DRIVER_PERIODS.to_frame()), files)


def measured(periods: Path) -> Iterator[bytes]:
    """Driver measures of a month as pieces of Parquet, some driver periods at a time."""
    scan = scan_files([periods], DRIVER_PERIODS)
    rows = scan.select(pl.len()).collect().item()
    slices = (scan.slice(first, RANGE_PERIODS).collect() for first in range(0, rows, RANGE_PERIODS))
    files = (measures_parquet(driver_measures(some)) for some in slices)
    return joined(measures_parquet(DRIVER_MEASURES.to_frame()), files)


def measures_parquet(measures: pl.DataFrame) -> bytes:
    """Parquet that is read fast rather than small: each scoring reads all of it."""
    buffer = io.BytesIO()
    measures.write_parquet(buffer, compression="lz4", row_group_size=RANGE_PERIODS)
    return buffer.getvalue()


def _take_over(parts: Parts, units: Sequence[Unit]) -> tuple[dict[str, Made], dict[str, Path], dict[str, Path]]:
    """Parts of earlier builds that are whole and wanted, of units, months and their measures by keys; all others go."""
    found = {name: parts.find(name) for name in TABLES}
    kept = {
        unit.key: {name: found[name][unit.key] for name in TABLES}
        for unit in units
        if all(unit.key in found[name] for name in TABLES)
    }
    keys = {key for _, key, _ in _months(units, kept)}
    months, measures = (
        {key: path for key, path in parts.find(table).items() if key in keys} for table in (MONTHS, MEASURES)
    )
    of_units = (path for made in kept.values() for path in made.values())
    parts.keep_only([*of_units, *months.values(), *measures.values()])
    return kept, months, measures


def _months(units: Sequence[Unit], made: dict[str, Made]) -> Iterator[tuple[str, str, list[Path]]]:
    """Months of which all units are made: name, key, and their driver periods, by bucket."""
    for month, group in groupby(units, key=lambda unit: unit.month):
        of_month = list(group)
        if all(unit.key in made for unit in of_month):
            paths = [made[unit.key]["periods"] for unit in of_month]
            yield month, hashlib.sha256("\n".join(path.name for path in paths).encode()).hexdigest()[:32], paths


def _commit(out: Path, made: Sequence[Made], months: Sequence[tuple[Path, Path]]) -> None:
    """Join the parts to the four tables, and give these their names when all are on disk; readers see that they do."""
    tables = {
        "trips": (TRIPS, [paths["trips"] for paths in made]),
        "events": (EVENTS, [paths["events"] for paths in made]),
        "driver_periods": (DRIVER_PERIODS, [periods for periods, _ in months]),
        "driver_measures": (DRIVER_MEASURES, [measures for _, measures in months]),
    }
    durable.commit(
        {
            out / f"{name}.parquet": joined(to_parquet(schema.to_frame()), paths)
            for name, (schema, paths) in tables.items()
        },
        meanwhile=(out / UNFINISHED, TOLD.encode()),
    )


def _report(out: Path, units: int, units_made: int) -> BuildReport:
    trips = scan_files([out / "trips.parquet"], TRIPS).select(
        trips=pl.len(),
        uncovered_trips=pl.col("driver_id").null_count(),
        incomplete_trips=(~pl.col("complete")).sum(),
    )
    periods = scan_files([out / "driver_periods.parquet"], DRIVER_PERIODS).select(
        driver_periods=pl.len(), drivers=pl.col("driver_id").n_unique(), distance_mm=pl.col("distance_mm").sum()
    )
    events = scan_files([out / "events.parquet"], EVENTS).select(events=pl.len())
    (counts,) = pl.concat([trips, periods, events], how="horizontal").collect().to_dicts()
    distance_km = counts.pop("distance_mm") / 1e6
    report = BuildReport(**counts, distance_km=distance_km, units=units, units_made=units_made)
    if report.uncovered_trips:
        log.warning(
            "%d of %d trips start on days that no policy of their device covers", report.uncovered_trips, report.trips
        )
    return report
