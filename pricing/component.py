"""A part of the relativity, frozen: frequency, or severity. The relativity is the product of the parts.

log part = b Z (s - s_bar), s the score of the rating tables, Z = km / (km + kappa)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pricing.arrays import Floats
from pricing.boosting import Boosted
from pricing.credibility import Calibration, credibility
from pricing.tables import MAIN_FILE, PAIR_FILE, RatingTables, read_tables

TREES_FILE = "model.txt"


@dataclass(frozen=True, slots=True)
class Component:
    """Rating tables, the trees they were written from, and the constants fitted beside them.

    Attributes
    ----------
    name : str
        frequency or severity; files of severity carry it in front.
    level : float
        Log of observed over expected by the tariff of the training rows.
    s_bar : float
        Mean raw score of the reference book (the training rows), weighted by expected claims.
    """

    name: str
    boosted: Boosted
    tables: RatingTables
    level: float
    s_bar: float
    calibration: Calibration

    def strength(self, km: Floats) -> Floats:
        """What the centred score is multiplied by: b Z. Shape (n_rows,)."""
        return self.calibration.b * credibility(km, self.calibration.kappa_km)

    def log_relativity(self, matrix: Floats, km: Floats) -> Floats:
        """Log of this part: b Z (s - s_bar). Shapes (n_rows, n_features) and (n_rows,) to (n_rows,)."""
        return self.strength(km) * (self.tables.score(matrix) - self.s_bar)

    def constants(self) -> dict[str, float]:
        """What a factor depends on beside the tables."""
        found = self.calibration
        return {"s_bar": self.s_bar, "kappa_km": found.kappa_km, "a": found.a, "b": found.b}

    def files(self) -> dict[str, str]:
        """Text of each file, by name."""
        texts = {TREES_FILE: self.boosted.text, **self.tables.files()}
        return {prefix(self.name) + name: text for name, text in texts.items()}

    def to_dict(self) -> dict[str, Any]:
        """JSON form of all but the files."""
        told = asdict(self.calibration)
        told["deviance_by_kappa"] = [list(row) for row in self.calibration.deviance_by_kappa.items()]
        return {
            "features": list(self.boosted.features),
            "typical": list(self.boosted.typical),
            "level": self.level,
            "s_bar": self.s_bar,
            "calibration": told,
        }

    @classmethod
    def from_dict(cls, name: str, content: dict[str, Any], files: Mapping[str, str]) -> Component:
        """Read the JSON form and the files.

        Raises
        ------
        ModelError
            If a file is no rating table.
        """
        told = content["calibration"] | {"deviance_by_kappa": dict(content["calibration"]["deviance_by_kappa"])}
        own = {file: files[prefix(name) + file] for file in (TREES_FILE, MAIN_FILE, PAIR_FILE)}
        return cls(
            name,
            Boosted(own[TREES_FILE], tuple(content["features"]), tuple(content["typical"])),
            read_tables(own),
            content["level"],
            content["s_bar"],
            Calibration(**told),
        )


def prefix(name: str) -> str:
    """What stands before the names of a component's files."""
    return "" if name == "frequency" else f"{name}_"
