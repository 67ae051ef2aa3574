"""Sealing: rows a second against a bare Parquet rewrite of what it makes, what a further day costs, memory, bytes.

Days of a fleet are put into a lake as a worker does, then sealed one by one, each in a fresh process. The rewrite reads
the sealed files of the first day and writes them again, with the same settings.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from device.chain import Chain
from device.contract import bodies, topics
from device.contract import wire_pb2 as pb
from device.contract.bodies import Motion
from device.contract.signing import Signer
from device.contract.trip import TripSummary
from ingest.contract import durable
from ingest.contract.lake import Lake, read_files
from ingest.contract.publish import to_parquet
from ingest.contract.tables import SEALED
from ingest.seal import seal
from ingest.worker import Worker
from tests.bench.ingest import driven_minutes
from tests.bench.measure import against, in_child, measured, memory_mb, used
from tests.bench.row import Row

CARS = 100
DAYS = 8
BATCHES = (50, 120, 500)  # rows of a message
PERIOD_MS = 500
START_MS = 1_767_225_600_000  # 2026-01-01
DAY_MS = 86_400_000
MODULE = "tests.bench.seal"


def run() -> list[Row]:
    """Measure."""
    with tempfile.TemporaryDirectory() as folder:
        lake, fleet = Lake(Path(folder) / "lake"), Fleet(CARS, driven_minutes())
        fleet.drive(lake, 0)
        days = [sealed_on(lake, 0)]
        rewritten = [in_child(MODULE, "rewrite", lake.root, folder) for _ in range(3)]
        for day in tqdm(range(1, DAYS), desc="seal", unit="day", disable=None):
            fleet.drive(lake, day)
            days.append(sealed_on(lake, day))
        idle = sealed_on(lake, DAYS - 1)
        rows = days[0]["rows"]
        lasting = [day["cpu_s"] for day in days[1:]]
        return [
            against(
                "sealed rows, CPU",
                [rows / days[0]["cpu_s"]] * 3,
                [rows / other["cpu_s"] for other in rewritten],
                "x bare rewrite",
            ),
            measured("sealed rows, CPU", [rows / day["cpu_s"] for day in days[:1]], "1/s"),
            measured("sealed rows", [rows / days[0]["wall_s"]], "1/s", [rows / rewritten[0]["wall_s"]]),
            measured("a further day, CPU", lasting, "s", [days[0]["cpu_s"]]),
            measured(f"the last of {DAYS} days, CPU", [days[-1]["cpu_s"]], "s", [days[0]["cpu_s"]]),
            measured("nothing new, CPU", [idle["cpu_s"]], "s"),
            measured("peak memory", [max(day["peak_mb"] for day in days)], "MB"),
            *bytes_by_batch(Path(folder)),
        ]


def sealed_on(lake: Lake, day: int) -> dict[str, Any]:
    """Seal at noon of a day."""
    return in_child(MODULE, "seal", lake.root, START_MS + day * DAY_MS + DAY_MS // 2)


class Fleet:
    """Cars that drive the same minutes again and again, each a trip a day."""

    def __init__(self, cars: int, minutes: list[Motion], batch: int = 120, trip_minutes: int = 60) -> None:
        self._trip_rows = trip_minutes * 60_000 // PERIOD_MS
        sign = Signer.from_seed(bytes(32)).sign
        self._batches = rebatched(minutes, batch)
        self._chains = [
            Chain(
                device_id=f"car-{car}",
                stream_id=car.to_bytes(16, "big"),
                boot_id=bytes(16),
                next_seq=1,
                head=b"",
                sign=sign,
                signed_ms=0,
            )
            for car in range(cars)
        ]

    def drive(self, lake: Lake, day: int) -> None:
        """Put a day's trips into the lake, as one worker stores them."""
        worker, now_ms = Worker(lake, f"day{day}", lambda _topic, _payload: True), START_MS + day * DAY_MS
        for number, chain in enumerate(self._chains):
            for payload in self._trip(chain, now_ms, number):
                worker.take(topics.up(f"car-{number}"), payload, now_ms)
                if worker.held >= 4_000:
                    worker.flush(now_ms)
        worker.flush(now_ms)

    def _trip(self, chain: Chain, start_ms: int, number: int) -> Iterator[bytes]:
        seq, at_ms = chain.next_seq, 0

        def add(body: bodies.Body) -> bytes:
            utc_ms = start_ms + at_ms
            message = chain.add(body, mono_ms=utc_ms, utc_ms=utc_ms, quality=pb.CLOCK_NTP, next_within_ms=60_000)
            return message.payload

        yield add(bodies.TripStart(PERIOD_MS, start_ms, 60, 1, pb.GRADE_OBD_SPEED))
        left = self._trip_rows
        for body in islice(cycle(self._batches), number, None):
            yield add(replace(body, trip_seq=seq, first_t_ms=at_ms))
            at_ms += body.count * PERIOD_MS
            left -= body.count
            if left < body.count:
                break
        summary = TripSummary(duration_ms=at_ms, samples=at_ms // PERIOD_MS, distance_mm=50_000_000)
        yield add(bodies.TripEnd(seq, pb.END_INACTIVE, summary))


def rebatched(minutes: list[Motion], batch: int) -> list[Motion]:
    """The same rows in messages of another size."""
    columns = {name: [v for body in minutes for v in body.columns[name]] for name in minutes[0].columns}
    samples = sum(body.count for body in minutes)
    return [
        Motion(1, 0, batch, {name: values[first : first + batch] for name, values in columns.items()})
        for first in range(0, samples - batch + 1, batch)
    ]


def bytes_by_batch(folder: Path) -> list[Row]:
    """Bytes of a motion row in the lake, by rows a message: one car that drives every recorded minute once."""
    out, minutes = [], driven_minutes()
    for batch in BATCHES:
        lake = Lake(folder / f"batch {batch}")
        Fleet(1, minutes, batch, len(minutes)).drive(lake, 0)
        seal(lake, START_MS + DAY_MS // 2)
        sealed = lake.sealed_files("motion")
        rows = read_files(sealed, SEALED["motion"]).height
        out.append(measured(f"as received, {batch} rows a message", [size_of(lake.message_files()) / rows], "B/row"))
        out.append(measured(f"sealed, {batch} rows a message", [size_of(sealed) / rows], "B/row"))
    return out


def size_of(files: list[Path]) -> int:
    """Bytes on disk."""
    return sum(file.stat().st_size for file in files)


def child(what: str, root: str, argument: str) -> dict[str, Any]:
    """One measured step, in a process that holds nothing else."""
    lake = Lake(root)
    work = {"seal": lambda: seal(lake, int(argument)), "rewrite": lambda: rewrite(lake, Path(argument))}[what]
    _, took = used(work)
    rows = read_files(lake.sealed_files("motion"), SEALED["motion"]).height if what == "seal" else 0
    return {"cpu_s": took.cpu_s, "wall_s": took.wall_s, "peak_mb": memory_mb(), "rows": rows}


def rewrite(lake: Lake, folder: Path) -> None:
    """Read all sealed files and write them again."""
    for table, schema in SEALED.items():
        for number, file in enumerate(lake.sealed_files(table)):
            durable.commit({folder / "rewritten" / f"{table}-{number}.parquet": to_parquet(read_files([file], schema))})


if __name__ == "__main__":
    sys.stdout.write(json.dumps(child(*sys.argv[1:])))
