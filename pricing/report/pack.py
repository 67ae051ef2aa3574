"""What the filing pack is made from, gathered; and its files, written: `report.html`, and a CSV behind every figure."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, Final

import numpy as np
import polars as pl

from features.contract.catalogue import Catalogue
from pricing.arrays import Floats
from pricing.model import RiskModel
from pricing.ranking import Ranking

PAGE: Final = "report.html"
TABLES: Final = "tables"
NOT_MADE: Final = "This model's folder has no diagnostics; train it again with this version to see them here."


@dataclass(frozen=True, slots=True)
class Heatmap:
    """Time of a group of drivers by speed and acceleration.

    Attributes
    ----------
    va_ms : numpy.ndarray, shape (SPEED_BANDS, ACCEL_BINS)
        Milliseconds.
    """

    title: str
    va_ms: Floats


@dataclass(frozen=True, slots=True)
class Pack:
    """All that the page shows; no person in it.

    Attributes
    ----------
    banner : str
        What is simulated; empty where nothing is.
    book : dict
        Content of book.json.
    tables : dict of str to polars.DataFrame
        Those of the training (`pricing.diagnostics`) and those of the book; each is written as CSV.
    ranking : Ranking or None
        Against the truth, of a simulated book.
    versions : dict of str to str
        File or thing, and its hash.
    commands : sequence of str
        What makes this pack again.
    """

    title: str
    banner: str
    model: RiskModel
    catalogue: Catalogue
    book: dict[str, Any]
    tables: dict[str, pl.DataFrame]
    ranking: Ranking | None = None
    heatmaps: Sequence[Heatmap] = ()
    versions: dict[str, str] = field(default_factory=dict)
    commands: Sequence[str] = ()

    def table(self, name: str) -> pl.DataFrame | None:
        """Return a table, None where it was not made or is empty."""
        found = self.tables.get(name)
        return None if found is None or found.is_empty() else found

    def floats(self, name: str, column: str) -> Floats:
        """Return a column of a table."""
        return np.asarray(self.tables[name][column].cast(pl.Float64).to_numpy(), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Section:
    """One section of the page."""

    key: str
    title: str
    content: str


def write(pack: Pack, sections: Sequence[Section], cards: str, subtitle: str, folder: Path) -> Path:
    """Write the page and the tables; return the page's path."""
    (folder / TABLES).mkdir(parents=True, exist_ok=True)
    for old in (folder / TABLES).glob("*.csv"):
        old.unlink()
    for name, table in pack.tables.items():
        table.write_csv(folder / TABLES / f"{name}.csv")
    page = folder / PAGE
    page.write_text(render(pack, sections, cards, subtitle), encoding="utf-8")
    return page


def render(pack: Pack, sections: Sequence[Section], cards: str, subtitle: str) -> str:
    """Put the page together."""
    template = Template((files("pricing.report") / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=html.escape(pack.title),
        banner=f'<p class="banner">{html.escape(pack.banner)}</p>' if pack.banner else "",
        subtitle=html.escape(subtitle),
        contents="".join(f'<li><a href="#{s.key}">{html.escape(s.title)}</a></li>' for s in sections),
        cards=cards,
        sections="".join(
            f'<section id="{s.key}"><h2>{html.escape(s.title)}</h2>{s.content}</section>' for s in sections
        ),
        footer=html.escape(
            f"Made by {pack.book['constants']['code_version']}. The numbers behind every figure: tables/."
        ),
    )
