"""A simulated book as the files an insurer would bring; the truth stands in a folder of its own."""

from __future__ import annotations

from pathlib import Path

from replay_data.portfolio.book import Book


def write_book(book: Book, folder: Path) -> None:
    """Write `policies` and `claims` as Parquet and CSV, and `truth/truth.parquet`, which no model may read."""
    (folder / "truth").mkdir(parents=True, exist_ok=True)
    for name, frame in (("policies", book.policies), ("claims", book.claims)):
        frame.write_parquet(folder / f"{name}.parquet")
        frame.write_csv(folder / f"{name}.csv")
    book.truth.write_parquet(folder / "truth" / "truth.parquet")
