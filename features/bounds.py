"""How many events other rules would find in trips whose motion was not kept: bounds from what their summaries tell.

An excursion is a swing at or over the excursion rule's exit threshold that reached its entry threshold. Its row tells
the kind, the peak to 0.25 m/s2, the duration to a class and the speed at its onset to 10 km/h, not when it was. With
entry E, exit X, minimum duration D, minimum speed S and merge gap G of the new rule, and the trip's grid period p:

1. Every run of the new rule lies in one excursion, as long as E and X are not below those of the excursion rule; where
   they are, there is no upper bound.
2. At most `_most` events begin in an excursion: they are more than G apart and last at least D, those before the last.
3. An excursion surely holds a run if the lower edge of its peak is at E or above. One sample suffices: sure is only
   what a rule with D <= p asks for.
4. Speed changes by at most SLOPE_MPS2 within the excursion (the device withholds acceleration where it seems more, for
   longer than the rules bridge).
5. Runs of different excursions may merge, which excursion tables do not tell. They are at least 2 p apart; else, if the
   new rule is nowhere looser than the old one, there are no more merges than between the old rule's runs, which are
   counted by its excursions less its events. If it is looser, one event is all that is sure.
6. Where the new rule is nowhere looser, every old event whose peak reaches E holds an event of the new rule, which
   begins at the peak or before, and two of them never merge.
7. All this is of a rule that bridges what is not known as the old one does. Where it does not, each bridge more or less
   makes at most one event more or less, and has a sample on it where the signal is not known, and one before it where
   it is. If X is not below the excursion rule's entry, one more leads from one excursion that reached X to the next,
   which the old rule did not bridge; and one less lies within such an excursion, between two of its samples.

Between the bounds, `reached` tells what is likely: excursions that reach E, those of the bin that E divides in part. It
knows nothing of merging, minimum duration and speed; how many events the old rule made of what reached its entry does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import polars as pl

from device.contract.rules import Rule, Rules, load_rules
from device.contract.trip import (
    ACCEL_BINS,
    ACCEL_STEP_CMPS2,
    ACCEL_ZERO_BIN,
    DURATION_CLASSES,
    DURATION_EDGES_MS,
    LEVELS,
    ONSET_BANDS,
    PEAK_BINS,
    PEAK_STEP_CMPS2,
    SPEED_BANDS,
)

SLOPE_MPS2: Final = 12
_ROUNDING_DKMH: Final = 10  # of a speed told in whole km/h, at both ends
_NO_LIMIT: Final = 2**40
BOUNDS: Final = pl.Schema(
    {
        "trip_key": pl.UInt64,
        "kind": pl.Int16,
        "low": pl.Int64,
        "high": pl.Int64,
        "reached": pl.Int64,  # excursions at or over the new entry, in 1 / PEAK_STEP_CMPS2; null: not told
        "reached_before": pl.Int64,  # the same of the old entry
    }
)


def bounds(trips: pl.DataFrame, events: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    """Bound the events of each trip and kind of the rules.

    Parameters
    ----------
    trips : pl.DataFrame
        Columns of `ingest.contract.tables.TRIPS`; those without a summary are left out.
    events : pl.DataFrame
        Columns of `ingest.contract.tables.EVENTS`; those of other trips are ignored.
    rules : Rules
        The new rules; the old ones are those of each trip's rules_version.

    Returns
    -------
    pl.DataFrame
        BOUNDS, one row a trip and kind, by trip_key and kind. high is null where there is no upper bound, which is so
        for every rule that excursions say nothing about, unless it is the old one: then the old count holds.
    """
    told = trips.filter(pl.col("excursions").is_not_null())
    parts = [BOUNDS.to_frame()]
    for (version,), mine in told.group_by("rules_version", maintain_order=True):
        old = load_rules(int(str(version)))
        parts += [_of_kind(mine, events, rule, rules, old) for rule in rules.rules]
    return pl.concat(parts).sort("trip_key", "kind")


def _of_kind(trips: pl.DataFrame, events: pl.DataFrame, rule: Rule, rules: Rules, old: Rules) -> pl.DataFrame:
    before = next((other for other in old.rules if other.kind == rule.kind), None)
    side = (rule.kind, rule.signal, rule.sign)
    excursion = next((swing for swing in old.excursions if (swing.kind, swing.signal, swing.sign) == side), None)
    rows = trips.select("trip_key", kind=pl.lit(rule.number, pl.Int16), counted=counted_events(rule.number))
    bridge_ms, rule = rule.bridge_ms, rule if excursion is None else replace(rule, bridge_ms=excursion.bridge_ms)
    if rule == before and (rule.signal != "over_limit_dkmh" or rules.default_limit_dkmh == old.default_limit_dkmh):
        found = rows.with_columns(low="counted", high="counted")
    elif excursion is None:
        found = rows.with_columns(low=0)
    else:
        found = _from_tables(rows, trips, rule, before, excursion)
        if _nowhere_looser(rule, before):
            kept = _kept(trips, events, rule)
            found = found.join(kept, on="trip_key", how="left", maintain_order="left")
            found = found.with_columns(low=pl.max_horizontal("low", "kept"))
    if excursion is not None and bridge_ms != rule.bridge_ms:
        found = _widened(found, trips, rule, excursion, more=bridge_ms > rule.bridge_ms)
    absent = [pl.lit(None, kind).alias(name) for name, kind in BOUNDS.items() if name not in found.columns]
    return found.with_columns(absent).select(pl.col(name).cast(kind) for name, kind in BOUNDS.items())


def _widened(found: pl.DataFrame, trips: pl.DataFrame, rule: Rule, excursion: Rule, *, more: bool) -> pl.DataFrame:
    """The same by as many as bridges there can be; what was exact is an estimate where there may be one."""
    bridges = _bridges(trips, rule, excursion, more=more)
    if "reached" not in found.columns:
        likely = pl.when(bridges > 0).then(pl.col("counted") * PEAK_STEP_CMPS2)
        found = found.with_columns(reached=likely, reached_before=likely)
    return found.with_columns(low=(pl.col("low") - bridges).clip(0), high=pl.col("high") + bridges)


def _bridges(trips: pl.DataFrame, rule: Rule, excursion: Rule, *, more: bool) -> pl.Series:
    """How many bridges there can be in each trip that the old rule has not, or that the new one has not."""
    lateral = rule.signal == "accel_lat_cmps2"
    known = pl.col("lateral_samples") if lateral else pl.col("samples") - pl.col("accel_null_samples")
    somewhere = trips.select("trip_key", at_all=pl.min_horizontal(known, pl.col("samples") - known))
    if rule.exit < excursion.entry:
        return somewhere["at_all"]
    each = pl.lit(1) if more else (_longest_ms() // pl.col("period_ms") - 1) // 2
    swings = _swings(trips, rule).filter(_above(rule.exit)).group_by("trip_key").agg(of=(pl.col("n") * each).sum())
    joined = somewhere.join(swings, on="trip_key", how="left", maintain_order="left")
    among = (pl.col("of").fill_null(0) - int(more)).clip(0)
    return joined.select(pl.min_horizontal("at_all", among)).to_series()


def _nowhere_looser(rule: Rule, before: Rule | None) -> bool:
    return (
        before is not None
        and (rule.signal, rule.sign) == (before.signal, before.sign)
        and rule.entry >= before.entry
        and rule.exit >= before.exit
        and rule.merge_gap_ms <= before.merge_gap_ms
    )


def _kept(trips: pl.DataFrame, events: pl.DataFrame, rule: Rule) -> pl.DataFrame:
    """Old events that surely hold one of the new rule, by trip: trip_key, kept."""
    late_ms = pl.col("peak_ms") - pl.col("onset_ms")
    slowest = pl.col("onset_speed_dkmh") - late_ms * SLOPE_MPS2 * 36 // 1_000 - _ROUNDING_DKMH
    fast_enough = (
        pl.lit(value=True) if rule.min_speed_dkmh == 0 else pl.col("speed_known") & (slowest >= rule.min_speed_dkmh)
    )
    of_trip = trips.select("trip_key", "period_ms", speed_known=_speed_known(rule))
    return (
        events.filter((pl.col("kind") == rule.number) & (pl.col("peak") >= rule.entry))
        .join(of_trip, on="trip_key")
        .filter(fast_enough.fill_null(value=False), rule.min_duration_ms <= pl.col("period_ms"))
        .group_by("trip_key")
        .agg(kept=pl.len().cast(pl.Int64))
    )


def _from_tables(
    rows: pl.DataFrame, trips: pl.DataFrame, rule: Rule, before: Rule | None, excursion: Rule
) -> pl.DataFrame:
    period_ms, n = pl.col("period_ms"), pl.col("n")
    longest_ms = _longest_ms()
    fast_enough = _fastest() >= rule.min_speed_dkmh
    sure = (pl.col("peak_low") >= rule.entry) & (rule.min_duration_ms <= period_ms)
    if rule.min_speed_dkmh:
        sure &= (_slowest() >= rule.min_speed_dkmh) & pl.col("speed_known")
    lost = pl.lit(_NO_LIMIT)
    if before is not None and _nowhere_looser(rule, before):
        runs = (n * _above(before.entry) * _most(before, excursion, longest_ms)).sum()
        lost = (runs - pl.col("counted").first()).clip(lower_bound=0)
    can_merge = (rule.merge_gap_ms >= 2 * period_ms.first()) | (rule.exit < excursion.exit)
    of_trip = (
        _swings(trips, rule)
        .join(rows.select("trip_key", "counted"), on="trip_key")
        .group_by("trip_key")
        .agg(
            sure=(n * sure).sum(),
            lost=pl.when(can_merge).then(lost).otherwise(0),
            high=(n * (_above(rule.entry) & fast_enough) * _most(rule, excursion, longest_ms)).sum(),
            reached=(n * _part(rule.entry)).sum(),
            reached_before=(n * _part(before.entry)).sum() if before else pl.lit(None, pl.Int64),
        )
    )
    found = rows.with_columns(samples=_samples_over(trips, rule)).join(
        of_trip, on="trip_key", how="left", maintain_order="left"
    )
    bounded = rule.entry >= excursion.entry and rule.exit >= excursion.exit
    some = ((pl.col("sure") > 0) & (rule.min_speed_dkmh == 0)).cast(pl.Int64)
    return found.with_columns(
        low=pl.max_horizontal(pl.col("sure") - pl.col("lost"), some, 0).fill_null(0),
        high=pl.min_horizontal(pl.col("high").fill_null(0), "samples") if bounded else pl.lit(None, pl.Int64),
        reached=pl.col("reached").fill_null(0),
        reached_before=pl.col("reached_before").fill_null(0),
    )


def _part(entry: int) -> pl.Expr:
    """How much of a peak's bin is at or over a threshold, in 1 / PEAK_STEP_CMPS2."""
    return (pl.col("peak_low") + PEAK_STEP_CMPS2 - entry).clip(0, PEAK_STEP_CMPS2)


