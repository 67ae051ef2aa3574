"""Events and excursions from columns: the definition of `device/contract/rules`, without a loop over samples.

    samples -> at or over an exit threshold, by signal -> runs of a rule -> merged -> long and fast enough -> events

Few samples reach a threshold, so they are filtered first and all else is done on what is left. There two samples are
neighbours on the grid exactly when their times differ by a period.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import polars as pl

from device.contract.motion import ENGINE_ON
from device.contract.rules import Rule, Rules
from device.contract.trip import (
    DURATION_CLASSES,
    DURATION_EDGES_MS,
    ONSET_BANDS,
    PEAK_BINS,
    PEAK_STEP_CMPS2,
    SPEED_BANDS,
    STANDING_DKMH,
)

# A peak and its time are kept as one integer, whose maximum is the highest peak and of equal ones the earliest.
_TIME: Final = 2**31
_COMMON: Final = "idling"  # the signal that many samples have: they are not worth filtering twice


class Found(NamedTuple):
    """What the rules found; a trip is the number of its row.

    `events`: trip UInt32 and the columns of `ingest.contract.tables.EVENTS` from kind to delta_v_dkmh.
    `excursions`: trip UInt32, key Int32 (`device.contract.trip.excursion_key`), one row each.
    """

    events: pl.DataFrame
    excursions: pl.DataFrame


def find(motion: pl.DataFrame, rules: Rules, period_ms: int) -> Found:
    """Find the events and excursions of trips.

    Parameters
    ----------
    motion : pl.DataFrame
        trip UInt32 (not falling), t_ms and the motion columns; trips whole, in time order.
    rules : Rules
    period_ms : int
        Grid period of all trips.
    """
    held = _held(motion, rules)
    runs = [(rule, _runs(held[rule.signal, rule.sign], rule, period_ms)) for rule in rules.rules]
    swings = [(rule, _runs(held[rule.signal, rule.sign], rule, period_ms)) for rule in rules.excursions]
    return Found(
        events=pl.concat([_events(_merged(found, rule.merge_gap_ms), rule, period_ms) for rule, found in runs]),
        excursions=pl.concat([found.select("trip", key=_excursion_key(rule, period_ms)) for rule, found in swings]),
    )


def _held(motion: pl.DataFrame, rules: Rules) -> dict[tuple[str, int], pl.DataFrame]:
    """By signal and sign: the samples that reach the lowest exit threshold, as trip, t_ms, speed_dkmh, signal."""
    exits: dict[tuple[str, int], int] = {}
    for rule in rules.rules + rules.excursions:
        key = rule.signal, rule.sign
        exits[key] = min(rule.exit, exits.get(key, rule.exit))
    signals = {(name, sign): sign * _signal(name, rules.default_limit_dkmh) for name, sign in exits}
    rare = [signals[key] >= exit_ for key, exit_ in exits.items() if key[0] != _COMMON]
    near = motion.filter(pl.any_horizontal(rare))
    return {
        key: (motion if key[0] == _COMMON else near)
        .filter(signals[key] >= exit_)
        .select("trip", "t_ms", "speed_dkmh", signal=signals[key])
        for key, exit_ in exits.items()
    }


def _signal(name: str, default_limit_dkmh: int) -> pl.Expr:
    if name == "over_limit_dkmh":
        limit_dkmh = (pl.col("limit_kmh").cast(pl.Int32) * 10).fill_null(default_limit_dkmh)
        return pl.col("speed_dkmh").cast(pl.Int32) - limit_dkmh
    if name == "idling":
        return ((pl.col("engine") == ENGINE_ON) & (pl.col("speed_dkmh") < STANDING_DKMH)).cast(pl.Int32)
    return pl.col(name).cast(pl.Int32)


def _runs(held: pl.DataFrame, rule: Rule, period_ms: int) -> pl.DataFrame:
    """Runs of one rule, in order: trip, onset_ms, end_ms, onset_speed_dkmh, end_speed_dkmh, peak_and_time."""
    neighbour = (pl.col("trip") == pl.col("trip").shift()) & (pl.col("t_ms") - pl.col("t_ms").shift() == period_ms)
    block = (~neighbour).fill_null(value=True).cum_sum().alias("block")
    over_exit = held.filter(pl.col("signal") >= rule.exit).with_columns(block)
    ends = over_exit.filter((pl.col("block") != pl.col("block").shift(-1)).fill_null(value=True))
    peak_and_time = pl.col("signal").cast(pl.Int64) * _TIME + (_TIME - 1 - pl.col("t_ms"))
    return (
        over_exit.filter(pl.col("signal") >= rule.entry)
        .group_by("block", maintain_order=True)
        .agg(
            pl.col("trip").first(),
            onset_ms=pl.col("t_ms").first().cast(pl.Int64),
            onset_speed_dkmh=pl.col("speed_dkmh").first().cast(pl.Int32),
            peak_and_time=peak_and_time.max(),
        )
        .join(
            ends.select(
                "block",
                end_ms=pl.col("t_ms").cast(pl.Int64),
                end_speed_dkmh=pl.col("speed_dkmh").cast(pl.Int32),
            ),
            on="block",
            how="left",
            maintain_order="left",
        )
    )


def _merged(runs: pl.DataFrame, merge_gap_ms: int) -> pl.DataFrame:
    """Runs of a trip that are at most `merge_gap_ms` apart become one."""
    close = (pl.col("trip") == pl.col("trip").shift()) & (pl.col("onset_ms") - pl.col("end_ms").shift() <= merge_gap_ms)
    return (
        runs.with_columns(event=(~close).fill_null(value=True).cum_sum())
        .group_by("event", maintain_order=True)
        .agg(
            pl.col("trip", "onset_ms", "onset_speed_dkmh").first(),
            pl.col("end_ms", "end_speed_dkmh").last(),
            pl.col("peak_and_time").max(),
        )
    )


def _events(runs: pl.DataFrame, rule: Rule, period_ms: int) -> pl.DataFrame:
    peak, onset_speed = _peak(), pl.col("onset_speed_dkmh")
    fast_enough = pl.lit(value=True) if rule.min_speed_dkmh == 0 else onset_speed >= rule.min_speed_dkmh
    return runs.filter(_duration_ms(period_ms) >= rule.min_duration_ms, fast_enough).select(
        "trip",
        pl.lit(rule.number, pl.Int16).alias("kind"),
        pl.sum_horizontal(peak >= level for level in rule.levels).cast(pl.Int16).alias("level"),
        "onset_ms",
        (_TIME - 1 - (pl.col("peak_and_time") - peak * _TIME)).alias("peak_ms"),
        "end_ms",
        _duration_ms(period_ms).alias("duration_ms"),
        peak.cast(pl.Int32).alias("peak"),
        onset_speed,
        (pl.col("end_speed_dkmh") - onset_speed).alias("delta_v_dkmh"),
    )


def _peak() -> pl.Expr:
    return pl.col("peak_and_time") // _TIME


def _duration_ms(period_ms: int) -> pl.Expr:
    return pl.col("end_ms") - pl.col("onset_ms") + period_ms


def _excursion_key(rule: Rule, period_ms: int) -> pl.Expr:
    peak_bin = (_peak() // PEAK_STEP_CMPS2).clip(upper_bound=PEAK_BINS - 1)
    duration_class = pl.sum_horizontal(_duration_ms(period_ms) >= edge for edge in DURATION_EDGES_MS)
    band = (pl.col("onset_speed_dkmh") // 100).clip(upper_bound=SPEED_BANDS - 1).fill_null(SPEED_BANDS)
    key = ((rule.number * PEAK_BINS + peak_bin) * DURATION_CLASSES + duration_class) * ONSET_BANDS + band
    return key.cast(pl.Int32)
