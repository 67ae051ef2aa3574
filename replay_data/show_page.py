"""A recording as a page of HTML: curves, map, table of events. One file, no script, nothing fetched."""

from __future__ import annotations

import html
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from replay_data import view as seen
from replay_data.driven import Trip
from replay_data.show_map import SPEED_CLASSES_KMH, route
from replay_data.show_svg import chart, shade
from replay_data.view import View

WIDE, NARROW = 940, 350  # pixels of a picture on a screen and on a telephone; the page shows one of them
MAP_WIDE, MAP_NARROW = 420, 300  # heights
PATH_NOTE: Final = (
    "Curves, events and sums are what the device path makes of this recording, with the event rules of this release."
)
LOCATION_NOTE: Final = (
    "The track is read from the recording itself. In the car location is off unless it is switched on; replaying "
    "sends none."
)

STYLE: Final = """
:root{--ink:#1c2733;--muted:#5d6976;--line:#dfe4ea;--back:#fff;--panel:#f6f8fa;--curve:#0f6e8c;--limit:#9b59b6;
--one:#d98200;--two:#cf2f2f;--one-text:#9c5d00;--two-text:#cf2f2f;--on-one:#1c2733;--on-two:#fff;--zero:#8d98a4;
--v1:#4b6cb7;--v2:#1f8579;--v3:#5a8a3c;--v4:#b3700c;--v5:#c43a4e}
@media(prefers-color-scheme:dark){:root{--ink:#e6ebf0;--muted:#9aa7b4;--line:#323d48;--back:#14191f;--panel:#1c232b;
--curve:#5cc3e0;--limit:#c58ae0;--one:#f0a63c;--two:#ff6b6b;--one-text:#f0a63c;--two-text:#ff6b6b;--on-one:#14191f;
--on-two:#14191f;--zero:#6f7c89;--v1:#7f9be0;--v2:#3fbfae;--v3:#a3cf8e;--v4:#e0a04a;--v5:#ff7385}}
*{box-sizing:border-box}
body{margin:0 auto;padding:20px;max-width:1000px;background:var(--back);color:var(--ink);
font:15px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
h1{font-size:20px;margin:0 0 2px;overflow-wrap:anywhere}h2{font-size:17px;margin:30px 0 8px}
h3{font-size:15px;margin:22px 0 6px}a{color:var(--curve)}
p{margin:0 0 10px}.muted{color:var(--muted);font-size:13px}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(200px,1fr));gap:8px;margin:0 0 14px}
dl div{background:var(--panel);border-radius:6px;padding:7px 10px}
dt{color:var(--muted);font-size:12px}dd{margin:0;font-weight:600;font-size:14px}
svg{display:block;max-width:100%;height:auto}.narrow{display:none}.narrow svg{width:100%}
svg text{font:12px system-ui,"DejaVu Sans",sans-serif;fill:var(--ink)}svg .tick{fill:var(--muted);font-size:11px}
svg .name{font-weight:600;font-size:12px}
.grid{stroke:var(--line);fill:none}.zero{stroke:var(--zero);fill:none}
.curve{fill:var(--curve);stroke:var(--curve);stroke-width:1.3;stroke-linejoin:round}
.limit{fill:none;stroke:var(--limit);stroke-width:1.3;stroke-dasharray:5 3}
.event rect{fill-opacity:.22}.event text{font-size:11px;font-weight:600}
.event.lasting rect{fill-opacity:.8}.level0 rect{fill:var(--muted)}.level1 rect,.level1 circle{fill:var(--one)}
.level2 rect,.level2 circle{fill:var(--two)}
.event.level1 text{fill:var(--one-text)}.event.level2 text{fill:var(--two-text)}
.map{background:var(--panel);border-radius:6px}.map path{fill:none;stroke-linecap:round;stroke-linejoin:round}
.map .track{stroke:var(--back);stroke-width:6}.v0{stroke:var(--zero)}.v1{stroke:var(--v1)}.v2{stroke:var(--v2)}
.v3{stroke:var(--v3)}.v4{stroke:var(--v4)}.v5{stroke:var(--v5)}.map path[class^=v],.legend path{stroke-width:3.2}
.map .scale{stroke:var(--muted);stroke-width:1.5}.start{fill:none;stroke:var(--ink);stroke-width:2.5}
.end{fill:var(--ink)}.pin circle{stroke:var(--back);stroke-width:1.5}.map .lead{stroke:var(--ink)}
.pin text{font-size:10px;font-weight:700}.pin.level1 text{fill:var(--on-one)}.pin.level2 text{fill:var(--on-two)}
.legend{display:flex;flex-wrap:wrap;gap:4px 14px;margin:6px 0;color:var(--muted);font-size:13px}
.legend span{display:inline-flex;align-items:center;gap:6px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:4px 8px;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--muted);font-size:12px;font-weight:600}.n{text-align:right}
.dot{display:inline-block;width:9px;height:9px;border-radius:50%;margin-right:6px}
.dot.level1{background:var(--one)}.dot.level2{background:var(--two)}.dot.level0{background:var(--muted)}
@media(max-width:640px){body{padding:12px}.wide{display:none}.narrow{display:block}dl{grid-template-columns:1fr 1fr}
thead{display:none}tr{display:grid;grid-template-columns:24px 62px 1fr auto;column-gap:8px;padding:5px 0;
border-bottom:1px solid var(--line)}td{padding:0;border:0;font-size:14px}
td.more{grid-row:2;color:var(--muted);font-size:13px}td.level{grid-column:2}td.speed{grid-column:3}
td.lasted{grid-column:4}td.more.level{text-align:left}td.level::before{content:"level "}}
"""


