"""A worker's own clock is told from those of single devices: most of them disagree with it."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from device.contract import wire_pb2 as pb
from ingest.clocks import HEARD, LEAST_HEARD, Clocks
from ingest.contract.lake import Lake
from ingest.worker import Worker
from tests.ingest.drive import START_MS, Drive
from tests.ingest.test_doubts import told

NOW_MS = 1_760_000_000_000
MINUTE_MS = 60_000


def heard(clocks, device, ahead_ms=0, quality=pb.CLOCK_NTP):
    header = SimpleNamespace(device_id=device, queued_at_ms=NOW_MS + ahead_ms, clock_quality=quality)
    clocks.hear(header, NOW_MS)
    clocks.judge()


@pytest.mark.parametrize(
    ("ahead_ms", "quality"),
    [(3 * MINUTE_MS, pb.CLOCK_NTP), (3 * MINUTE_MS, pb.CLOCK_GNSS), (-MINUTE_MS, pb.CLOCK_CONTRADICTED)],
)
def test_most_devices_that_disagree_are_told_once_and_so_is_their_end(ahead_ms, quality, caplog):
    clocks = Clocks()
    with caplog.at_level(logging.INFO, "ingest.clocks"):
        for number in range(20):
            heard(clocks, f"car-{number}", ahead_ms, quality)
        assert (clocks.share, clocks.doubted) == (1.0, True)
        for number in range(20):
            heard(clocks, f"car-{number}")
    assert (clocks.share, clocks.doubted) == (0.0, False)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "car-" not in caplog.text


@pytest.mark.parametrize(
    ("ahead_ms", "quality"),
    [
        (-40 * 86_400_000, pb.CLOCK_NTP),  # waited in a dead zone
        (MINUTE_MS, pb.CLOCK_NTP),
        (400 * 86_400_000, pb.CLOCK_UNKNOWN),
        (400 * 86_400_000, pb.CLOCK_RECORDED),
    ],
)
def test_late_messages_and_clocks_that_claim_nothing_doubt_nobody(ahead_ms, quality):
    clocks = Clocks()
    for number in range(50):
        heard(clocks, f"car-{number}", ahead_ms, quality)
    assert clocks.share == 0.0


def test_one_loud_device_and_a_handful_of_them_say_nothing():
    clocks = Clocks()
    for _ in range(1_000):
        heard(clocks, "loud", 5 * MINUTE_MS)
    assert clocks.share == 0.0
    for number in range(LEAST_HEARD - 1):
        heard(clocks, f"car-{number}")
    assert (clocks.share, clocks.doubted) == (1 / LEAST_HEARD, False)


def test_only_the_devices_heard_last_count():
    clocks = Clocks()
    for number in range(HEARD):
        heard(clocks, f"wrong-{number}", 5 * MINUTE_MS)
    for number in range(HEARD):
        heard(clocks, f"right-{number}")
    assert clocks.share == 0.0


@pytest.mark.parametrize(("behind_ms", "share"), [(0, 0.0), (10 * MINUTE_MS, 1.0)])
def test_a_worker_hears_of_its_own_clock_by_what_it_stores(tmp_path, behind_ms, share):
    worker = Worker(Lake(tmp_path), "w", lambda _topic, _payload: True)
    for number in range(12):
        drive = Drive(f"car-{number}")
        drive.trip()
        for message in told(drive, lambda _seq: (b"boot", 0, pb.CLOCK_NTP)):
            worker.take(message.topic, message.payload, START_MS + 10_000 - behind_ms)
    worker.flush(START_MS + 11_000 - behind_ms)
    assert (worker.clocks.share, worker.clocks.doubted) == (share, share > 0)
    assert worker.counters["stored"] == worker.counters["received"] > 0
