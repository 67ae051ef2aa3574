"""What a driver could change, and what it would do: the integers of the driving changed, and the driver rated again.

    driver periods with fewer events -> features -> model -> factor, the off-balance B held fixed

Judgements, numbered:

1. An event that is left out becomes the next weaker thing: its swing stays in the table of excursions, just below the
   rule's threshold, and no time moves in the v-a heatmap. Real driving would gain at least that: the promise is small.
2. Events go in proportion to how many there were in each month and at each level, in whole numbers.
3. Driving at night is moved to twelve hours later, the same distance at the same speeds.
4. What is told is the factor as it would be published: what the plan's band or the renewal limit holds back is not
   promised, and a change below 0.01 is not told. Of what is held back, B x R is told as well: how far it is to go.
5. Of each habit about half is left out, as of speeding and of the night, so that the order tells what weighs most.
   Where that does not show, more, up to none at all: who does it very much is off the end of a table, where some
   fewer change nothing. Last, all that was told is done together.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from typing import Any, Final, NamedTuple

import polars as pl

from device.contract.rules import KIND_NUMBERS, load_rules
from device.contract.trip import DURATION_CLASSES, LEVELS, ONSET_BANDS, PEAK_BINS, PEAK_STEP_CMPS2
from features.contract.periods import NIGHT_FROM_HOUR, NIGHT_TO_HOUR
from features.contract.validate import told_before
from pricing.explain.rerate import Case, Rerated
from pricing.explain.words import WORDS

LEAST: Final = 0.01  # a smaller change of the factor is not told
EPSILON: Final = 1e-9
STEPS: Final = (2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 80.0, 100.0)  # events per 100 km to leave out
FIRM_STEPS: Final = (5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 60.0, 80.0, 120.0, 160.0)
SMALL_STEPS: Final = (1.0, 0.5, 0.2, 0.1)  # of who has fewer than the first of STEPS
MM_PER_100_KM: Final = 100_000_000
FIRM_CMPS2: Final = 200  # as the features of moderate swings have it
BRAKING: Final = ("harsh_braking",)
ACCELERATION: Final = ("harsh_acceleration",)
TURNS: Final = ("harsh_turn_left", "harsh_turn_right")
ALONG, ACROSS = "accel_mm", "lateral_mm"
Histogram = dict[int, int]
Row = dict[str, Any]


class Habit(NamedTuple):
    """What could be done less or not at all, and how it is told, {step} being how many per 100 km, {s} their plural.

    `seen_mm` is the distance in which such an event could be seen, which its rate is per. `firm` is what is no event
    yet: swings of FIRM_CMPS2 and more, below the first level of the rules.
    """

    kinds: tuple[str, ...]
    seen_mm: str
    firm: bool
    en: str
    zh: str
    none: tuple[str, str] | None = None  # as events at all, in both languages; nobody does without firm swings


HABITS: Final = (
    Habit(
        *(BRAKING, ALONG, False, "{step} fewer harsh braking{s} per 100 km", "每100公里减少{step}次急刹车"),
        none=("no harsh braking at all", "完全没有急刹车"),
    ),
    Habit(
        *(ACCELERATION, ALONG, False, "{step} fewer harsh acceleration{s} per 100 km", "每100公里减少{step}次急加速"),
        none=("no harsh acceleration at all", "完全没有急加速"),
    ),
    Habit(
        *(TURNS, ACROSS, False, "{step} fewer harsh turn{s} per 100 km", "每100公里减少{step}次急转弯"),
        none=("no harsh turn at all", "完全没有急转弯"),
    ),
    Habit(BRAKING, ALONG, True, "{step} fewer firm braking{s} per 100 km", "每100公里减少{step}次较重刹车"),
    Habit(TURNS, ACROSS, True, "{step} fewer sharp turn{s} per 100 km", "每100公里减少{step}次较急转弯"),
)
SPEEDING: Final = ("half the time over the limit", "超速时间减半")
TOGETHER: Final = ("all of these together", "以上各项同时做到")
NIGHT: Final = ("half the driving between 22:00 and 05:00 by day instead", "22:00至05:00的行驶有一半改在白天")


class Counterfactual(NamedTuple):
    """One change and what it does; `held` names what keeps the factor where it is, empty where nothing does."""

    en: str
    zh: str
    before: Rerated
    after: Rerated
    held: str

    def tell(self, language: str = "en") -> str:
        """One line."""
        words, text = WORDS[language], self.zh if language == "zh" else self.en
        before, after = f"{self.before.factor:.2f}", f"{self.after.factor:.2f}"
        if self.held:
            based = {"indicated": f"{self.before.based:.2f}", "would": f"{self.after.based:.2f}"}
            return words.stays.format(text=text, before=before, held=words.held_by[self.held], **based)
        return words.lowered.format(text=text, before=before, after=after)


def counterfactuals(case: Case, own: pl.DataFrame) -> list[Counterfactual]:
    """Changes that would lower the driver's factor, the largest first, then those held back; last all of them together.

    Parameters
    ----------
    case : Case
    own : polars.DataFrame
        Driver periods of the driver in the window.
    """
    if own.is_empty():
        return []
    before = case.rate(own, told_before)
    if not before.rateable:
        return []
    found: list[tuple[Counterfactual, _Change]] = []
    for ways in _changes(own):
        told: tuple[Counterfactual, _Change] | None = None
        for text_en, text_zh, change in ways:
            one = _done(case, own, before, (text_en, text_zh), change)
            if one is not None:
                told = one, change
            if one is not None and not one.held:
                break
        if told is not None:
            found.append(told)
    found.sort(key=lambda pair: (bool(pair[0].held), pair[0].after.factor, pair[0].after.based))
    together = [_done(case, own, before, TOGETHER, _each([change for _, change in found]))] if len(found) > 1 else []
    return [*(one for one, _ in found), *(one for one in together if one is not None)]


_Change = Callable[[list[Row]], list[Row]]


def _done(
    case: Case, own: pl.DataFrame, before: Rerated, texts: tuple[str, str], change: _Change
) -> Counterfactual | None:
    """Rate the driver on changed driving; None where there is nothing to tell."""
    rows = change([dict(row) for row in own.iter_rows(named=True)])
    after = case.rate(pl.DataFrame(rows, schema=own.schema), told_before)
    held = _held(before, after)
    return None if held is None else Counterfactual(*texts, before, after, held)


def _each(changes: list[_Change]) -> _Change:
    """One change after the other."""
    return lambda rows: reduce(lambda done, change: change(done), changes, rows)


def _held(before: Rerated, after: Rerated) -> str | None:
    """Empty where the factor falls; band or limit where that holds it; None where there is nothing to tell."""
    if round(before.factor, 2) - round(after.factor, 2) >= LEAST - EPSILON:
        return ""
    would = before.factor * (1 - after.based / before.based)
    if would >= LEAST and (after.capped or after.limited):
        return "limit" if after.limited else "band"
    return None


def _changes(own: pl.DataFrame) -> list[list[tuple[str, str, _Change]]]:
    """Texts and functions of all changes that this driving leaves room for; of one habit about half of it first."""
    changes: list[list[tuple[str, str, _Change]]] = []
    for habit in HABITS:
        km100 = int(own[habit.seen_mm].sum()) / MM_PER_100_KM
        column, chosen = _swings(habit) if habit.firm else _events(habit)
        count = sum(entry["value"] for row in own[column] for entry in row if chosen(entry["key"]))
        steps = [step for step in (FIRM_STEPS if habit.firm else STEPS) if step * km100 <= count]
        steps = steps[max(sum(2 * step * km100 <= count for step in steps) - 1, 0) :]
        small = [] if habit.firm else [step for step in SMALL_STEPS if step * km100 <= count][:1]
        ways: list[tuple[str, str, _Change]] = [
            (
                habit.en.format(step=f"{step:g}", s="" if step == 1 else "s"),
                habit.zh.format(step=f"{step:g}"),
                partial(_fewer, habit=habit, count=int(step * km100)),
            )
            for step in steps or small
            if step * km100 >= 1
        ]
        if habit.none and count:
            ways.append((*habit.none, partial(_fewer, habit=habit, count=count)))
        changes.append(ways)
    if int(own["speeding_ms"].sum()) + int(own["over_130_ms"].sum()) > 0:
        changes.append([(*SPEEDING, _half_speeding)])
    if any(_is_night(entry["key"]) for row in own["distance_by_hour_mm"] for entry in row):
        changes.append([(*NIGHT, _half_night)])
    return changes


def _events(habit: Habit) -> tuple[str, Callable[[int], bool]]:
    """Where a habit's events are counted, and in which bins."""
    numbers = {KIND_NUMBERS[kind] for kind in habit.kinds}
    return "event_counts", lambda key: key // LEVELS in numbers


