"""`ubi pricing`: train a model, score a book, explain and verify a factor, report."""

from __future__ import annotations

import argparse
import errno
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from device.contract.errors import UbiError, UsageError
from pricing.explain import cli as explain_command
from pricing.explain.cli import WithTrip
from pricing.monitor import cli as monitor_command
from pricing.report import cli as report_command

if TYPE_CHECKING:
    import polars as pl

    from pricing.verify import FromLake

log = logging.getLogger(__name__)

_LANGUAGES = ("en", "zh")
_FAR = 3.0  # a level of claims over tariff that is told: most likely another unit
_MONTHS_TOLD = 36  # of earned exposure, in the model's manifest


def main(argv: list[str], from_lake: Callable[..., FromLake] | None = None, with_trip: WithTrip | None = None) -> int:
    """Run one `ubi pricing` command line and return its exit status.

    Parameters
    ----------
    from_lake : callable
        Lake, features and policies to what `verify` asks the lake for.
    with_trip : callable
        What `explain --with-trip` does with a recording.
    """
    options = _parser().parse_args(argv)
    options.from_lake, options.drive = from_lake, with_trip
    status: int = options.run(options)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ubi pricing", description="From risk to premium factors.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        added.set_defaults(run=run)
        return added

    train = command("train", _train, "learn from claims after a rating date and driving before it")
    _add_features(train)
    _add_policies(train)
    train.add_argument("--claims", required=True, type=Path, metavar="FILE", help="claims, Parquet or CSV")
    train.add_argument("--model", required=True, type=Path, metavar="DIR", help="folder to write the model to")
    train.add_argument("--replace", action="store_true", help="replace another model that stands in --model")
    train.add_argument(
        "--plan",
        default="default",
        metavar="NAME|FILE",
        help="default, china, china_nev, discount_only, or a TOML file (default: default)",
    )
    _add_rating_date(
        train, "repeat for more; default: 12 months before the end of the last claim's month", action="append"
    )
    train.add_argument(
        "--threads", type=_count, default=1, metavar="N", help="0: all; changes only the time (default: 1)"
    )
    train.add_argument(
        "--challengers", action="store_true", help="fit other forms in the same folds, to be told beside; minutes"
    )
    _add_json(train)

    score = command("score", _score, "rate every policy in force: factors.parquet and factors.csv")
    _add_features(score)
    _add_policies(score)
    _add_model(score)
    score.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder to write the factors to")
    _add_rating_date(score, "default: the day after the last month with trips")
    score.add_argument(
        "--previous", type=Path, metavar="FILE", help="factors of the last rating, for the renewal limit"
    )
    score.add_argument(
        "--claims", type=Path, metavar="FILE", help="claims before the rating date, where the model counts own claims"
    )
    score.add_argument(
        "--histories",
        type=Path,
        metavar="FILE",
        help="premiums and claims of past terms: adds customers.parquet and customers.csv, with value and stars",
    )
    _add_language(score)
    _add_json(score)

    explain = command(
        "explain",
        explain_command.run,
        "one factor as the product of all its parts, the driving behind it, and what would change it",
    )
    explain_command.add_arguments(explain)
    verify = command("verify", _verify, "rebuild one factor and say, layer by layer, what came out as it was")
    verify.add_argument("policy", metavar="RECEIPT|POLICY_ID")
    for rebuilding in (explain, verify):
        rebuilding.add_argument(
            "--factors", required=True, type=Path, metavar="DIR", help="output of ubi pricing score"
        )
        _add_features(rebuilding)
        _add_model(rebuilding)
    _add_language(explain)
    verify.add_argument("--lake", type=Path, metavar="DIR", help="compares its trips and events as well")
    verify.add_argument(
        "--policies", type=Path, metavar="FILE", help="with --lake: policies that the features were built with"
    )
    verify.add_argument("--plan", metavar="NAME|FILE", help="names what differs in this plan from the model's")
    _add_json(verify)

    report = command("report", _report, "what training found as a table; with --factors and --out the filing pack")
    _add_model(report)
    report_command.add_arguments(report)
    _add_json(report)

    monitor = command("monitor", _monitor, "drift, experience and data quality of one month, with verdicts; exit 0")
    _add_model(monitor)
    _add_features(monitor)
    _add_policies(monitor)
    monitor_command.add_arguments(monitor)
    _add_json(monitor)
    return parser


