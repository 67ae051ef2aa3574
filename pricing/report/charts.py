"""Charts as inline SVG text: no library, no script, nothing fetched.

One size fits a phone and half a desktop page. Observed claims are ink, the model is green, the tariff is orange,
everywhere.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from pricing.arrays import Floats

INK: Final = "#1f2933"
MUTED: Final = "#6b7785"
LINE: Final = "#dfe4e9"
MODEL: Final = "#0f766e"
TARIFF: Final = "#c2410c"
THIRD: Final = "#4f5bd5"
FOURTH: Final = "#a1620a"
PALE: Final = "#d6ece8"
WIDTH: Final = 440
HEIGHT: Final = 250
_HEAT: Final = np.array([[247, 248, 250], [178, 216, 205], [66, 153, 146], [27, 88, 110], [20, 30, 60]], dtype=float)
_CHARACTER: Final = 6.9  # about the width of one at 12.5 px, in a wide font
_LINE: Final = 17.0  # room that a slanted name takes


@dataclass(frozen=True, slots=True)
class Series:
    """Points of one kind in a chart: drawn as dots, whiskers where `low` and `high` are given, and a line if asked."""

    name: str
    y: Sequence[float | None]
    colour: str = MODEL
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    line: bool = False
    dash: str = ""
    dots: bool = True


@dataclass(frozen=True, slots=True)
class Frame:
    """Plot area in a picture, and the data ranges it shows."""

    x: tuple[float, float]
    y: tuple[float, float]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = 44
    right: int = 10
    top: int = 26
    bottom: int = 42
    legend: Sequence[tuple[str, str]] = field(default_factory=tuple)

    def px(self, x: float) -> float:
        """Horizontal position of a value."""
        return self.left + (x - self.x[0]) / (self.x[1] - self.x[0]) * (self.width - self.left - self.right)

    def py(self, y: float) -> float:
        """Vertical position of a value."""
        span = self.height - self.top - self.bottom
        return self.height - self.bottom - (y - self.y[0]) / (self.y[1] - self.y[0]) * span

    def picture(self, title: str, parts: Sequence[str]) -> str:
        """Wrap parts to an SVG element, with the legend on top."""
        keys, x = [], float(self.left)
        for name, colour in self.legend:
            keys += [box(x, 7, 10, 10, colour), text(x + 14, 16, name, colour=MUTED)]
            x += 26 + _CHARACTER * len(name)
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{html.escape(title)}">'
            f"<title>{html.escape(title)}</title>{''.join([*keys, *parts])}</svg>"
        )

    def y_axis(self, ticks: Sequence[float], form: str = "g") -> list[str]:
        """Grid lines with their values."""
        return [
            part
            for tick in ticks
            for part in (
                line(self.left, self.py(tick), self.width - self.right, self.py(tick), LINE),
                text(self.left - 6, self.py(tick) + 4, f"{tick:{form}}", "end"),
            )
        ]

    def x_axis(self, ticks: Sequence[float], label: str, form: str = "g") -> list[str]:
        """Values below the plot, and what they are."""
        base = self.height - self.bottom
        values = [text(self.px(tick), base + 16, f"{tick:{form}}", "middle") for tick in ticks]
        return [*values, self.x_label(label)]

    def x_names(self, names: Sequence[str], label: str) -> list[str]:
        """Names below the plot, one a column, slanted where they would meet."""
        room = (self.width - self.left - self.right) / max(1, len(names))
        base = self.height - self.bottom
        every = math.ceil(_LINE / room)
        names = [name if k % every == 0 else "" for k, name in enumerate(names)]
        if max(map(len, names)) * _CHARACTER < room - 3:
            told = [text(self.px(k + 0.5), base + 16, name, "middle") for k, name in enumerate(names)]
        else:
            told = [
                f'<g transform="translate({self.px(k + 0.5) + 4:.1f} {base + 12:.1f}) rotate(-35)">'
                f"{text(0, 0, name, 'end')}</g>"
                for k, name in enumerate(names)
            ]
        return [*told, self.x_label(label)]

    def x_label(self, label: str) -> str:
        """What the horizontal axis is."""
        return text((self.left + self.width - self.right) / 2, self.height - 6, label, "middle", MUTED)


def line(x1: float, y1: float, x2: float, y2: float, colour: str = INK, width: float = 1.0, dash: str = "") -> str:
    """Draw a straight line."""
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'stroke="{colour}" stroke-width="{width:g}"{dashed}/>'
    )


def path(points: Sequence[tuple[float, float]], colour: str, width: float = 1.8, dash: str = "") -> str:
    """Draw a line through points."""
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    steps = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path d="M{steps}" fill="none" stroke="{colour}" stroke-width="{width:g}"{dashed}/>'


def box(x: float, y: float, width: float, height: float, colour: str) -> str:
    """Draw a filled rectangle."""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}" fill="{colour}"/>'


def dot(x: float, y: float, colour: str, radius: float = 3.5) -> str:
    """Draw a filled circle."""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{colour}"/>'


def text(x: float, y: float, content: str, anchor: str = "start", colour: str = INK) -> str:
    """Write text; `anchor` is start, middle or end."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{html.escape(content)}</text>'


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round values within a range, about so many."""
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = min((m * power for m in (1, 2, 2.5, 5, 10)), key=lambda s: abs(s - raw))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(k * step, max(0, 1 - math.floor(math.log10(step)))) for k in range(first, last + 1)]


def by_name(
    names: Sequence[str], series: Sequence[Series], label: str, title: str, at_one: bool = True, height: int = HEIGHT
) -> str:
    """Draw one column a name: dots, whiskers, lines. The vertical axis starts at 0 unless all values lie far above."""
    values = [v for s in series for v in (*s.y, *s.low, *s.high) if v is not None]
    high = max(values) * 1.06 or 1.0  # all may be 0
    low = 0.0 if min(values) < 0.45 * high else min(values) * 0.94
    long = max(map(len, names)) * _CHARACTER * len(names) > WIDTH - 54 - 3 * len(names)
    bottom = 42 + (min(62, int(max(map(len, names)) * 3.6)) if long else 0)
    legend = [(s.name, s.colour) for s in series if s.name]
    frame = Frame((0, len(names)), (low, high), height=height + bottom - 42, bottom=bottom, legend=legend)
    parts = frame.y_axis(ticks(low, high, 5))
    if at_one and low < 1 < high:
        parts.append(line(frame.left, frame.py(1), frame.width - frame.right, frame.py(1), MUTED, 1, "4 3"))
    for k, one in enumerate(series):
        shift = 0.5 + (k - (len(series) - 1) / 2) * min(0.16, 0.5 / max(1, len(series)))
        points = [(frame.px(i + shift), frame.py(v)) for i, v in enumerate(one.y) if v is not None]
        if one.line and points:
            parts.append(path(points, one.colour, dash=one.dash))
        for i, (low_, high_) in enumerate(zip(one.low, one.high, strict=True)):
            x = frame.px(i + shift)
            parts.append(line(x, frame.py(min(low_, high)), x, frame.py(min(high_, high)), one.colour, 1.6))
        if one.dots:
            parts += [dot(x, y, one.colour) for x, y in points]
    return frame.picture(title, [*parts, *frame.x_names(names, label)])


def curve(
    lines: Sequence[tuple[str, Sequence[float], Sequence[float], str, str]], labels: tuple[str, str], title: str
) -> str:
    """Draw curves in the unit square: (name, x, y, colour, dash); the diagonal is thin."""
    legend = [(name, colour) for name, _, _, colour, _ in lines if name]
    frame = Frame((0, 1), (0, 1), height=330, legend=legend)
    parts = [*frame.y_axis([0, 0.25, 0.5, 0.75, 1]), line(frame.px(0), frame.py(0), frame.px(1), frame.py(1), MUTED)]
    parts += [
        path([(frame.px(a), frame.py(b)) for a, b in zip(x, y, strict=True)], colour, 2, dash)
        for _, x, y, colour, dash in lines
    ]
    parts.append(_upright(labels[1], (frame.top + frame.height - frame.bottom) / 2))
    return frame.picture(title, [*parts, *frame.x_axis([0, 0.25, 0.5, 0.75, 1], labels[0])])


def histogram(
    counts: Sequence[float], edges: Sequence[float], label: str, title: str, marks: Sequence[float] = ()
) -> str:
    """Bars between edges; dashed lines at marks."""
    frame = Frame((edges[0], edges[-1]), (0, max(1.0, 1.08 * max(counts))), top=12)
    bars_ = [
        box(frame.px(a) + 0.5, frame.py(n), frame.px(b) - frame.px(a) - 1, frame.py(0) - frame.py(n), MODEL)
        for n, a, b in zip(counts, edges, edges[1:], strict=False)
    ]
    dashes = [line(frame.px(m), frame.top, frame.px(m), frame.py(0), INK, 1, "4 3") for m in marks]
    axes = [*frame.y_axis(ticks(*frame.y, 4), ",.0f"), *frame.x_axis(ticks(edges[0], edges[-1], 6), label)]
    return frame.picture(title, [*axes, *bars_, *dashes])


def pairs(names: Sequence[str], series: Sequence[Series], label: str, title: str, form: str = "g") -> str:
    """Bars side by side, one group a name; a value that is not told leaves its place empty."""
    high = max((v for s in series for v in s.y if v is not None), default=1.0) * 1.08 or 1.0
    long = max(map(len, names)) * _CHARACTER * len(names) > WIDTH - 54 - 3 * len(names)
    bottom = 42 + (min(62, int(max(map(len, names)) * 3.6)) if long else 0)
    frame = Frame(
        (0, len(names)),
        (0, high),
        height=HEIGHT + bottom - 42,
        bottom=bottom,
        legend=[(s.name, s.colour) for s in series if s.name],
    )
    wide = (frame.px(1) - frame.px(0)) * 0.8 / len(series)
    parts = frame.y_axis(ticks(0, high, 4), form)
    for k, one in enumerate(series):
        parts += [
            box(frame.px(i + 0.1) + k * wide, frame.py(v), wide - 1, frame.py(0) - frame.py(v), one.colour)
            for i, v in enumerate(one.y)
            if v is not None
        ]
    return frame.picture(title, [*parts, *frame.x_names(names, label)])


def bars(
    names: Sequence[str], values: Sequence[float], title: str, form: str = ".3f", colours: Sequence[str] = ()
) -> str:
    """Horizontal bars with their values, from 0."""
    left = int(min(230, 14 + max(map(len, names)) * _CHARACTER))
    frame = Frame((0, max(*values, 1e-9) * 1.2), (0, 1), height=24 * len(names) + 8, left=left, bottom=0, top=0)
    parts = []
    for k, (name, value) in enumerate(zip(names, values, strict=True)):
        y = 6 + 24 * k
        colour = colours[k] if colours else MODEL
        parts += [
            text(left - 8, y + 12, name, "end"),
            box(left, y, frame.px(value) - left, 16, colour),
            text(frame.px(value) + 5, y + 12, f"{value:{form}}"),
        ]
    return frame.picture(title, parts)


def forest(
    rows: Sequence[tuple[str, float, float, float]],
    label: str,
    title: str,
    at: float = 1.0,
    band: tuple[float, float] | None = None,
) -> str:
    """Draw (name, value, low, high) as a line each, below one another; `band` is shaded."""
    ends = [v for _, value, low, high in rows for v in (value, low, high)] + [at, *(band or ())]
    pad = 0.06 * (max(ends) - min(ends) or 1.0)
    left = int(min(220, 14 + max(len(name) for name, *_ in rows) * _CHARACTER))
    frame = Frame((min(ends) - pad, max(ends) + pad), (0, 1), height=22 * len(rows) + 52, left=left, top=6)
    base = frame.height - frame.bottom
    parts = [box(frame.px(band[0]), 6, frame.px(band[1]) - frame.px(band[0]), base - 6, PALE)] if band else []
    parts.append(line(frame.px(at), 6, frame.px(at), base, MUTED, 1, "4 3"))
    for k, (name, value, low, high) in enumerate(rows):
        y = 17 + 22 * k
        parts += [
            text(left - 8, y + 4, name, "end"),
            line(frame.px(low), y, frame.px(high), y, MODEL, 2),
            dot(frame.px(value), y, MODEL, 4),
        ]
    return frame.picture(title, [*parts, *frame.x_axis(ticks(*frame.x, 5), label)])


def heatmap(cells: Floats, x: tuple[float, float], y: tuple[float, float], labels: tuple[str, str], title: str) -> str:
    """Draw cells of shape (n_x, n_y), shaded by the logarithm of their share of the whole."""
    share = cells / max(float(cells.sum()), 1.0)
    shade = np.where(share > 0, 1 + np.log10(np.maximum(share, 1e-5)) / 5, 0.0)
    frame = Frame(x, y, height=340, top=10)
    nx, ny = cells.shape
    width, height = (frame.px(x[1]) - frame.px(x[0])) / nx, (frame.py(y[0]) - frame.py(y[1])) / ny
    parts = [box(frame.left, frame.top, width * nx, height * ny, "#f7f8fa")]
    parts += [
        box(frame.left + i * width, frame.py(y[0]) - (j + 1) * height, width + 0.3, height + 0.3, _heat(shade[i, j]))
        for i, j in zip(*np.nonzero(share), strict=True)
    ]
    parts.append(line(frame.left, frame.py(0), frame.width - frame.right, frame.py(0), MUTED, 0.7, "3 3"))
    parts += [text(frame.left - 6, frame.py(tick) + 4, f"{tick:g}", "end") for tick in ticks(*y, 6)]
    parts.append(_upright(labels[1], frame.py((y[0] + y[1]) / 2)))
    return frame.picture(title, [*parts, *frame.x_axis(ticks(*x, 6), labels[0])])


def _upright(label: str, y: float) -> str:
    return f'<g transform="rotate(-90 10 {y:.0f})">{text(10, y, label, "middle", MUTED)}</g>'


def _heat(shade: float) -> str:
    at = min(max(float(shade), 0.0), 1.0) * (len(_HEAT) - 1)
    below = min(int(at), len(_HEAT) - 2)
    red, green, blue = _HEAT[below] + (at - below) * (_HEAT[below + 1] - _HEAT[below])
    return f"rgb({red:.0f},{green:.0f},{blue:.0f})"
