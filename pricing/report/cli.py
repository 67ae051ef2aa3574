"""`ubi pricing report`: the filing pack of a rated book, or what training found as a table in the terminal."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from device.contract.errors import UsageError

if TYPE_CHECKING:
    import polars as pl

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments; --model and --json are the caller's."""
    parser.add_argument("--factors", type=Path, metavar="DIR", help="output of ubi pricing score")
    parser.add_argument("--features", type=Path, metavar="DIR", help="adds drift since training, and how tenths drive")
    parser.add_argument("--policies", type=Path, metavar="FILE", help="adds the mean factor by protected group")
    parser.add_argument("--claims", type=Path, metavar="FILE", help="adds claims since the rating date")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where to write report.html and tables/; needs --factors"
    )
    parser.add_argument("--banner", default="", metavar="TEXT", help="a line on top, such as what is simulated")


def run(options: argparse.Namespace, periods_of: Callable[[Path], pl.DataFrame]) -> int:
    """Write the pack where --out says; print what training found. `periods_of` reads the features' folder."""
    from pricing.model import load_model
    from pricing.summary import trained

    model = load_model(options.model)
    if options.out is not None:
        _write(options, periods_of)
    elif options.factors is not None:
        raise UsageError("--factors is given and --out is not: name a folder for report.html")
    print(json.dumps(model.diagnostics) if options.json else trained(model))
    return 0


def _write(options: argparse.Namespace, periods_of: Callable[[Path], pl.DataFrame]) -> None:
    from features.contract.catalogue import load_catalogue
    from pricing.built import as_one
    from pricing.model import load_model
    from pricing.portfolio import read_claims, read_policies
    from pricing.report.make import Sources, make_pack, write_report

    if options.factors is None:
        raise UsageError("--out writes the pack of a rated book: give --factors DIR as well")
    if options.out.exists() and not options.out.is_dir():
        raise UsageError(f"--out {options.out}: is no folder; name another")
    model = load_model(options.model)
    policies = read_policies(options.policies) if options.policies else None
    claims = read_claims(options.claims, model.plan.tariff.covers, policies=policies) if options.claims else None
    with as_one(options.features, options.factors):
        sources = Sources(
            model=options.model,
            factors=options.factors,
            periods=periods_of(options.features) if options.features else None,
            policies=policies,
            claims=claims,
        )
        pack = make_pack(sources, model, load_catalogue(), banner=options.banner, commands=_commands(options))
    log.info("filing pack written to %s", write_report(pack, options.out))


def _commands(options: argparse.Namespace) -> list[str]:
    """Tell what makes the pack again, from the files on."""
    policies, features = options.policies or "POLICIES", options.features or "FEATURES"
    claims = options.claims or "CLAIMS"
    return [
        f"ubi features build --lake LAKE --policies {policies} --out {features}",
        f"ubi pricing train --features {features} --policies {policies} --claims {claims} --model {options.model}",
        (
            f"ubi pricing score --features {features} --policies {policies} --model {options.model} --out"
            f" {options.factors}"
        ),
        (
            f"ubi pricing report --model {options.model} --factors {options.factors} --features {features} "
            f"--policies {policies} --claims {claims} --out {options.out}"
        ),
        f"ubi pricing verify RECEIPT --factors {options.factors} --features {features} --model {options.model}",
    ]
