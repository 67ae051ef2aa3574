"""Score a whole book from files, in parts: flat memory for the driving, and a run that was killed goes on.

    1. for each range of drivers: its months out of driver_measures.parquet -> part file   (`score.rate`)
    2. weight, relativity and previous factor of all parts -> B and totals                (`score.Totals`)
    3. for each range of policies: its rows out of the parts -> factors, receipts, CSV    (`score.finish`)
       straight into the files of the output, each whole or not there, book.json last

Besides what reading the policies takes, memory holds one range, and of the whole book what B needs and its tables as
Parquet. Parts stand in `OUT/.parts/<key>`; the key is a hash of all that they depend on, so a run that was killed finds
the parts it made, and one with other inputs makes its own. Rows keep their order by policy and driver, and no sum
depends on where the book was cut: the tables are those of `score.score_book`.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, Final, Literal

import polars as pl
from tqdm import tqdm

from device.contract.errors import TryAgainError
from features.contract.catalogue import Catalogue
from features.contract.row_groups import joined
from features.contract.validate import Doubt, together, warn
from features.contract.window import priced_columns
from ingest.contract import durable
from pricing import score
from pricing.book import KEYS, book_rows
from pricing.built import Measures
from pricing.contract.factors import FACTORS, RECEIPTS
from pricing.exposure import add_months
from pricing.model import RiskModel
from pricing.receipt import CODE_VERSION

log = logging.getLogger(__name__)

DRIVERS_AT_ONCE: Final = (
    40_000  # of a part; row groups of driver_measures.parquet are about as large, and are decoded whole
)
POLICIES_AT_ONCE: Final = 100_000  # also the rows of a row group of what is written
PARTS: Final = ".parts"
FACTORS_FILE: Final = "factors.parquet"
CSV_FILE: Final = "factors.csv"
RECEIPTS_FILE: Final = "receipts.parquet"
BOOK_FILE: Final = "book.json"
CUSTOMERS_FILES: Final = ("customers.parquet", "customers.csv")
_DOUBTS: Final = ".doubts.json"  # of a part, about implausible values: told once, when all parts stand
_PART_ROWS: Final = 10_000  # of a row group of a part: a range of policies reads few besides its own


def score_to(
    out: Path,
    policies: pl.DataFrame,
    measures: Measures,
    catalogue: Catalogue,
    model: RiskModel,
    *,
    rating_date: date | None = None,
    previous: pl.DataFrame | None = None,
    language: str = "en",
    claims: pl.DataFrame | None = None,
    customers: pl.DataFrame | None = None,
    extra: dict[str, Any] | None = None,
    beside: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Rate every policy in force and write the output folder.

    Parameters
    ----------
    out : pathlib.Path
    policies, rating_date, previous, language, claims
        As of `score.score_book`.
    customers : polars.DataFrame, optional
        `customers.customers`, written beside the factors.
    beside : dict of str to str, optional
        Name and text of more files of the output.
    extra : dict, optional
        More for book.json; nothing personal.

    Returns
    -------
    dict
        Content of book.json.

    Raises
    ------
    TryAgainError
        If another process is writing to the folder, or the measures were built again meanwhile.
    """
    day = rating_date or score.default_rating_date(measures.last_month())
    score.check(model, catalogue, day)
    book = book_rows(policies, model, day, previous, claims)
    log.info("rating date %s: %d policies in force", day, book.height)
    with _alone(out):
        folder = out / PARTS / _key(book, measures, model, day, language)
        for stale in (out / PARTS).iterdir():
            if stale.is_dir() and stale != folder:
                shutil.rmtree(stale)
        parts = _rate(folder, book, measures, catalogue, model, day, language)
        needed = pl.scan_parquet(parts).select(score.NEEDED).collect().sort(*KEYS)
        totals = score.Totals.of(needed, model)
        content = totals.book(day, model) | (extra or {})
        _publish(out, _finished(parts, needed["policy_id"], totals, model), customers, content, beside or {})
        shutil.rmtree(out / PARTS)
    return content


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold the folder alone, or say that somebody else does."""
    try:
        with durable.locked(out / PARTS / "lock"):
            yield
    except BlockingIOError as error:
        raise TryAgainError(
            f"{out}: another scoring writes to it; wait until it is done, or name another --out"
        ) from error


def _rate(
    folder: Path,
    book: pl.DataFrame,
    measures: Measures,
    catalogue: Catalogue,
    model: RiskModel,
    day: date,
    language: str,
) -> list[Path]:
    """Part files of the book, those that are there already not made again."""
    until = day.replace(day=1)
    since = add_months(until, -model.plan.window.feature_months)
    columns = priced_columns(catalogue)
    drivers = book["driver_id"].unique().sort()
    starts = range(0, len(drivers), DRIVERS_AT_ONCE)
    parts = [folder / f"{k:06d}.parquet" for k in range(len(starts))]
    for start, file in zip(tqdm(starts, desc="rate", unit="part", disable=None, leave=False), parts, strict=True):
        if durable.exists(file) and durable.exists(file.with_suffix(_DOUBTS)):
            continue
        first, last = drivers[start], drivers[min(start + DRIVERS_AT_ONCE, len(drivers)) - 1]
        own = book.filter(pl.col("driver_id").is_between(pl.lit(first), pl.lit(last)))
        driven = measures.of_drivers(first, last, since, until, columns)
        doubts: list[Doubt] = []
        part = score.rate(own, driven, catalogue, model, language, doubts.extend)
        # Read once, and gone. A part that stands has its doubts beside it: files get their names in this order.
        durable.commit(
            {file.with_suffix(_DOUBTS): json.dumps(doubts).encode(), file: _parquet(part, _PART_ROWS, "uncompressed")}
        )
    warn(together(Doubt(*row) for file in parts for row in json.loads(file.with_suffix(_DOUBTS).read_bytes())))
    return parts


def _finished(
    parts: list[Path], policies: pl.Series, totals: score.Totals, model: RiskModel
) -> Iterator[score.Finished]:
    """Finished tables, one range of policies after the other."""
    ids = policies.unique().sort()
    ranges = [(ids[k], ids[min(k + POLICIES_AT_ONCE, len(ids)) - 1]) for k in range(0, len(ids), POLICIES_AT_ONCE)]
    for first, last in tqdm(ranges, desc="write", unit="part", disable=None, leave=False):
        rows = pl.col("policy_id").is_between(pl.lit(first), pl.lit(last))
        yield score.finish(pl.scan_parquet(parts).filter(rows).collect().sort(*KEYS), totals, model)


def _publish(
    out: Path,
    finished: Iterable[score.Finished],
    customers: pl.DataFrame | None,
    content: dict[str, Any],
    beside: dict[str, str],
) -> None:
    """Write the output: no book.json stands beside tables of another run."""
    factors: list[bytes] = []
    receipts: list[bytes] = []

    def csv() -> Iterator[bytes]:
        """Rows of factors.csv; the two other tables, which are written after it, are a tenth of its size."""
        yield FACTORS.to_frame().write_csv().encode()
        for done in finished:
            factors.append(_parquet(done.factors, POLICIES_AT_ONCE))
            receipts.append(_parquet(done.receipts, POLICIES_AT_ONCE))
            yield from done.csv

    def no_book_of_before() -> None:
        for old in (BOOK_FILE, *CUSTOMERS_FILES):
            durable.delete(out / old)

    files: dict[Path, bytes | Iterable[bytes]] = {
        out / CSV_FILE: csv(),
        out / FACTORS_FILE: joined(_parquet(FACTORS.to_frame(), 1), factors),
        out / RECEIPTS_FILE: joined(_parquet(RECEIPTS.to_frame(), 1), receipts),
    }
    files |= {out / name: text.encode() for name, text in beside.items()}
    if customers is not None:
        texts = (_parquet(customers, POLICIES_AT_ONCE), customers.write_csv().encode())
        files |= {out / name: text for name, text in zip(CUSTOMERS_FILES, texts, strict=True)}
    told = (json.dumps(content, indent=1) + "\n").encode()
    durable.commit(files, before=no_book_of_before, then=lambda: durable.commit({out / BOOK_FILE: told}))


def _parquet(frame: pl.DataFrame, rows: int, compression: Literal["zstd", "uncompressed"] = "zstd") -> bytes:
    level = 1 if compression == "zstd" else None  # a fraction larger than by the default, in half its time
    buffer = io.BytesIO()
    frame.write_parquet(buffer, row_group_size=rows, compression=compression, compression_level=level)
    return buffer.getvalue()


def _key(book: pl.DataFrame, measures: Measures, model: RiskModel, day: date, language: str) -> str:
    made_of = [model.model_id, CODE_VERSION, str(day), language, DRIVERS_AT_ONCE, book.columns, *measures.stamp]
    digest = hashlib.sha256(json.dumps(made_of).encode())
    digest.update(book.hash_rows().to_numpy().tobytes())
    return digest.hexdigest()[:16]