def _swings(habit: Habit) -> tuple[str, Callable[[int], bool]]:
    """Where a habit's swings are counted, and in which bins: firm ones, or those as strong as an event."""
    firm = FIRM_CMPS2 // PEAK_STEP_CMPS2
    harsh = {rule.number: rule.levels[0] // PEAK_STEP_CMPS2 for rule in load_rules().rules if rule.kind in habit.kinds}

    def chosen(key: int) -> bool:
        entry = harsh.get(_kind(key), PEAK_BINS)
        return firm <= _peak_bin(key) < entry < PEAK_BINS if habit.firm else _peak_bin(key) >= entry

    return "excursions", chosen


def _fewer(rows: list[Row], habit: Habit, count: int) -> list[Row]:
    """Leave out `count` events or firm swings, in proportion to months and levels; swings stay, below the threshold."""
    if not habit.firm:
        _take(rows, *_events(habit), count)
    column, chosen = _swings(habit)
    for row, gone in zip(rows, _take(rows, column, chosen, count), strict=True):
        swings = _read(row[column])
        for key, value in gone.items():
            at = key
            while chosen(at):
                at -= DURATION_CLASSES * ONSET_BANDS
            swings[at] = swings.get(at, 0) + value
        row[column] = _written(swings)
    return rows


def _half_speeding(rows: list[Row]) -> list[Row]:
    speeding = KIND_NUMBERS["speeding"]
    for row in rows:
        for name in ("speeding_ms", "over_130_ms", "limit_speedings", "limit_severe_speedings"):
            row[name] -= row[name] // 2
    total = sum(value for row in rows for key, value in _read(row["event_counts"]).items() if key // LEVELS == speeding)
    _take(rows, "event_counts", lambda key: key // LEVELS == speeding, total // 2)
    return rows


def _half_night(rows: list[Row]) -> list[Row]:
    for row in rows:
        hours = _read(row["distance_by_hour_mm"])
        for key in [key for key in hours if _is_night(key)]:
            moved = hours[key] // 2
            by_day = key // 24 * 24 + (key % 24 + 12) % 24
            hours[key] -= moved
            hours[by_day] = hours.get(by_day, 0) + moved
        row["distance_by_hour_mm"] = _written(hours)
    return rows


def _take(rows: list[Row], name: str, chosen: Callable[[int], bool], count: int) -> list[Histogram]:
    """Take `count` out of the chosen bins of all rows, in proportion; what was taken of each row."""
    bins = [(k, key, value) for k, row in enumerate(rows) for key, value in _read(row[name]).items() if chosen(key)]
    total = sum(value for _, _, value in bins)
    count = min(count, total)
    taken: list[Histogram] = [{} for _ in rows]
    before = 0
    for k, key, value in bins:
        # Whole numbers that add up: what the running total has given so far, rounded down each time.
        share = (before + value) * count // total - before * count // total
        before += value
        if share:
            taken[k][key] = share
    for row, gone in zip(rows, taken, strict=True):
        left = _read(row[name])
        for key, value in gone.items():
            left[key] -= value
        row[name] = _written(left)
    return taken


def _kind(key: int) -> int:
    return key // (PEAK_BINS * DURATION_CLASSES * ONSET_BANDS)


def _peak_bin(key: int) -> int:
    return key // (DURATION_CLASSES * ONSET_BANDS) % PEAK_BINS


def _is_night(key: int) -> bool:
    return not NIGHT_TO_HOUR <= key % 24 < NIGHT_FROM_HOUR


def _read(entries: list[dict[str, int]]) -> Histogram:
    return {entry["key"]: entry["value"] for entry in entries}


def _written(histogram: Histogram) -> list[dict[str, int]]:
    return [{"key": key, "value": value} for key, value in sorted(histogram.items()) if value]