def _train(options: argparse.Namespace) -> int:
    from features.contract.catalogue import load_catalogue
    from pricing import model_folder
    from pricing.exposure import months_before
    from pricing.judgements import FILE as SET_ASIDE_FILE
    from pricing.judgements import Judged, judge_driving
    from pricing.plan import load_plan
    from pricing.portfolio import read_claims, read_policies
    from pricing.summary import trained
    from pricing.train import train

    plan = load_plan(options.plan)
    _make_folder(options.model)
    model_folder.check_place(options.model)  # before the work, not after it
    there = model_folder.standing(options.model)
    if there is not None and not options.replace:
        log.info("%s holds model %s; another one will be put beside it", options.model, there)
    judged = Judged()
    policies = read_policies(options.policies, judged)
    claims = read_claims(
        options.claims, plan.tariff.covers, policies=policies, cap=plan.model.large_claim_cap, judged=judged
    )
    periods = _periods(options.features)
    judge_driving(policies, periods, judged)
    dates = tuple(options.rating_date or ())
    model = train(
        policies, claims, periods, load_catalogue(), plan, dates, options.threads, challengers=options.challengers
    )
    level = model.diagnostics["claims_over_tariff"]
    if not 1 / _FAR <= level <= _FAR:
        log.warning("claims are %.3g times what the tariff expects: is tariff_frequency in claims a year?", level)
    model.diagnostics["portfolio"] = judged.table()
    model.diagnostics["exposure_by_month"] = months_before(
        policies, claims, date.fromisoformat(model.diagnostics["label_end"]), _MONTHS_TOLD
    )
    with _full_disk_told(options.model):
        model.save(options.model, beside={SET_ASIDE_FILE: judged.listed().write_csv()}, replace=options.replace)
    summary = {"model_id": model.model_id, "calibration": asdict(model.calibration)} | model.diagnostics
    print(json.dumps(summary) if options.json else trained(model))
    return 0


def _make_folder(path: Path) -> None:
    """Make the folder of the outputs before the work, not after it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path}: cannot be made a folder ({error.strerror}); name another one") from error


@contextmanager
def _full_disk_told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise UbiError(f"{path}: no space left on its disk; make some and run this again") from error


def _score(options: argparse.Namespace) -> int:
    import polars as pl

    from features.contract.catalogue import load_catalogue
    from pricing.batch import score_to
    from pricing.built import Measures
    from pricing.customers import customers, judge_histories, read_histories
    from pricing.judgements import FILE as SET_ASIDE_FILE
    from pricing.judgements import Judged, judge_driving
    from pricing.model import load_model
    from pricing.model_folder import standing
    from pricing.portfolio import read_claims, read_policies, read_previous
    from pricing.score import default_rating_date
    from pricing.summary import SHOWN, table

    model = load_model(options.model)
    _make_folder(options.out)
    if standing(options.out) is not None:
        raise UsageError(f"{options.out}: holds a model, whose files would mix with the factors; name another --out")
    judged = Judged()
    policies = read_policies(options.policies, judged)
    previous = read_previous(options.previous) if options.previous else None
    claims = None
    if options.claims:
        claims = read_claims(options.claims, model.plan.tariff.covers, policies=policies, judged=judged)
    measures = Measures.of(options.features)
    judge_driving(policies, measures.drivers(), judged)
    day = options.rating_date or default_rating_date(measures.last_month())
    past = read_histories(options.histories, judged) if options.histories else None
    if past is not None:
        judge_histories(past, policies, day, judged)
    with _full_disk_told(options.out):
        book = score_to(
            options.out,
            policies,
            measures,
            load_catalogue(),
            model,
            rating_date=day,
            previous=previous,
            language=options.lang,
            claims=claims,
            customers=None if past is None else customers(past, day, model.plan.customers),
            extra={"portfolio": judged.table()},
            beside={SET_ASIDE_FILE: judged.listed().write_csv()},
        )
    if options.json:
        print(json.dumps(book))
    else:
        print(table(pl.scan_parquet(options.out / "factors.parquet").select(SHOWN).collect(), book))
    log.info("factors written to %s", options.out / "factors.parquet")
    return 0


def _verify(options: argparse.Namespace) -> int:
    from features.contract.catalogue import load_catalogue
    from pricing.built import as_one
    from pricing.plan import load_plan
    from pricing.verify import Verdict, verify

    from_lake = None
    if options.lake is not None and options.from_lake is not None:
        from_lake = options.from_lake(options.lake, options.features, options.policies)
    plan = None if options.plan is None else load_plan(options.plan)
    with as_one(options.features, options.factors):
        layers = verify(
            options.factors,
            options.policy,
            options.features,
            options.model,
            load_catalogue(),
            plan=plan,
            from_lake=from_lake,
        )
    if options.json:
        print(json.dumps([layer._asdict() for layer in layers]))
    else:
        for layer in layers:
            print(f"{layer.name:<16}{layer.verdict:<16}{layer.now}".rstrip())
            print("".join(f"    {line}\n" for line in layer.named), end="")
    return 1 if any(layer.verdict is Verdict.CHANGED for layer in layers) else 0


def _report(options: argparse.Namespace) -> int:
    return report_command.run(options, _periods)


def _monitor(options: argparse.Namespace) -> int:
    return monitor_command.run(options, _periods)


def _periods(folder: Path) -> pl.DataFrame:
    from pricing.built import periods_file
    from pricing.typed import read_table

    return read_table(periods_file(folder))


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 0 on")
    return int(text)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is not a date (YYYY-MM-DD)") from error


def _add_features(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--features", required=True, type=Path, metavar="DIR", help="output of ubi features build")


def _add_policies(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--policies", required=True, type=Path, metavar="FILE", help="policies, Parquet or CSV")


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, type=Path, metavar="DIR", help="output of ubi pricing train")


def _add_rating_date(parser: argparse.ArgumentParser, told: str, action: str = "store") -> None:
    parser.add_argument(
        "--rating-date", type=_day, action=action, metavar="YYYY-MM-DD", help=f"first day of the new period; {told}"
    )


def _add_language(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--lang", choices=_LANGUAGES, default="en", help="language of the reasons (default: en)")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="result for machines")
