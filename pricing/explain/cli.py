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

    from pricing.explain.counterfactual import Counterfactual
    from pricing.explain.rerate import Case
    from pricing.rebuild import Rebuilt

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


def run(options: argparse.Namespace) -> int:
    """Print the explanation."""
    from pricing.built import as_one

    if options.monthly and options.with_trip is None:
        raise UsageError("--monthly tells how often the trip of --with-trip is driven; give both")
    if options.with_trip is not None and options.drive is None:
        raise UsageError("--with-trip needs all stages: run it as 'ubi pricing explain'")
    with as_one(options.features, options.factors):
        told = _told(options)
    print(told)
    return 0


def _told(options: argparse.Namespace) -> str:
    from features.contract.catalogue import load_catalogue
    from pricing.built import periods_of_driver
    from pricing.explain import tell
    from pricing.explain.counterfactual import counterfactuals
    from pricing.explain.rerate import Case
    from pricing.explain.words import WORDS
    from pricing.model import load_model
    from pricing.rebuild import driver_of, rebuild

    catalogue, model = load_catalogue(), load_model(options.model)
    policy, others = _policy_of(options.factors, options.policy)
    periods = periods_of_driver(options.features, driver_of(options.factors, policy))
    rebuilt = rebuild(options.factors, policy, periods, catalogue, model)
    case = Case.of(rebuilt, catalogue, model)
    own = case.own(periods)
    if options.with_trip is not None:
        changed: str = options.drive(options.with_trip, case, own, options.monthly, options.lang)
        return changed
    found = counterfactuals(case, own)
    if options.json:
        return json.dumps(_as_json(rebuilt, others, found), default=str)
    language, words = options.lang, WORDS[options.lang]
    parts = [tell.product(rebuilt, catalogue, language)]
    if others:
        parts.append(words.other_policies.format(policies=", ".join(others)))
    parts.append(f"{words.driving}\n{tell.months(case, own, language)}")
    parts.append(tell.trips(case, options.features, language))
    parts.append(f"{words.change}\n{tell.advice(found, case, language)}")
    return "\n\n".join(parts)


def _policy_of(factors: Path, key: str) -> tuple[str, list[str]]:
    """A policy or receipt as it is; of a driver the first policy, and the others."""
    import polars as pl

    from pricing.portfolio import read_book

    table, _ = read_book(factors)
    if table.filter((pl.col("policy_id") == key) | (pl.col("receipt") == key)).height:
        return key, []
    policies = table.filter(pl.col("driver_id") == key)["policy_id"].to_list()
    return (policies[0], policies[1:]) if policies else (key, [])


def _as_json(rebuilt: Rebuilt, others: list[str], found: list[Counterfactual]) -> dict[str, Any]:
    split = rebuilt.split
    effects = dict(zip(split.names, (float(effect) for effect in split.effects[0]), strict=True))
    told = [
        {"en": one.en, "zh": one.zh, "factor": one.after.factor, "before_limits": one.after.based}
        | {"held_by": one.held or None}
        for one in found
    ]
    return {
        "published": rebuilt.published,
        "seen_share": rebuilt.seen_share,
        "base_factor": rebuilt.book["constants"]["base_factor"],
        "base": float(split.base[0]),
        "effects": effects,
        "adjustments": rebuilt.adjustments,
        "other_policies": others,
        "counterfactuals": told,
    }
