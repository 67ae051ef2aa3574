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

from pricing import plan_laws
from pricing.between import LINE
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
    """Band of the profile, renewal limit, and what is balanced.

    Attributes
    ----------
    kept_discount_share : float
        Of the discount of who is not rateable, at each rating: 1 keeps it for ever, 0 ends it at once. The renewal
        limit holds here too; a surcharge is always kept.
    """

    lower: float
    upper: float
    renewal_lower: float
    renewal_upper: float
    balance: str
    factor_from: str = "factor"
    kept_discount_share: float = 1.0


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
        """Hex SHA-256 of the parameters, whatever the file's comments and order.

        A key with a default counts only where it differs from it: such keys came later, and what was rated before
        they came is verified against the same hash after.
        """
        return hashlib.sha256(json.dumps(_without_defaults(self), sort_keys=True).encode()).hexdigest()


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
    for law, holds in plan_laws.laws(plan).items():
        if not holds:
            raise PlanError(f"{where}: {law}")
    return plan


def _without_defaults(table: Any) -> dict[str, Any]:
    """Keys of a table that have no default, or another value than it."""
    told = {}
    for own in fields(table):
        value = getattr(table, own.name)
        default = own.default_factory() if own.default_factory is not MISSING else own.default
        if value != default:
            told[own.name] = _without_defaults(value) if is_dataclass(value) else value
    return told


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
