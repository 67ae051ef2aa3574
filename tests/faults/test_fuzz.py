"""Fuzzed messages through a running worker, and beside them a stream that must arrive whole."""

from __future__ import annotations

import json
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path

import pytest

from device.contract import topics, wire
from ingest.contract.lake import Lake
from ingest.query import gaps, status
from ingest.seal import seal
from tests.bench.publisher import Publisher, publish_packet
from tests.faults.fuzz import fuzzed
from tests.ingest.drive import START_MS, Drive
from tests.ingest.process import Car, Ingest, wait_for

pytestmark = pytest.mark.broker
BATCH = 2_000
PROCESSES, SHARES = 2, 40
NOW_MS = START_MS + 1_000_000


def fuzz(mosquitto, folder: Path, count: int, seed: int) -> dict[str, int]:
    """Send so many fuzzed messages through a worker; its counters."""
    drive, messages = Drive("healthy"), fuzzed(count, seed)
    with (
        Ingest(mosquitto.url, folder / "lake", "--json") as ingest,
        Publisher(mosquitto.port, "fuzz") as publisher,
        Car(drive, mosquitto.url, folder) as car,
    ):
        for start in range(0, count, BATCH):
            publisher.send([publish_packet(*m, start + i) for i, m in enumerate(islice(messages, BATCH))])
            drive.trip()
            car.queue()
            car.step()
        wait_for(lambda: car.step() == 0, within_s=120.0)
        status_code, out = ingest.stop()
        peak = ingest.log.read_text()
    assert status_code == 0, peak
    counters: dict[str, int] = json.loads(out)
    assert_whole(Lake(folder / "lake"), drive)
    return counters


def assert_whole(lake: Lake, drive: Drive) -> None:
    """The healthy stream is there as if it had been alone, and neither sealing nor the questions stumble."""
    report = seal(lake, NOW_MS)
    rows = {row["device_id"]: row for row in status(lake)}
    healthy = rows["healthy"]
    assert (healthy["messages"], healthy["missing"], healthy["conflicts"], healthy["rejects"]) == (
        len(drive.messages),
        0,
        0,
        0,
    )
    assert gaps(lake) is not None
    trips = lake.scan("trips").collect().filter(device_id="healthy")
    assert trips.height == sum(message.seq % 6 == 1 for message in drive.messages)
    assert trips["complete"].all()
    assert trips["chain_ok"].all()
    assert report.messages > len(drive.messages)


@pytest.mark.parametrize("seed", [1])
def test_ten_thousand_fuzzed_messages_disturb_nobody(mosquitto, tmp_path, seed):
    counters = fuzz(mosquitto, tmp_path, 10_000, seed)
    assert_counted(counters, 10_000)


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_a_million_fuzzed_messages_disturb_nobody(mosquitto, tmp_path, capsys):
    counters = fuzz(mosquitto, tmp_path, 1_000_000, seed=2)
    with capsys.disabled():
        sys.stdout.write(f"\na million fuzzed messages: {counters}\n")
    assert_counted(counters, 1_000_000)


@pytest.mark.long
@pytest.mark.timeout(7_200)
def test_ten_million_fuzzed_messages_get_an_answer_from_the_decoder(capsys):
    with ProcessPoolExecutor(PROCESSES) as pool:
        counts = sum(pool.map(decoded, [10_000_000 // SHARES] * SHARES, range(SHARES)), Counter())
    with capsys.disabled():
        sys.stdout.write(f"\nten million fuzzed messages: {dict(counts)}\n")
    assert counts.total() == 10_000_000


def decoded(count: int, seed: int) -> Counter[str]:
    """Verdicts of the decoder on so many messages; a Reject of any kind and a Message are answers."""
    verdicts: Counter[str] = Counter()
    for topic, payload in fuzzed(count, seed):
        answer = wire.decode(payload, topics.device_of(topic))
        verdicts[str(answer.reason) if isinstance(answer, wire.Reject) else type(answer).__name__] += 1
    return verdicts


def test_a_few_thousand_of_them_meet_every_kind_of_verdict():
    assert set(decoded(5_000, 1)) >= {"Message", *map(str, list(wire.Reason)[1:7])}


def assert_counted(counters: dict[str, int], sent: int) -> None:
    """Every message has a verdict, and every kind of verdict was met."""
    counts = Counter(counters)
    assert counts["received"] >= sent
    assert counts["stored"] + counts["duplicates"] + counts["rejected"] == counts["received"]
    assert sum(n for name, n in counts.items() if name.startswith("rejected_")) == counts["rejected"]
    reasons = {"garbage", "unknown_version", "bad_header", "wrong_device", "bad_body", "absurd_value"}
    assert {name for name in counts if name.startswith("rejected_")} >= {f"rejected_{reason}" for reason in reasons}
