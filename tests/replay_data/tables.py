"""Hand-made recordings in other people's formats, and a KIT logger that remembers what it really read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from device.contract.signals import Reading
from replay_data.importers import load

KIT_HEADER = (
    "Time,Engine Coolant Temperature [°C],Intake Manifold Absolute Pressure [kPa],Engine RPM [RPM],"
    "Vehicle Speed Sensor [km/h],Intake Air Temperature [°C],Air Flow Rate from Mass Flow Sensor [g/s],"
    "Absolute Throttle Position [%],Ambient Air Temperature [°C],Accelerator Pedal Position D [%],"
    "Accelerator Pedal Position E [%]"
)
KIT_SIGNALS = (
    "coolant_c",
    "map_kpa",
    "rpm",
    "speed_kmh",
    "intake_c",
    "maf_gps",
    "throttle_pct",
    "ambient_c",
    "pedal_d_pct",
    "pedal_e_pct",
)
KIT_NAME = "2017-07-05_Seat_Leon_RT_S_Stau.csv"
COL_HEADER = "time,speed,rpm,engine_temperature,altitude,id_vehicle,latitude,longitude,id_driver"
COL_NAME = "alonso_20231229_151643_col.csv"
RAW_HEADER = (
    'time,"Engine coolant temperature (℃)","Engine RPM (rpm)","Speed (GPS) (km/h)","Vehicle speed (km/h)",'
    "Latitude,Longtitude,"
)
RAW_NAME = "alonso_20231229_151643_raw.csv"


def clock(ms: int) -> str:
    seconds, ms = divmod(ms, 1000)
    return f"{seconds // 3600 % 24:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{ms:03d}"


class KitLogger:
    """Writes a KIT file as its logger does, and remembers what it really read."""

    def __init__(self, start_ms: int = 26_190_444) -> None:
        self.now_ms = self.start_ms = start_ms
        self.turn = 0
        self.cells = [""] * 10
        self.lines = [KIT_HEADER]
        self.truth: list[Reading] = []

    def row(self, value: float, spacing_ms: int = 90, skip: int = 0) -> bool:
        """Read the PID whose turn it is; tell whether its cell changed."""
        self.turn = (self.turn + skip) % 10
        if len(self.lines) > 1:
            self.now_ms += spacing_ms
        before, self.cells[self.turn] = self.cells[self.turn], str(value)
        self.truth.append(Reading(self.now_ms - self.start_ms, KIT_SIGNALS[self.turn], float(value)))
        self.turn = (self.turn + 1) % 10
        self.lines.append(",".join([clock(self.now_ms), *self.cells]))
        return before != str(value)

    def rounds(self, count: int, **values: float) -> KitLogger:
        """Whole rounds; the coolant counts up so that every round has a change, all else as given or 1."""
        for _ in range(count * 10):
            signal = KIT_SIGNALS[self.turn]
            number = len(self.lines) // 10 % 100
            self.row(number if signal == "coolant_c" else values.get(signal, 1))
        return self

    def write(self, folder: Path, name: str = KIT_NAME) -> Path:
        return written(folder / name, self.lines)


def written(path: Path, lines: Sequence[str], encoding: str = "utf-8") -> Path:
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return path


def readings_of(path: Path) -> list[Reading]:
    return load(path)[1]
