"""How a person drives: latent, stable over the years, correlated with what the form says but not given by it.

Both the claims (`hazard`) and the motion that sensors see (`manoeuvres`) come from these habits and from nothing else.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from replay_data.portfolio.drivers import TERRITORY_DENSITY, Drivers
from replay_data.portfolio.streams import Floats, Streams, normal_sf, weibull

_MEDIAN_INATTENTION: Final = 0.00121
_MOST_INATTENTION: Final = 0.03


class Habits(NamedTuple):
    """Habits of drivers, arrays of shape (n_drivers,); shares are of the driver's yearly kilometres."""

    headway_s: Floats  # time gap kept to what is ahead
    reaction_s: Floats  # time to the brake pedal, at most half the headway is lost to it
    speeding: Floats  # speed in free flow over the limit, as a share: 0.05 = 5 % faster
    harshness: Floats  # taste for strong pedals, log scale, 0 = average; uncomfortable, hardly dangerous
    cornering: Floats  # taste for lateral acceleration, log scale, 0 = average
    inattention: Floats  # share of conflicts noticed late
    annual_km: Floats
    urban_share: Floats
    rural_share: Floats
    motorway_share: Floats
    night_share: Floats  # from 22:00 to 04:00
    rush_am_share: Floats  # on working days
    rush_pm_share: Floats
    weekend_share: Floats  # by day

    @property
    def margin_s(self) -> Floats:
        """Time left to brake when something happens ahead: headway less reaction."""
        return np.maximum(self.headway_s - self.reaction_s, 0.2)


def draw_habits(streams: Streams, first: int, drivers: Drivers) -> Habits:
    """Draw the habits of `drivers`, who are number `first` and following of their book.

    A common taste for risk moves most habits a little, youth and age move some more; the rest is the person.
    """
    z = streams.normals("habits", first, len(drivers.age), 16).T
    risk = z[0] + 0.15 * (drivers.male - 0.5)
    young = np.clip((32 - drivers.age) / 14, 0, 1)
    old = np.clip((drivers.age - 66) / 16, 0, 2)
    practice = np.log(drivers.annual_km / 12_900)  # who drives much gains little skill, but some

    log_late = 0.10 * risk + 0.40 * young + 0.20 * old - 0.10 * practice + 1.00 * z[6]
    urban, rural, motorway = _road_mix(drivers, practice, z[7:10])
    night, weekend, rush_am, rush_pm = _clock(drivers, young, z[10:15])
    return Habits(
        headway_s=1.9 * np.exp(-0.09 * risk - 0.10 * young + 0.12 * practice + 0.08 * z[1]),
        reaction_s=0.80 * np.exp(-0.04 * young + 0.18 * old + 0.12 * z[2]),
        speeding=0.02 + 0.024 * risk + 0.03 * young - 0.03 * old + 0.018 * z[3],
        harshness=0.10 * risk + 0.08 * young + 0.14 * z[4],
        cornering=0.05 * risk + 0.04 * young + 0.08 * z[5],
        inattention=np.minimum(_MEDIAN_INATTENTION * np.exp(log_late), _MOST_INATTENTION),
        annual_km=drivers.annual_km,
        urban_share=urban,
        rural_share=rural,
        motorway_share=motorway,
        night_share=night,
        rush_am_share=rush_am,
        rush_pm_share=rush_pm,
        weekend_share=weekend,
    )


def _road_mix(drivers: Drivers, practice: Floats, z: Floats) -> Floats:
    """Shares of urban, rural and motorway kilometres, shape (3, n_drivers): who drives far drives on motorways."""
    density = TERRITORY_DENSITY[drivers.territory] - 0.5
    urban = 0.42 + 1.0 * density + 0.4 * z[0]
    rural = 0.30 - 0.6 * density + 0.4 * z[1]
    motorway = 0.6 * practice + 0.4 * z[2]
    weight = np.exp(np.stack((urban, rural, motorway)))
    mix: Floats = weight / weight.sum(axis=0)
    return mix


def _clock(drivers: Drivers, young: Floats, z: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Shares of night, weekend, morning and evening rush: commuters drive in both rush hours, pensioners in neither."""
    commutes = 0.8 * z[0] - 0.7 * np.clip((drivers.age - 60) / 10, 0, 1)
    rush_am = weibull(normal_sf(commutes + 0.6 * z[1]), mean=0.109, shape=1.2)
    rush_pm = weibull(normal_sf(commutes + 0.6 * z[2]), mean=0.150, shape=2.2)
    weekend = np.clip(0.240 - 0.025 * commutes + 0.055 * z[3], 0.02, 0.9)
    night = np.clip(weibull(normal_sf(0.8 * young + z[4]), mean=0.04, shape=1.0), 0.0005, 0.4)
    squeeze = np.minimum(1.0, 0.90 / (rush_am + rush_pm + weekend + night))  # a tenth is left for working days
    return night * squeeze, weekend * squeeze, rush_am * squeeze, rush_pm * squeeze
