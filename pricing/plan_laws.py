"""What the values of a plan have to meet, beyond their types."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pricing.between import LINE, STEP

if TYPE_CHECKING:
    from pricing.plan import Plan


def laws(plan: Plan) -> dict[str, bool]:
    """Laws as they are told to whoever wrote the plan, and whether each holds."""
    return _model_laws(plan) | _factor_laws(plan) | _later_laws(plan)


def _model_laws(plan: Plan) -> dict[str, bool]:
    m, c, t = plan.model, plan.credibility, plan.tariff
    return {
        "plan_version has to name the version": plan.plan_version != "",
        "window: months have to be at least 1": min(plan.window.feature_months, plan.window.label_months) >= 1,
        "tariff.source has to be frequency, premium, glm or auto": t.source in {"frequency", "premium", "glm", "auto"},
        "tariff.min_level_claims has to be at least 0": t.min_level_claims >= 0,
        "rateable.min_seen_share has to be in [0, 1]": 0 <= plan.rateable.min_seen_share <= 1,
        "model.folds has to be at least 2": m.folds >= 2,
        "model.rounds have to rise from 0": len(m.rounds) > 1 and m.rounds[0] == 0 and _rise(m.rounds),
        "model.leaves has to be 2 or 3: a tree has at most two features": {m.leaves, *m.search.leaves} <= {2, 3},
        "model.learning_rate has to be in (0, 1]": all(0 < x <= 1 for x in (m.learning_rate, *m.search.learning_rate)),
        "model.max_bin has to be in 2..255": 2 <= m.max_bin <= 255,
        "model.min_leaf_claims has to be above 0 and model.l2 at least 0": all(
            x > 0 for x in (m.min_leaf_claims, *m.search.min_leaf_claims)
        )
        and all(x >= 0 for x in (m.l2, *m.search.l2)),
        "model.large_claim_cap has to be at least 0": m.large_claim_cap >= 0,
        "model.between has to be line or step": m.between in {LINE, STEP},
        "credibility.kappa_km has to rise from at least 0": len(c.kappa_km) > 0
        and c.kappa_km[0] >= 0
        and _rise(c.kappa_km),
        "credibility.slope_band has to be [low, high] around 1": len(c.slope_band) == 2
        and c.slope_band[0] < 1 < c.slope_band[1],
        "credibility.own_claims_months has to be at least 1": c.own_claims_months >= 1,
        "credibility.own_claims needs tariff.bonus_malus = false: the tariff counts these claims already": not (
            c.own_claims and t.bonus_malus
        ),
    }


def _factor_laws(plan: Plan) -> dict[str, bool]:
    f = plan.factor
    return {
        "factor: 0 < lower <= 1 <= upper": 0 < f.lower <= 1 <= f.upper,
        "factor: 0 < renewal_lower <= 1 <= renewal_upper": 0 < f.renewal_lower <= 1 <= f.renewal_upper,
        "factor.balance has to be claims, premium or none": f.balance in {"claims", "premium", "none"},
        "factor.factor_from has to be factor or tier": f.factor_from in {"factor", "tier"},
        "factor.kept_discount_share has to be in [0, 1]": 0 <= f.kept_discount_share <= 1,
        "tiers: at least 1, of at least 1 claim": plan.tiers.max_tiers >= 1 and plan.tiers.min_claims >= 1,
    }


def _later_laws(plan: Plan) -> dict[str, bool]:
    c, m = plan.customers, plan.monitor
    return {
        "customers.years and customers.gap_months have to be at least 1": min(c.years, c.gap_months) >= 1,
        "customers.retention has to hold at least one coefficient, none below 0": len(c.retention) > 0
        and min(c.retention) >= 0,
        "customers.stars has to fall, and name five values": len(c.stars) == 5 and _rise(c.stars[::-1]),
        "monitor: 0 < psi_watch < psi_act": 0 < m.psi_watch < m.psi_act,
        "monitor: 0 < confidence < confidence_act < 1": 0 < m.confidence < m.confidence_act < 1,
        "monitor: 0 < quality_watch < quality_act": 0 < m.quality_watch < m.quality_act,
        "fairness.protected must not name what tariff.factors prices with": not set(plan.fairness.protected)
        & set(plan.tariff.factors),
    }


def _rise(values: tuple[float, ...]) -> bool:
    return list(values) == sorted(set(values))
