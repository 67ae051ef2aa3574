"""`ubi pricing verify` from the lake to the factor: whatever is changed anywhere is detected, and named."""

from __future__ import annotations

import dataclasses
import json
import shutil
from datetime import date

import polars as pl
import pytest

import ubi
from features.contract.catalogue import load_catalogue
from ingest.contract.erasure import note_drivers
from ingest.contract.lake import Lake
from ingest.contract.publish import publish
from pricing.exposure import DAYS_PER_YEAR
from pricing.plan import load_plan
from pricing.train import train
from tests.features.lakes import drive, lake_of, sealed, utc_ms, year_of_trips
from tests.pricing.book import SmallBook

DEFAULT = load_plan()
PLAN = dataclasses.replace(
    DEFAULT,
    rateable=dataclasses.replace(DEFAULT.rateable, min_km=1.0, min_trips=1, min_days=1.0),
    credibility=dataclasses.replace(DEFAULT.credibility, accept_miscalibrated=True),
    model=dataclasses.replace(DEFAULT.model, rounds=(0, 40), folds=2),
)
TRIPS = year_of_trips(devices=3, months=3)
SOURCES = ("trips", "driver periods", "contents", "features")
LAYERS = (*SOURCES, "table", "code", "relativity", "factor", "receipt", "model", "plan")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A lake of three cars, its features, a model of other drivers, and the three cars' factors."""
    root = tmp_path_factory.mktemp("verify")
    lake_of(root / "lake", TRIPS)
    cars = [f"car-{k}" for k in range(3)]
    policies = {"policy_id": [f"p-{car}" for car in cars], "driver_id": [f"d-{car}" for car in cars], "device_id": cars}
    span = {"start": [date(2025, 1, 1)] * 3, "end": [date(2026, 1, 1)] * 3, "tariff_frequency": [0.2] * 3}
    pl.DataFrame(policies | span).write_csv(root / "policies.csv")
    built(root)
    book = SmallBook(2_000)
    days = (pl.col("end") - pl.col("start")).dt.total_days()
    yearly = book.policies.with_columns(premium_per_year=pl.col("tariff_premium") * DAYS_PER_YEAR / days)
    train(yearly.sort("policy_id"), book.claims, book.periods, load_catalogue(), PLAN).save(root / "model")
    (root / "plan.toml").write_text(
        'base = "default"\nplan_version = "default-3"\n'
        "rateable = { min_km = 1.0, min_trips = 1, min_days = 1.0 }\n"
        "credibility.accept_miscalibrated = true\nmodel = { rounds = [0, 40], folds = 2 }\n"
    )
    command = ["pricing", "score", "--features", str(root / "features"), "--policies", str(root / "policies.csv")]
    command += ["--model", str(root / "model"), "--out", str(root / "out"), "--rating-date", "2025-04-01"]
    assert ubi.main(command) == 0
    return root


@pytest.fixture
def root(made, tmp_path):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def built(root):
    command = ["features", "build", "--lake", str(root / "lake"), "--out", str(root / "features")]
    assert ubi.main([*command, "--policies", str(root / "policies.csv"), "--afresh"]) == 0


def verified(root, capsys, *more, policy="p-car-1"):
    """Exit status, and each layer's verdict and names."""
    folders = {name: str(root / name) for name in ("features", "model", "lake")} | {"factors": str(root / "out")}
    command = [
        "pricing",
        "verify",
        policy,
        *(part for name, folder in folders.items() for part in (f"--{name}", folder)),
    ]
    capsys.readouterr()
    status = ubi.main([*command, "--json", *map(str, more)])
    layers = {layer["name"]: layer for layer in json.loads(capsys.readouterr().out)}
    verdicts = {name: layer["verdict"] for name, layer in layers.items()}
    return status, verdicts, {name: " | ".join(layer["named"]) for name, layer in layers.items()}


def changed(verdicts):
    return {name for name, verdict in verdicts.items() if verdict == "CHANGED"}


def tamper(root, table, which, **columns):
    """Change rows of a sealed table in their place, as somebody with a text editor for Parquet would."""
    lake = Lake(root / "lake")
    done = 0
    for file in lake.sealed_files(table):
        rows = pl.read_parquet(file)
        hit = rows.select(which).to_series()
        done += int(hit.sum())
        rows.with_columns(
            pl.when(pl.Series(hit)).then(value).otherwise(pl.col(name)).cast(rows.schema[name]).alias(name)
            for name, value in columns.items()
        ).write_parquet(file)
    assert done > 0


