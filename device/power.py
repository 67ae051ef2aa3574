"""The battery: when to ask the car, when to leave it alone, and when to stop sending. Pure: facts and time come in.

Asking wakes control units, which then stay awake for minutes: a parked car is not asked.

    state    car asked  network  leaves for
    awake    yes        yes      parked: no trip, and no engine and no motion for `park_after_ms`
                                 low: voltage under `cut_off_v` for LOW_MS with the engine off
    parked   no         yes      probe: GNSS or IMU says that the car moves; the voltage rises to CHARGING_V;
                                        `probe_ms` are over (`probe_blind_ms` where no such sensor is heard)
                                 low: as above
    probe    yes        yes      awake: the engine is on, or the car tells a speed
                                 parked: neither within PROBE_FOR_MS
                                 low: as above
    low      no         no       probe: voltage over `cut_off_v` + RECOVER_V for LOW_MS; motion or charging as in
                                        parked; LOW_PROBE_MS are over

While the car is not asked the adapter alone is, for its voltage: that wakes nothing. After a probe that found a car at
rest, motion causes no other for QUIET_MS: a ferry moves for hours. A voltage that rose without the engine (a charger,
or a car that is plugged in) wakes once, and again after it has fallen.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from device.contract.signals import Reading

# A lead-acid battery rests at 12.7 V full and 11.8 V all but empty; an alternator or DC converter makes 13.5 to 14.8 V.
CUT_OFF_V: Final = 11.8
CHARGING_V: Final = 13.2
ARMED_V: Final = 12.9  # below this it has fallen: charging wakes again
RECOVER_V: Final = 0.5
TRUCK_V: Final = 18.0  # over this it is two batteries in a row
NO_BATTERY_V: Final = 6.0  # what some clones tell for ever; no computer would run on it
LOW_MS: Final = 60_000  # a starter pulls any battery below the cut-off, for seconds
CHARGING_MS: Final = 3_000
PROBE_FOR_MS: Final = 45_000  # connecting to a car takes up to 30 s
QUIET_MS: Final = 600_000
LOW_PROBE_MS: Final = 6 * 3_600_000
HEARD_MS: Final = 120_000  # what a sensor told this long ago still counts
MOVING_KMH: Final = 5.0
MOVING_FIXES: Final = 3  # in a row: one fix jumps now and then
STANDING_KMH: Final = 1.0
# A box at rest feels gravity alone. A door shakes it for a moment, a road for as long as it lasts.
SHAKEN_MPS2: Final = 0.5
SHAKEN_MS: Final = 2_000
STILL_MS: Final = 500
REST_WEIGHT: Final = 0.02  # of a reading in the slow mean: 0.5 s at 100 Hz, 5 s at 10 Hz
IMU: Final = frozenset({"accel_x_mps2", "accel_y_mps2", "accel_z_mps2"})
VOLTAGES: Final = frozenset({"adapter_voltage_v", "module_voltage_v"})


class Power(StrEnum):
    """What the agent does, see the module."""

    AWAKE = "awake"
    PARKED = "parked"
    PROBE = "probe"
    LOW = "low"

    @property
    def asks_car(self) -> bool:
        """Whether the car may be asked."""
        return self in (Power.AWAKE, Power.PROBE)

    @property
    def sends(self) -> bool:
        """Whether the network is used."""
        return self is not Power.LOW


@dataclass(frozen=True, slots=True)
class PowerSettings:
    """See the module; `cut_off_v` 0 = never cut off."""

    cut_off_v: float = CUT_OFF_V
    park_after_ms: int = 300_000
    probe_ms: int = 3_600_000
    probe_blind_ms: int = 600_000


class Lasting:
    """How long something has been told without a break. One reading alone says nothing of a time."""

    def __init__(self) -> None:
        self._first_ms = self._last_ms = self._times = 0

    def tell(self, t_ms: int, *, holds: bool) -> None:
        """Take what a reading says."""
        if not holds:
            self._times = 0
            return
        if not self._times:
            self._first_ms = t_ms
        self._last_ms, self._times = t_ms, self._times + 1

    def lasts(self, now_ms: int, for_ms: int) -> bool:
        """Whether it has held for so long and was told lately."""
        fresh = now_ms - self._last_ms <= HEARD_MS
        return self._times >= 2 and fresh and now_ms - self._first_ms >= for_ms


class Battery:
    """Follows the readings and says what may be asked and sent.

    Attributes
    ----------
    state : Power
    voltage_v : float or None
        Last heard, of a 12 V battery.
    counters : dict of str to int
        How often each state began, by `power_<state>`.
    """

    def __init__(self, settings: PowerSettings, now_ms: int) -> None:
        self.state = Power.AWAKE
        self.voltage_v: float | None = None
        self.counters: dict[str, int] = {}
        self._settings = settings
        self._since_ms = self._active_ms = now_ms
        self._engine_ms: int | None = None  # the engine was on
        self._in_use = False  # the car said that it is, since the last step
        self._moves = False  # another sensor said that it moves
        self._sensor_ms: int | None = None  # of anything that will tell when the car is used
        self._quiet_until_ms = now_ms
        self._low, self._well, self._charging = Lasting(), Lasting(), Lasting()
        self._armed = True  # charging wakes
        self._fixes = 0
        self._rest_mps2: dict[str, float] = {}
        self._shaken_ms: tuple[int, int] | None = None  # first and last reading of a shaking that goes on

    def hear(self, reading: Reading) -> None:
        """Take a reading of any sensor."""
        t_ms, signal, value = reading
        if value is None:
            return
        if signal in IMU:
            self._sensor_ms = t_ms
            if self.state is not Power.AWAKE:
                self._acceleration(signal, t_ms, value)
        elif signal == "rpm":
            self._use(t_ms, in_use=value > 0)
            self._engine_ms = t_ms if value > 0 else None
        elif signal == "speed_kmh":
            self._use(t_ms, in_use=value >= STANDING_KMH)
        elif signal == "gnss_speed_kmh":
            self._sensor_ms = t_ms
            self._fixes = self._fixes + 1 if value >= MOVING_KMH else 0
            if self._fixes >= MOVING_FIXES:
                self._move(t_ms)
        elif signal in VOLTAGES:
            self._voltage(t_ms, value)

    def step(self, now_ms: int, *, in_trip: bool) -> Power:
        """Change the state if it is time; return it."""
        following = self._next(now_ms, in_trip=in_trip)
        self._moves = self._in_use = False
        if following is not self.state:
            if self.state is Power.PROBE and following is Power.PARKED:
                self._quiet_until_ms, self._armed = now_ms + QUIET_MS, False
            if following is Power.AWAKE:
                self._active_ms, self._armed = now_ms, True
            self.state, self._since_ms = following, now_ms
            self.counters[f"power_{following}"] = self.counters.get(f"power_{following}", 0) + 1
        return self.state

    def _next(self, now_ms: int, *, in_trip: bool) -> Power:
        state, for_ms = self.state, now_ms - self._since_ms
        if state is Power.LOW:
            recovered = self._well.lasts(now_ms, LOW_MS)
            return Power.PROBE if recovered or self._is_woken(now_ms) or for_ms >= LOW_PROBE_MS else state
        engine_on = self._engine_ms is not None and now_ms - self._engine_ms < LOW_MS
        if not engine_on and self._low.lasts(now_ms, LOW_MS):
            return Power.LOW
        if state is Power.AWAKE:
            idle = not in_trip and now_ms - self._active_ms >= self._settings.park_after_ms
            return Power.PARKED if idle else state
        if state is Power.PROBE:
            if self._in_use:
                return Power.AWAKE
            return Power.PARKED if for_ms >= PROBE_FOR_MS else state
        return Power.PROBE if self._is_woken(now_ms) or for_ms >= self._probe_ms(now_ms) else state

    def _probe_ms(self, now_ms: int) -> int:
        watched = self._sensor_ms is not None and now_ms - self._sensor_ms <= HEARD_MS
        return self._settings.probe_ms if watched else self._settings.probe_blind_ms

    def _is_woken(self, now_ms: int) -> bool:
        charging = self._armed and self._charging.lasts(now_ms, CHARGING_MS)
        return charging or (self._moves and now_ms >= self._quiet_until_ms)

    def _use(self, t_ms: int, *, in_use: bool) -> None:
        if in_use:
            self._in_use = True
            self._active_ms = max(self._active_ms, t_ms)

    def _move(self, t_ms: int) -> None:
        self._moves = True
        self._active_ms = max(self._active_ms, t_ms)

    def _voltage(self, t_ms: int, told_v: float) -> None:
        if told_v < NO_BATTERY_V:
            return
        voltage_v = told_v / 2 if told_v > TRUCK_V else told_v
        self.voltage_v, self._sensor_ms = voltage_v, t_ms
        self._low.tell(t_ms, holds=voltage_v < self._settings.cut_off_v)
        self._well.tell(t_ms, holds=voltage_v >= self._settings.cut_off_v + RECOVER_V)
        self._charging.tell(t_ms, holds=voltage_v >= CHARGING_V)
        if voltage_v < ARMED_V:
            self._armed = True

    def _acceleration(self, signal: str, t_ms: int, value_mps2: float) -> None:
        rest_mps2 = self._rest_mps2.get(signal, value_mps2)
        self._rest_mps2[signal] = rest_mps2 + (value_mps2 - rest_mps2) * REST_WEIGHT
        shaken = self._shaken_ms
        if abs(value_mps2 - rest_mps2) < SHAKEN_MPS2:
            if shaken is not None and t_ms - shaken[1] > STILL_MS:
                self._shaken_ms = None
            return
        first_ms = shaken[0] if shaken is not None and t_ms - shaken[1] <= STILL_MS else t_ms
        self._shaken_ms = (first_ms, t_ms)
        if t_ms - first_ms >= SHAKEN_MS:
            self._move(t_ms)
