"""Motion: what the car did, on a fixed grid, in quantised integers that both implementations of the rules read.

A column's integer is its name's unit: `speed_dkmh` is 0.1 km/h, `accel_lon_cmps2` is 0.01 m/s2,
`yaw_rate_ddps` is 0.1 degree/s. Axes follow ISO 8855: x forward, y left, so a left turn has positive lateral
acceleration. None means not known; it is never 0.
"""

from __future__ import annotations

from typing import Final, NamedTuple

# Grid without an IMU. 2 Hz carries all that whole km/h at 1 to 5 Hz can tell (BMW CAN, 2 s mean: 0.038 g RMSE).
PERIOD_MS: Final = 500
# Grid of a trip that begins with a calibrated IMU. Between trips the grid is PERIOD_MS.
IMU_PERIOD_MS: Final = 100
# A motion sample is final this long after its time; a reading that comes later no longer changes it.
LAG_MS: Final = 2_000
# Speed is interpolated, and distance integrated, over gaps of at most this long; beyond it the car was not seen.
BRIDGE_MS: Final = 5_000
# Speeds in larger steps than this are coarse; whole km/h have steps of 10.
COARSE_STEP_DKMH: Final = 12

ENGINE_OFF: Final = 0
ENGINE_ON: Final = 1

# Bits of `quality`.
QUALITY_JUMP: Final = 1  # acceleration withheld: speed readings nearby imply more than a tyre can do
QUALITY_COARSE: Final = 2  # acceleration withheld: the readings around are too far apart for a slope
QUALITY_GNSS_SPEED: Final = 4  # speed, and what is made of it, from GNSS: the diagnostic port gave none
QUALITY_GNSS_LATERAL: Final = 8  # lateral acceleration and yaw rate from GNSS course, no IMU: smoothed over 2 s
QUALITY_IMU: Final = 16  # accelerations and yaw rate from a calibrated IMU, anchored in the speed

# What a trip's motion was made from; numbers of the wire's SensorGrade.
GRADE_OBD_SPEED: Final = 1
GRADE_GNSS: Final = 2
GRADE_IMU: Final = 3


class MotionSample(NamedTuple):
    """One cell of the motion grid; `t_ms` counts from the start of the trip."""

    t_ms: int
    speed_dkmh: int | None = None
    accel_lon_cmps2: int | None = None
    accel_lat_cmps2: int | None = None
    yaw_rate_ddps: int | None = None
    accel_peak_cmps2: int | None = None
    engine: int | None = None
    limit_kmh: int | None = None
    quality: int = 0


# The columns that travel as delta-coded integers, in wire order (t_ms is implied by the batch's start and period).
COLUMNS: Final[tuple[str, ...]] = MotionSample._fields[1:]
