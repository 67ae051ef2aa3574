"""What happens to messages on the road must not reach the price: shuffled and doubled, factors are the same bytes."""

from __future__ import annotations

import random
import shutil
from datetime import date
from pathlib import Path

import polars as pl
import pytest

import ubi
from demo import TRIPS, device_of, recorded_policies
from device.contract import topics
from device.contract.broker import parse_broker
from ingest.contract.lake import Lake
from ingest.worker import Limits, Worker
from replay_data.player import Player, read_recording
from simulated_lake import BookKey, publish_books

pytestmark = pytest.mark.timeout(400)
LEARNED, RATED = date(2025, 1, 1), date(2026, 1, 1)
BOOKS = [BookKey(7, 2_500, LEARNED, "past"), BookKey(7, 300, RATED, "driver")]
RECEIVED_MS = 1_768_000_000_000

Messages = list[tuple[str, bytes]]


@pytest.fixture(scope="module")
def messages(tmp_path_factory) -> Messages:
    """Every message that the recorded trips make, by the real device path."""
    player = Player(parse_broker("mqtt://127.0.0.1:1"), tmp_path_factory.mktemp("outboxes"))
    made = []
    for file in sorted(TRIPS.glob("*.ubirec")):
        player.play(read_recording(file, device_of(file)))
        outbox = player._deliveries[-1].outbox
        made += [(topics.up(device_of(file)), row.payload) for row in outbox.unacked(100_000, 0)]
    player.close()
    return made


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake that holds the trips of the simulated books and nothing else; a test works on copies of it."""
    lake = tmp_path_factory.mktemp("simulated") / "lake"
    publish_books(Lake(lake), BOOKS, workers=2)
    return lake


def received(lake: Path, messages: Messages, limits: Limits, step_ms: int) -> None:
    """Let a worker take messages in this order, `step_ms` apart, and seal them."""
    worker = Worker(Lake(lake), "test", lambda _topic, _payload: None, limits)
    for number, (topic, payload) in enumerate(messages):
        now_ms = RECEIVED_MS + number * step_ms
        worker.take(topic, payload, now_ms)
        if worker.due(now_ms):
            worker.flush(now_ms)
    worker.flush(RECEIVED_MS + len(messages) * step_ms)
    command("ingest", "seal", "--lake", lake)


def priced(folder: Path) -> Path:
    """From the lake in a folder to its factors, by the commands."""
    lake, policies = folder / "lake", folder / "policies.parquet"
    books = [key.book(claims_until=RATED) for key in BOOKS]
    frames = [*(book.policies for book in books), recorded_policies(books[1].policies)]
    pl.concat(frames, how="diagonal").write_parquet(policies)
    pl.concat([book.claims for book in books]).write_parquet(folder / "claims.parquet")
    command("features", "build", "--lake", lake, "--policies", policies, "--out", folder)
    inputs = ("--features", folder, "--policies", policies, "--model", folder / "model")
    command("pricing", "train", *inputs, "--claims", folder / "claims.parquet", "--rating-date", LEARNED)
    command("pricing", "score", *inputs, "--rating-date", RATED, "--out", folder / "factors")
    return folder / "factors"


def command(*words: object) -> None:
    assert ubi.main([str(word) for word in words]) == 0


def test_shuffled_and_doubled_messages_give_the_same_factors_byte_for_byte(messages, simulated, tmp_path):
    straight, rough = tmp_path / "straight", tmp_path / "rough"
    for folder in (straight, rough):
        shutil.copytree(simulated, folder / "lake")
    received(straight / "lake", messages, Limits(), step_ms=10)
    shuffled = messages * 2
    random.Random(20261122).shuffle(shuffled)
    received(rough / "lake", shuffled, Limits(messages=37), step_ms=700_000)  # small segments, over days
    expected, got = priced(straight), priced(rough)
    for name in (
        "driver_periods.parquet",
        "driver_measures.parquet",
        "trips.parquet",
        "events.parquet",
        "model/model.txt",
    ):
        assert (rough / name).read_bytes() == (straight / name).read_bytes(), name
    for name in ("factors.parquet", "factors.csv", "receipts.parquet"):
        assert (got / name).read_bytes() == (expected / name).read_bytes(), name
    factors = pl.read_parquet(got / "factors.parquet")
    weight = factors["tariff_expected_claims"]
    assert (weight * factors["factor"]).sum() == pytest.approx(weight.sum(), rel=2e-6)  # both columns are rounded
    assert factors["factor"].is_between(0.70, 1.30).all()
    recorded = factors.filter(pl.col("driver_id").str.starts_with("sim-"))
    assert recorded.height == len({device_of(file) for file in TRIPS.glob("*.ubirec")})
    assert not recorded["rateable"].any()
    assert (recorded["factor"] == 1.0).all()