def page(view: View) -> str:
    """Return the page as text."""
    title = html.escape(view.recording.file)
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head><body>"
    )
    return "".join([head, *_body(view), "</body></html>\n"])


def _body(view: View) -> Iterator[str]:
    recording = view.recording
    yield f"<h1>{html.escape(recording.file)}</h1>"
    told = [recording.format, f"device {recording.device_id}", seen.counted(len(view.trips), "trip"), *_repairs(view)]
    yield f'<p class="muted">{html.escape(" · ".join(told))}</p>'
    if recording.head.notes.get("simulated") == "yes":
        yield "<p><b>Simulated:</b> no car was driven; the recording was made by this project's vehicle model.</p>"
    yield f'<p class="muted">{PATH_NOTE}{" " + LOCATION_NOTE if view.track else ""}</p>'
    if not view.trips:
        yield "<p>No trip: the device path saw no driving in this recording.</p>"
    if len(view.trips) > 1:
        yield "<ul>"
        for number, trip in enumerate(view.trips, start=1):
            events = seen.counted(len(trip.events), "event")
            yield f'<li><a href="#trip{number}">{html.escape(seen.heading(number, trip))}</a>, {events}</li>'
        yield "</ul>"
    for number, trip in enumerate(view.trips, start=1):
        yield from _trip(number, trip, view)


def _repairs(view: View) -> Iterator[str]:
    repairs = view.recording.head.repairs
    if repairs:
        yield "repaired on reading: " + ", ".join(f"{name} {count}" for name, count in sorted(repairs.items()))


def _trip(number: int, trip: Trip, view: View) -> Iterator[str]:
    yield f'<h2 id="trip{number}">{html.escape(seen.heading(number, trip))}</h2><dl>'
    for name, value in seen.facts(trip).items():
        yield f"<div><dt>{name}</dt><dd>{html.escape(value)}</dd></div>"
    yield "</dl>"
    if not trip.samples:
        return
    yield f'<div class="wide">{chart(trip, WIDE)}</div><div class="narrow">{chart(trip, NARROW)}</div>'
    notes = []
    if any(sample.limit_kmh is not None for sample in trip.samples):
        notes.append("Dashed: the speed limit, where it is known.")
    if any(seen.is_background(event) for event in trip.events):
        notes.append("A bar at the foot of the speed: speeding, or idling (grey).")
    if notes:
        yield f'<p class="muted">{" ".join(notes)}</p>'
    drawn = route(trip, view.track, WIDE, MAP_WIDE)
    if drawn:
        yield f'<h3>Map</h3><div class="wide map">{drawn}</div>'
        yield f'<div class="narrow map">{route(trip, view.track, NARROW, MAP_NARROW)}</div>{_legend()}'
    yield from _events(trip)


def _legend() -> str:
    edges = ["0", *map(str, SPEED_CLASSES_KMH)]
    names = [f"{a} to {b} km/h" for a, b in pairwise(edges)] + [f"{edges[-1]} km/h and more"]
    swatches = (
        f'<span><svg width="22" height="6"><path class="v{k}" d="M2 3H20"/></svg>{name}</span>'
        for k, name in enumerate(names, start=1)
    )
    ends = (
        '<span><svg width="16" height="16"><circle class="start" cx="8" cy="8" r="6"/></svg>start</span>'
        '<span><svg width="16" height="16"><circle class="end" cx="8" cy="8" r="6"/></svg>end</span>'
    )
    return f'<div class="legend">{"".join(swatches)}{ends}</div>'


def _events(trip: Trip) -> Iterator[str]:
    yield f"<h3>Events: {len(trip.events)}</h3>"
    if not trip.events:
        return
    yield '<table><thead><tr><th class="n">no.<th>at<th>event<th class="n">peak<th class="n">level<th>speed'
    yield '<th class="n">lasted</tr></thead><tbody>'
    for number, event in enumerate(trip.events, start=1):
        yield (
            f'<tr><td class="n">{number}<td>{seen.clock(event.onset_ms)}<td><i class="dot level{shade(event)}"></i>'
            f'{seen.label(event)}<td class="n">{seen.strength(event)}<td class="n more level">{event.level}'
            f'<td class="more speed">{seen.speeds(event)}'
            f'<td class="n more lasted">{event.duration_ms / 1_000:.1f} s</tr>'
        )
    yield "</tbody></table>"
