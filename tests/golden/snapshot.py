"""What the code of today makes of recordings: trips, events, features, factors. `diff` compares two of these.

python -m tests.golden.snapshot OUT.json FILE ...

    recording -> device path -> messages -> lake -> sealed trips -> driver periods -> features -> reference model

The factor is that of a driver who drives nothing but this recording, again and again, for a year. The reference model
is trained on simulated drivers by the code of today, or is given: then the factor moves with the features alone, and
`retrained` is what the model of today says. Both tell that a price moves, and about how much; they are the price of
nobody.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

import device
from device.contract.errors import RecordingError
from device.contract.rules import KIND_NAMES
from device.contract.trip import HISTOGRAM_FIELDS, SCALAR_FIELDS
from features.contract.catalogue import load_catalogue
from ingest.contract import durable
from ingest.contract.lake import Lake
from ingest.judge import Sound, judge
from ingest.seal import seal
from ingest.segments import MESSAGES, Segment, message_row
from pricing.errors import ModelError
from replay_data.driven import Trip, messages_of, trips_of
from replay_data.recording import Recording, read_recording
from tests.reference_model import effects_of, factor_of, features_of, load_reference, reference_folder, year_of

FORMAT: Final = 2
DIGITS: Final = 9  # significant ones of features and factors
RECEIVED_MS: Final = 1_800_000_000_000

Row = dict[str, Any]


def snapshot(files: Sequence[Path], cache: Path | None, given: Path | None = None) -> dict[str, Any]:
    """Play recordings and rate them.

    Parameters
    ----------
    files : sequence of Path
    cache : Path or None
        Where the reference model of today is kept; None: features, but no factors.
    given : Path or None
        Folder of another reference model to rate by.

    Returns
    -------
    dict
        As JSON: `recordings`, by name of folder and file, each either `refused` (why) or `trips`, `events`,
        `features`, `factor`, `relativity`, `effects` (the log of what each feature that the model reads does to the
        relativity) and `retrained` (the relativity by the model of today); `model`, the folder of the model of today;
        `rated_by`, that of the model used for all but `retrained`.
    """
    folder = None if cache is None else reference_folder(cache)
    rated_by = folder
    if given is not None and _is_usable(given):
        rated_by = given
    rows: dict[str, Row] = {}
    with tempfile.TemporaryDirectory(prefix="ubi-snapshot-") as name_of_lake:
        lake = Lake(Path(name_of_lake))
        names: dict[str, str] = {}  # of devices -> of recordings
        segment = Segment(*MESSAGES)
        for number, path in enumerate(tqdm(files, desc="replay", unit=" recordings", disable=None)):
            name = "/".join(path.parts[-2:])
            device_id = f"r{number:05d}"
            try:
                recording = read_recording(path, device_id)
            except RecordingError as error:
                rows[name] = {"refused": str(error).removeprefix(f"{path}")}
                continue
            payloads = messages_of(recording)
            rows[name] = device_row(recording, trips_of(payloads))
            names[device_id] = name
            for verdict, payload in zip(judge((device_id, p) for p in payloads), payloads, strict=True):
                if not isinstance(verdict, Sound):
                    raise RecordingError(str(path), f"the device path made a message that is refused: {verdict}")
                segment.add(message_row(verdict, payload, RECEIVED_MS), len(payload))
        durable.commit(dict(segment.files(lake.root, "0.parquet")))
        for device_id, rated in _rated(lake, rated_by, folder).items():
            rows[names[device_id]] |= rated
    models = {"model": folder and str(folder), "rated_by": rated_by and str(rated_by)}
    return {"format": FORMAT, **models, "recordings": rows}


def device_row(recording: Recording, trips: Sequence[Trip]) -> Row:
    """What the device path made of a recording, in its own integers; times are since the recording's beginning."""
    return {
        "sha256": recording.sha256,
        "trips": [_trip_row(trip) for trip in trips],
        "events": [
            {
                "kind": KIND_NAMES[event.kind],
                "level": event.level,
                "onset_ms": trip.start.start_mono_ms + event.onset_ms,
                "peak_ms": trip.start.start_mono_ms + event.peak_ms,
                "end_ms": trip.start.start_mono_ms + event.end_ms,
                "peak": event.peak,
                "onset_speed_dkmh": event.onset_speed_dkmh,
                "delta_v_dkmh": event.delta_v_dkmh,
            }
            for trip in trips
            for event in trip.events
        ],
    }


