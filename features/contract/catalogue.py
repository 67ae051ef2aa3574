"""The feature catalogue: read from its TOML, checked to be a definition, and able to tell a value to a driver."""

from __future__ import annotations

import math
import tomllib
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

from device.contract.errors import ContractError
from features.contract.measures import MEASURES, NAMES
from features.contract.periods import BINS

KINDS: Final = ("rate", "share", "level")
SIDES: Final = ("braking", "acceleration")
LANGUAGES: Final = {"en": "not known", "zh": "无数据"}
# What a step in the catalogue's order moves; see `order` in the TOML.
TOUCHED: Final = frozenset(
    (
        *("event_counts", "excursions", "va_ms", "speeding_ms", "over_130_ms"),
        *("night_harsh_events", "limit_speedings", "limit_severe_speedings"),
    )
)
# The same of a denominator: time moves within a speed band of the v-a heatmap, whose sum stays.
TOUCHED_BELOW: Final = TOUCHED - {"va_ms"}


@dataclass(frozen=True, slots=True)
class Quantile:
    """Strength of braking or acceleration that a share `exceeded` of the driving time reaches."""

    side: str
    exceeded: float


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the driving in which something was known, which features may rest on.

    Attributes
    ----------
    name : str
        What is known in it.
    known, whole : str
        Sums or measures: the part, and the driving that it is a part of.
    min_known_share : float
        Features that rest on it are null in a window where known / whole is less: what little is known is no fair part.
    denominators : tuple of str
        A feature divided by one of these, or by a measure of one of these histograms, rests on this part.
    """

    name: str
    known: str
    whole: str
    min_known_share: float
    denominators: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature of a driver in a window.

    Attributes
    ----------
    kind : str
        "rate" (a count per distance, shrunk in pricing by its count), "share" (in [0, 1]) or "level".
    direction : int
        +1 riskier when larger, -1 riskier when smaller, 0 not known before looking.
    monotone : bool
        The model is held to the direction.
    model : bool
        The feature enters the model.
    min_exposure_km : float
        Below this distance in the window, known or not, the value is null.
    numerator, denominator : str or None
        Measures or sums of driver periods; several are joined by " + ". None for a quantile.
    reason_en, reason_zh : str
        What a driver is told, with {value}.
    scale : float
        value = scale x numerator / denominator.
    known : str or None
        Null where this sum is 0, besides where the denominator is.
    plausible : tuple of float
        Least and greatest value that a driver can have; others are told as doubtful.
    grade : str
        How the value depends on the sensors, in a sentence.
    quality : bool
        Tells how well the driving was seen, and whether by one box in one car: watched, never priced.
    parts : tuple of Part
        Parts of the driving that it rests on; null where one of them is too small a share. None of a quality feature.
    """

    name: str
    unit: str
    definition: str
    formula: str
    source: str
    kind: str
    direction: int
    monotone: bool
    model: bool
    min_exposure_km: float
    numerator: str | None
    denominator: str | None
    reason_en: str
    reason_zh: str
    scale: float = 1.0
    known: str | None = None
    plausible: tuple[float, float] = (-math.inf, math.inf)
    grade: str = ""
    quality: bool = False
    quantile: Quantile | None = None
    parts: tuple[Part, ...] = ()

    @property
    def touched(self) -> bool:
        """Whether a step in the catalogue's order moves it."""
        return self.quantile is not None or bool(_read(self.numerator) & TOUCHED) or self.touched_below

    @property
    def touched_below(self) -> bool:
        """Whether a step in the catalogue's order moves what it is divided by: then it has no direction."""
        return bool(_read(self.denominator) & TOUCHED_BELOW)

    def tell(self, value: float | None, language: str = "en") -> str:
        """Tell a value to a driver; a share is told in per cent, None and NaN as not known."""
        text = self.reason_zh if language == "zh" else self.reason_en
        if value is None or math.isnan(value):
            return text.format(value="?") + f" ({LANGUAGES[language]})"
        return text.format(value=self.shown(value))

    def shown(self, value: float) -> str:
        """A value as it is told: a share in per cent, three digits."""
        return _shown(100 * value if self.kind == "share" else value)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A version of the catalogue: its features in order, the order in which worse driving is directed, known parts."""

    version: str
    features: tuple[Feature, ...]
    order: str = ""
    parts: tuple[Part, ...] = ()


@cache
def load_catalogue() -> Catalogue:
    """Read the catalogue that ships with this release.

    Raises
    ------
    ContractError
        If a feature is not a definition, named with what is wrong.
    """
    text = (resources.files("features.contract") / "catalogue.toml").read_text(encoding="utf-8")
    return parse_catalogue(tomllib.loads(text))


def parse_catalogue(table: dict[str, Any]) -> Catalogue:
    """Turn a catalogue table into features, checking each."""
    parts = tuple(_part(row) for row in table["part"])
    features = tuple(_feature(row, table["grades"], parts) for row in table["feature"])
    names = [feature.name for feature in features]
    if len(set(names)) < len(names):
        raise ContractError(f"feature {max(names, key=names.count)} stands twice in the catalogue")
    for feature in features:
        fault = _fault(feature)
        if fault:
            raise ContractError(f"feature {feature.name} of the catalogue: {fault}")
    return Catalogue(str(table["version"]), features, table["order"], parts)


def as_table(catalogue: Catalogue) -> dict[str, Any]:
    """Form for JSON."""
    return asdict(catalogue)


def terms(sum_: str | None) -> tuple[str, ...]:
    """Measures that a numerator or denominator adds up."""
    return tuple(sum_.split(" + ")) if sum_ else ()


def _read(sum_: str | None) -> set[str]:
    """Histograms and sums of driver periods behind a numerator or denominator."""
    return {MEASURES[name].histogram if name in MEASURES else name for name in terms(sum_)}


def _part(row: dict[str, Any]) -> Part:
    try:
        part = Part(**{**row, "denominators": tuple(row["denominators"])})
    except (KeyError, TypeError) as error:
        raise ContractError(f"part {row.get('name')} of the catalogue: {error}") from None
    wrong = sorted({part.known, part.whole, *part.denominators} - NAMES - BINS.keys())
    faults = {
        f"there is no measure {', '.join(wrong)}": bool(wrong),
        "min_known_share has to be above 0 and at most 1": not 0 < part.min_known_share <= 1,
        "a step of the order moves its share": bool((_read(part.known) | _read(part.whole)) & TOUCHED),
    }
    for fault, found in faults.items():
        if found:
            raise ContractError(f"part {part.name} of the catalogue: {fault}")
    return part


def _feature(row: dict[str, Any], grades: dict[str, str], parts: tuple[Part, ...]) -> Feature:
    row = dict(row)
    least, greatest = row.get("plausible", (0, 0))
    row["plausible"] = (float(least), float(greatest))
    row["grade"] = grades.get(row.get("grade", ""), "")
    for side in ("numerator", "denominator"):
        value = row.setdefault(side, None)
        row[side] = " + ".join(value) if isinstance(value, list) else value
    if "quantile" in row:
        row["quantile"] = Quantile(**row["quantile"])
        row["formula"] = (
            f"quantile of {row['quantile'].side} over va_ms at 10 km/h and more, {row['quantile'].exceeded:g} exceed it"
        )
    else:
        scale = "" if row.get("scale", 1.0) == 1.0 else f"{row['scale']:g} x "
        bottom = row["denominator"] if " + " not in str(row["denominator"]) else f"({row['denominator']})"
        row["formula"] = f"{scale}{row['numerator']} / {bottom}"
    divided_by = {"va_ms"} if "quantile" in row else {*terms(row["denominator"]), *_read(row["denominator"])}
    if not row.get("quality"):
        row["parts"] = tuple(part for part in parts if divided_by & {*part.denominators})
    try:
        return Feature(**row)
    except TypeError as error:
        raise ContractError(f"feature {row.get('name')} of the catalogue: {error}") from None


def _fault(feature: Feature) -> str | None:
    """What keeps a feature from being a definition, or None."""
    used = {*terms(feature.numerator), *terms(feature.denominator), *terms(feature.known)}
    checks = {
        f"kind {feature.kind!r} is none of {', '.join(KINDS)}": feature.kind not in KINDS,
        "direction has to be -1, 0 or 1": feature.direction not in (-1, 0, 1),
        "monotone needs a direction": feature.monotone and feature.direction == 0,
        "a step of the order moves it, so in the model it has to be monotone": (
            feature.touched and feature.model and not feature.monotone
        ),
        "a step of the order moves what it is divided by, so it cannot be in the model": (
            feature.touched_below and feature.model
        ),
        "plausible has to be two rising numbers": (not feature.plausible[0] < feature.plausible[1]),
        "quality is watched, never priced: it cannot be in the model": feature.quality and feature.model,
        "grade has to be a row of [grades]": not feature.grade,
        f"there is no measure {', '.join(sorted(used - NAMES))}": not used <= NAMES,
        "needs numerator and denominator, or a quantile": (
            feature.quantile is None and not (feature.numerator and feature.denominator)
        ),
        f"quantile side has to be one of {', '.join(SIDES)}": (
            feature.quantile is not None and feature.quantile.side not in SIDES
        ),
        "the reasons have to tell {value}": not all("{value}" in r for r in (feature.reason_en, feature.reason_zh)),
    }
    return next((fault for fault, wrong in checks.items() if wrong), None)


def _shown(value: float) -> str:
    """Three significant digits, without exponent."""
    if value == 0:
        return "0"
    digits = min(max(2 - math.floor(math.log10(abs(value))), 0), 6)
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
