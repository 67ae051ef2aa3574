"""Raw signals: one row each. A reading is (t_ms, signal, value); a missing reading is null, never 0.

Values travel as integers in steps of `quantum`; `low` and `high` bound what is plausible, in the signal's unit.
VSS path: COVESA Vehicle Signal Specification. PID: SAE J1979 service 01.
"""

from __future__ import annotations

from typing import NamedTuple


class Signal(NamedTuple):
    """One kind of raw reading."""

    number: int
    name: str
    unit: str
    quantum: float
    low: float
    high: float
    pid: int | None
    vss: str | None


SIGNALS: tuple[Signal, ...] = (
    Signal(1, "speed_kmh", "km/h", 0.01, 0, 400, 0x0D, "Vehicle.Speed"),
    Signal(2, "rpm", "1/min", 0.25, 0, 16_384, 0x0C, "Vehicle.Powertrain.CombustionEngine.Speed"),
    Signal(3, "throttle_pct", "%", 0.1, 0, 100, 0x11, "Vehicle.Powertrain.CombustionEngine.TPS"),
    Signal(4, "engine_load_pct", "%", 0.1, 0, 100, 0x04, "Vehicle.OBD.EngineLoad"),
    Signal(5, "maf_gps", "g/s", 0.01, 0, 656, 0x10, "Vehicle.OBD.MAF"),
    Signal(6, "map_kpa", "kPa", 1, 0, 255, 0x0B, "Vehicle.OBD.MAP"),
    Signal(7, "coolant_c", "degC", 1, -40, 215, 0x05, "Vehicle.OBD.CoolantTemperature"),
    Signal(8, "intake_c", "degC", 1, -40, 215, 0x0F, "Vehicle.OBD.IntakeTemp"),
    Signal(9, "ambient_c", "degC", 1, -40, 215, 0x46, "Vehicle.OBD.AmbientAirTemperature"),
    Signal(10, "fuel_pct", "%", 0.1, 0, 100, 0x2F, "Vehicle.OBD.FuelLevel"),
    Signal(11, "run_time_s", "s", 1, 0, 65_535, 0x1F, "Vehicle.OBD.RunTime"),
    Signal(12, "distance_since_clear_km", "km", 1, 0, 65_535, 0x31, "Vehicle.OBD.DistanceSinceDTCClear"),
    Signal(13, "odometer_km", "km", 0.1, 0, 429_496_729.5, 0xA6, "Vehicle.TraveledDistance"),
    Signal(14, "module_voltage_v", "V", 0.001, 0, 65.535, 0x42, "Vehicle.OBD.ControlModuleVoltage"),
    Signal(15, "pedal_d_pct", "%", 0.1, 0, 100, 0x49, "Vehicle.OBD.AcceleratorPositionD"),
    Signal(16, "pedal_e_pct", "%", 0.1, 0, 100, 0x4A, "Vehicle.OBD.AcceleratorPositionE"),
    Signal(30, "limit_kmh", "km/h", 1, 0, 400, None, None),
    Signal(40, "latitude_deg", "deg", 1e-6, -90, 90, None, "Vehicle.CurrentLocation.Latitude"),
    Signal(41, "longitude_deg", "deg", 1e-6, -180, 180, None, "Vehicle.CurrentLocation.Longitude"),
    Signal(42, "altitude_m", "m", 0.1, -500, 9_000, None, "Vehicle.CurrentLocation.Altitude"),
    Signal(43, "gnss_speed_kmh", "km/h", 0.01, 0, 400, None, None),
    Signal(44, "gnss_course_deg", "deg", 0.01, 0, 360, None, "Vehicle.CurrentLocation.Heading"),
    Signal(50, "accel_x_mps2", "m/s2", 0.001, -160, 160, None, None),
    Signal(51, "accel_y_mps2", "m/s2", 0.001, -160, 160, None, None),
    Signal(52, "accel_z_mps2", "m/s2", 0.001, -160, 160, None, None),
    Signal(53, "gyro_x_dps", "deg/s", 0.01, -2_000, 2_000, None, None),
    Signal(54, "gyro_y_dps", "deg/s", 0.01, -2_000, 2_000, None, None),
    Signal(55, "gyro_z_dps", "deg/s", 0.01, -2_000, 2_000, None, None),
)

BY_NAME: dict[str, Signal] = {s.name: s for s in SIGNALS}
BY_NUMBER: dict[int, Signal] = {s.number: s for s in SIGNALS}


class Reading(NamedTuple):
    """One raw reading.

    `t_ms` is monotonic time since the source's own zero; `value` is in the signal's unit, or None when the
    source asked and got no valid answer.
    """

    t_ms: int
    signal: str
    value: float | None
