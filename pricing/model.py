"""The frozen risk model: everything that turns a driver's features into an indicated relativity.

A model is a folder: the rating tables (`main_effects.csv`, `pair_effects.csv`: what is filed, and what scores),
`model.txt` (LightGBM's own text that they were written from), the same for severity where the plan includes it
(`severity_...`), and `manifest.json` (all other constants, the plan, what it was trained on, its out-of-fold
diagnostics, and the certificate). Nothing in it is code.

`diagnostics/` has aggregated tables for the filing pack: hashed in the manifest, no part of `model_id`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from features.contract.catalogue import Catalogue
from pricing import plan as plans
from pricing.arrays import Floats, Ints
from pricing.certificate import Certificate, certify
from pricing.component import Component, prefix
from pricing.credibility import Calibration, credibility
from pricing.errors import ModelError, PlanError
from pricing.matrix import Inputs
from pricing.model_folder import DIAGNOSTICS, MANIFEST_FILE, put_model
from pricing.own_claims import OwnClaims
from pricing.plan import Plan
from pricing.shrink import GammaPrior
from pricing.tables import RatingTables, in_logs
from pricing.tariff import Tariff
from pricing.tiers import Tiers

FORMAT: Final = 6
_DIAGNOSTICS_SHA256: Final = "diagnostics_sha256"
QUANTILES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Rated:
    """Some drivers, rated. All of shape (n_rows,) but `matrix` (n_rows, n_features)."""

    matrix: Floats  # shrunk
    exposure_km: Floats
    score: Floats  # centred: log of the boosted relativity of frequency
    credibility: Floats  # of frequency
    relativity: Floats  # of frequency, times severity's where the plan includes it
    contributions: tuple[Ints, ...]  # `RatingTables.exact_contributions` of each component


@dataclass(frozen=True)
class RiskModel:
    """Frozen constants, rating tables, and the trees that they were written from.

    Attributes
    ----------
    severity : Component or None
        None where the plan leaves it out: the relativity is frequency's.
    reference : tuple of float
        Quantiles 0, 0.001 .. 1 of the reference book's indicated relativity.
    diagnostics : dict
        What training measured, out of fold.
    own_claims : OwnClaims or None
        None where the plan leaves them to the tariff.
    diagnosis : dict of str to polars.DataFrame
        Tables of the filing pack, aggregated: no person in them. Not part of `model_id`.
    """

    plan: Plan
    catalogue_version: str
    tariff: Tariff
    priors: dict[str, GammaPrior]
    frequency: Component
    severity: Component | None
    tiers: Tiers
    reference: tuple[float, ...]
    diagnostics: dict[str, Any]
    own_claims: OwnClaims | None = None
    diagnosis: dict[str, pl.DataFrame] = field(default_factory=dict, compare=False)

    @property
    def components(self) -> tuple[Component, ...]:
        """Parts whose product the relativity is."""
        return (self.frequency,) if self.severity is None else (self.frequency, self.severity)

    @property
    def tables(self) -> RatingTables:
        """Rating tables of frequency."""
        return self.frequency.tables

    @property
    def calibration(self) -> Calibration:
        """Of frequency."""
        return self.frequency.calibration

    @property
    def s_bar(self) -> float:
        """Of frequency."""
        return self.frequency.s_bar

    @property
    def level(self) -> float:
        """Of frequency."""
        return self.frequency.level

    def constants(self) -> dict[str, float]:
        """What a factor depends on beside tables and plan; of severity with its name in front."""
        return {prefix(part.name) + name: value for part in self.components for name, value in part.constants().items()}

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
        """Rate drivers: log R = b Z (s - s_bar), summed over the components."""
        if inputs.names != self.tables.features:
            raise ModelError("the catalogue names other features than the model was trained on; train again")
        matrix, km = inputs.matrix(self.priors), inputs.exposure_km
        contributions = tuple(part.tables.exact_contributions(matrix) for part in self.components)
        scores = [
            in_logs(own.sum(axis=1)) - part.s_bar for part, own in zip(self.components, contributions, strict=True)
        ]
        logs = [part.strength(km) * score for part, score in zip(self.components, scores, strict=True)]
        z = credibility(km, self.calibration.kappa_km)
        return Rated(matrix, km, scores[0], z, np.exp(np.sum(logs, axis=0)), contributions)

    def log_effects(self, rated: Rated) -> Floats:
        """Log of what each feature does to the relativity; the last column is the mean driver's. A row sums to log R.

        Returns
        -------
        numpy.ndarray, shape (n_rows, n_features + 1)
        """
        parts = []
        for part, exact in zip(self.components, rated.contributions, strict=True):
            contributions = in_logs(exact)
            contributions[:, -1] -= part.s_bar
            contributions *= part.strength(rated.exposure_km)[:, None]
            parts.append(contributions)
        return sum(parts[1:], start=parts[0])

    def certificate(self, catalogue: Catalogue) -> Certificate:
        """Prove that worse driving never lowers a factor, or find where it does."""
        directions = {f.name: f.direction if f.monotone else 0 for f in catalogue.features}
        parts = {part.name: (part.tables, part.calibration.b) for part in self.components}
        tiers = self.tiers.relativities
        later = {f"kappa of {part.name} is not below 0": part.calibration.kappa_km >= 0 for part in self.components}
        later["relativities of the tiers rise"] = all(low <= high for low, high in pairwise(tiers))
        if self.own_claims is not None:
            later["the variance behind own claims is not below 0"] = self.own_claims.variance >= 0
        return certify(parts, tuple(directions[name] for name in self.tables.features), catalogue.order, later)

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
            "rate_priors": {name: asdict(prior) for name, prior in self.priors.items()},
            "files_sha256": {name: _sha256(text) for name, text in self.files().items()},
            "components": {part.name: part.to_dict() for part in self.components},
            "own_claims": None if self.own_claims is None else asdict(self.own_claims),
            "tier_upper_ends": list(self.tiers.upper_ends),
            "tier_relativities": list(self.tiers.relativities),
            "reference_quantiles": list(self.reference),
            "diagnostics": self.diagnostics,
        }

    def files(self) -> dict[str, str]:
        """Text of every file of the model's folder but the manifest and the diagnostics."""
        return {name: text for part in self.components for name, text in part.files().items()}

    @cached_property
    def model_id(self) -> str:
        """First 16 hex digits of the SHA-256 over the manifest, which holds that of the plan and of every other file.

        Made once, when it is first asked for: all diagnostics have to be there by then.
        """
        return _identity(self.manifest())

    def save(self, folder: Path, *, beside: Mapping[str, str] | None = None, replace: bool = False) -> None:
        """Put the model into its folder, whole or not at all: see `put_model` for where, and for its errors.

        Parameters
        ----------
        beside : mapping of str to str, optional
            More files of the folder, which are no part of the model: text by name.
        replace : bool
            Replace another model.
        """
        told = {f"{DIAGNOSTICS}/{name}.csv": table.write_csv() for name, table in self.diagnosis.items()}
        manifest = self.manifest()
        content = {"model_id": _identity(manifest)} | manifest
        content[_DIAGNOSTICS_SHA256] = {name: _sha256(text) for name, text in told.items()}
        put_model(
            folder,
            content["model_id"],
            self.files() | told | dict(beside or {}) | {MANIFEST_FILE: json.dumps(content, indent=1) + "\n"},
            replace=replace,
        )


