"""The plan: every parameter of the price, from a versioned TOML file."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import math
import tomllib
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Final, cast, get_type_hints

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


@dataclass(frozen=True, slots=True)
class Rateable:
    """Least driving that a factor may rest on."""

    min_km: float
    min_trips: int
    min_days: float


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


@dataclass(frozen=True, slots=True)
class CredibilityPlan:
    """Grid of kappa, and what the calibration slope has to meet."""

    kappa_km: tuple[float, ...]
    slope_band: tuple[float, ...]
    accept_miscalibrated: bool


@dataclass(frozen=True, slots=True)
class FactorPlan:
    """Band of the profile, renewal limit, and what is balanced."""

    lower: float
    upper: float
    renewal_lower: float
    renewal_upper: float
    balance: str


@dataclass(frozen=True, slots=True)
class TierPlan:
    """Labels."""

    max_tiers: int
    min_claims: int


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

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form, which `from_dict` reads."""
        # Through JSON, so that a plan read back compares equal: tuples become lists.
        return cast("dict[str, Any]", json.loads(json.dumps(dataclasses.asdict(self))))

    def content_hash(self) -> str:
        """Hex SHA-256 of the parameters, whatever the file's comments and order."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()


def load_plan(name_or_path: str = "default") -> Plan:
    """Read a plan by the name of a profile (default, china, china_nev, discount_only) or by its path.

    A file may say `base = "..."`, a profile's name, and give only the keys that differ.

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
    base = _merged(base_path)
    for key, value in content.items():
        known = base.get(key)
        base[key] = {**known, **value} if isinstance(known, dict) and isinstance(value, dict) else value
    if "plan_version" not in content:
        raise PlanError(f"{path}: plan_version is missing; what differs from '{base_name}' needs its own")
    return base


def _build(kind: type, content: dict[str, Any], where: str, prefix: str) -> object:
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)]
    for key in content:
        if key not in names:
            near = difflib.get_close_matches(key, names, n=1)
            hint = f"did you mean {prefix}{near[0]}?" if near else f"the keys are {', '.join(names)}"
            raise PlanError(f"{where}: {prefix}{key} is not a key of the plan; {hint}")
    values: dict[str, Any] = {}
    for name in names:
        if name not in content:
            raise PlanError(f'{where}: {prefix}{name} is missing; add it, or start with base = "default"')
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
    m, c, f = plan.model, plan.credibility, plan.factor
    laws = {
        "plan_version has to name the version": plan.plan_version != "",
        "window: months have to be at least 1": min(plan.window.feature_months, plan.window.label_months) >= 1,
        "tariff.source has to be frequency, premium, glm or auto": plan.tariff.source
        in {"frequency", "premium", "glm", "auto"},
        "model.folds has to be at least 2": m.folds >= 2,
        "model.rounds have to rise from 0": len(m.rounds) > 1
        and m.rounds[0] == 0
        and list(m.rounds) == sorted(set(m.rounds)),
        "model.leaves has to be 2 or 3: a tree has at most two features": m.leaves in {2, 3},
        "model.learning_rate has to be in (0, 1]": 0 < m.learning_rate <= 1,
        "model.max_bin has to be in 2..255": 2 <= m.max_bin <= 255,
        "model.min_leaf_claims has to be above 0 and model.l2 at least 0": m.min_leaf_claims > 0 and m.l2 >= 0,
        "credibility.kappa_km has to rise from at least 0": len(c.kappa_km) > 0
        and c.kappa_km[0] >= 0
        and list(c.kappa_km) == sorted(set(c.kappa_km)),
        "credibility.slope_band has to be [low, high] around 1": len(c.slope_band) == 2
        and c.slope_band[0] < 1 < c.slope_band[1],
        "factor: 0 < lower <= 1 <= upper": 0 < f.lower <= 1 <= f.upper,
        "factor: 0 < renewal_lower <= 1 <= renewal_upper": 0 < f.renewal_lower <= 1 <= f.renewal_upper,
        "factor.balance has to be claims, premium or none": f.balance in {"claims", "premium", "none"},
        "tiers: at least 1, of at least 1 claim": plan.tiers.max_tiers >= 1 and plan.tiers.min_claims >= 1,
    }
    for law, holds in laws.items():
        if not holds:
            raise PlanError(f"{where}: {law}")