def _swings(trips: pl.DataFrame, rule: Rule) -> pl.DataFrame:
    """Rows of the excursion tables of one kind, decoded: n of them, of what peak, duration and speed."""
    rows = (
        trips.select(
            "trip_key",
            pl.col("period_ms").cast(pl.Int64),
            "duration_ms",
            "excursions",
            speed_known=_speed_known(rule),
        )
        .explode("excursions")
        .drop_nulls("excursions")
        .unnest("excursions")
    )
    rest = pl.col("key") // ONSET_BANDS
    peak_bin = rest // DURATION_CLASSES % PEAK_BINS
    return (
        rows.filter(rest // DURATION_CLASSES // PEAK_BINS == rule.number)
        .with_columns(
            n=pl.col("value"),
            band=(pl.col("key") % ONSET_BANDS).cast(pl.Int64),
            duration_class=(rest % DURATION_CLASSES).cast(pl.Int64),
            peak_low=(peak_bin * PEAK_STEP_CMPS2).cast(pl.Int64),
            open_peak=peak_bin == PEAK_BINS - 1,
        )
        .drop("key", "value")
    )


def _speed_known(rule: Rule) -> pl.Expr:
    """Whether the speed is known wherever the signal is."""
    if rule.signal == "accel_lat_cmps2":
        return pl.col("speed_null_samples") == 0
    both_known = pl.col("va_ms").list.eval(pl.element().struct.field("value")).list.sum()
    return both_known == (pl.col("samples") - pl.col("accel_null_samples")) * pl.col("period_ms")


def _above(entry: int) -> pl.Expr:
    """Whether the peak may have reached a threshold."""
    return pl.col("open_peak") | (pl.col("peak_low") + PEAK_STEP_CMPS2 - 1 >= entry)


def _class_edge(open_end: int) -> pl.Expr:
    """What the duration did not reach, in ms."""
    return pl.col("duration_class").replace_strict(dict(enumerate((*DURATION_EDGES_MS, open_end))))


def _longest_ms() -> pl.Expr:
    """How long the excursion can have lasted."""
    return pl.min_horizontal(_class_edge(_NO_LIMIT), pl.col("duration_ms") + 1) - 1


def _change_dkmh() -> pl.Expr:
    return _class_edge(_NO_LIMIT) * SLOPE_MPS2 * 36 // 1_000 + _ROUNDING_DKMH


def _slowest() -> pl.Expr:
    known = pl.col("band") < SPEED_BANDS
    return pl.when(known).then(pl.col("band") * 100 - _change_dkmh()).otherwise(-_NO_LIMIT)


def _fastest() -> pl.Expr:
    known = pl.col("band") < SPEED_BANDS - 1
    return pl.when(known).then(pl.col("band") * 100 + 99 + _change_dkmh()).otherwise(_NO_LIMIT)


def _most(rule: Rule, excursion: Rule, longest_ms: pl.Expr) -> pl.Expr:
    """How many events may begin in an excursion."""
    if rule.exit <= excursion.exit:
        return pl.lit(1)
    period_ms = pl.col("period_ms")
    apart_ms = (rule.merge_gap_ms // period_ms + 1) * period_ms
    lasting_ms = pl.max_horizontal(pl.lit(rule.min_duration_ms), period_ms) - period_ms
    return 1 + (longest_ms - period_ms).clip(lower_bound=0) // (lasting_ms + apart_ms)


def _samples_over(trips: pl.DataFrame, rule: Rule) -> pl.Series:
    """How many samples may be at or over the entry threshold: each event has one."""
    if rule.signal == "accel_lat_cmps2":
        return trips["lateral_samples"]
    accel_bin = pl.element().struct.field("key") % ACCEL_BINS - ACCEL_ZERO_BIN
    half = ACCEL_STEP_CMPS2 // 2
    reached = rule.sign * accel_bin * ACCEL_STEP_CMPS2 + half >= min(rule.entry, ACCEL_STEP_CMPS2 * ACCEL_ZERO_BIN)
    of_bins = trips.select(
        over=pl.col("va_ms").list.eval(pl.element().struct.field("value").filter(reached)).list.sum()
        // pl.col("period_ms"),
        speedless=pl.col("speed_null_samples"),
    )
    return of_bins["over"] + of_bins["speedless"]


def counted_events(kind: int) -> pl.Expr:
    """Events of a kind that the summary counts."""
    of_kind = pl.element().struct.field("key") // LEVELS == kind
    counts = pl.col("event_counts").list.eval(pl.element().struct.field("value").filter(of_kind)).list.sum()
    return counts.cast(pl.Int64).fill_null(0)
