"""The frozen risk model: everything that turns a driver's features into an indicated relativity.

A model is a folder: the rating tables (`main_effects.csv`, `pair_effects.csv`: what is filed, and what scores),
`model.txt` (LightGBM's own text that they were written from) and `manifest.json` (all other constants, the plan, what
it was trained on, its out-of-fold diagnostics, and the certificate). Nothing in it is code.
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
from pricing.certificate import Certificate, certify
from pricing.credibility import Calibration, credibility
from pricing.errors import ModelError
from pricing.matrix import Inputs
from pricing.plan import Plan
from pricing.shrink import GammaPrior
from pricing.tables import MAIN_FILE, PAIR_FILE, RatingTables, read_tables
from pricing.tariff import Tariff
from pricing.tiers import Tiers

FORMAT: Final = 3
MODEL_FILE: Final = "model.txt"
MANIFEST_FILE: Final = "manifest.json"
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
    """Frozen constants, rating tables, and the trees that they were written from.

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
    tables: RatingTables
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
        if inputs.names != self.tables.features:
            raise ModelError("the catalogue names other features than the model was trained on; train again")
        matrix = inputs.matrix(self.priors)
        score = self.tables.score(matrix) - self.s_bar
        z = credibility(inputs.exposure_km, self.calibration.kappa_km)
        return Rated(matrix, score, z, np.exp(self.calibration.b * z * score))

    def certificate(self, catalogue: Catalogue) -> Certificate:
        """Prove that worse driving never lowers a factor, or find where it does."""
        directions = {f.name: f.direction if f.monotone else 0 for f in catalogue.features}
        names = self.tables.features
        return certify(self.tables, tuple(directions[name] for name in names), catalogue.order, self.calibration.b)

    def check_certificate(self, catalogue: Catalogue) -> None:
        """Refuse a model under which worse driving could lower a factor.

        Raises
        ------
        ModelError
            With the first counter-example.
        """
        faults = self.certificate(catalogue).faults()
        if faults:
            raise ModelError(f"worse driving could lower a factor: {faults[0]}; train again, or take the feature out")

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

    def files(self) -> dict[str, str]:
        """Text of every file of the model's folder but the manifest."""
        return {MODEL_FILE: self.boosted.text, **self.tables.files()}

    @property
    def model_id(self) -> str:
        """First 16 hex digits of the SHA-256 over trees, tables and manifest."""
        return _identity(self.files(), self.manifest())

    def save(self, folder: Path) -> None:
        """Write the model's folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in self.files().items():
            (folder / name).write_text(text, encoding="utf-8", newline="")
        content = {"model_id": self.model_id} | self.manifest()
        (folder / MANIFEST_FILE).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def load_model(folder: Path) -> RiskModel:
    """Read a model's folder and check that it is what was written.

    Raises
    ------
    ModelError
        If a file is missing, or was changed since.
    """
    try:
        content = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
        if content.get("format") != FORMAT:
            raise ModelError(
                f"{folder}: format {content.get('format')} is not {FORMAT}, which this version reads; train again"
            )
        files = {name: (folder / name).read_bytes().decode() for name in (MODEL_FILE, MAIN_FILE, PAIR_FILE)}
    except FileNotFoundError as error:
        raise ModelError(
            f"{folder}: no model there ({Path(error.filename).name} is missing); run ubi pricing train"
        ) from error
    except ValueError as error:
        raise ModelError(f"{folder / MANIFEST_FILE}: not JSON: {error}") from error
    stated = content.pop("model_id", None)
    if stated != _identity(files, content):
        raise ModelError(f"{folder}: {', '.join(files)} or {MANIFEST_FILE} was changed after training; train again")
    calibration = content["calibration"]
    return RiskModel(
        plan=plans.from_dict(content["plan"], str(folder / MANIFEST_FILE)),
        catalogue_version=content["catalogue_version"],
        tariff=Tariff.from_dict(content["tariff"]),
        priors={name: GammaPrior(**prior) for name, prior in content["rate_priors"].items()},
        boosted=Boosted(files[MODEL_FILE], tuple(content["features"]), tuple(content["typical"])),
        tables=read_tables(files),
        level=content["level"],
        s_bar=content["s_bar"],
        calibration=Calibration(**(calibration | {"deviance_by_kappa": dict(calibration["deviance_by_kappa"])})),
        tiers=Tiers(tuple(content["tier_upper_ends"])),
        reference=tuple(content["reference_quantiles"]),
        diagnostics=content["diagnostics"],
    )


def _identity(files: dict[str, str], manifest: dict[str, Any]) -> str:
    content = "".join(files.values()) + json.dumps(manifest, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]
