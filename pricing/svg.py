"""Small charts as inline SVG text: no library, no script, nothing fetched."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pricing.arrays import Floats

INK: Final = "#1f2933"
MUTED: Final = "#6b7785"
LINE: Final = "#d9dee4"
ACCENT: Final = "#0f766e"
SECOND: Final = "#c2410c"
_HEAT: Final = np.array([[247, 248, 250], [178, 216, 205], [66, 153, 146], [27, 88, 110], [20, 30, 60]], dtype=float)


@dataclass(frozen=True, slots=True)
class Frame:
    """Plot area in a picture, and the data ranges it shows."""

    width: int
    height: int
    x: tuple[float, float]
    y: tuple[float, float]
    left: int = 46
    right: int = 12
    top: int = 12
    bottom: int = 40

    def px(self, x: float) -> float:
        """Horizontal position of a value."""
        span = self.width - self.left - self.right
        return self.left + (x - self.x[0]) / (self.x[1] - self.x[0]) * span

    def py(self, y: float) -> float:
        """Vertical position of a value."""
        span = self.height - self.top - self.bottom
        return self.height - self.bottom - (y - self.y[0]) / (self.y[1] - self.y[0]) * span

    def picture(self, title: str, parts: Sequence[str]) -> str:
        """Wrap parts to an SVG element."""
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{html.escape(title)}">'
            f"<title>{html.escape(title)}</title>{''.join(parts)}</svg>"
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
        return [*values, text((self.left + self.width - self.right) / 2, base + 34, label, "middle", MUTED)]


def line(x1: float, y1: float, x2: float, y2: float, colour: str = INK, width: float = 1.0, dash: str = "") -> str:
    """Draw a straight line."""
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'stroke="{colour}" stroke-width="{width:g}"{dashed}/>'
    )


def box(x: float, y: float, width: float, height: float, colour: str) -> str:
    """Draw a filled rectangle."""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}" fill="{colour}"/>'


def dot(x: float, y: float, colour: str, radius: float = 4.0) -> str:
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
    return [round(k * step, 10) for k in range(first, last + 1)]


def histogram(values: Floats, low: float, high: float, label: str, title: str, bins: int = 40) -> str:
    """Bars of counts; a dashed line at 1."""
    counts, edges = np.histogram(values, bins=bins, range=(low, high))
    frame = Frame(560, 250, (low, high), (0, max(1.0, 1.08 * float(counts.max()))))
    bars = [
        box(frame.px(a) + 0.5, frame.py(n), frame.px(b) - frame.px(a) - 1, frame.py(0) - frame.py(n), ACCENT)
        for n, a, b in zip(counts.tolist(), edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    ]
    mark = [line(frame.px(1), frame.top, frame.px(1), frame.py(0), INK, 1, "4 3")] if low < 1 < high else []
    axes = [*frame.y_axis(ticks(*frame.y, 4), ",.0f"), *frame.x_axis(ticks(low, high, 6), label)]
    return frame.picture(title, [*axes, *bars, *mark])


def intervals(names: Sequence[str], values: Sequence[tuple[float, float, float, float]], label: str, title: str) -> str:
    """Draw (low, value, high) as dots with whiskers and the foretold value as a diamond, one column a name."""
    top = max(max(row[2], row[3]) for row in values) * 1.08
    frame = Frame(560, 250, (0, len(names)), (0, top))
    parts = frame.y_axis(ticks(0, top, 5))
    parts.append(line(frame.left, frame.py(1), frame.width - frame.right, frame.py(1), INK, 1, "4 3"))
    for k, (name, (low, value, high, foretold)) in enumerate(zip(names, values, strict=True)):
        x, y = frame.px(k + 0.5), frame.py(foretold)
        parts.append(line(x, frame.py(low), x, frame.py(high), ACCENT, 2))
        parts.append(dot(x, frame.py(value), ACCENT))
        parts.append(
            f'<path d="M{x:.1f} {y - 6:.1f}l6 6l-6 6l-6 -6z" fill="none" stroke="{SECOND}" stroke-width="1.5"/>'
        )
        parts.append(text(x, frame.height - frame.bottom + 16, name, "middle"))
    parts.append(text((frame.left + frame.width) / 2, frame.height - 6, label, "middle", MUTED))
    return frame.picture(title, parts)


def bars(names: Sequence[str], values: Sequence[float], title: str) -> str:
    """Horizontal bars with their values, from 0."""
    high = max(*values, 1e-9) * 1.15
    frame = Frame(560, 38 * len(names) + 12, (0, high), (0, 1), left=170, bottom=0)
    parts = []
    for k, (name, value) in enumerate(zip(names, values, strict=True)):
        y = frame.top + 38 * k
        parts.append(text(frame.left - 10, y + 17, name, "end"))
        parts.append(box(frame.left, y, frame.px(max(value, 0)) - frame.left, 24, (MUTED, ACCENT, SECOND)[k % 3]))
        parts.append(text(frame.px(max(value, 0)) + 8, y + 17, f"{value:.3f}"))
    return frame.picture(title, parts)


def slope(value: float, low: float, high: float, band: tuple[float, float], title: str) -> str:
    """One value with its interval, against the band it has to meet."""
    ends = (min(low, band[0]) - 0.1, max(high, band[1]) + 0.1)
    frame = Frame(560, 90, ends, (0, 1), left=20, bottom=36)
    middle = frame.py(0.5)
    parts = [
        box(frame.px(band[0]), frame.top, frame.px(band[1]) - frame.px(band[0]), frame.py(0) - frame.top, "#dcefe9"),
        line(frame.px(1), frame.top, frame.px(1), frame.py(0), INK, 1, "4 3"),
        line(frame.px(low), middle, frame.px(high), middle, ACCENT, 3),
        dot(frame.px(value), middle, ACCENT, 6),
        *frame.x_axis(ticks(*ends, 6), "slope b, 90 % interval, and the band it has to meet"),
    ]
    return frame.picture(title, parts)


def heatmap(cells: Floats, x: tuple[float, float], y: tuple[float, float], labels: tuple[str, str], title: str) -> str:
    """Draw cells of shape (n_x, n_y), shaded by the logarithm of their share of the whole."""
    share = cells / max(float(cells.sum()), 1.0)
    shade = np.where(share > 0, 1 + np.log10(np.maximum(share, 1e-5)) / 5, 0.0)
    frame = Frame(560, 400, x, y)
    nx, ny = cells.shape
    width, height = (frame.px(x[1]) - frame.px(x[0])) / nx, (frame.py(y[0]) - frame.py(y[1])) / ny
    parts = [box(frame.left, frame.top, width * nx, height * ny, "#f7f8fa")]
    parts += [
        box(frame.left + i * width, frame.py(y[0]) - (j + 1) * height, width + 0.3, height + 0.3, _heat(shade[i, j]))
        for i, j in zip(*np.nonzero(share), strict=True)
    ]
    parts.append(line(frame.left, frame.py(0), frame.width - frame.right, frame.py(0), MUTED, 0.7, "3 3"))
    parts += [text(frame.left - 6, frame.py(tick) + 4, f"{tick:g}", "end") for tick in ticks(*y, 6)]
    middle = frame.py((y[0] + y[1]) / 2)
    parts.append(f'<g transform="rotate(-90 12 {middle:.0f})">{text(12, middle, labels[1], "middle", MUTED)}</g>')
    return frame.picture(title, [*parts, *frame.x_axis(ticks(*x, 6), labels[0])])


def _heat(shade: float) -> str:
    at = min(max(float(shade), 0.0), 1.0) * (len(_HEAT) - 1)
    below = min(int(at), len(_HEAT) - 2)
    red, green, blue = _HEAT[below] + (at - below) * (_HEAT[below + 1] - _HEAT[below])
    return f"rgb({red:.0f},{green:.0f},{blue:.0f})"
