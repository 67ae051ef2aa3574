"""The words of a verdict, from good to grave, and that of a population stability index."""

from __future__ import annotations

from typing import Final

from pricing.plan import MonitorPlan

OK: Final = "ok"
WATCH: Final = "watch"
ACT: Final = "act"
NO_DATA: Final = "no data"
ORDER: Final = (NO_DATA, OK, WATCH, ACT)


def judge_psi(psi: float, noise: float, limits: MonitorPlan) -> str:
    """Judge a PSI: below what as many rows show by chance, or below the plan's limit, it says nothing."""
    if psi <= noise or psi < limits.psi_watch:
        return OK
    return ACT if psi >= limits.psi_act else WATCH
