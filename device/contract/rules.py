"""Event rules: versioned TOML, read once into integers so that both implementations compare the same numbers."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

from device.contract.errors import ContractError

CURRENT_VERSION: Final = 3

# Numbers of the kinds on the wire. Only additions.
KIND_NUMBERS: Final[dict[str, int]] = {
    "harsh_braking": 1,
    "harsh_acceleration": 2,
    "harsh_turn_left": 3,
    "harsh_turn_right": 4,
    "impact": 5,
    "speeding": 6,
    "idling": 7,
}
KIND_NAMES: Final[dict[int, str]] = {number: name for name, number in KIND_NUMBERS.items()}
# Kinds whose swings are tabulated as excursions.
EXCURSION_KINDS: Final = ("harsh_braking", "harsh_acceleration", "harsh_turn_left", "harsh_turn_right")
_KEYS: Final = (
    *("kind", "signal", "sign", "entry", "exit", "levels"),
    *("min_duration_ms", "min_speed_kmh", "merge_gap_ms", "bridge_ms"),
)
_EXCURSION_KEYS: Final = ("entry", "exit", "bridge_ms")


@dataclass(frozen=True, slots=True)
class Rule:
    """One event kind. Thresholds are integers of the signal's own unit.

    `signal` is a motion column in 0.01 m/s2, or one that follows from several: `over_limit_dkmh` (speed over the limit,
    or over the default where none is known), `idling` (1 with the engine on and the car standing, else 0). A run goes
    on where the signal is not known for at most `bridge_ms`, between samples at or over `exit`.
    """

    kind: str
    signal: str
    sign: int
    entry: int
    exit: int
    levels: tuple[int, ...]
    min_duration_ms: int
    min_speed_dkmh: int
    merge_gap_ms: int
    bridge_ms: int = 0

    @property
    def number(self) -> int:
        """The kind's number on the wire."""
        return KIND_NUMBERS[self.kind]

    def level(self, peak: int) -> int:
        """Severity level of a peak: how many of `levels` it reached."""
        return sum(peak >= threshold for threshold in self.levels)


@dataclass(frozen=True, slots=True)
class Rules:
    """A rules version: the event rules, the excursion rules, and the limit assumed where none is known."""

    version: int
    rules: tuple[Rule, ...]
    excursions: tuple[Rule, ...]
    default_limit_dkmh: int


@cache
def load_rules(version: int = CURRENT_VERSION) -> Rules:
    """Read a rules version that ships with the package.

    Raises
    ------
    ContractError
        If the version is not shipped or its file breaks the definition (entry below exit, levels not rising, a bridge
        of a signal that is no acceleration).
    """
    file = resources.files("device.contract") / "event_rules" / f"rules-{version}.toml"
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ContractError(
            f"this release has no event rules version {version}, its newest is {CURRENT_VERSION}; update ubi"
        ) from None
    return parse_rules(tomllib.loads(text))


def parse_rules(table: dict[str, Any]) -> Rules:
    """Turn a rules table into integers, checking that it is a definition."""
    rules = tuple(_rule(row) for row in table["rule"])
    by_kind = {rule.kind: rule for rule in rules}
    _check_keys("excursion", table["excursion"], _EXCURSION_KEYS)
    entry, leave = _steps(table["excursion"]["entry"], 100), _steps(table["excursion"]["exit"], 100)
    bridge_ms = int(table["excursion"].get("bridge_ms", 0))
    excursions = tuple(
        Rule(kind, by_kind[kind].signal, by_kind[kind].sign, entry, leave, (entry,), 0, 0, -1, bridge_ms)
        for kind in EXCURSION_KINDS
    )
    for rule in rules + excursions:
        if rule.exit > rule.entry or list(rule.levels) != sorted(set(rule.levels)) or rule.sign not in (-1, 1):
            raise ContractError(f"event rule {rule.kind}: needs exit <= entry, rising levels and sign 1 or -1")
        if rule.bridge_ms and not (rule.bridge_ms > 0 and rule.signal.endswith("_cmps2")):
            raise ContractError(f"event rule {rule.kind}: bridge_ms is 0 or more, and of accelerations only")
    return Rules(int(table["version"]), rules, excursions, _steps(table["speeding"]["default_limit_kmh"], 10))


def _rule(row: dict[str, Any]) -> Rule:
    _check_keys(f"event rule {row['kind']}", row, _KEYS)
    scale = 1 if row["signal"] == "idling" else 10 if row["signal"].endswith("_dkmh") else 100
    return Rule(
        kind=row["kind"],
        signal=row["signal"],
        sign=int(row["sign"]),
        entry=_steps(row["entry"], scale),
        exit=_steps(row["exit"], scale),
        levels=tuple(_steps(level, scale) for level in row["levels"]),
        min_duration_ms=int(row["min_duration_ms"]),
        min_speed_dkmh=_steps(row["min_speed_kmh"], 10),
        merge_gap_ms=int(row["merge_gap_ms"]),
        bridge_ms=int(row.get("bridge_ms", 0)),  # versions 1 and 2 bridge nothing
    )


def _check_keys(name: str, table: dict[str, Any], keys: tuple[str, ...]) -> None:
    """Refuse a misspelt key, which would otherwise be one that is not given."""
    if unknown := set(table) - set(keys):
        raise ContractError(f"{name}: '{min(unknown)}' is no key; there are {', '.join(keys)}")


def _steps(value: float, scale: int) -> int:
    return round(value * scale)
