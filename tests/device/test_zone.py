"""The time zone of a position."""

from __future__ import annotations

import time
from zoneinfo import ZoneInfo

import pytest

from device.contract.signals import Reading
from device.zone import EVERY_MS, PATIENCE_MS, RETRY_MS, Asked, ZoneFinder, ask_process

BERLIN = (52.52, 13.41)


class Played:
    """A lookup whose answer the test gives."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, float]] = []
        self.name: str | None = None
        self.killed = 0

    def ask(self, latitude_deg: float, longitude_deg: float) -> Asked:
        self.asked.append((latitude_deg, longitude_deg))
        return self

    def answer(self) -> str | None:
        return self.name

    def kill(self) -> None:
        self.killed += 1


def fix(finder: ZoneFinder, t_ms: int) -> None:
    finder.hear(Reading(t_ms, "latitude_deg", BERLIN[0]))
    finder.hear(Reading(t_ms, "longitude_deg", BERLIN[1]))


def test_the_zone_of_a_fix_is_asked_once_in_half_an_hour():
    played = Played()
    finder = ZoneFinder(played.ask)
    assert finder.take(0) is None
    for t_ms in range(1_000, EVERY_MS + 1_000, 1_000):
        fix(finder, t_ms)
    assert played.asked == [BERLIN]
    assert finder.take(2_000) is None
    played.name = "Europe/Berlin"
    assert finder.take(3_000) == ZoneInfo("Europe/Berlin")
    assert (finder.take(4_000), played.killed) == (None, 1)
    fix(finder, EVERY_MS + 1_000)
    assert len(played.asked) == 2


def test_a_computer_that_starts_no_process_is_asked_again_much_later():
    asked = []

    def refuse(*position: float) -> Asked:
        asked.append(position)
        raise OSError(12, "Cannot allocate memory")

    finder = ZoneFinder(refuse)
    for t_ms in range(1_000, RETRY_MS, 60_000):
        fix(finder, t_ms)
        assert finder.take(t_ms) is None
    assert (asked, finder.failures) == ([BERLIN], 1)
    fix(finder, 1_000 + RETRY_MS)
    assert len(asked) == 2


@pytest.mark.parametrize("name", ["", "Nowhere/Atoll", "../../etc/passwd", None])
def test_no_answer_or_a_wrong_one_changes_nothing_and_is_counted(name):
    played = Played()
    finder = ZoneFinder(played.ask)
    fix(finder, 1_000)
    played.name = name
    assert finder.take(1_000 + PATIENCE_MS) is None
    assert (finder.failures, played.killed) == (1, 1)
    fix(finder, 1_000 + PATIENCE_MS + RETRY_MS - 1)
    assert len(played.asked) == 1
    fix(finder, 1_000 + PATIENCE_MS + RETRY_MS)
    assert len(played.asked) == 2


def test_a_null_or_half_a_fix_asks_nothing():
    played = Played()
    finder = ZoneFinder(played.ask)
    finder.hear(Reading(0, "latitude_deg", 52.0))
    finder.hear(Reading(1_000, "longitude_deg", 13.0))
    finder.hear(Reading(2_000, "latitude_deg", None))
    finder.hear(Reading(2_000, "longitude_deg", 13.0))
    assert played.asked == []


@pytest.mark.parametrize(
    ("position", "zone"),
    [(BERLIN, "Europe/Berlin"), ((33.98, -6.72), "Africa/Casablanca"), ((31.23, 121.47), "Asia/Shanghai")],
)
def test_the_library_knows_the_worlds_zones_and_leaves_no_process(position, zone):
    asked, until = ask_process(*position), time.monotonic() + 60
    while (name := asked.answer()) is None and time.monotonic() < until:
        pass
    asked.kill()
    assert name == zone
