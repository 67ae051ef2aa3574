"""docs/features.md, made from the catalogue: `python -m features.catalogue_page > docs/features.md`."""

from __future__ import annotations

import sys
import textwrap
from typing import Final

from features.contract.catalogue import Catalogue, Feature, load_catalogue
from features.contract.tables import QUALITY_FLAGS

_SIGN: Final = {1: "+", -1: "-", 0: ""}
_DIRECTION: Final = {1: "riskier when larger", -1: "riskier when smaller", 0: "open"}


def markdown(catalogue: Catalogue) -> str:
    """Page of the whole catalogue."""
    flags = "\n".join(f"| `{name}` | {meaning} |" for name, meaning in QUALITY_FLAGS.items())
    in_model = sum(feature.model for feature in catalogue.features)
    parts = "\n".join(
        f"| {part.name} | `{part.known}` | `{part.whole}` | {_per_cent(part.min_known_share)} |"
        for part in catalogue.parts
    )
    return f"""# Features

Made from `features/contract/catalogue.toml` by `ubi features list --markdown`; change the catalogue, not this page.
Version {catalogue.version}: {len(catalogue.features)} features, {in_model} of them in the model.

A feature describes a driver in a window of months. It is one division of two integers: sums over trips that do not
depend on order, batching or machine. Null means not known. Rates enter the model shrunk by their count (empirical
Bayes), all else as it is. The reason is what a driver is told; shares are told in per cent. `ubi features list`
prints the catalogue, `--json` for machines. Whoever rates is warned of values outside the plausible range, with the
worst driver; a value that breaks its definition stops the run.

**Time.** Hours, nights, weekends and holidays are local, by the zone offset that each trip brings from the car. So
summer time is right on both sides of a change; a trip that runs through one keeps the offset of its start. A trip
counts as driven on a public holiday if it starts on one, by local date, in the region of its policy (column `region`
of the policies, ISO 3166-1 or -2; the days come from the `holidays` library). Offset or region not known: null, never
a working day and never UTC.

**Place.** Location is the driver's choice, and a choice must not move a price: no feature reads it. `ubi features
places` tells how many coarse cells drivers visit and how much of their driving is from or to the cell they are in
most, from the trips whose start and end were sent, and from 20 such trips on.

**Road.** The speed limit is known where the source tells it; `limit_known_time_share` says for how much of the time,
and the speeding share is of that time alone. Speeding events are counted in trips whose limit is known for at least
half of their time, per distance with known limit: where it is not known the event rules count from 130 km/h, so the
driver of a source without limits would look calm in town. Of such a driver these rates are not known, and what is
left is `over_130_time_share`, the same for every source
([decision 0042](decisions/0042-speeding-where-the-limit-is-known.md)). The road's class is not on the wire, since no
device of ours knows it: city, rural and motorway are told by speed (`below_50_km_share`, `town_time_share` and the
like).

**Seen.** An event is counted where it could be seen: rates of braking and acceleration are per distance with known
longitudinal acceleration (`accel_mm`), rates of turns per distance with known lateral acceleration (`lateral_mm`).
Both are the distance of each trip by the share of its samples that have the value. Where a source tells too little,
the rate is null; kilometres that were not seen are neither calm nor harsh.

**Known part.** What is known of a small part of the driving is no fair sample of it: an adapter that tells speed in
steps of 5 km/h leaves the acceleration of steady driving alone, and a rate of it would be 0. So what rests on a part
is null in a window in which that part is less than its minimum of the driving. The share is one of sums over the
window: a bad trip, or a bad month of twelve, nulls nothing, and dilutes a rate by what little it leaves known. Below
`min_exposure_km` of all driving, known or not, a value is null as well: that is about chance, this about fairness.
Not known is not calm: it costs the mean of the drivers that the model learned from, or what it learned of enough
drivers of whom it was not known. Why these minima: [decision 0035](decisions/0035-no-rate-of-a-small-part.md).

| part | known | of | at least |
|---|---|---|---|
{parts}

**In context.** A firm braking is ten times as usual per km in a city as on a motorway, whoever drives. Rates
`..._in_context` divide by distance weighted by how usual such an event is at its speed and on its kind of trip (city,
rural, motorway), so they compare drivers in the same traffic; these are priced, and the plain rates are told. The
weights (`features/context.toml`) come from open recordings of other people's drives, made by `python -m
tests.bench.context --write`. The weighted distance holds no event, so one more event always raises the rate. What it
does to real trips: [performance](performance.md#rates-in-context).

**Exposure.** The car's own counters (odometer, else distance since trouble codes were cleared) tell how far it drove
while nobody looked. `recorded_km_share` is what was recorded of it, with its interval, `unplugged_km_share` what was
driven between trips. Codes cleared, an odometer that falls, another car, box or stream are counted at least as often
as they can be told. How true the statement is: [performance](performance.md#exposure-stated-and-true). None of it is
priced: a lost kilometre is a number and a flag, not a charge. Trips with gaps, without summary, with a doubtful
clock, a broken chain or a wrong signature have shares of their own.

Order of worse driving, in which the factor must not fall:

> {catalogue.order}

A monotone feature never moves against its direction in such a step, and the model is held to that direction.

| feature | unit | what it is | rests on | risk | in the model |
|---|---|---|---|---|---|
{chr(10).join(_row(feature) for feature in catalogue.features)}

## Definitions

{chr(10).join(_section(feature) for feature in catalogue.features)}
## Quality flags of trips

| flag | a trip carries it when |
|---|---|
{flags}
"""