def load_model(folder: Path, *, changed_too: bool = False) -> RiskModel:
    """Read a model's folder and check that it is what was written.

    Parameters
    ----------
    changed_too : bool
        Read it even if a file was changed, to tell what the change does; see `changed_files`.

    Raises
    ------
    ModelError
        If a file is missing, was changed since, or cannot be read.
    """
    content, files = _read(folder)
    changed = [] if changed_too else changed_files(folder)
    if changed:
        raise ModelError(f"{folder}: {', '.join(changed)} was changed after training; train again")
    parts = {name: Component.from_dict(name, told, files) for name, told in content["components"].items()}
    return RiskModel(
        plan=plans.from_dict(content["plan"], str(folder / MANIFEST_FILE)),
        catalogue_version=content["catalogue_version"],
        tariff=Tariff.from_dict(content["tariff"]),
        priors={name: GammaPrior(**prior) for name, prior in content["rate_priors"].items()},
        frequency=parts["frequency"],
        severity=parts.get("severity"),
        tiers=Tiers(tuple(content["tier_upper_ends"]), tuple(content["tier_relativities"])),
        reference=tuple(content["reference_quantiles"]),
        diagnostics=content["diagnostics"],
        own_claims=None if content["own_claims"] is None else OwnClaims(**content["own_claims"]),
        diagnosis={
            Path(name).stem: pl.read_csv(folder / name, infer_schema_length=None)
            for name in content[_DIAGNOSTICS_SHA256]
            if (folder / name).is_file()
        },
    )


def changed_files(folder: Path) -> list[str]:
    """Names of the files of a model's folder that are not what training wrote.

    Tables of the filing pack may be missing; they price nothing.

    Raises
    ------
    ModelError
        If the folder holds no model.
    """
    content, files = _read(folder)
    changed = [name for name, text in files.items() if _sha256(text) != content["files_sha256"].get(name)]
    stated = content.pop("model_id")
    packed = content.pop(_DIAGNOSTICS_SHA256)
    if stated != _identity(content) or not _is_plan(content.get("plan"), content.get("plan_sha256")):
        changed.append(MANIFEST_FILE)
    for name, sha256 in packed.items():
        if (folder / name).is_file() and _sha256((folder / name).read_bytes().decode(errors="replace")) != sha256:
            changed.append(name)
    return changed


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The manifest, and the text of each file that it names."""
    try:
        content: dict[str, Any] = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
        if content.get("format") != FORMAT:
            raise ModelError(
                f"{folder}: format {content.get('format')} is not {FORMAT}, which this version reads; train again"
            )
        files = {name: (folder / name).read_bytes().decode(errors="replace") for name in content["files_sha256"]}
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelError(
            f"{folder}: no model there ({Path(error.filename).name} is missing); run ubi pricing train"
        ) from error
    except (ValueError, KeyError, AttributeError) as error:
        raise ModelError(f"{folder / MANIFEST_FILE}: not a model's manifest: {error!r}") from error
    if not {"model_id", _DIAGNOSTICS_SHA256, "components"} <= content.keys():
        raise ModelError(f"{folder / MANIFEST_FILE}: is no whole manifest of a model; train again")
    return content, files


def _identity(manifest: dict[str, Any]) -> str:
    """Of the manifest, its plan by the plan's own hash, which no key that comes later changes."""
    return _sha256(json.dumps({name: told for name, told in manifest.items() if name != "plan"}, sort_keys=True))[:16]


def _is_plan(content: Any, sha256: object) -> bool:
    try:
        return plans.from_dict(content, "").content_hash() == sha256
    except (PlanError, TypeError):
        return False


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