def _trip_row(trip: Trip) -> Row:
    start = trip.start
    row: Row = {
        "start_ms": start.start_mono_ms,
        "utc_offset_min": start.utc_offset_min,
        "period_ms": start.period_ms,
        "sensor_grade": start.sensor_grade,
        "rules_version": start.rules_version,
    }
    if trip.end is not None:
        summary = trip.end.summary
        row |= {"reason": trip.end.reason} | {name: getattr(summary, name) for name in SCALAR_FIELDS}
        row |= {name: _digest(getattr(summary, name)) for name in HISTOGRAM_FIELDS}
    return row


def _digest(histogram: dict[int, int]) -> str:
    told = ",".join(f"{key}:{value}" for key, value in sorted(histogram.items()))
    return f"{len(histogram)} bins {hashlib.sha256(told.encode()).hexdigest()[:12]}"


def _is_usable(given: Path) -> bool:
    """Tell whether the code of today can rate by another model: not if it knows other features or formats."""
    try:
        load_reference(given).model.check_catalogue(load_catalogue())
    except ModelError:
        return False
    return True


def _rated(lake: Lake, rated_by: Path | None, today: Path | None) -> dict[str, Row]:
    """Features of each device that has driven, and its factor where there is a model."""
    if not lake.message_files():
        return {}
    seal(lake, RECEIVED_MS)
    trips, events = lake.scan("trips").collect(), lake.scan("events").collect()
    if trips.is_empty():
        return {}
    periods = year_of(trips, events)
    features = features_of(periods).drop("rating_date", "contents", strict=False)  # what an older base lacks
    known: dict[str, Row] = {
        row.pop("driver_id"): {"features": {name: _rounded(value) for name, value in row.items() if "__" not in name}}
        for row in features.iter_rows(named=True)
    }
    if rated_by is not None and today is not None:
        retrained = factor_of(load_reference(today), periods)["relativity"]
        reference = load_reference(rated_by)
        rated = factor_of(reference, periods).with_columns(retrained=retrained)
        for row in rated.select("driver_id", "factor", "relativity", "retrained").iter_rows(named=True):
            known[row.pop("driver_id")] |= {name: _rounded(value) for name, value in row.items()}
        for row in effects_of(reference, periods).iter_rows(named=True):
            driver_id = row.pop("driver_id")
            known[driver_id]["effects"] = {name: _rounded(value) for name, value in row.items()}
    return known


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS}g}")


def keep_quiet() -> None:
    """Leave out what features and pricing advise: it is for a real book."""
    for name in ("features", "pricing"):
        logging.getLogger(name).setLevel(logging.ERROR)


def main(argv: list[str]) -> int:
    """Write a snapshot."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden.snapshot", description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path, metavar="OUT", help="JSON file to write")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="recordings of any known format")
    parser.add_argument("--model", type=Path, metavar="DIR", help="rate by this model, not by that of today's code")
    parser.add_argument("--cache", type=Path, default=Path(".pytest_cache/d/reference-model"), metavar="DIR")
    options = parser.parse_args(argv)
    here = Path(device.__file__).resolve().parent.parent
    if here != Path.cwd():
        raise SystemExit(f"this would play the code of {here}; go there first, or set PYTHONPATH")
    keep_quiet()
    options.out.write_text(
        json.dumps(snapshot(options.files, options.cache, options.model), indent=1) + "\n", encoding="utf-8"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
