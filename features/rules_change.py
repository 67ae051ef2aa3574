"""What would other event rules find in a sealed lake? Counted where motion was kept, bounded where it was not.

    motion file -> derive with the new rules  -> events of each trip, exact
    trips without motion -> bounds             -> at least, at most, and about how many

Nothing is written to the lake.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import polars as pl
from tqdm import tqdm

from device.contract.errors import ContractError, UbiError
from device.contract.rules import CURRENT_VERSION, KIND_NAMES, KIND_NUMBERS, Rules, load_rules, parse_rules
from device.contract.trip import PEAK_STEP_CMPS2
from features.bounds import bounds, counted_events
from features.derive import HEADS, derive
from features.errors import RulesError
from features.policies import assign
from ingest.contract import tables
from ingest.contract.lake import Group, Lake, read_files

MM_PER_100_KM: Final = 100_000_000
MOTION_ROWS: Final = 2_000_000  # derived at once, in slices
CHANGE: Final = pl.Schema(
    {
        "driver_id": pl.String(),  # the device, without policies
        "kind": pl.String(),
        "distance_km": pl.Float64(),
        "trips": pl.Int64(),
        "trips_without_motion": pl.Int64(),
        "before": pl.Int64(),  # events that the trips' summaries tell
        "after_at_least": pl.Int64(),
        "after_about": pl.Float64(),
        "after_at_most": pl.Int64(),  # null: no bound
        "before_per_100km": pl.Float64(),
        "after_at_least_per_100km": pl.Float64(),
        "after_about_per_100km": pl.Float64(),
        "after_at_most_per_100km": pl.Float64(),
    }
)


def read_rules(text: str) -> Rules:
    """Rules of this release by their version, or of a TOML file by its path.

    Raises
    ------
    RulesError
        If there is no such version or file, or the file is no definition.
    """
    if text.isdecimal():
        return load_rules(int(text))
    try:
        rules = parse_rules(tomllib.loads(Path(text).read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise RulesError(
            f"{text}: no such file; name a TOML file of event rules, or a version, as {CURRENT_VERSION}"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RulesError(f"{text}: cannot be read as TOML: {error}") from None
    except KeyError as error:
        raise RulesError(f"{text}: lacks {error}; take a file of device/contract/event_rules as a pattern") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise RulesError(f"{text}: is no definition of event rules: {error}") from None
    except ContractError as error:
        raise RulesError(f"{text}: {error}") from None
    _check(text, rules)
    return rules


def _check(text: str, rules: Rules) -> None:
    """Refuse rules of kinds and signals that nothing here knows, and kinds with two rules."""
    signals = {rule.signal for rule in load_rules().rules}
    seen: set[str] = set()
    for rule in rules.rules:
        if rule.kind not in KIND_NUMBERS:
            raise RulesError(f"{text}: '{rule.kind}' is no kind of event; there are {', '.join(KIND_NUMBERS)}")
        if rule.signal not in signals:
            known = ", ".join(sorted(signals))
            raise RulesError(f"{text}, {rule.kind}: '{rule.signal}' is no signal; there are {known}")
        if rule.kind in seen:
            raise RulesError(f"{text}: {rule.kind} has two rules; leave one")
        seen.add(rule.kind)


def change(lake: Lake, rules: Rules, policies: pl.DataFrame | None = None, *, progress: bool = False) -> pl.DataFrame:
    """Events before and after by driver and kind, over all sealed trips that have a summary.

    Parameters
    ----------
    lake : Lake
    rules : Rules
        The new rules. The old ones are those that each trip was recorded with.
    policies : pl.DataFrame, optional
        As from `features.policies.read_policies`; without them each device is its own driver, and trips that no policy
        covers are left out.

    Returns
    -------
    pl.DataFrame
        CHANGE, by driver_id and kind: a row for every driver, also one without events, and every kind that somebody has
        or may have.

    Raises
    ------
    UbiError
        If nothing is sealed, or a file is damaged.
    """
    if not lake.manifest().groups:
        raise UbiError(f"{lake.root}: nothing is sealed; run 'ubi ingest seal --lake {lake.root}' first")
    groups = tqdm(lake.manifest().groups, desc="derive", unit="group", disable=not progress)
    parts = [_of_groups(lake, some, rules, policies) for some in _some(groups)]
    summed = pl.concat(parts).group_by("driver_id", "kind").agg(*_added())
    some = (pl.col("before") > 0) | (pl.col("high") != 0).fill_null(value=True)
    kinds = summed.filter(some)["kind"].unique()
    rows = summed.with_columns(after_about=_about()).filter(pl.col("kind").is_in(kinds.implode()))
    per_100km = pl.col("distance_mm") / MM_PER_100_KM
    return rows.select(
        "driver_id",
        pl.col("kind").replace_strict(KIND_NAMES, return_dtype=pl.String),
        distance_km=(pl.col("distance_mm") / 1e6).round(3),
        trips="trips",
        trips_without_motion="trips_without_motion",
        before="before",
        after_at_least="low",
        after_about=pl.col("after_about").round(2),
        after_at_most="high",
        **{
            f"{name}_per_100km": pl.when(per_100km > 0).then((pl.col(of) / per_100km).round(4))
            for name, of in (
                ("before", "before"),
                ("after_at_least", "low"),
                ("after_about", "after_about"),
                ("after_at_most", "high"),
            )
        },
    ).sort("driver_id", pl.col("kind").replace_strict(KIND_NUMBERS))


def by_kind(changes: pl.DataFrame) -> pl.DataFrame:
    """The same over all drivers: CHANGE without driver_id and trips."""
    exact = ("before", "after_at_least", "after_at_most", "after_about")
    distance_km = changes.group_by("driver_id").agg(pl.col("distance_km").first())["distance_km"].sum()
    summed = changes.group_by("kind", maintain_order=True).agg(
        *(pl.when(pl.col(name).is_null().any()).then(None).otherwise(pl.col(name).sum()).alias(name) for name in exact)
    )
    rates = {f"{name}_per_100km": pl.col(name) / distance_km * 100 for name in exact} if distance_km else {}
    return summed.with_columns(**rates).sort(pl.col("kind").replace_strict(KIND_NUMBERS))


def _added() -> list[pl.Expr]:
    totals = ("distance_mm", "trips", "trips_without_motion", "before", "low", "exact")
    estimated = ("reached", "reached_before", "before_estimated")
    return [
        pl.col(*totals, *estimated).sum(),
        pl.when(pl.col("high").is_not_null().all()).then(pl.col("high").sum()).alias("high"),
        pl.col("unknown").any(),
    ]


def _about() -> pl.Expr:
    """Exact counts, and of the others what reaches the entry, in the ratio in which the old rule made events of it."""
    share = pl.col("before_estimated") / pl.col("reached_before")
    likely = pl.col("reached") * pl.when(pl.col("reached_before") > 0).then(share).otherwise(1 / PEAK_STEP_CMPS2)
    return pl.when(~pl.col("unknown")).then((pl.col("exact") + likely).clip(pl.col("low"), pl.col("high")))


def _some(groups: Iterable[Group]) -> Iterator[list[Group]]:
    """Groups together that have at least MOTION_ROWS: a derivation of few rows costs as much as one of many."""
    held: list[Group] = []
    rows = 0
    for group in groups:
        held.append(group)
        rows += sum(file.rows for file in group.files if file.table == "motion")
        if rows >= MOTION_ROWS:
            yield held
            held, rows = [], 0
    if held:
        yield held


def _of_groups(lake: Lake, groups: list[Group], rules: Rules, policies: pl.DataFrame | None) -> pl.DataFrame:
    """By trip and kind, each times how many trips it represents."""
    every = [file for group in groups for file in group.files]
    files = {name: [lake.sealed / file.path for file in every if file.table == name] for name in tables.SEALED}
    heads = read_files(files["trips"], tables.TRIPS).select(HEADS.names())
    trips = assign(read_files(files["trips"], tables.TRIPS), policies).filter(
        pl.col("driver_id").is_not_null(), pl.col("distance_mm").is_not_null()
    )
    events = read_files(files["events"], tables.EVENTS)
    whole = trips.filter("has_motion")
    after = _counted_again(files["motion"], heads, rules) if files["motion"] else _COUNTED.to_frame()
    exact = _by_kind(whole).join(after, on=("trip_key", "kind"), how="left").with_columns(exact=_or_0("exact"))
    bounded = _by_kind(trips.filter(~pl.col("has_motion")), without_motion=1)
    bounded = bounded.join(bounds(trips, events, rules), on=("trip_key", "kind"), how="left")
    gone = ~pl.col("kind").is_in([rule.number for rule in rules.rules])
    told = gone | ((pl.col("low") == pl.col("high")) & pl.col("reached").is_null()).fill_null(value=False)
    bounded = bounded.with_columns(
        low=_or_0("low"),
        high=pl.when(gone).then(0).otherwise("high"),
        exact=pl.when(told).then(_or_0("low")).otherwise(0),
        unknown=~told & pl.col("reached").is_null(),
        before_estimated=pl.when(pl.col("reached").is_not_null()).then("before").otherwise(0),
    ).with_columns(_or_0("reached"), _or_0("reached_before"))
    exact = exact.with_columns(
        low="exact", high="exact", unknown=False, reached=0, reached_before=0, before_estimated=0
    )
    return pl.concat([exact.select(_ROWS.names()).cast(_ROWS), bounded.select(_ROWS.names()).cast(_ROWS)]).with_columns(
        pl.col(*_WEIGHED) * pl.col("represents")
    )


_COUNTED: Final = pl.Schema({"trip_key": pl.UInt64(), "kind": pl.Int16(), "exact": pl.Int64()})
_WEIGHED: Final = (
    "distance_mm",
    "before",
    "low",
    "high",
    "exact",
    "reached",
    "reached_before",
    "before_estimated",
)
_ROWS: Final = pl.Schema(
    {"driver_id": pl.String(), "kind": pl.Int16(), "trips": pl.Int64(), "trips_without_motion": pl.Int64()}
    | {"represents": pl.Int64(), "unknown": pl.Boolean()}
    | dict.fromkeys(_WEIGHED, pl.Int64())
)


def _or_0(name: str) -> pl.Expr:
    return pl.col(name).fill_null(0)


def _counted_again(files: list[Path], heads: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    """Events of the new rules in motion files, by trip and kind."""
    events = derive(read_files(files, tables.MOTION), heads, rules).events
    return events.group_by("trip_key", "kind").agg(exact=pl.len().cast(pl.Int64)).cast(_COUNTED)


def _by_kind(trips: pl.DataFrame, without_motion: int = 0) -> pl.DataFrame:
    """Each trip once a kind, with what its summary counts."""
    columns = trips.select(
        "trip_key",
        "driver_id",
        "distance_mm",
        represents=_or_0("represents").clip(1),
        trips=1,
        trips_without_motion=without_motion,
        **{str(number): counted_events(number) for number in KIND_NAMES},
    )
    kept = [name for name in columns.columns if not name.isdecimal()]
    return columns.unpivot(index=kept, variable_name="kind", value_name="before").with_columns(
        pl.col("kind").cast(pl.Int16)
    )
