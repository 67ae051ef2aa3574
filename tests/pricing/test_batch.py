from __future__ import annotations

import errno
import json
import signal
import subprocess
import sys
import time

import polars as pl
import pytest

import ubi
from device.contract.errors import TryAgainError
from features.contract.catalogue import load_catalogue
from features.contract.driver_measures import driver_measures
from pricing import batch, score
from pricing.batch import score_to
from pricing.built import Measures
from pricing.errors import PortfolioError
from pricing.portfolio import read_policies
from tests.pricing.book import RATING_DATE

CATALOGUE = load_catalogue()
PATIENCE_S = 120
BESIDE = {"set_aside.csv": "file,row,judgement,reason\n"}
FILES = ("factors.parquet", "factors.csv", "receipts.parquet", "book.json", *BESIDE)


@pytest.fixture(scope="module")
def policies(book):
    """Whose order is not that of the drivers; some drivers have two."""
    renamed = pl.col("policy_id").str.reverse()
    second = book.policies.head(200).with_columns(policy_id=pl.format("z{}", "policy_id"))
    return pl.concat([book.policies.with_columns(renamed), second]).sort("policy_id", "start")


@pytest.fixture(scope="module")
def measures(book, tmp_path_factory):
    folder = tmp_path_factory.mktemp("features")
    ordered = driver_measures(book.periods.sort("month", "driver_id"))
    ordered.write_parquet(folder / "driver_measures.parquet", row_group_size=500)
    return Measures.of(folder)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(batch, "DRIVERS_AT_ONCE", 700)
    monkeypatch.setattr(batch, "POLICIES_AT_ONCE", 900)


def run(out, policies, measures, model):
    return score_to(out, policies, measures, CATALOGUE, model, rating_date=RATING_DATE, beside=BESIDE)


def contents(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


@pytest.mark.usefixtures("small")
def test_a_book_scored_in_parts_is_the_book_scored_at_once(book, policies, measures, model, tmp_path):
    content = run(tmp_path, policies, measures, model)
    whole = score.score_book(policies, book.periods, CATALOGUE, model, RATING_DATE)
    assert content == whole.book == json.loads((tmp_path / "book.json").read_text())
    assert pl.read_parquet(tmp_path / "factors.parquet").equals(whole.factors)
    assert pl.read_parquet(tmp_path / "receipts.parquet").equals(whole.receipts)
    assert (tmp_path / "factors.csv").read_text() == whole.factors.write_csv()
    assert pl.read_parquet(tmp_path / "factors.parquet")["policy_id"].is_sorted()
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(FILES)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("writes", [2, 5, 6, 7])
def test_a_run_that_dies_at_a_write_goes_on_and_ends_in_the_same_bytes(
    policies, measures, model, tmp_path, monkeypatch, writes
):
    run(tmp_path / "whole", policies, measures, model)
    commit, rate, done, rated = batch.durable.commit, batch.score.rate, [], []

    def dying(files, then=None, before=None):
        if len(done) == writes:
            raise KeyboardInterrupt
        done.append(files)
        commit(files, then, before=before)

    with monkeypatch.context() as patched:
        patched.setattr(batch.durable, "commit", dying)
        try:
            run(tmp_path / "killed", policies, measures, model)
        except KeyboardInterrupt:
            assert not (tmp_path / "killed" / "book.json").exists()
    monkeypatch.setattr(batch.score, "rate", lambda *given: rated.append(given) or rate(*given))
    run(tmp_path / "killed", policies, measures, model)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    # 5 parts of drivers, the tables, book.json: nothing is rated twice until all of them stand
    assert len(rated) == (max(5 - writes, 0) if writes < 7 else 5)


@pytest.mark.usefixtures("small")
def test_a_disk_that_is_full_leaves_the_output_of_the_run_before(policies, measures, model, tmp_path, monkeypatch):
    run(tmp_path, policies, measures, model)
    before = contents(tmp_path)

    def full(*_given):
        yield b"PAR1"
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(batch, "joined", full)
    with pytest.raises(OSError, match="No space left"):
        run(tmp_path, policies.head(50), measures, model)
    assert contents(tmp_path) == before


def test_score_on_a_full_disk_names_the_folder(policies, measures, model, tmp_path, monkeypatch, capsys):
    model.save(tmp_path / "model")
    policies.write_parquet(tmp_path / "policies.parquet")
    words = ["--features", str(measures.file.parent), "--policies", str(tmp_path / "policies.parquet")]

    def full(*_given, **_more):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(batch.durable, "commit", full)
    words += ["--model", str(tmp_path / "model"), "--out", str(tmp_path / "out")]
    assert ubi.main(["pricing", "score", *words]) == 1
    assert f"{tmp_path / 'out'}: no space left on its disk; make some" in capsys.readouterr().err


@pytest.mark.usefixtures("small")
def test_parts_of_other_inputs_are_not_taken_over(policies, measures, model, tmp_path, monkeypatch):
    monkeypatch.setattr(batch.shutil, "rmtree", lambda folder: None)  # parts of the run before are still there
    previous = policies.select("policy_id", "driver_id", factor=pl.lit(1.05))
    run(tmp_path / "plain", policies, measures, model)
    score_to(tmp_path / "out", policies, measures, CATALOGUE, model, rating_date=RATING_DATE, previous=previous)
    run(tmp_path / "out", policies, measures, model)
    assert contents(tmp_path / "out")["factors.csv"] == contents(tmp_path / "plain")["factors.csv"]


@pytest.mark.usefixtures("small")
def test_doubts_are_told_once_for_the_book_also_after_a_run_that_died(
    book, policies, measures, model, tmp_path, monkeypatch, caplog
):
    far = pl.col("driver_id").is_in([book.drivers[0], book.drivers[-1]])  # of the first part, and of the last
    odd = pl.read_parquet(measures.file).with_columns(
        distance_mm=pl.when(far).then(pl.col("distance_mm") * 1_000).otherwise(pl.col("distance_mm"))
    )
    odd.write_parquet(tmp_path / "driver_measures.parquet")
    rate, rated = score.rate, []

    def dies(*given):
        rated.append(given)
        if len(rated) == 3:
            raise KeyboardInterrupt
        return rate(*given)

    monkeypatch.setattr(batch.score, "rate", dies)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "out", policies, Measures.of(tmp_path), model)
    run(tmp_path / "out", policies, Measures.of(tmp_path), model)
    told = [line for line in caplog.messages if "of the rows outside" in line]
    assert len(told) == len({line.split(":")[0] for line in told})
    assert [line for line in told if line.startswith("km_per_day: 2 of the rows outside")]


