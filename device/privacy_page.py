"""docs/privacy.md, made from the table: `python -m device.privacy_page > docs/privacy.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import groupby
from typing import Final

from device.contract import bodies, wire
from device.privacy import LOCATIONS, MOTIONS, TABLE, Privacy, Row

NAMES: Final[dict[type, str]] = {
    wire.Header: "header of every message",
    bodies.TripStart: "trip start",
    bodies.Event: "event",
    bodies.Impact: "impact",
    bodies.Motion: "motion",
    bodies.Track: "track",
    bodies.TripEnd: "trip end",
    bodies.Health: "health",
}
_SETTINGS: Final = (
    '| `location` | `"off"` (default) | no position, in no message |',
    '| | `"coarse"` | the cell in which a trip starts and ends, and in which an event or impact happens |',
    '| | `"full"` | the same, and the track of every trip |',
    '| `motion` | `"off"` (default) | events and sums of a trip; of an impact the 5 s before and after it |',
    '| | `"full"` | the same, and speed and acceleration of every trip, 2 or 10 times a second |',
)


def markdown() -> str:
    """Page of the whole table."""
    settings = [Privacy(location, motion) for location in LOCATIONS for motion in MOTIONS]
    return f"""# What leaves the car

Made from the table in `device/privacy.py` by `python -m device.privacy_page`; change the table, not this page.

Two keys of the device's configuration decide. The defaults are the strictest.

| key | value | leaves the car |
|---|---|---|
{chr(10).join(_SETTINGS)}

**The price is the same in all {len(settings)} combinations.** It is computed from trip summaries and events alone.

A cell is one of a grid of 0.01 degree: 1.1 km from north to south, less from east to west. A configuration that the
insurer sends (signed, see [formats](formats.md)) can make a setting stricter, never looser than the file on the device
says: what is in that file is the driver's consent.

## Every field

One function applies this table to every message before its bytes are fixed. What is not in the table does not leave.
Field names are those of [wire.proto](../device/contract/wire.proto) and `device/contract/bodies.py`.

| message | fields | leave | what they tell |
|---|---|---|---|
{chr(10).join(_rows())}

Beside the messages, the topic `status` says `online` or `offline`, and the broker sees the internet address that the
device connects from.

## What never leaves the car

- The VIN and the registration. `vin_hash` is HMAC-SHA256 with a key derived from the device's own private key: equal
  for the same car and device, so that a box moved to another car is noticed, and no list of VINs can be tried against
  it by whoever does not hold that key.
- The raw readings of adapter, GNSS and IMU; altitude and course; which trouble codes are stored.
- `ubi device record` writes all of them, positions included, to a file on the device. It is sent nowhere.

## What can still be concluded

Judge the settings by what a curious reader of the messages could do, not only by their names.

- Times and distances of trips leave in every setting. Regular ones tell when somebody is not at home and how far work
  is.
- `motion = "full"` with `location = "off"`: a trace of speed, held against a road map from a known starting point,
  narrows down where a trip went. This is why motion is off unless switched on.
- `location = "coarse"`: where few people live, a cell of 1 km may hold one house.
- With `location` off nothing is derived from GNSS except time, speed, course rate and the offset of local time; these
  improve the clock and the motion inside the car.

## What stays on the device

In the folder of the outbox, which belongs to the agent's user alone ([install](install-raspberry-pi.md)):

- Messages, until the insurer says that it has them.
- The agent's state, so that a restart goes on: speed and course of the last 15 to 20 s, what a trip has measured since
  it began to stand still, `batch_s` of motion where motion is on, the mounting of the IMU, the name of the time zone
  that GNSS last found the car in. With `location` off no position; else those of the last 200 s.
- SQLite's log beside the outbox, up to 4 MB, has earlier states until it is written over: some 20 minutes of driving at
  `commit_s = 10` (2.9 kB a second were measured with all sensors). Speed and course of that time tell the shape of the
  way, not where it is. An orderly stop deletes the log, a power cut does not.
- The agent's log tells of ports, adapters, connections and the battery: no speed and no position, at no log level.

## When you change your mind

A setting that you make stricter holds from the agent's next start on; one that the insurer's configuration makes
stricter holds at once, in the running trip too. From then on track and motion that still wait in the car, and may not
leave any more, are withdrawn: the header of each message leaves, and the hash of its content, so that the insurer sees
that nothing is missing but what you withdrew. The content is deleted from the outbox (the disk may hold it until it is
written over) and does not leave if you switch the setting on again. The price is the same.

- The cells (`start_cell`, `end_cell`, `cell`) of trips, events and impacts that were made before, and still wait, do
  leave. The hash of each message is part of the next one, and signed: without its cell it would be another message, and
  the insurer, who may have the first one already, would see a stream that somebody changed. To hold the whole message
  back would take the trip out of the price.
- A hash tells nobody the content, but confirms it to whoever guesses all of it: not for a minute of positions, perhaps
  for a track of one or two points.
- What the insurer has, it has: it erases on request ([operations](operations.md)).

## How it is tested

`tests/device/test_privacy_on_the_wire.py` runs the agent and its uplink against a real broker and reads back every
byte that was published: in the strict setting no field beyond this table occurs, not even one this release does not
know, and neither positions nor the VIN are found in any of the encodings it tries (text, floats, integers of several
scales, hashes). The same search finds them where the setting is full. `tests/features/test_privacy_and_price.py`
builds driver periods from the same drive in all combinations and compares them. `tests/e2e/test_withdrawn_consent.py`
switches everything off while messages wait, and compares what came, and the driver periods.
"""


def _rows() -> Iterator[str]:
    for message, rows in groupby(TABLE, key=lambda row: row.message):
        for first, row in enumerate(rows):
            yield _row(row, "" if first else NAMES[message])


def _row(row: Row, message: str) -> str:
    names = ", ".join(f"`{name}`" for name in row.names)
    return f"| {message} | {names} | {row.when.value} | {row.what} |"


if __name__ == "__main__":
    sys.stdout.write(markdown())
