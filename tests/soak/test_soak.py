from __future__ import annotations

import pytest

from device.contract import bodies, wire
from device.contract.trip import TripSummary
from device.contract.wire import Header
from tests.soak import wall
from tests.soak.account import Driven, settle

DRIVE = Driven("drive", 0, 600_000, 6_000.0)


def stream(*trips: bodies.TripEnd) -> dict[int, bytes]:
    """A trip_start and a trip_end for each."""
    told = [body for end in trips for body in (bodies.TripStart(500, 0, None, 1, 1), end)]
    return {seq: wire.encode(header(seq), body).payload for seq, body in enumerate(told, 1)}


def header(seq):
    return Header("car", bytes(16), seq, bytes(32) if seq > 1 else b"", b"boot", 0, 0, 0)


def ended(seq, metres, seconds, unseen_s=0):
    summary = TripSummary(duration_ms=1_000 * seconds, distance_mm=1_000 * metres, unobserved_ms=1_000 * unseen_s)
    return bodies.TripEnd(seq, 1, summary)


@pytest.mark.parametrize(
    ("ends", "starts_ms", "outcome"),
    [
        ([ended(1, 5_950, 600)], {(0, 1): 1_000}, "whole"),
        ([ended(1, 5_000, 600, 60)], {(0, 1): 1_000}, "gaps"),
        ([ended(1, 2_900, 290), ended(3, 2_900, 290)], {(0, 1): 0, (0, 3): 300_000}, "split"),
        ([], {}, "lost"),
    ],
)
def test_a_drive_comes_to_what_its_trips_tell(ends, starts_ms, outcome):
    account = settle([DRIVE], [stream(*ends)], starts_ms)
    assert dict(account.outcomes) == {outcome: 1}
    assert account.faults == {}


def test_distance_that_is_missing_without_a_word_is_untold():
    assert settle([DRIVE], [stream(ended(1, 4_000, 600))], {(0, 1): 0}).faults == {"untold": 1}


def test_holes_endless_trips_and_trips_of_no_drive_are_counted():
    messages = stream(ended(1, 6_000, 600), ended(3, 10, 10))
    starts_ms = {(0, 1): 0, (0, 3): 900_000}
    assert settle([DRIVE], [messages], starts_ms).faults == {"strangers": 1}
    del messages[2]
    assert settle([DRIVE], [messages], starts_ms).faults == {"holes": 1, "endless": 1, "strangers": 1}


@pytest.mark.long
@pytest.mark.broker
@pytest.mark.timeout(5_400)
def test_an_hour_of_the_wall_clock_is_accounted_for():
    assert wall.main([]) == 0
