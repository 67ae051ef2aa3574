"""`ubi demo`: every stage once, on recorded trips over a real broker and on a simulated portfolio, to the factor table.

    recorded trips -> device path -> MQTT -> ingest worker -> lake --+
    simulated drivers -> motion -> events and trips --------> lake --+-> driver periods -> model -> factors -> report

No public data joins trips to the claims of the same people, so the drivers whose claims train the model are simulated.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Final

import polars as pl
from tqdm import tqdm

from device.contract.broker import parse_broker
from device.contract.errors import UbiError, UsageError
from features import cli as features_cli
from features.contract.catalogue import load_catalogue
from ingest import cli as ingest_cli
from ingest.contract.lake import Lake
from ingest.embedded import EmbeddedBroker
from ingest.serve import serve
from pricing import cli as pricing_cli
from pricing.model import load_model
from pricing.ranking import ranking_afterwards
from pricing.report.make import Sources, make_pack
from pricing.report.make import write_report as write_report_files
from replay_data.player import Player, read_recording
from simulated_lake import TRIPS_PER_DRIVER, BookKey, publish_books

MARK: Final = ".ubi-demo"  # a folder with this file was made by a demo and may be started over
TRIPS: Final = Path(__file__).parent / "replay_data" / "trips"
RATING_DATE: Final = date(2026, 1, 1)
LEARNED_DATE: Final = date(2025, 1, 1)  # claims of the year after it are known when the book is rated
RATED_DRIVERS: Final = 2_000
HISTORY_DRIVERS: Final = 72_000
PATIENCE_S: Final = 30.0
MAINS: Final = {"ingest": ingest_cli.main, "features": features_cli.main, "pricing": pricing_cli.main}
BANNER: Final = (
    "Simulated: the drivers, their trips, premiums and claims, because no public data joins trips to the claims of the "
    "same people; the book is calibrated to published SBV statistics. The recorded cars were driven by this project's "
    "vehicle model. What the model finds here shows that the chain works, not what telematics is worth on a real book."
)


def main(argv: list[str]) -> int:
    """Run the demo."""
    options = _parser().parse_args(argv)
    out = options.out
    start_clean(out)
    for package in ("device", "ingest", "features", "pricing", "replay_data"):
        if logging.getLogger(package).level == logging.INFO:
            logging.getLogger(package).setLevel(logging.WARNING)  # the demo tells its own story; -v tells all
    began_s = time.monotonic()
    with stage(1, "Recorded trips through the device path and MQTT to the lake"):
        record(out / "lake")
        run("ingest", "seal", "--lake", out / "lake")
        run("features", "derive", "--lake", out / "lake")
    with stage(2, "A simulated portfolio: no public data joins trips to claims"):
        simulate(out, options.seed, options.history, options.drivers)
    with stage(3, "Driver periods, risk model, premium factors"):
        policies = out / "policies.parquet"
        features = ("--features", out / "features", "--policies", policies)
        model = ("--model", out / "model")
        run("features", "build", "--lake", out / "lake", "--policies", policies, "--out", out / "features")
        claims = ("--claims", out / "claims.parquet")
        run("pricing", "train", *features, *claims, "--rating-date", LEARNED_DATE, *model)
        run("pricing", "score", *features, *model, "--rating-date", RATING_DATE, "--out", out / "factors")
        tell_recorded(out)
    with stage(4, "Report"):
        write_report(out)
    say(f"\nDone in {time.monotonic() - began_s:.0f} s. Factors: {out}/factors/factors.csv. Report: {out}/report.html")
    return 0


def start_clean(out: Path) -> None:
    """Empty the folder if an earlier demo made it, make it if it does not exist.

    Raises
    ------
    UsageError
        If there is anything else in it.
    """
    if out.exists() and not (out / MARK).exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out}: holds something that no demo made; name an empty or a new folder with --out")
    if out.exists():
        for entry in sorted(out.iterdir()):
            if entry.name != MARK:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    out.mkdir(parents=True, exist_ok=True)
    (out / MARK).touch()


def record(folder: Path) -> None:
    """Play the recorded trips of this project through the device path to a broker, and ingest them."""
    files = sorted(TRIPS.glob("*.ubirec"))
    stop, ready, lake = threading.Event(), threading.Event(), Lake(folder)
    with EmbeddedBroker() as broker, ThreadPoolExecutor(1, "ingest") as thread:
        address = parse_broker(broker.url)
        worker = thread.submit(serve, lake, address, stop, ready=ready)
        ready.wait(PATIENCE_S)
        player = Player(address, folder.parent / "outbox", patience_s=PATIENCE_S)
        try:
            for file in tqdm(files, desc="replay", unit=" trips", disable=None):
                player.play(read_recording(file, device_of(file)))
            player.deliver()
        finally:
            player.close()
            stop.set()
        counters = worker.result()
    drives = player.results
    say(
        f"{len(files)} recordings of {len({drive.device_id for drive in drives})} cars, "
        f"{sum(drive.distance_m for drive in drives) / 1000:,.0f} km, {sum(drive.trips for drive in drives)} trips, "
        f"{sum(drive.events for drive in drives)} events: {sum(drive.messages for drive in drives)} messages made, "
        f"{sum(drive.acked for drive in drives)} acknowledged, {counters['stored']} stored, "
        f"{counters['rejected']} rejected"
    )


def device_of(file: Path) -> str:
    """Device of a recorded trip: the first part of its name."""
    return file.stem.split("_")[0]


def simulate(out: Path, seed: int, history: int, rated: int) -> None:
    """Simulate the insurer: a book with a known past to learn from, a book to rate, their policies and claims."""
    keys = [BookKey(seed, history, LEARNED_DATE, "past"), BookKey(seed, rated, RATING_DATE, "driver")]
    publish_books(Lake(out / "lake"), keys, workers=os.cpu_count() or 1)
    books = [key.book(claims_until=RATING_DATE) for key in keys]
    policies = pl.concat([*(b.policies for b in books), recorded_policies(books[1].policies)], how="diagonal")
    claims = pl.concat([b.claims for b in books])
    policies.write_parquet(out / "policies.parquet")
    claims.write_parquet(out / "claims.parquet")
    truth = out / "truth"  # apart: for the report only, no command of the chain is given it
    truth.mkdir()
    books[1].truth.write_parquet(truth / "drivers.parquet")
    keys[1].book().claims.write_parquet(truth / "claims.parquet")  # with those of the year that is being rated
    learned = claims.filter(pl.col("occurred_on").is_between(LEARNED_DATE, RATING_DATE, closed="left")).height
    say(
        f"{history:,} simulated drivers with {learned:,} claims in the year learned from, {rated:,} to rate; "
        f"{TRIPS_PER_DRIVER} simulated trips of about 5 minutes stand for each driver's year"
    )


def recorded_policies(simulated: pl.DataFrame) -> pl.DataFrame:
    """Policies of the recorded cars, at the simulated book's mean tariff; they have driven too little to be rated."""
    devices = sorted({device_of(file) for file in TRIPS.glob("*.ubirec")})
    terms = [(date(RATING_DATE.year - 1, 1, 1), RATING_DATE), (RATING_DATE, date(RATING_DATE.year + 1, 1, 1))]
    rows = [
        {"policy_id": f"{device}-{start.year}", "driver_id": device, "device_id": device, "start": start, "end": end}
        for device in devices
        for start, end in terms
    ]
    means = simulated.select(pl.col("tariff_frequency").mean(), pl.col("tariff_premium").mean().round(2))
    return pl.DataFrame(rows).join(means, how="cross")


