"""The filed tables drawn: the main effect of each variable over its values, in lines or in steps as it is priced."""

from __future__ import annotations

from typing import Final

import numpy as np

from pricing.report.charts import LINE, MODEL, MUTED, Frame, dot, line, path, ticks
from pricing.report.pack import Pack
from pricing.report.parts import figure, folded, grid, paragraph
from pricing.tables import UNIT, Main

MARGIN: Final = 0.08  # of the width beside the outermost points, where the effect stays
LEAST_WIDTH: Final = 1e-3  # of the values: below, they lie at one place and the labels of an axis would be all the same
LEAST_ROOM: Final = 0.005  # above and below the effects
SAMPLES: Final = 16  # of a line between two points: it is straight in logs


def filed_effects(pack: Pack, order: list[str], units: dict[str, str]) -> str:
    """Charts of the main effects of both parts, folded; variables without one are left out."""
    figures = []
    for part in pack.model.components:
        mains = {main.feature: main for main in part.tables.mains if len(main.ends)}
        extra = "" if part.name == "frequency" else f", {part.name}"
        figures += [
            figure(name + extra, effect_chart(mains[name], units.get(name, "")), _told(mains[name]))
            for name in order
            if name in mains
        ]
    if not figures:
        return ""
    intro = paragraph(
        "Main effect of each variable as it is filed, over the values of its bins, before slope and credibility. Dots"
        " are the points of the bins, grey lines their borders. Pairs come on top."
    )
    return folded(f"The {len(figures)} main effects as filed", intro + grid(figures))


def effect_chart(main: Main, unit: str) -> str:
    """One main effect: a line through its points, or a step at each border."""
    known = np.exp(main.effect[:-1] * UNIT)
    inner = main.points if len(main.points) else main.ends
    low, high = _axis(float(inner[0]), float(inner[-1]))
    bottom, top = float(known.min()), float(known.max())
    room = max(0.1 * (top - bottom), LEAST_ROOM)
    frame = Frame((low, high), (min(bottom, 1.0) - room, max(top, 1.0) + room), top=10)
    if len(main.points):
        x = np.concatenate([np.linspace(a, b, SAMPLES) for a, b in zip(main.points[:-1], main.points[1:], strict=True)])
        x = np.concatenate([[low], x, [high]])
        y = np.exp(np.interp(x, main.points, main.effect[:-1] * UNIT))
        dots = [dot(frame.px(float(a)), frame.py(float(b)), MODEL, 3) for a, b in zip(main.points, known, strict=True)]
    else:
        x, y, dots = np.array([low, *np.repeat(main.ends, 2), high]), np.repeat(known, 2), []
    borders = [line(frame.px(end), frame.top, frame.px(end), frame.py(frame.y[0]), LINE) for end in main.ends.tolist()]
    curve = path([(frame.px(float(a)), frame.py(float(b))) for a, b in zip(x, y, strict=True)], MODEL, 2)
    at_one = line(frame.left, frame.py(1.0), frame.width - frame.right, frame.py(1.0), MUTED, 1, "2 3")
    axes = [*frame.y_axis(ticks(*frame.y, 5)), *frame.x_axis(ticks(low, high, 6), unit)]
    return frame.picture(f"Filed effect of {main.feature}", [*axes, *borders, at_one, curve, *dots])


def _axis(low: float, high: float) -> tuple[float, float]:
    """Range of an axis with room beside these values; values at one place stand in the middle of it."""
    size = max(abs(low), abs(high))
    margin = MARGIN * (high - low) if high - low > LEAST_WIDTH * size else size / 2
    return low - (margin or 1.0), high + (margin or 1.0)


def _told(main: Main) -> str:
    return f"Not known: {float(np.exp(main.effect[-1] * UNIT)):.3f}."
