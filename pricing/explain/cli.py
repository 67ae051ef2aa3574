"""`ubi pricing explain`: one factor, its reasons, the driving behind it, what would change it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device.contract.errors import UsageError

if TYPE_CHECKING:
    import polars as pl

    from pricing.explain.rerate import Case

# A recording, the case, its driver periods, in each month or once, language -> what to tell. It drives the recording
# through the device path, for which it needs all stages, so `ubi` brings it.
WithTrip = Callable[[Path, "Case", "pl.DataFrame", bool, str], str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of its own, besides those shared with `verify`."""
    parser.add_argument("policy", metavar="POLICY_ID|DRIVER_ID|RECEIPT")
    parser.add_argument(
        "--with-trip",
        type=Path,
        metavar="FILE",
        help="a recording in any format of ubi replay: what the factor would be with that trip added",
    )
    parser.add_argument(
        "--monthly",
        action="store_true",
        help="with --with-trip: the trip once a month, from the driver's first trip on",
    )
    parser.add_argument("--json", action="store_true", help="result for machines")


def run(options: argparse.Namespace, periods: pl.DataFrame) -> int:
    """Print the explanation."""
    from features.contract.catalogue import load_catalogue
    from pricing.explain import tell
    from pricing.explain.counterfactual import counterfactuals
    from pricing.explain.rerate import Case
    from pricing.explain.words import WORDS
    from pricing.model import load_model
    from pricing.rebuild import rebuild

    if options.monthly and options.with_trip is None:
        raise UsageError("--monthly tells how often the trip of --with-trip is driven; give both")
    catalogue, model = load_catalogue(), load_model(options.model)
    policy, others = _policy_of(options.factors, options.policy)
    rebuilt = rebuild(options.factors, policy, periods, catalogue, model)
    case = Case.of(rebuilt, catalogue, model)
    own = case.own(periods)
    if options.with_trip is not None:
        if options.drive is None:
            raise UsageError("--with-trip needs all stages: run it as 'ubi pricing explain'")
        print(options.drive(options.with_trip, case, own, options.monthly, options.lang))
        return 0
    found = counterfactuals(case, own)
    if options.json:
        print(json.dumps(_as_json(rebuilt.published, rebuilt.adjustments, rebuilt.split, found), default=str))
        return 0
    language, words = options.lang, WORDS[options.lang]
    print(tell.product(rebuilt, catalogue, language))
    if others:
        print(f"\n{words.other_policies.format(policies=', '.join(others))}")
    print(f"\n{words.driving}\n{tell.months(case, own, language)}\n\n{tell.trips(case, options.features, language)}")
    print(f"\n{words.change}\n{tell.advice(found, case, language)}")
    return 0


def _policy_of(factors: Path, key: str) -> tuple[str, list[str]]:
    """A policy or receipt as it is; of a driver the first policy, and the others."""
    import polars as pl

    from pricing.portfolio import read_book

    table, _ = read_book(factors)
    if table.filter((pl.col("policy_id") == key) | (pl.col("receipt") == key)).height:
        return key, []
    policies = table.filter(pl.col("driver_id") == key)["policy_id"].to_list()
    return (policies[0], policies[1:]) if policies else (key, [])


def _as_json(published: dict[str, Any], adjustments: dict[str, float], split: Any, found: list[Any]) -> dict[str, Any]:
    effects = dict(zip(split.names, (float(effect) for effect in split.effects[0]), strict=True))
    told = [{"en": one.en, "zh": one.zh, "factor": one.after.factor, "held_by": one.held or None} for one in found]
    return {
        "published": published,
        "base": float(split.base[0]),
        "effects": effects,
        "adjustments": adjustments,
        "counterfactuals": told,
    }
