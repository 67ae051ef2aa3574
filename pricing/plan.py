"""The plan: every parameter of the price, from a versioned TOML file."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import math
import tomllib
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Final, cast, get_type_hints

from pricing.between import LINE, STEP
from pricing.errors import PlanError

FOLDER: Final = Path(__file__).parent / "plans"


@dataclass(frozen=True, slots=True)
class Window:
    """Months before the rating date that features see, and months after it whose claims are the label."""

    feature_months: int
    label_months: int


@dataclass(frozen=True, slots=True)
class TariffPlan:
    """Where expected claims without telematics come from."""

    source: str
    factors: tuple[str, ...]
    covers: tuple[str, ...]
    bonus_malus: bool = True
    min_level_claims: float = 5.0


@dataclass(frozen=True, slots=True)
class Rateable:
    """Least driving that a factor may rest on.

    Attributes
    ----------
    min_seen_share : float
        Of the distance, with known acceleration (`accel_km`): a car whose speeds are too coarse to tell
        how it is driven is no calm one, and no average one either.
    """

    min_km: float
    min_trips: int
    min_days: float
    min_seen_share: float = 0.5


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """Values tried out of fold beside those of the model; empty: the model's own alone."""

    learning_rate: tuple[float, ...] = ()
    leaves: tuple[int, ...] = ()
    min_leaf_claims: tuple[float, ...] = ()
    l2: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """The boosted model and how it is chosen."""

    folds: int
    learning_rate: float
    rounds: tuple[int, ...]
    leaves: int
    max_bin: int
    min_leaf_claims: float
    l2: float
    seed: int
    severity: bool = False
    large_claim_cap: float = 0.0
    between: str = LINE
    search: SearchPlan = field(default_factory=SearchPlan)


@dataclass(frozen=True, slots=True)
class CredibilityPlan:
    """Grid of kappa, and what the calibration slope has to meet."""

    kappa_km: tuple[float, ...]
    slope_band: tuple[float, ...]
    accept_miscalibrated: bool
    own_claims: bool = False
    own_claims_months: int = 36


@dataclass(frozen=True, slots=True)
class FactorPlan:
    """Band of the profile, renewal limit, and what is balanced."""

    lower: float
    upper: float
    renewal_lower: float
    renewal_upper: float
    balance: str
    factor_from: str = "factor"


@dataclass(frozen=True, slots=True)
class TierPlan:
    """Labels."""

    max_tiers: int
    min_claims: int


@dataclass(frozen=True, slots=True)
class CustomersPlan:
    """Value of a customer: years looked at, coefficient by year with the insurer, lower ends of 5, 4, 3, 2, 1 stars."""

    years: int = 5
    gap_months: int = 6
    retention: tuple[float, ...] = (0.0, 1.0, 1.1, 1.2, 1.3)
    stars: tuple[float, ...] = (25_000.0, 16_000.0, 10_000.0, 5_000.0, 0.0)


@dataclass(frozen=True, slots=True)
class MonitorPlan:
    """What `ubi pricing monitor` calls a drift."""

    psi_watch: float = 0.10
    psi_act: float = 0.25
    confidence: float = 0.90
    confidence_act: float = 0.99
    quality_watch: float = 0.02
    quality_act: float = 0.05


@dataclass(frozen=True, slots=True)
class FairnessPlan:
    """Columns of the policies, where they are there, that the fairness report reads and no price."""

    protected: tuple[str, ...] = ("sex", "gender")


@dataclass(frozen=True, slots=True)
class ProfilePlan:
    """What the filing pack says about the profile."""

    title: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """Every parameter of the price."""

    plan_version: str
    window: Window
    tariff: TariffPlan
    rateable: Rateable
    model: ModelPlan
    credibility: CredibilityPlan
    factor: FactorPlan
    tiers: TierPlan
    customers: CustomersPlan = field(default_factory=CustomersPlan)
    monitor: MonitorPlan = field(default_factory=MonitorPlan)
    fairness: FairnessPlan = field(default_factory=FairnessPlan)
    profile: ProfilePlan = field(default_factory=ProfilePlan)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form, which `from_dict` reads."""
        # Through JSON, so that a plan read back compares equal: tuples become lists.
        return cast("dict[str, Any]", json.loads(json.dumps(dataclasses.asdict(self))))

    def content_hash(self) -> str:
        """Hex SHA-256 of the parameters, whatever the file's comments and order."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()


