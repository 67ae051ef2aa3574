"""What reading a portfolio decides, numbered and counted: the table that goes into the model, and the rows left out.

A structural error (a missing column, a date that is none, rows that contradict each other) refuses the file. The cases
here are ordinary in a real portfolio: they are decided as `JUDGEMENTS` says, and every row set aside is listed with
its file, row and reason in `set_aside.csv`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

log = logging.getLogger(__name__)

FILE: Final = "set_aside.csv"
SET_ASIDE: Final = pl.Schema(
    {"file": pl.String, "row": pl.Int64, "judgement": pl.Int64, "reason": pl.String}  # row: 1-based, no header
)


class Judgement(NamedTuple):
    """One decision: what it is about, what is done, and with which rows."""

    table: str
    action: str  # "set aside": not used and listed
    rows: str


JUDGEMENTS: Final[dict[int, Judgement]] = {
    1: Judgement("policies", "set aside", "end on the day they start: never were a risk"),
    2: Judgement("policies", "set aside", "stand there already, the same in every column"),
    3: Judgement("policies", "set aside", "were cancelled from their first day"),
    4: Judgement("policies", "cut", "were cancelled before their end: earn to that day"),
    5: Judgement("policies", "cut", "are replaced by the next row of their policy and driver: earn to that day"),
    6: Judgement("policies", "used", "start while their driver has another policy: both count"),
    7: Judgement("policies", "used", "change the driver or the device of their policy: claims follow the driver"),
    8: Judgement("claims", "left out", "are of covers that the plan does not choose"),
    9: Judgement("claims", "set aside", "name a policy that is not in the file"),
    10: Judgement("claims", "set aside", "occurred on a day that no row of their policy covers"),
    11: Judgement("claims", "set aside", "have a negative amount and no claim_id to net it from"),
    12: Judgement("claims", "joined", "are movements of a claim that stands there already: amounts add up"),
    13: Judgement("claims", "used", "have nothing left after recoveries: count as claims, amount 0"),
    14: Judgement("claims", "used", "have no amount: count as claims, not for severity"),
    15: Judgement("claims", "capped", "are above the plan's model.large_claim_cap: count with the cap"),
    16: Judgement("drivers", "used", "have a policy and no trip at all: never trained on, keep their factor"),
    17: Judgement("drivers", "left out", "have trips and no policy"),
    18: Judgement("histories", "set aside", "stand there already, the same in every column"),
    19: Judgement("histories", "set aside", "end on the day they start: never were a risk"),
    20: Judgement("histories", "used", "start while their driver has another term: both count"),
    21: Judgement("histories", "used", "have more recovered than paid and open: their claims count as 0"),
    22: Judgement("histories", "left out", "start on the rating date or later: no past yet"),
    23: Judgement("histories", "used", "are of drivers without a policy in the file"),
}


@dataclass(slots=True)
class Judged:
    """Counts of judgements, and the rows set aside, as they are made."""

    rows: dict[int, int] = field(default_factory=dict)
    amounts: dict[int, float] = field(default_factory=dict)
    parts: list[pl.DataFrame] = field(default_factory=list)

    def count(self, number: int, rows: int, amount: float = 0.0) -> None:
        """Add rows that a judgement was made of, and the amount it moved."""
        if rows:
            self.rows[number] = self.rows.get(number, 0) + rows
            self.amounts[number] = self.amounts.get(number, 0.0) + amount
            told = JUDGEMENTS[number]
            log.info("judgement %d: %d %s %s (%s)", number, rows, told.table, told.rows, told.action)

    def set_aside(self, number: int, path: Path, rows: pl.Series) -> None:
        """List rows (1-based numbers in the file) that are not used."""
        self.count(number, len(rows))
        if len(rows):
            told = JUDGEMENTS[number]
            log.warning("%s: %d rows are set aside: they %s; the first is row %d", path, len(rows), told.rows, rows[0])
            listed = pl.DataFrame({"row": rows.cast(pl.Int64)}).with_columns(
                file=pl.lit(path.name), judgement=pl.lit(number, pl.Int64), reason=pl.lit(told.rows)
            )
            self.parts.append(listed.select(*SET_ASIDE))

    def table(self) -> list[dict[str, Any]]:
        """Every judgement with its count, those of no row too."""
        return [
            {"number": number, **told._asdict(), "count": self.rows.get(number, 0)}
            | ({"amount": round(self.amounts[number], 2)} if self.amounts.get(number) else {})
            for number, told in JUDGEMENTS.items()
        ]

    def listed(self) -> pl.DataFrame:
        """Rows set aside, sorted by file and row. Schema `SET_ASIDE`."""
        return pl.concat([SET_ASIDE.to_frame(), *self.parts]).sort("file", "row", "judgement")


def judge_driving(policies: pl.DataFrame, periods: pl.DataFrame, judged: Judged) -> None:
    """Count drivers with policies and no trips, and drivers with trips and no policies."""
    insured, driving = policies.select("driver_id").unique(), periods.select("driver_id").unique()
    without = insured.join(driving, on="driver_id", how="anti").height
    if without == insured.height:
        log.warning(
            "no driver of the policies has a trip: are their driver_id those that the features were built with?"
        )
    judged.count(16, without)
    judged.count(17, driving.join(insured, on="driver_id", how="anti").height)
