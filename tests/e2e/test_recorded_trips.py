"""Every recorded trip through the whole chain, each stage by its command: replay -> broker -> ingest -> features."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest

import ubi
from device.contract import wire
from ingest.contract.lake import Lake
from replay_data.importers import load
from tests.ingest.process import Ingest
from tests.mosquitto import Mosquitto, find_mosquitto
from tests.ports import free_port
from tests.replay_data.reference_distance import distance, fresh_speeds

EMERGENCY_STOP = "2017-08-07_Seat_Leon_RT_KA_Frei_Vollbremsung.csv"
FAULTY = "2017-07-13_Seat_Leon_RT_KA_Stau_Messfehler.csv"
TWO_SECONDS_OF_GRID = 4

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]


class Chain(NamedTuple):
    """What the chain made of the recordings."""

    files: list[Path]
    replayed: list[dict[str, str | int]]
    lake: Lake
    features: Path

    def trips(self) -> pl.DataFrame:
        return pl.read_parquet(self.features / "trips.parquet")

    def sealed_trip(self, name: str) -> dict[str, Any]:
        """The longest sealed trip of a recording."""
        return (
            self.lake.scan("trips")
            .filter(pl.col("recorded_file") == name)
            .sort("distance_mm")
            .collect()
            .row(-1, named=True)
        )

    def events(self, name: str) -> pl.DataFrame:
        """Events of a recording."""
        of_file = self.lake.scan("trips").filter(pl.col("recorded_file") == name).select("trip_key")
        return self.lake.scan("events").join(of_file, on="trip_key", how="semi").sort("onset_ms").collect()


@pytest.fixture(scope="module")
def chain(shared_data, tmp_path_factory) -> Chain:
    binary = find_mosquitto()
    if binary is None:
        pytest.skip("mosquitto is not installed (apt-get install mosquitto)")
    folder = tmp_path_factory.mktemp("chain")
    files = sorted((shared_data / "kit-obd2").glob("*.csv")) + sorted((shared_data / "polidriving").glob("*.csv"))
    assert len(files) == 15
    broker = Mosquitto(binary, folder / "mosquitto", free_port())
    broker.start()
    lake, features, told = folder / "lake", folder / "features", folder / "replay.json"
    try:
        with Ingest(broker.url, lake) as ingest:
            replay = ["replay", *map(str, files), "--broker", broker.url, "--outbox", str(folder), "--json"]
            told.write_text(run(replay))
            assert ingest.stop()[0] == 0
    finally:
        broker.stop()
    run(["features", "build", "--lake", str(lake), "--out", str(features)])
    return Chain(files, json.loads(told.read_text()), Lake.existing(lake), features)


def run(arguments: list[str]) -> str:
    """Run one command line; its stdout."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert ubi.main(arguments) == 0
    return out.getvalue()


def test_every_recording_is_distance_for_distance_in_the_trip_table(chain):
    driven = chain.trips().group_by("recorded_file").agg(pl.col("distance_km").sum())
    km = dict(driven.iter_rows())
    for path in chain.files:
        expected = distance(fresh_speeds(load(path)[1])).fresh
        assert km[path.name] == pytest.approx(expected, rel=0.01), path.name


def test_no_message_is_lost_or_doubled(chain):
    assert all(row["messages"] == row["acked"] and not row["rejected"] for row in chain.replayed)
    kept = chain.lake.scan_messages().select("stream_id", "seq", "payload").collect()
    streams = kept.group_by("stream_id").agg(pl.col("seq").min().alias("first"), pl.col("seq").max(), pl.len())
    assert streams.height == len(chain.files)
    assert streams.filter((pl.col("first") != 1) | (pl.col("len") != pl.col("seq"))).is_empty()
    assert kept.height == sum(int(row["messages"]) for row in chain.replayed)
    heads: dict[str, bytes] = {}
    for stream, payload in kept.sort("stream_id", "seq").select("stream_id", "payload").iter_rows():
        message = wire.decode(payload)
        assert isinstance(message, wire.Message)
        assert message.header.prev_hash == heads.get(stream, b"")
        heads[stream] = message.hash
    sealed = chain.lake.scan("trips").collect()
    assert sealed.select(pl.col("complete", "chain_ok", "has_motion").all()).row(0) == (True, True, True)
    assert sealed.height == sum(int(row["trips"]) for row in chain.replayed)


