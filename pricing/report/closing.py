"""Sections on the certificate, versions and how to make the pack again, and what it does not show."""

from __future__ import annotations

from pricing.report.pack import Pack, Section
from pricing.report.parts import Column, Raw, chip, esc, paragraph, source_line, table


def certificate(pack: Pack) -> Section:
    """What is proven, and under which conditions."""
    found = pack.model.diagnostics.get("certificate")
    if found is None:
        return Section("certificate", "Monotonicity certificate", paragraph("This model has none."))
    intro = (
        paragraph("Worse driving never lowers a factor, base factor held fixed. Worse is:")
        + f"<blockquote>{esc(found['order'])}</blockquote>"
        + paragraph(
            "Proven over all bins of all tables in integers, not on a sample: for each variable the least change of the"
            " score over every step and every value of the other variables. Where tables run in lines between points, a"
            " score is a mixture of those that were looked at and moves the same way."
        )
    )
    columns = [
        Column("variable"),
        Column("direction"),
        Column("steps looked at", ",d"),
        Column("least change of the score", ".3g"),
        Column("verdict"),
    ]
    rows = [
        (
            Raw(f"<code>{esc(p['feature'])}</code>"),
            "riskier when larger" if p["direction"] > 0 else "riskier when smaller",
            p["steps"],
            p["least_change_1e12"] * 1e-12,
            chip("ok" if p["holds"] else "act", "holds" if p["holds"] else "fails"),
        )
        for p in found["proofs"]
    ]
    later = [
        (name, chip("ok" if holds else "act", "holds" if holds else "fails"))
        for name, holds in found["later_steps"].items()
    ]
    return Section(
        "certificate",
        "Monotonicity certificate",
        intro
        + table(columns, rows)
        + '<h3 class="sub">Conditions of the later steps</h3>'
        + table([Column("condition"), Column("verdict")], later),
    )


def reproduce(pack: Pack) -> Section:
    """Versions, hashes and commands."""
    rows = [(name, Raw(f"<code>{esc(value)}</code>")) for name, value in pack.versions.items()]
    commands = "\n".join(pack.commands)
    return Section(
        "reproduce",
        "Versions and how to make it again",
        table([Column("what"), Column("version or SHA-256")], rows)
        + paragraph(
            "The same inputs, plan and code give the same model, factors and tables, byte by byte, at any number of"
            " threads. With your own paths:"
        )
        + f"<pre>{esc(commands)}</pre>"
        + source_line(
            "ubi pricing verify RECEIPT rebuilds one factor and names any layer that has changed; ubi pricing explain"
            " POLICY tells one factor in full.",
            "versions",
        ),
    )


def limits(_pack: Pack) -> Section:
    """What the pack does not show."""
    items = (
        (
            "Intervals are Poisson: claims that come in clusters (hail, pile-ups) make them too narrow. Bootstrap"
            " intervals leave the training itself out: the model is not fitted again."
        ),
        (
            "Trees and kappa were chosen on the out-of-fold scores that are judged here; tiers were cut on them. The"
            " ends of the tiers are flattered by that, the deciles hardly."
        ),
        "A/E by band is what goes along with a variable, not what it causes.",
        "Late claims are not developed: the last months look better than they will be.",
        (
            "Drivers chose to be recorded. The off-balance holds inside this book; a book of better drivers than the"
            " tariff expects shows as claims over the tariff's expectation below 1 (section Data), and that discount or"
            " loss is the base rate's affair."
        ),
        "Fairness is judged on the attributes the policies bring, in groups of twenty drivers or more.",
    )
    return Section(
        "limits", "What this pack does not show", "<ul>" + "".join(f"<li>{esc(item)}</li>" for item in items) + "</ul>"
    )