@pytest.mark.usefixtures("small")
def test_measures_that_are_built_again_meanwhile_are_not_mixed(policies, measures, model, tmp_path, monkeypatch):
    file, rate, rated = tmp_path / "driver_measures.parquet", score.rate, []
    file.write_bytes(measures.file.read_bytes())

    def built_again(*given):
        if len(rated) == 1:
            pl.read_parquet(file).with_columns(pl.col("distance_mm") * 2).write_parquet(file)
        rated.append(given)
        return rate(*given)

    monkeypatch.setattr(batch.score, "rate", built_again)
    with pytest.raises(TryAgainError, match="was built again while it was read"):
        run(tmp_path / "out", policies, Measures.of(tmp_path), model)
    run(tmp_path / "out", policies, Measures.of(tmp_path), model)
    run(tmp_path / "afresh", policies, Measures.of(tmp_path), model)
    assert contents(tmp_path / "out") == contents(tmp_path / "afresh")


def test_a_second_run_into_the_same_folder_is_told_to_wait(policies, measures, model, tmp_path):
    with (
        batch.durable.locked(tmp_path / batch.PARTS / "lock"),
        pytest.raises(TryAgainError, match="another scoring writes to it"),
    ):
        run(tmp_path, policies, measures, model)


def test_features_that_are_no_driver_measures_are_refused(tmp_path):
    with pytest.raises(PortfolioError, match="output folder of ubi features build"):
        Measures.of(tmp_path)
    file = tmp_path / "driver_measures.parquet"
    file.write_bytes(b"PAR1 and no more")
    with pytest.raises(PortfolioError, match="cannot be read"):
        Measures.of(tmp_path)
    pl.DataFrame({"a": [1]}).write_parquet(file)
    with pytest.raises(PortfolioError, match="column policy_id: is missing or not String; run ubi features build"):
        Measures.of(tmp_path)


SCORE = """
import sys, ubi
from pricing import batch
batch.DRIVERS_AT_ONCE, batch.POLICIES_AT_ONCE = 300, 2000
sys.exit(ubi.main(sys.argv[1:]))
"""


def test_a_killed_process_leaves_no_book_and_the_next_ends_in_the_same_bytes(policies, measures, model, tmp_path):
    model.save(tmp_path / "model")
    policies.write_parquet(tmp_path / "policies.parquet")
    words = ["pricing", "score", "--features", str(measures.file.parent), "--model", str(tmp_path / "model")]
    words += ["--policies", str(tmp_path / "policies.parquet"), "--rating-date", str(RATING_DATE), "--json", "--out"]

    def start(out):
        return subprocess.Popen([sys.executable, "-c", SCORE, *words, str(out)], stdout=subprocess.DEVNULL)

    killed = start(tmp_path / "killed")
    deadline = time.monotonic() + PATIENCE_S
    while len(list((tmp_path / "killed").glob(".parts/*/0*.parquet"))) < 3 and killed.poll() is None:
        assert time.monotonic() < deadline
    killed.kill()
    was_killed = killed.wait() == -signal.SIGKILL
    assert (tmp_path / "killed" / "book.json").exists() is not was_killed
    assert start(tmp_path / "killed").wait(PATIENCE_S) == 0
    run(tmp_path / "whole", read_policies(tmp_path / "policies.parquet"), measures, model)
    assert contents(tmp_path / "killed")["factors.csv"] == contents(tmp_path / "whole")["factors.csv"]