def screen(catalogue: Catalogue, width: int = 100) -> str:
    """List of the catalogue for a terminal: a line a feature, and its definition below it where that is longer."""
    longest = max(len(feature.name) for feature in catalogue.features)
    left = longest + 20
    lines = [f"{'feature':<{longest}}  {'unit':<11} {'model':<6}definition"]
    for feature in catalogue.features:
        use = f"{_SIGN[feature.direction] if feature.monotone else 'free'}" if feature.model else "-"
        unit = "share" if feature.kind == "share" else feature.unit
        head = f"{feature.name:<{longest}}  {unit:<11} {use:<6}"
        definition = textwrap.wrap(feature.definition, width - left)
        lines += [head + definition[0], *(" " * left + more for more in definition[1:])]
    in_model = sum(feature.model for feature in catalogue.features)
    held = "+ or -: held to that direction, free: not"
    lines.append(f"{len(catalogue.features)} features, version {catalogue.version}; {in_model} in the model ({held})")
    return "\n".join(lines)


def _row(feature: Feature) -> str:
    held = {(True, True): "yes, monotone", (True, False): "yes", (False, True): "no", (False, False): "no"}
    unit = "share" if feature.kind == "share" else feature.unit
    risk = _DIRECTION[feature.direction]
    rests_on = ", ".join(part.name for part in feature.parts)
    use = held[feature.model, feature.monotone]
    return f"| `{feature.name}` | {unit} | {feature.definition} | {rests_on} | {risk} | {use} |"


def _section(feature: Feature) -> str:
    lines = [
        f"**{feature.name}** = `{feature.formula}`",
        f"- {feature.source}",
        f"- known from {feature.min_exposure_km:g} km in the window" if feature.min_exposure_km else "",
        *(f"- null where less than {_per_cent(p.min_known_share)} has known {p.name}" for p in feature.parts),
        f"- plausible from {_number(feature.plausible[0])} to {_number(feature.plausible[1])}",
        f"- sensors: {feature.grade}",
        f"- {feature.reason_en} / {feature.reason_zh}",
    ]
    return "\n".join(line for line in lines if line) + "\n"


def _number(value: float) -> str:
    return f"{value:g}"


def _per_cent(share: float) -> str:
    return f"{100 * share:g} %"


if __name__ == "__main__":
    sys.stdout.write(markdown(load_catalogue()))