def name_of(car, k=0):
    return [name for _, name, device in TRIPS if device == car][k]


def test_all_that_is_as_it_was_is_rebuilt(root, capsys):
    for more in ((), ("--policies", root / "policies.csv"), ("--plan", root / "plan.toml")):
        status, verdicts, names = verified(root, capsys, *more)
        assert (status, verdicts) == (0, dict.fromkeys(LAYERS, "rebuilt")), names


def test_by_its_receipt_as_by_its_policy(root, capsys):
    (receipt,) = pl.read_parquet(root / "out" / "factors.parquet").filter(policy_id="p-car-1")["receipt"]
    assert verified(root, capsys, policy=receipt) == verified(root, capsys)


def test_a_changed_trip_is_named_though_it_moves_no_priced_feature(root, capsys):
    trip = name_of("car-1", 4)
    tamper(root, "trips", pl.col("trip_id") == trip, vehicle=pl.lit("another"))
    status, verdicts, names = verified(root, capsys)
    assert (status, changed(verdicts)) == (1, {"trips", "driver periods"})
    assert f"trip {trip}" in names["trips"]
    assert "vehicle" in names["trips"]
    assert "contents" in names["driver periods"]
    built(root)  # now the features have it, too: only the receipt remembers
    status, verdicts, _ = verified(root, capsys)
    assert (status, changed(verdicts)) == (1, {"contents", "receipt"})


def test_a_number_in_no_published_column_is_laid_to_its_trip(root, capsys):
    trip = name_of("car-1")
    tamper(root, "trips", pl.col("trip_id") == trip, va_ms=pl.col("va_ms").list.head(1))
    _, verdicts, names = verified(root, capsys)
    assert changed(verdicts) == {"trips", "driver periods"}
    assert f"trip {trip}" in names["trips"]
    assert "in no published column" in names["trips"]
    assert "va_ms" in names["driver periods"]


def test_a_changed_event_is_named_with_its_trip(root, capsys):
    lake = Lake(root / "lake")
    event = lake.scan("events").filter(pl.col("device_id") == "car-1").collect().row(0, named=True)
    this = (pl.col("trip_key") == event["trip_key"]) & (pl.col("onset_ms") == event["onset_ms"])
    this &= (pl.col("kind") == event["kind"]) & (pl.col("level") == event["level"])
    tamper(root, "events", this, peak=pl.col("peak") + 1)
    status, verdicts, names = verified(root, capsys)
    assert status == 1
    assert "trips" in changed(verdicts)
    assert event["trip_id"] in names["trips"]
    assert "peak" in names["trips"]


def test_a_trip_of_somebody_else_changes_nothing_here(root, capsys):
    tamper(root, "trips", pl.col("device_id") == "car-2", distance_mm=pl.col("distance_mm") + 1)
    assert verified(root, capsys)[0] == 0
    assert "distance_km" in verified(root, capsys, policy="p-car-2")[2]["trips"]


def test_a_late_trip_is_told_where_the_policies_say_whose_it_is(root, capsys):
    late = [*TRIPS, drive(77, "car-1", utc_ms(2025, 2, 26, 9))]
    publish(Lake(root / "lake"), "messages", [sealed(late)])
    assert verified(root, capsys)[0] == 0  # the features do not say whose it is
    _, verdicts, names = verified(root, capsys, "--policies", root / "policies.csv")
    assert changed(verdicts) == {"trips", "driver periods"}
    assert "came after the features were built" in names["trips"]


def test_a_trip_that_is_missing_is_named(root, capsys):
    gone = name_of("car-1", 8)
    publish(Lake(root / "lake"), "messages", [sealed([trip for trip in TRIPS if trip[1] != gone])])
    _, verdicts, names = verified(root, capsys)
    assert changed(verdicts) == {"trips", "driver periods"}
    assert f"trip {gone}" in names["trips"]
    assert "is not in the lake" in names["trips"]


def test_months_that_retention_took_are_expired_and_nothing_changed(root, capsys):
    publish(
        Lake(root / "lake"), "messages", [sealed([trip for trip in TRIPS if trip[0].start_ms >= utc_ms(2025, 2, 1)])]
    )
    status, verdicts, _ = verified(root, capsys)
    assert (status, verdicts["trips"], verdicts["driver periods"]) == (0, "source expired", "source expired")
    assert verdicts["features"] == "rebuilt"  # these were kept
    built(root)
    status, verdicts, _ = verified(root, capsys)
    assert status == 0
    assert {verdicts[name] for name in ("contents", "features", "receipt")} == {"source expired"}