def load_plan(name_or_path: str = "default") -> Plan:
    """Read a plan by the name of a profile (default, china, china_nev, discount_only) or by its path.

    A file may say `base = "..."`, a profile's name, and give only the keys that differ. Keys that came with a later
    release have defaults, so that plans of before stay plans.

    Raises
    ------
    PlanError
        If there is no such plan, or a key is unknown, missing or meaningless.
    """
    path = FOLDER / f"{name_or_path}.toml"
    if not path.is_file():
        path = Path(name_or_path)
    return from_dict(_merged(path), str(path))


def from_dict(content: dict[str, Any], where: str) -> Plan:
    """Check a plan's content; `where` names it in errors."""
    plan = cast("Plan", _build(Plan, content, where, ""))
    _check(plan, where)
    return plan


def _merged(path: Path) -> dict[str, Any]:
    if not path.is_file():
        names = ", ".join(sorted(p.stem for p in FOLDER.glob("*.toml")))
        raise PlanError(f"{path}: there is no such plan; give a file, or one of {names}")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PlanError(f"{path}: not TOML: {error}") from error
    base_name = content.pop("base", None)
    if base_name is None:
        return content
    base_path = FOLDER / f"{base_name}.toml"
    if not base_path.is_file() or base_path.resolve() == path.resolve():
        raise PlanError(f"{path}: base: '{base_name}' is not the name of a profile")
    base = _over(_merged(base_path), content)
    if "plan_version" not in content:
        raise PlanError(f"{path}: plan_version is missing; what differs from '{base_name}' needs its own")
    return base


