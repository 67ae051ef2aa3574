"""Cars that drives are simulated with."""

from __future__ import annotations

from typing import Final

from replay_data.vehicle import Car

SIX_GEARS: Final = (13.5, 7.6, 5.0, 3.7, 2.95, 2.45)
LONG_GEARS: Final = (12.6, 6.6, 4.1, 2.9, 2.25, 1.85)
PETROL: Final = Car("petrol hatchback", "petrol", 55, SIX_GEARS, 780)
START_STOP: Final = Car("petrol start-stop", "petrol", 58, SIX_GEARS, 760, start_stop=True, odometer=True)
DIESEL: Final = Car("diesel estate", "diesel", 62, LONG_GEARS, 820)
SPORTS: Final = Car("petrol coupe", "petrol", 110, SIX_GEARS, 850)
ELECTRIC: Final = Car("electric", "electric", 85, odometer=True)
