"""One factor, told to a person: the product of all its parts, the history it rests on, and what would change it."""

from __future__ import annotations

import numpy as np

from features.contract.catalogue import Catalogue
from pricing.reasons import tell_all
from pricing.rebuild import Rebuilt


def product(rebuilt: Rebuilt, catalogue: Catalogue, language: str = "en") -> str:
    """Tell one factor as the product of all its parts, strongest effects first."""
    row, book = rebuilt.published, rebuilt.book
    by_name = {feature.name: feature for feature in catalogue.features}
    values, effects, logs = rebuilt.inputs.values[0], rebuilt.split.effects[0], rebuilt.split.logs[0]
    lines = [
        f"policy {row['policy_id']}, driver {row['driver_id']}, {row['period_start']} to {row['period_end']}",
        f"{row['exposure_km']:,.0f} km, {row['trips']:,} trips, {row['exposure_days']:.0f} days in the window",
        f"credibility {row['credibility']:.3f}, score {row['score']:.1f}, tier {row['tier'] or '-'}",
        "",
        f"{rebuilt.factor:.6f}  factor, the product of:",
        f"{book['constants']['base_factor']:.6f}  base factor of the book (off-balance)",
        f"{rebuilt.split.base[0]:.6f}  mean driver of the reference book",
    ]
    order = np.argsort(-np.abs(logs), kind="stable")
    moving = [column for column in order if logs[column]]
    for column in moving:
        feature = by_name[rebuilt.split.names[column]]
        lines.append(f"{effects[column]:.6f}  {tell_all(feature, values[[column]], language)[0]}")
    still = len(order) - len(moving)
    if still:
        lines.append(f"1.000000  {still} more features of the model that have no effect here")
    lines.extend(f"{value:.6f}  {name}" for name, value in rebuilt.adjustments.items())
    return "\n".join(lines)
