"""The frozen risk model: everything that turns a driver's features into an indicated relativity.

A model is a folder: `model.txt` (LightGBM's own text) and `manifest.json` (all other constants, the plan, what it was
trained on, and its out-of-fold diagnostics). Nothing in it is code.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from features.contract.catalogue import Catalogue
from pricing import plan as plans
from pricing.arrays import Floats
from pricing.boosting import Boosted
from pricing.credibility import Calibration, credibility
from pricing.errors import ModelError
from pricing.matrix import Inputs
from pricing.plan import Plan
from pricing.shrink import GammaPrior
from pricing.tariff import Tariff
from pricing.tiers import Tiers

FORMAT: Final = 2
QUANTILES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Rated:
    """Some drivers, rated. All of shape (n_rows,) but `matrix` (n_rows, n_features)."""

    matrix: Floats  # shrunk
    score: Floats  # centred: log of the boosted relativity
    credibility: Floats
    relativity: Floats


@dataclass(frozen=True, slots=True)
class RiskModel:
    """Frozen constants and trees.

    Attributes
    ----------
    s_bar : float
        Mean raw score of the reference book (the training rows), weighted by expected claims.
    reference : tuple of float
        Quantiles 0, 0.001 .. 1 of the reference book's indicated relativity.
    diagnostics : dict
        What training measured, out of fold.
    """

    plan: Plan
    catalogue_version: str
    tariff: Tariff
    priors: dict[str, GammaPrior]
    boosted: Boosted
    level: float
    s_bar: float
    calibration: Calibration
    tiers: Tiers
    reference: tuple[float, ...]
    diagnostics: dict[str, Any]

    def check_catalogue(self, catalogue: Catalogue) -> None:
        """Refuse features of another catalogue version.

        Raises
        ------
        ModelError
            If the model was trained on another version.
        """
        if catalogue.version != self.catalogue_version:
            raise ModelError(
                f"the model was trained on feature catalogue {self.catalogue_version}, this release has "
                f"{catalogue.version}; train again"
            )

    def rate(self, inputs: Inputs) -> Rated:
        """Rate drivers: log R = b Z (s - s_bar)."""
        if inputs.names != self.boosted.features:
            raise ModelError("the catalogue names other features than the model was trained on; train again")
        matrix = inputs.matrix(self.priors)
        score = self.boosted.score(matrix) - self.s_bar
        z = credibility(inputs.exposure_km, self.calibration.kappa_km)
        return Rated(matrix, score, z, np.exp(self.calibration.b * z * score))

    def percentile_score(self, relativity: Floats) -> Floats:
        """100 x (1 - quantile in the reference book), 100 is safest; ties stand in the middle of their quantiles."""
        reference = np.asarray(self.reference)
        below = np.searchsorted(reference, relativity, side="left")
        up_to = np.searchsorted(reference, relativity, side="right")
        return 100.0 * (1.0 - (below + up_to) / (2.0 * len(reference)))

    def manifest(self) -> dict[str, Any]:
        """JSON form of everything but the trees, without the model's id."""
        return {
            "format": FORMAT,
            "plan": self.plan.to_dict(),
            "plan_sha256": self.plan.content_hash(),
            "catalogue_version": self.catalogue_version,
            "tariff": self.tariff.to_dict(),
            "features": list(self.boosted.features),
            "typical": list(self.boosted.typical),
            "rate_priors": {name: asdict(prior) for name, prior in self.priors.items()},
            "level": self.level,
            "s_bar": self.s_bar,
            "calibration": asdict(self.calibration)
            | {"deviance_by_kappa": [list(row) for row in self.calibration.deviance_by_kappa.items()]},
            "tier_upper_ends": list(self.tiers.upper_ends),
            "reference_quantiles": list(self.reference),
            "diagnostics": self.diagnostics,
        }

    @property
    def model_id(self) -> str:
        """First 16 hex digits of the SHA-256 over trees and manifest."""
        return _identity(self.boosted.text, self.manifest())

    def save(self, folder: Path) -> None:
        """Write the model's folder."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.txt").write_text(self.boosted.text, encoding="utf-8")
        content = {"model_id": self.model_id} | self.manifest()
        (folder / "manifest.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def load_model(folder: Path) -> RiskModel:
    """Read a model's folder and check that it is what was written.

    Raises
    ------
    ModelError
        If a file is missing, or was changed since.
    """
    try:
        text = (folder / "model.txt").read_text(encoding="utf-8")
        content = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(
            f"{folder}: no model there ({Path(error.filename).name} is missing); run ubi pricing train"
        ) from error
    except ValueError as error:
        raise ModelError(f"{folder / 'manifest.json'}: not JSON: {error}") from error
    if content.get("format") != FORMAT:
        raise ModelError(
            f"{folder}: format {content.get('format')} is not {FORMAT}, which this version reads; train again"
        )
    stated = content.pop("model_id", None)
    if stated != _identity(text, content):
        raise ModelError(f"{folder}: model.txt or manifest.json was changed after training; train again")
    calibration = content["calibration"]
    return RiskModel(
        plan=plans.from_dict(content["plan"], str(folder / "manifest.json")),
        catalogue_version=content["catalogue_version"],
        tariff=Tariff.from_dict(content["tariff"]),
        priors={name: GammaPrior(**prior) for name, prior in content["rate_priors"].items()},
        boosted=Boosted(text, tuple(content["features"]), tuple(content["typical"])),
        level=content["level"],
        s_bar=content["s_bar"],
        calibration=Calibration(**(calibration | {"deviance_by_kappa": dict(calibration["deviance_by_kappa"])})),
        tiers=Tiers(tuple(content["tier_upper_ends"])),
        reference=tuple(content["reference_quantiles"]),
        diagnostics=content["diagnostics"],
    )


def _identity(text: str, manifest: dict[str, Any]) -> str:
    content = text + json.dumps(manifest, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]