def tell_recorded(out: Path) -> None:
    """Say what became of the cars whose trips were recorded: in the book, with too little driving to be rated."""
    factors = pl.read_parquet(out / "factors" / "factors.parquet")
    devices = sorted({device_of(file) for file in TRIPS.glob("*.ubirec")})
    say(
        "\nThe recorded cars: below 500 km, 30 trips or 14 days a driver keeps factor 1, whatever the driving indicates"
    )
    for row in factors.filter(pl.col("driver_id").is_in(devices)).sort("indicated_relativity").iter_rows(named=True):
        say(
            f"  {row['driver_id']:<16}{row['trips']:>3} trips {row['exposure_km']:>6.0f} km   "
            f"indicated {row['indicated_relativity']:.3f}   factor {row['factor']:.3f}"
        )


def write_report(out: Path) -> None:
    """Write report.html and its tables: the filing pack, and what the model was worth against the simulated truth."""
    truth = out / "truth"
    factors, drivers = pl.read_parquet(out / "factors" / "factors.parquet"), pl.read_parquet(truth / "drivers.parquet")
    sources = Sources(
        model=out / "model",
        factors=out / "factors",
        periods=pl.read_parquet(out / "features" / "driver_periods.parquet"),
        policies=pl.read_parquet(out / "policies.parquet"),
    )
    pack = make_pack(
        sources,
        load_model(out / "model"),
        load_catalogue(),
        title="Premium factors from driving",
        banner=BANNER,
        ranking=ranking_afterwards(factors, pl.read_parquet(truth / "claims.parquet"), drivers),
        commands=("ubi demo", *commands_of(sources, out)),
    )
    write_report_files(pack, out)


