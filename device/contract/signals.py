"""Raw signals: one row each. A reading is (t_ms, signal, value); a missing reading is null, never 0.

Values travel as integers in steps of `quantum`; `low` and `high` bound what is plausible, in the signal's unit.
PID: SAE J1979 service 01; `period_ms` is how often the agent asks it, null for what comes by itself.
VSS path: COVESA Vehicle Signal Specification.
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
    period_ms: int | None
    vss: str | None


# Speed at 10 Hz is five readings for each cell of the motion grid at 2 Hz, more than most adapters give; RPM tells
# engine on or off and is held for 3 s; the rest changes slowly or is read for the record.
SIGNALS: tuple[Signal, ...] = (
    Signal(1, "speed_kmh", "km/h", 0.01, 0, 400, 0x0D, 100, "Vehicle.Speed"),
    Signal(2, "rpm", "1/min", 0.25, 0, 16_384, 0x0C, 1_000, "Vehicle.Powertrain.CombustionEngine.Speed"),
    Signal(3, "throttle_pct", "%", 0.1, 0, 100, 0x11, 2_000, "Vehicle.Powertrain.CombustionEngine.TPS"),
    Signal(4, "engine_load_pct", "%", 0.1, 0, 100, 0x04, 5_000, "Vehicle.OBD.EngineLoad"),
    Signal(5, "maf_gps", "g/s", 0.01, 0, 656, 0x10, 5_000, "Vehicle.OBD.MAF"),
    Signal(6, "map_kpa", "kPa", 1, 0, 255, 0x0B, 5_000, "Vehicle.OBD.MAP"),
    Signal(7, "coolant_c", "degC", 1, -40, 215, 0x05, 30_000, "Vehicle.OBD.CoolantTemperature"),
    Signal(8, "intake_c", "degC", 1, -40, 215, 0x0F, 30_000, "Vehicle.OBD.IntakeTemp"),
    Signal(9, "ambient_c", "degC", 1, -40, 215, 0x46, 60_000, "Vehicle.OBD.AmbientAirTemperature"),
    Signal(10, "fuel_pct", "%", 0.1, 0, 100, 0x2F, 60_000, "Vehicle.OBD.FuelLevel"),
    Signal(11, "run_time_s", "s", 1, 0, 65_535, 0x1F, 30_000, "Vehicle.OBD.RunTime"),
    Signal(12, "distance_since_clear_km", "km", 1, 0, 65_535, 0x31, 60_000, "Vehicle.OBD.DistanceSinceDTCClear"),
    Signal(13, "odometer_km", "km", 0.1, 0, 429_496_729.5, 0xA6, 60_000, "Vehicle.TraveledDistance"),
    Signal(14, "module_voltage_v", "V", 0.001, 0, 65.535, 0x42, 30_000, "Vehicle.OBD.ControlModuleVoltage"),
    Signal(15, "pedal_d_pct", "%", 0.1, 0, 100, 0x49, 5_000, "Vehicle.OBD.AcceleratorPositionD"),
    Signal(16, "pedal_e_pct", "%", 0.1, 0, 100, 0x4A, 30_000, "Vehicle.OBD.AcceleratorPositionE"),
    Signal(17, "dtc_count", "1", 1, 0, 127, 0x01, 60_000, "Vehicle.OBD.Status.DTCCount"),
    # Pin 16 of the socket, measured by the adapter itself: no control unit is asked.
    Signal(18, "adapter_voltage_v", "V", 0.1, 0, 60, None, 30_000, None),
    Signal(30, "limit_kmh", "km/h", 1, 0, 400, None, None, None),
    Signal(40, "latitude_deg", "deg", 1e-6, -90, 90, None, None, "Vehicle.CurrentLocation.Latitude"),
    Signal(41, "longitude_deg", "deg", 1e-6, -180, 180, None, None, "Vehicle.CurrentLocation.Longitude"),
    Signal(42, "altitude_m", "m", 0.1, -500, 9_000, None, None, "Vehicle.CurrentLocation.Altitude"),
    Signal(43, "gnss_speed_kmh", "km/h", 0.01, 0, 400, None, None, None),
    Signal(44, "gnss_course_deg", "deg", 0.01, 0, 360, None, None, "Vehicle.CurrentLocation.Heading"),
    # NMEA 0183 GGA: 0 none, 1 GPS, 2 DGPS, 3 PPS, 4 RTK, 5 float RTK, 6 estimated, 7 manual, 8 simulated.
    Signal(45, "gnss_fix", "1", 1, 0, 8, None, None, "Vehicle.CurrentLocation.GNSSReceiver.FixType"),
    Signal(46, "gnss_hdop", "1", 0.01, 0, 100, None, None, None),
    Signal(47, "gnss_satellites", "1", 1, 0, 99, None, None, None),
    # UTC since 1970 at the moment of the reading; a receiver whose week count rolled over tells a year before 2020.
    Signal(48, "gnss_utc_s", "s", 0.001, 1_577_836_800, 4_102_444_800, None, None, "Vehicle.CurrentLocation.Timestamp"),
    Signal(50, "accel_x_mps2", "m/s2", 0.001, -160, 160, None, None, None),
    Signal(51, "accel_y_mps2", "m/s2", 0.001, -160, 160, None, None, None),
    Signal(52, "accel_z_mps2", "m/s2", 0.001, -160, 160, None, None, None),
    Signal(53, "gyro_x_dps", "deg/s", 0.01, -2_000, 2_000, None, None, None),
    Signal(54, "gyro_y_dps", "deg/s", 0.01, -2_000, 2_000, None, None, None),
    Signal(55, "gyro_z_dps", "deg/s", 0.01, -2_000, 2_000, None, None, None),
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
