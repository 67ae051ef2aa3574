"""Real drives whose harsh events somebody labelled, as motion of the device and as the labels."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from device.contract.motion import IMU_PERIOD_MS, MotionSample
from device.contract.signals import Reading
from tests.bench.drives import SHARED
from tests.bench.imu_drives import MPH

# Turning faster than this is a bend, and its horizontal acceleration lateral.
BEND_DPS = 8.0
MEAN_S = 0.5  # of acceleration, as `device.motion` makes it
# Labels of driver-behavior (Portuguese) -> kind of ours; a lane change is none of them.
KINDS = {
    "freada_agressiva": "harsh_braking",
    "aceleracao_agressiva": "harsh_acceleration",
    "curva_esquerda_agressiva": "harsh_turn_left",
    "curva_direita_agressiva": "harsh_turn_right",
    "troca_faixa_direita_agressiva": "lane_change",
    "troca_faixa_esquerda_agressiva": "lane_change",
    "evento_nao_agressivo": "calm",
}


class Label(NamedTuple):
    """An event that somebody saw."""

    kind: str
    from_ms: int
    to_ms: int


class Labelled(NamedTuple):
    """A drive: its motion, and all that was seen in it."""

    name: str
    samples: list[MotionSample]
    labels: list[Label]


def ferreira(trip: str) -> Labelled | None:
    """Trip 17 or 20 of driver-behavior: a phone's IMU in the Earth's frame, 51 Hz, no speed.

    The heading of the car in that frame is not known: what is horizontal is lateral in a bend and longitudinal
    elsewhere, and braking cannot be told from acceleration: `accel_lon_cmps2` is the magnitude.
    """
    folder = SHARED / "driver-behavior" / trip
    if not folder.is_dir():
        return None
    force, turn = (pl.read_csv(folder / name) for name in ("aceleracaoLinear_terra.csv", "giroscopio_terra.csv"))
    first_ns = force["uptimeNanos"][0]
    east_t, turn_t = (_seconds(table, first_ns) for table in (force, turn))
    grid = np.arange(1.0, east_t[-1] - 1.0, IMU_PERIOD_MS / 1_000)
    horizontal = np.hypot(_mean(grid, east_t, force["x"].to_numpy()), _mean(grid, east_t, force["y"].to_numpy()))
    yaw = np.degrees(_mean(grid, turn_t, turn["z"].to_numpy(), 1.0))
    samples = []
    for t_s, size, rate in zip(grid, horizontal, yaw, strict=True):
        bend = abs(rate) >= BEND_DPS
        lateral = round(float(np.sign(rate) * size) * 100) if bend else 0
        samples.append(
            MotionSample(
                t_ms=round(t_s * 10) * IMU_PERIOD_MS,
                accel_lon_cmps2=0 if bend else round(float(size) * 100),
                accel_lat_cmps2=lateral,
                yaw_rate_ddps=round(float(rate) * 10),
            )
        )
    with (folder / "groundTruth.csv").open(encoding="utf-8") as file:
        rows = [[cell.strip() for cell in row] for row in csv.reader(file)][1:]
    labels = [Label(KINDS[kind], round(float(a) * 1_000), round(float(b) * 1_000)) for kind, a, b in rows]
    return Labelled(f"driver-behavior {trip}", samples, labels)


def drive_plotr() -> Iterator[tuple[str, list[Reading], list[Label]]]:
    """Drives of drive-plotr-nds: speed and course of GNSS at 1 Hz, and graded events of an accelerometer."""
    file = SHARED / "drive-plotr-nds" / "nds_data.parquet"
    if not file.is_file():
        return
    for (number,), drive in pl.read_parquet(file).group_by("drive", maintain_order=True):
        t_ms = ((drive["time_utc"] - drive["time_utc"][0]) * 1_000).cast(pl.Int64).to_list()
        speeds, courses = drive["speed_mph"] * MPH, drive["gps_heading_raw"] % 360
        readings = [
            reading
            for t, speed, course in zip(t_ms, speeds, courses, strict=True)
            for reading in (Reading(t, "gnss_speed_kmh", speed), Reading(t, "gnss_course_deg", course))
        ]
        graded = zip(t_ms, drive["accel_event_cat"], strict=True)
        labels = [Label(grade, t, t) for t, grade in graded if grade is not None]
        yield f"drive {number:.0f}", readings, labels


def _seconds(table: pl.DataFrame, first_ns: int) -> npt.NDArray[np.float64]:
    return np.asarray((table["uptimeNanos"] - first_ns).to_numpy() / 1e9)


def _mean(
    grid: npt.NDArray[np.float64], t_s: npt.NDArray[np.float64], values: npt.NDArray[Any], over_s: float = MEAN_S
) -> npt.NDArray[np.float64]:
    total = np.concatenate([[0.0], np.cumsum(values)])
    first, last = np.searchsorted(t_s, grid - over_s / 2), np.searchsorted(t_s, grid + over_s / 2)
    return np.asarray((total[last] - total[first]) / np.maximum(last - first, 1))