def _over(base: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in content.items():
        known = merged.get(key)
        merged[key] = _over(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return merged


def _build(kind: type, content: dict[str, Any], where: str, prefix: str) -> object:
    hints = get_type_hints(kind)
    known = {own.name: own for own in fields(kind)}
    names = list(known)
    for key in content:
        if key not in names:
            near = difflib.get_close_matches(key, names, n=1)
            hint = f"did you mean {prefix}{near[0]}?" if near else f"the keys are {', '.join(names)}"
            raise PlanError(f"{where}: {prefix}{key} is not a key of the plan; {hint}")
    values: dict[str, Any] = {}
    for name, own in known.items():
        if name not in content:
            if own.default is MISSING and own.default_factory is MISSING:
                raise PlanError(f'{where}: {prefix}{name} is missing; add it, or start with base = "default"')
            continue
        values[name] = _value(hints[name], content[name], where, f"{prefix}{name}")
    return kind(**values)


def _value(hint: Any, value: Any, where: str, key: str) -> Any:
    if is_dataclass(hint):
        if not isinstance(value, dict):
            raise PlanError(f"{where}: {key} has to be a table [{key}]")
        return _build(cast("type", hint), value, where, f"{key}.")
    item = {tuple[str, ...]: str, tuple[int, ...]: int, tuple[float, ...]: float}.get(hint)
    if item is not None:
        if not isinstance(value, list):
            raise PlanError(f"{where}: {key} = {value!r} has to be a list")
        return tuple(_value(item, v, where, key) for v in value)
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is float and not math.isfinite(value):
        raise PlanError(f"{where}: {key} = {value} has to be a finite number")
    if type(value) is not hint:
        raise PlanError(f"{where}: {key} = {value!r} has to be of type {hint.__name__}")
    return value


def _check(plan: Plan, where: str) -> None:
    for law, holds in (_model_laws(plan) | _factor_laws(plan) | _later_laws(plan)).items():
        if not holds:
            raise PlanError(f"{where}: {law}")


def _model_laws(plan: Plan) -> dict[str, bool]:
    m, c, t = plan.model, plan.credibility, plan.tariff
    return {
        "plan_version has to name the version": plan.plan_version != "",
        "window: months have to be at least 1": min(plan.window.feature_months, plan.window.label_months) >= 1,
        "tariff.source has to be frequency, premium, glm or auto": t.source in {"frequency", "premium", "glm", "auto"},
        "tariff.min_level_claims has to be at least 0": t.min_level_claims >= 0,
        "rateable.min_seen_share has to be in [0, 1]": 0 <= plan.rateable.min_seen_share <= 1,
        "model.folds has to be at least 2": m.folds >= 2,
        "model.rounds have to rise from 0": len(m.rounds) > 1 and m.rounds[0] == 0 and _rise(m.rounds),
        "model.leaves has to be 2 or 3: a tree has at most two features": {m.leaves, *m.search.leaves} <= {2, 3},
        "model.learning_rate has to be in (0, 1]": all(0 < x <= 1 for x in (m.learning_rate, *m.search.learning_rate)),
        "model.max_bin has to be in 2..255": 2 <= m.max_bin <= 255,
        "model.min_leaf_claims has to be above 0 and model.l2 at least 0": all(
            x > 0 for x in (m.min_leaf_claims, *m.search.min_leaf_claims)
        )
        and all(x >= 0 for x in (m.l2, *m.search.l2)),
        "model.large_claim_cap has to be at least 0": m.large_claim_cap >= 0,
        "model.between has to be line or step": m.between in {LINE, STEP},
        "credibility.kappa_km has to rise from at least 0": len(c.kappa_km) > 0
        and c.kappa_km[0] >= 0
        and _rise(c.kappa_km),
        "credibility.slope_band has to be [low, high] around 1": len(c.slope_band) == 2
        and c.slope_band[0] < 1 < c.slope_band[1],
        "credibility.own_claims_months has to be at least 1": c.own_claims_months >= 1,
        "credibility.own_claims needs tariff.bonus_malus = false: the tariff counts these claims already": not (
            c.own_claims and t.bonus_malus
        ),
    }


def _factor_laws(plan: Plan) -> dict[str, bool]:
    f = plan.factor
    return {
        "factor: 0 < lower <= 1 <= upper": 0 < f.lower <= 1 <= f.upper,
        "factor: 0 < renewal_lower <= 1 <= renewal_upper": 0 < f.renewal_lower <= 1 <= f.renewal_upper,
        "factor.balance has to be claims, premium or none": f.balance in {"claims", "premium", "none"},
        "factor.factor_from has to be factor or tier": f.factor_from in {"factor", "tier"},
        "tiers: at least 1, of at least 1 claim": plan.tiers.max_tiers >= 1 and plan.tiers.min_claims >= 1,
    }


def _later_laws(plan: Plan) -> dict[str, bool]:
    c, m = plan.customers, plan.monitor
    return {
        "customers.years and customers.gap_months have to be at least 1": min(c.years, c.gap_months) >= 1,
        "customers.retention has to hold at least one coefficient, none below 0": len(c.retention) > 0
        and min(c.retention) >= 0,
        "customers.stars has to fall, and name five values": len(c.stars) == 5 and _rise(c.stars[::-1]),
        "monitor: 0 < psi_watch < psi_act": 0 < m.psi_watch < m.psi_act,
        "monitor: 0 < confidence < confidence_act < 1": 0 < m.confidence < m.confidence_act < 1,
        "monitor: 0 < quality_watch < quality_act": 0 < m.quality_watch < m.quality_act,
        "fairness.protected must not name what tariff.factors prices with": not set(plan.fairness.protected)
        & set(plan.tariff.factors),
    }


def _rise(values: tuple[float, ...]) -> bool:
    return list(values) == sorted(set(values))
