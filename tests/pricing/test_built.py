from __future__ import annotations

import pytest

from device.contract.errors import TryAgainError
from pricing.built import OF_A_BOOK, OF_A_BUILD, as_one
from pricing.errors import PortfolioError


@pytest.fixture
def folders(tmp_path):
    for name, files in (("features", OF_A_BUILD), ("out", OF_A_BOOK)):
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).write_text("as it was")
    return tmp_path / "features", tmp_path / "out"


def test_what_stays_as_it_is_is_read_in_peace(folders):
    (folders[0] / "events.parquet").unlink()  # there or not, it has to stay so
    with as_one(*folders):
        (folders[1] / "factors.csv").write_text("none of the files that are read")


def read_while(folders, change):
    with as_one(*folders):
        change()


@pytest.mark.parametrize("name", ["features/events.parquet", "out/book.json"])
@pytest.mark.parametrize("how", ["written", "gone", "new"])
def test_what_is_another_by_the_end_was_not_read_as_one(folders, name, how):
    file = folders[0].parent / name
    if how == "new":
        file.unlink()
    change = file.unlink if how == "gone" else lambda: file.write_text("another one by now")
    with pytest.raises(TryAgainError, match=f"{name}: was built again while it was read"):
        read_while(folders, change)


def test_an_error_of_half_written_files_is_told_as_what_it_is(folders):
    def fails():
        (folders[1] / "receipts.parquet").unlink()
        raise PortfolioError(folders[1] / "receipts.parquet", "belongs to another factors.parquet")

    with pytest.raises(TryAgainError) as error:
        read_while(folders, fails)
    assert isinstance(error.value.__context__, PortfolioError)


def test_an_error_of_files_that_stay_is_itself(folders):
    with pytest.raises(PortfolioError), as_one(*folders):
        raise PortfolioError(folders[0], "no such policy")