def test_the_emergency_stop_is_the_hardest_braking_of_all_kit_trips(chain):
    kit = {path.name for path in chain.files if "Seat_Leon" in path.name}
    names = chain.lake.scan("trips").select("trip_key", "recorded_file").collect()
    motion = chain.lake.scan("motion").collect().join(names, on="trip_key").filter(pl.col("recorded_file").is_in(kit))
    # 2 s mean of deceleration straight from speeds, on its own
    fall = pl.col("speed_dkmh").cast(pl.Int32) - pl.col("speed_dkmh").shift(-TWO_SECONDS_OF_GRID)
    same = (pl.col("trip_key") == pl.col("trip_key").shift(-TWO_SECONDS_OF_GRID)) & (
        pl.col("t_ms").shift(-TWO_SECONDS_OF_GRID) - pl.col("t_ms") == 2_000
    )
    hardest = (
        motion.sort("trip_key", "t_ms")
        .with_columns(mean_mps2=pl.when(same).then(fall / 36 / 2))
        .sort("mean_mps2", nulls_last=False)
        .row(-1, named=True)
    )
    assert hardest["recorded_file"] == EMERGENCY_STOP
    assert hardest["mean_mps2"] == pytest.approx(6.4, abs=0.2)
    events = chain.events(EMERGENCY_STOP).filter(pl.col("kind") == 1)
    stop = events.sort("peak").row(-1, named=True)
    assert (stop["level"], stop["peak"]) == (2, pytest.approx(635, abs=20))
    before = chain.lake.scan("motion").filter(pl.col("trip_key") == stop["trip_key"]).collect()
    approach = before.filter(pl.col("t_ms").is_between(stop["onset_ms"] - 2_000, stop["onset_ms"]))
    assert approach["speed_dkmh"].max() == pytest.approx(770, abs=15)  # from about 77 km/h


def test_the_drop_across_a_logging_gap_is_a_flag_and_the_real_braking_an_event(chain):
    trip = chain.sealed_trip(FAULTY)
    events = chain.events(FAULTY)
    brakings = events.filter(pl.col("kind") == 1)
    head, _ = load(next(path for path in chain.files if path.name == FAULTY))
    assert head.started_at_ms is not None
    waited_ms = trip["start_ms"] - head.started_at_ms  # from the recording's first row to the trip's start
    gap_from, gap_to = 347_594 - waited_ms, 365_593 - waited_ms  # 52 km/h before it, 3 after it
    assert brakings.filter(pl.col("onset_ms").is_between(gap_from - 5_000, gap_to + 5_000)).is_empty()
    assert trip["unobserved_ms"] == pytest.approx(244_000, abs=6_000)
    flags = chain.trips().filter(pl.col("recorded_file") == FAULTY)
    assert flags["unobserved_s"].sum() == pytest.approx(244, abs=6)
    motion = chain.lake.scan("motion").filter(pl.col("trip_key") == trip["trip_key"]).collect()
    fastest_ms = motion.filter(pl.col("speed_dkmh") == motion["speed_dkmh"].max())["t_ms"][-1]
    assert motion["speed_dkmh"].max() == pytest.approx(2_170, abs=5)
    first = brakings.filter(pl.col("onset_ms") >= fastest_ms).row(0, named=True)
    assert first["onset_ms"] - fastest_ms < 10_000  # braking from 217 km/h


def test_replaying_twice_adds_nothing(chain, tmp_path):
    """The same recording and device make the same stream, so a second replay is a duplicate, message for message."""
    from device.contract.broker import parse_broker
    from replay_data.player import Player, read_recording

    made = []
    for folder in ("one", "two"):
        player = Player(parse_broker("mqtt://127.0.0.1:1"), tmp_path / folder)
        player.play(read_recording(chain.files[1]))
        (delivery,) = player._deliveries
        made.append([row.payload for row in delivery.outbox.unacked(10_000, 0)])
        player.close()
    assert made[0] == made[1]
    stream = wire.decode(made[0][0])
    assert isinstance(stream, wire.Message)
    kept = chain.lake.scan_messages().filter(pl.col("stream_id") == stream.header.stream_id.hex()).sort("seq").collect()
    assert kept["payload"].to_list() == made[0]
