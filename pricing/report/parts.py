"""Pieces of the page: tables with aligned numbers, figures with a sentence on how to read them, verdicts."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

MISSING: Final = "–"
VERDICTS: Final = ("ok", "watch", "act")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its head, and the format of its numbers; "" is text."""

    head: str
    form: str = ""


def esc(value: object) -> str:
    """Escape text."""
    return html.escape(str(value))


def number(value: Any, form: str) -> str:
    """Tell a number; None and NaN as a dash."""
    if value is None or (isinstance(value, float) and value != value):  # noqa: PLR0124 - NaN alone differs from itself
        return MISSING
    return f"{value:{form}}"


def interval(row: dict[str, Any], name: str, form: str = ".2f") -> str:
    """Tell a value with its interval: `1.02 [0.96, 1.08]`."""
    if row.get(name) is None:
        return MISSING
    return f"{row[name]:{form}} <i>[{row[f'{name}_low']:{form}}, {row[f'{name}_high']:{form}}]</i>"


def table(columns: Sequence[Column], rows: Iterable[Sequence[Any]], css: str = "") -> str:
    """Make a table; cells of text columns are escaped, those that are `Raw` are not."""
    heads = "".join(f'<th class="n">{esc(c.head)}</th>' if c.form else f"<th>{esc(c.head)}</th>" for c in columns)
    body = "".join(f"<tr>{''.join(_cell(c, v) for c, v in zip(columns, row, strict=True))}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table class="{css}"><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'
    )


class Raw(str):
    """Text that is HTML already."""

    __slots__ = ()


def of_frame(frame: pl.DataFrame, columns: dict[str, Column]) -> str:
    """Make a table of some columns of a frame."""
    return table(list(columns.values()), frame.select(columns.keys()).iter_rows())


def figure(title: str, picture: str, reading: str, source: str = "") -> str:
    """Make a figure: its title, the picture, one sentence on how to read it, and the file of its numbers."""
    return f"<figure><h3>{esc(title)}</h3>{picture}<figcaption>{esc(reading)}{_source(source)}</figcaption></figure>"


def grid(figures: Iterable[str]) -> str:
    """Figures side by side where there is room."""
    return f'<div class="grid">{"".join(figures)}</div>'


def section(key: str, title: str, *content: str) -> str:
    """Make a section that the table of contents can name."""
    return f'<section id="{key}"><h2>{esc(title)}</h2>{"".join(content)}</section>'


def paragraph(text: str, css: str = "") -> str:
    """Make a paragraph of plain text."""
    return f'<p class="{css}">{esc(text)}</p>' if css else f"<p>{esc(text)}</p>"


def source_line(text: str, source: str) -> str:
    """Say how to read a table, and where its numbers are."""
    return f'<p class="reading">{esc(text)}{_source(source)}</p>'


def chip(verdict: str, text: str = "") -> Raw:
    """Make a verdict: ok, watch or act."""
    return Raw(f'<span class="chip {verdict}">{esc(text or verdict)}</span>')


def folded(summary: str, content: str) -> str:
    """Content that opens on a click; it prints open."""
    return f"<details><summary>{esc(summary)}</summary>{content}</details>"


def _source(source: str) -> str:
    return f' <a href="tables/{source}.csv">{source}.csv</a>' if source else ""


def _cell(column: Column, value: Any) -> str:
    if isinstance(value, Raw):
        return f'<td class="n">{value}</td>' if column.form else f"<td>{value}</td>"
    if not column.form:
        return f"<td>{esc(MISSING if value is None else value)}</td>"
    return f'<td class="n">{number(value, column.form)}</td>'
