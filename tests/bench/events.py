"""Event rules against events that people saw: precision, recall and F1 by trip, over the entry threshold.

    driver-behavior 17, 20   aggressive manoeuvres of one driver, timed from a video; a phone's IMU
    drive-plotr-nds          events graded by an accelerometer's box; GNSS at 1 Hz through the device's own path
    own trips                true hard brakings of the simulator; whole km/h through the device's own path

An event counts as seen within a second of its label (GNSS: 3 s). On driver-behavior what is found on an event of the
other sign or on a lane change counts neither way; all else that is found is wrong, calm manoeuvres and what nobody
labelled alike. The exit threshold is two thirds of the entry, as in the rules. docs/events.md tells what follows.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from device.contract.rules import KIND_NUMBERS, Rule, Rules, load_rules
from device.contract.signals import Reading
from device.events import DetectedEvent, RunDetector
from device.pipeline import Pipeline, TripStarted
from replay_data.player import read_recording
from tests.bench.labelled_drives import Label, Labelled, drive_plotr, ferreira
from tests.bench.measure import ROOT
from tests.bench.row import Row

WITHIN_MS, GNSS_WITHIN_MS, SIMULATED_WITHIN_MS = 1_000, 3_000, 2_500
ENTRIES = (1.5, 1.75, 2.0, 2.25, 2.5, 2.75, 3.0, 3.5, 4.0, 4.5)
SCALES = (0.4, 0.5, 0.6, 0.8, 1.0)
LONGITUDINAL = frozenset({"harsh_braking", "harsh_acceleration"})
HARSH = ("harsh_braking", "harsh_acceleration", "harsh_turn_left", "harsh_turn_right")
Span = tuple[int, int]


class Score(NamedTuple):
    """How many of the found are right, and how many of the seen were found."""

    found: int
    right: int
    seen: int
    met: int

    @property
    def f1(self) -> float:
        return 2 * self.precision * self.recall / ((self.precision + self.recall) or 1.0)

    @property
    def precision(self) -> float:
        return self.right / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        return self.met / self.seen if self.seen else 0.0

    def row(self, name: str) -> Row:
        of = f"P {self.precision:.2f} ({self.right}/{self.found}) R {self.recall:.2f} ({self.met}/{self.seen})"
        return Row(f"{name}: {of}, F1", round(self.f1, 3), "1")


def run() -> list[Row]:
    """Measure what is there."""
    trips = [trip for number in ("17", "20") if (trip := ferreira(number)) is not None]
    if not trips:
        sys.stderr.write("events: driver-behavior is not there; see UBI_SHARED_DATA\n")
    rows = [row for trip in trips for row in _by_kind(trip)]
    rows += _across(trips) if len(trips) == 2 else []
    return [*rows, *_graded(), *_simulated()]


def _by_kind(trip: Labelled) -> list[Row]:
    rows = []
    for kind in HARSH:
        default = _rule(kind).entry / 100
        labelled = any(label.kind == kind for label in trip.labels)
        for entry in ENTRIES if labelled else (default,):
            told = " (default)" if entry == default else ""
            score = _score_kind(trip, kind, entry)
            rows.append(score.row(f"{trip.name} {kind} from {entry}{told}"))
    return rows


def _across(trips: list[Labelled]) -> list[Row]:
    """Any harsh manoeuvre, with the threshold that is best on the other trip."""
    rows = []
    for trip, other in (trips, trips[::-1]):
        best = max(ENTRIES, key=lambda entry: (_score_any(other, entry).f1, entry))
        rows.append(_score_any(trip, best).row(f"{trip.name} anything harsh from {best}, chosen on the other trip"))
    return rows


def _score_kind(trip: Labelled, kind: str, entry: float) -> Score:
    seen = [label for label in trip.labels if label.kind == kind]
    either = LONGITUDINAL if kind in LONGITUDINAL else {kind}
    aside = [label for label in trip.labels if label.kind != kind and label.kind in {*either, "lane_change"}]
    found = _runs(trip, replace(_rule(kind), sign=1 if kind in LONGITUDINAL else _rule(kind).sign), entry)
    return _score([span for span in found if not _meets(span, aside, WITHIN_MS)], seen, WITHIN_MS)


def _score_any(trip: Labelled, entry: float) -> Score:
    rules = [replace(_rule("harsh_braking"), sign=1), _rule("harsh_turn_left"), _rule("harsh_turn_right")]
    found = [span for rule in rules for span in _runs(trip, rule, entry)]
    return _score(found, [label for label in trip.labels if label.kind != "calm"], WITHIN_MS)


def _graded() -> list[Row]:
    """drive-plotr-nds: harsh events of all kinds, all thresholds of the rules scaled together."""
    drives = list(drive_plotr())
    if not drives:
        sys.stderr.write("events: drive-plotr-nds is not there; see UBI_SHARED_DATA\n")
        return []
    rows = []
    for scale in SCALES:
        rules = _scaled(scale)
        total = Score(0, 0, 0, 0)
        for _, readings, labels in drives:
            found = [(e.onset_ms, e.end_ms) for e in _events(readings, rules) if e.kind in map(KIND_NUMBERS.get, HARSH)]
            score = _score(found, labels, GNSS_WITHIN_MS)
            total = Score(*(a + b for a, b in zip(total, score, strict=True)))
        told = " (default)" if scale == 1.0 else ""
        rows.append(total.row(f"drive-plotr-nds, {len(drives)} drives, thresholds x {scale}{told}"))
    return rows


def _simulated() -> list[Row]:
    recordings = json.loads((ROOT / "replay_data" / "manifest.json").read_text(encoding="utf-8"))["recordings"]
    played = [(read_recording(ROOT / "replay_data" / row["file"]).readings, row) for row in recordings]
    rows = []
    for entry in (2.0, 2.5, 2.75, 3.0, 3.25, 3.5):
        rules = _with_entry("harsh_braking", entry)
        total = Score(0, 0, 0, 0)
        for readings, row in played:
            events = _events(readings, rules)
            found = [(e.onset_ms, e.onset_ms) for e in events if e.kind == KIND_NUMBERS["harsh_braking"]]
            labels = [Label("harsh_braking", t, t) for t in row["true_hard_brakings_ms"]]
            score = _score(found, labels, SIMULATED_WITHIN_MS)
            total = Score(*(a + b for a, b in zip(total, score, strict=True)))
        told = " (default)" if entry == 3.0 else ""
        rows.append(total.row(f"simulated, {len(played)} trips, true brakings of 3.0, found from {entry}{told}"))
    return rows


def _score(found: list[Span], seen: list[Label], within_ms: int) -> Score:
    spans = [(label.from_ms, label.to_ms) for label in seen]
    right = sum(_meets(span, seen, within_ms) for span in found)
    met = sum(any(a <= to + within_ms and b >= frm - within_ms for a, b in found) for frm, to in spans)
    return Score(len(found), right, len(seen), met)


def _meets(span: Span, labels: list[Label], within_ms: int) -> bool:
    return any(span[0] <= label.to_ms + within_ms and span[1] >= label.from_ms - within_ms for label in labels)


def _runs(trip: Labelled, rule: Rule, entry: float) -> list[Span]:
    """Events of a rule with another entry threshold, as onset and end; speed is not known and not asked for."""
    period_ms = trip.samples[1].t_ms - trip.samples[0].t_ms
    detector = RunDetector(replace(rule, entry=round(entry * 100), exit=round(entry * 200 / 3)), period_ms)
    runs = [
        run
        for sample in trip.samples
        for run in detector.push(sample.t_ms, rule.sign * getattr(sample, rule.signal), None)
    ] + detector.flush()
    return [(r.onset_ms, r.end_ms) for r in runs if r.end_ms - r.onset_ms + period_ms >= rule.min_duration_ms]


def _events(readings: Sequence[Reading], rules: Rules) -> list[DetectedEvent]:
    """Events of the device's own path, their times in those of the readings."""
    pipeline, start_ms, found = Pipeline(lambda mono_ms: (mono_ms, None), rules), 0, []
    outputs = [output for reading in readings for output in pipeline.push(reading)] + pipeline.finish()
    for output in outputs:
        if isinstance(output, TripStarted):
            start_ms = output.start_mono_ms
        elif isinstance(output, DetectedEvent):
            found.append(output._replace(onset_ms=output.onset_ms + start_ms, end_ms=output.end_ms + start_ms))
    return found


def _rule(kind: str) -> Rule:
    return next(rule for rule in load_rules().rules if rule.kind == kind)


def _with(change: Callable[[Rule], Rule]) -> Rules:
    rules = load_rules()
    return replace(rules, rules=tuple(change(rule) for rule in rules.rules))


def _with_entry(kind: str, entry: float) -> Rules:
    cmps2 = round(entry * 100)
    return _with(
        lambda rule: replace(rule, entry=cmps2, exit=cmps2 * 2 // 3, levels=(cmps2,)) if rule.kind == kind else rule
    )


def _scaled(scale: float) -> Rules:
    def scaled(rule: Rule) -> Rule:
        if rule.kind not in HARSH:
            return rule
        levels = tuple(round(level * scale) for level in rule.levels)
        return replace(rule, entry=round(rule.entry * scale), exit=round(rule.exit * scale), levels=levels)

    return _with(scaled)