def commands_of(sources: Sources, out: Path) -> list[str]:
    """Tell which commands make the report again from what the demo left."""
    model, factors = f"--model {sources.model}", f"--factors {sources.factors}"
    files = f"--features {out / 'features'} --policies {out / 'policies.parquet'}"
    dates = (f"--rating-date {LEARNED_DATE}", f"--rating-date {RATING_DATE}")
    return [
        f"ubi features build --lake {out / 'lake'} --policies {out / 'policies.parquet'} --out {out / 'features'}",
        f"ubi pricing train {files} --claims {out / 'claims.parquet'} {dates[0]} {model}",
        f"ubi pricing score {files} {model} {dates[1]} --out {sources.factors}",
        f"ubi pricing report {model} {factors} {files} --out {out}",
    ]


def run(stage_name: str, *arguments: object) -> None:
    """Run one command as a user would type it, and show it.

    Raises
    ------
    UbiError
        If it does not end with 0.
    """
    words = [str(argument) for argument in arguments]
    say(f"$ ubi {stage_name} {' '.join(words)}")
    status = MAINS[stage_name](words)
    if status:
        raise UbiError(f"ubi {stage_name} {words[0]} ended with {status}")


@contextmanager
def stage(number: int, title: str) -> Iterator[None]:
    """Print a heading, and the time taken when the stage is done."""
    say(f"\n{number}. {title}")
    began_s = time.monotonic()
    yield
    say(f"   ({time.monotonic() - began_s:.0f} s)")


def say(text: str) -> None:
    """Print at once, so that it stands in order with what goes to stderr."""
    print(text, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ubi demo",
        description="Every stage once: recorded trips over an embedded broker to the lake, a simulated portfolio to "
        "learn from and to rate, and the factor table with a report. Takes two to three minutes on two cores.",
    )
    parser.add_argument("--out", type=Path, default=Path("demo-out"), metavar="DIR", help="folder (default: demo-out)")
    for name, default, text in (
        ("--drivers", RATED_DRIVERS, "simulated drivers to rate"),
        ("--history", HISTORY_DRIVERS, "simulated drivers to learn from"),
        ("--seed", 1, "seed of the simulation"),
    ):
        parser.add_argument(name, type=_count, default=default, metavar="N", help=f"{text} (default: {default})")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)
