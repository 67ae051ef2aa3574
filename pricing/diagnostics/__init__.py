"""What a training has to show: aggregated tables of out-of-fold judgements, with no person in them.

    validation rows -> Validated -> tables: accuracy, curves, bands, stability, fairness, challengers, reference

`diagnose` makes them all; the model's folder keeps them as `diagnostics/NAME.csv`, the filing pack and the monitor read
them from there.
"""

from pricing.diagnostics.diagnose import diagnose

__all__ = ["diagnose"]