def test_a_driver_who_was_erased_is_told_as_erased(root, capsys):
    tables = {name: root / "features" / f"{name}.parquet" for name in ("trips", "driver_periods")}
    for file in tables.values():
        pl.read_parquet(file).filter(pl.col("driver_id") != "d-car-1").write_parquet(file)
    note_drivers(root / "features", ["d-car-1"], 0)
    status, verdicts, _ = verified(root, capsys)
    assert status == 0
    assert {verdicts[name] for name in ("contents", "features", "relativity", "receipt")} == {"source erased"}
    assert {verdicts[name] for name in ("table", "model", "plan", "code")} == {"rebuilt"}


def test_a_changed_plan_value_is_named_with_both_values(root, capsys):
    file = root / "plan.toml"
    file.write_text(file.read_text() + "factor.upper = 1.4\n")
    status, verdicts, names = verified(root, capsys, "--plan", file)
    assert (status, changed(verdicts)) == (1, {"plan"})
    assert names["plan"] == "factor.upper: 1.3 in the model, 1.4 in the file"


def test_a_plan_value_changed_in_the_model_is_named_beside_its_file(root, capsys):
    file = root / "model" / "manifest.json"
    text = file.read_text()
    assert '"upper": 1.3' in text
    file.write_text(text.replace('"upper": 1.3', '"upper": 1.4', 1))
    status, verdicts, names = verified(root, capsys, "--plan", root / "plan.toml")
    assert status == 1
    assert {"model", "plan"} <= changed(verdicts)
    assert "manifest.json" in names["model"]
    assert "factor.upper: 1.4 in the model, 1.3 in the file" in names["plan"]


@pytest.mark.parametrize("name", ["model.txt", "main_effects.csv", "pair_effects.csv", "manifest.json"])
@pytest.mark.parametrize("place", [0.1, 0.5, 0.8])
def test_any_changed_byte_of_the_model_is_laid_to_its_file(root, capsys, name, place):
    file = root / "model" / name
    content = bytearray(file.read_bytes())
    digits = [k for k, byte in enumerate(content) if chr(byte).isdigit() and k >= place * len(content)]
    at = digits[0]
    content[at] = ord("7") if content[at] != ord("7") else ord("3")
    file.write_bytes(content)
    status, verdicts, names = verified(root, capsys)
    assert (status, verdicts["model"]) == (1, "CHANGED")
    assert name in names["model"]


def test_a_model_that_can_rate_no_more_is_laid_to_its_file(root, capsys):
    file = root / "model" / "main_effects.csv"
    file.write_text(file.read_text().replace("severe_braking_per_100km", "severe_braking_per_700km", 1))
    status, verdicts, names = verified(root, capsys)
    assert (status, verdicts) == (1, {"model": "CHANGED"})
    assert "main_effects.csv is not what training wrote" in names["model"]


def test_what_a_person_reads(root, capsys):
    tamper(root, "trips", pl.col("trip_id") == name_of("car-1"), vehicle=pl.lit("another"))
    folders = [f"--{name}={root / name}" for name in ("features", "model", "lake")]
    capsys.readouterr()
    assert ubi.main(["pricing", "verify", "p-car-1", f"--factors={root / 'out'}", *folders]) == 1
    out = capsys.readouterr().out
    assert out.splitlines()[0].startswith("trips           CHANGED         9 trips")
    assert out.splitlines()[1].startswith("    trip car-1:")
    assert "vehicle" in out.splitlines()[1]


def test_a_device_that_was_forgotten_is_told_as_erased(root, capsys):
    command = ["ingest", "forget", "car-1", "--lake", str(root / "lake"), "--features", str(root / "features")]
    assert ubi.main(command) == 0
    status, verdicts, _ = verified(root, capsys)
    assert status == 0
    assert {verdicts[name] for name in ("trips", "driver periods", "contents", "features", "receipt")} == {
        "source erased"
    }
    assert {verdicts[name] for name in ("table", "model", "plan", "code")} == {"rebuilt"}
    assert verified(root, capsys, policy="p-car-2")[0] == 0
