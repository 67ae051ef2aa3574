from __future__ import annotations

import json
import math
import re
import shutil

import polars as pl
import pytest

import ubi
from features.contract.driver_measures import driver_measures
from ingest.contract.erasure import note_drivers
from pricing import model
from tests.pricing.book import SmallBook


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Features, policies and claims as files, and a model and a book made of them."""
    root = tmp_path_factory.mktemp("book")
    book = SmallBook(3_000, seed=3)
    (root / "features").mkdir()
    book.periods.write_parquet(root / "features" / "driver_periods.parquet")
    driver_measures(book.periods).write_parquet(root / "features" / "driver_measures.parquet")
    book.policies.write_csv(root / "policies.csv")
    book.claims.write_csv(root / "claims.csv")
    assert ubi.main([*train(root), "--model", str(root / "model")]) == 0
    assert ubi.main([*score(root), "--out", str(root / "out")]) == 0
    return root


def train(root, **changed):
    files = {"features": root / "features", "policies": root / "policies.csv", "claims": root / "claims.csv"} | changed
    return ["pricing", "train", *(part for name, file in files.items() for part in (f"--{name}", str(file)))]


def score(root):
    return [
        *("pricing", "score", "--features", str(root / "features"), "--policies", str(root / "policies.csv")),
        *("--model", str(root / "model"), "--rating-date", "2025-01-01"),
    ]


def rebuilt(command, root, key):
    out, features, model = (str(root / name) for name in ("out", "features", "model"))
    return ["pricing", command, key, "--factors", out, "--features", features, "--model", model]


def test_files_of_training_and_scoring(inputs):
    assert sorted(file.name for file in (inputs / "model").iterdir()) == [
        "diagnostics",
        "main_effects.csv",
        "manifest.json",
        "model.txt",
        "pair_effects.csv",
        "set_aside.csv",
    ]
    table = pl.read_parquet(inputs / "out" / "factors.parquet")
    assert table.height == 3_000
    assert table.equals(pl.read_csv(inputs / "out" / "factors.csv", schema=table.schema))


def test_running_again_writes_the_same_bytes(inputs, tmp_path):
    assert ubi.main([*train(inputs), "--model", str(tmp_path / "model"), "--threads", "2"]) == 0
    assert ubi.main([*score(inputs), "--out", str(tmp_path / "out")]) == 0
    for folder in ("model", "out"):
        for file in (file for file in (inputs / folder).rglob("*") if file.is_file()):
            name = file.relative_to(inputs)
            assert (tmp_path / name).read_bytes() == file.read_bytes(), name


def test_scoring_prints_the_ends_the_middle_and_the_totals(inputs, capsys, tmp_path):
    assert ubi.main([*score(inputs), "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert all(place in out for place in ("best", "middle", "worst"))
    assert "expected claims with factors over without: 1.0000" in out
    assert max(map(len, out.splitlines())) <= 150


def test_json_for_machines(inputs, capsys, tmp_path):
    assert ubi.main([*score(inputs), "--out", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["totals"]["policies"] == 3_000
    assert ubi.main(["pricing", "report", "--model", str(inputs / "model"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["lift"][0]["group"] == 1


def test_reasons_in_chinese(inputs, tmp_path):
    assert ubi.main([*score(inputs), "--out", str(tmp_path), "--lang", "zh"]) == 0
    reasons = pl.read_parquet(tmp_path / "factors.parquet")["reason_1"].drop_nulls()
    assert reasons.str.contains(r"\p{Han}").all()


def test_explain_and_verify(inputs, capsys):
    assert ubi.main(rebuilt("explain", inputs, "p00042")) == 0
    assert "factor, the product of:" in capsys.readouterr().out
    assert ubi.main(rebuilt("verify", inputs, "p00042")) == 0
    assert capsys.readouterr().out.count(" rebuilt") == 9


def test_verify_fails_where_a_layer_changed(inputs, capsys, tmp_path):
    shutil.copytree(inputs, tmp_path, dirs_exist_ok=True)
    file = tmp_path / "features" / "driver_periods.parquet"
    pl.read_parquet(file).with_columns(trips=pl.col("trips") * 2).write_parquet(file)
    assert ubi.main(rebuilt("verify", tmp_path, "p00042")) == 1
    assert "features        CHANGED" in capsys.readouterr().out


def test_verify_tells_what_was_erased_from_what_was_changed(inputs, capsys, tmp_path):
    shutil.copytree(inputs, tmp_path, dirs_exist_ok=True)
    file = tmp_path / "features" / "driver_periods.parquet"
    (driver,) = pl.read_parquet(tmp_path / "out" / "factors.parquet").filter(policy_id="p00042")["driver_id"]
    pl.read_parquet(file).filter(pl.col("driver_id") != driver).write_parquet(file)
    assert ubi.main(rebuilt("verify", tmp_path, "p00042")) == 1
    note_drivers(tmp_path / "features", [driver], 0)
    capsys.readouterr()
    assert ubi.main([*rebuilt("verify", tmp_path, "p00042"), "--json"]) == 0
    told = {row["name"]: row["verdict"] for row in json.loads(capsys.readouterr().out)}
    assert told == dict.fromkeys(("table", "code", "contents", "model", "plan"), "rebuilt") | dict.fromkeys(
        ("features", "relativity", "factor", "receipt"), "source erased"
    ) | {"trips": "not checked"}
    assert ubi.main(rebuilt("verify", tmp_path, "p00041")) == 0  # nobody else's
    assert capsys.readouterr().out.count(" rebuilt") == 9


def test_previous_factors_limit_the_next_ones(inputs, tmp_path):
    previous = ["--previous", str(inputs / "out" / "factors.csv")]
    assert ubi.main([*score(inputs), "--out", str(tmp_path), *previous]) == 0
    before, after = (pl.read_parquet(d / "factors.parquet")["factor"] for d in (inputs / "out", tmp_path))
    assert (after / before).is_between(0.85 - 1e-12, 1.15 + 1e-12).all()


def test_previous_factors_of_another_book_are_told(inputs, tmp_path, caplog):
    (tmp_path / "previous.csv").write_text("policy_id,driver_id,factor\nothers,nobody,1.1\n")
    assert ubi.main([*score(inputs), "--out", str(tmp_path), "--previous", str(tmp_path / "previous.csv")]) == 0
    assert "nobody of the book is in the previous factors" in caplog.text


def test_the_report_is_a_page_and_its_tables(inputs, capsys, tmp_path):
    book = ["--model", str(inputs / "model"), "--factors", str(inputs / "out")]
    assert ubi.main(["pricing", "report", *book, "--out", str(tmp_path)]) == 0
    assert "give --features" in (tmp_path / "report.html").read_text()
    files = ["--features", str(inputs / "features"), "--policies", str(inputs / "policies.csv")]
    files += ["--claims", str(inputs / "claims.csv"), "--banner", "SIMULATED"]
    assert ubi.main(["pricing", "report", *book, *files, "--out", str(tmp_path)]) == 0
    page = (tmp_path / "report.html").read_text()
    assert "SIMULATED" in page
    assert "Claims since the rating date" in page
    for table in re.findall(r'href="(tables/[^"]+)"', page):
        assert (tmp_path / table).is_file()
    assert "observed/expected" in capsys.readouterr().out
    claims = pl.read_csv(inputs / "claims.csv", try_parse_dates=True)["occurred_on"]
    rated = pl.read_parquet(inputs / "out" / "factors.parquet")
    known_days = (claims.max() - rated["period_start"].min()).days + 1
    earned = pl.read_csv(tmp_path / "tables" / "experience.csv")
    assert earned["years"].sum() <= earned["policies"].sum() * max(known_days, 0) / 365


def test_claims_that_end_before_the_rating_date_are_told_as_none(inputs, tmp_path):
    """Not as drivers without a claim over years that are yet to come."""
    rated_on = pl.read_parquet(inputs / "out" / "factors.parquet")["period_start"].min()
    past = pl.read_csv(inputs / "claims.csv", try_parse_dates=True).filter(pl.col("occurred_on") < pl.lit(rated_on))
    past = past if past.height else past.clear()
    past.write_csv(tmp_path / "past.csv")
    book = ["--model", str(inputs / "model"), "--factors", str(inputs / "out"), "--claims", str(tmp_path / "past.csv")]
    book += ["--policies", str(inputs / "policies.csv")]
    assert ubi.main(["pricing", "report", *book, "--out", str(tmp_path)]) == 0
    assert "None is in the claims file yet." in (tmp_path / "report.html").read_text()


def test_a_report_names_what_it_needs(inputs, capsys, tmp_path):
    assert ubi.main(["pricing", "report", "--model", str(inputs / "model"), "--out", str(tmp_path)]) == 2
    assert "give --factors" in capsys.readouterr().err
    assert ubi.main(["pricing", "report", "--model", str(inputs / "model"), "--factors", str(inputs / "out")]) == 2
    assert "--out is not" in capsys.readouterr().err
    (tmp_path / "page").write_text("a file")
    book = ["--model", str(inputs / "model"), "--factors", str(inputs / "out")]
    assert ubi.main(["pricing", "report", *book, "--out", str(tmp_path / "page")]) == 2
    assert "page: is no folder; name another" in capsys.readouterr().err


def test_a_book_that_no_base_balances_is_refused_with_what_is_missing(inputs, capsys, tmp_path):
    factors = pl.read_parquet(inputs / "out" / "factors.parquet").with_columns(factor=pl.lit(0.5))
    factors.write_parquet(tmp_path / "factors.parquet")
    arguments = ["--previous", str(tmp_path / "factors.parquet"), "--out", str(tmp_path / "out")]
    assert ubi.main([*score(inputs), *arguments]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ubi: error")]
    assert "no base factor balances the book" in line
    assert "42.5" in line
    assert not (tmp_path / "out" / "book.json").exists()


def test_histories_add_customers_and_go_with_them(inputs, tmp_path):
    rows = "driver_id,start,end,premium,claims_paid\nd00001,2022-01-01,2025-06-01,9000,1000\n"
    (tmp_path / "histories.csv").write_text(rows)
    out = ["--out", str(tmp_path / "out")]
    assert ubi.main([*score(inputs), *out, "--histories", str(tmp_path / "histories.csv")]) == 0
    table = pl.read_parquet(tmp_path / "out" / "customers.parquet")
    assert table.select("driver_id", "year", "value", "stars").rows() == [("d00001", 4, 9_600.0, 2)]
    assert table.equals(pl.read_csv(tmp_path / "out" / "customers.csv", schema=table.schema))
    assert ubi.main([*score(inputs), *out]) == 0
    assert not (tmp_path / "out" / "customers.csv").exists()


@pytest.mark.parametrize("command", ["train", "score", "explain", "verify", "report"])
def test_every_command_has_a_help(command, capsys):
    with pytest.raises(SystemExit) as end:
        ubi.main(["pricing", command, "--help"])
    assert end.value.code == 0
    assert f"usage: ubi pricing {command}" in capsys.readouterr().out


def test_wrong_inputs_are_one_line_with_file_and_fix(inputs, capsys, tmp_path):
    """Each line: the command, its exit status, and what the user reads."""
    bad = tmp_path / "bad.csv"
    bad.write_text((inputs / "policies.csv").read_text().replace("p00001,d00001,2", "p00001,d00001,x2", 1))
    model = ["--model", str(tmp_path / "model")]
    damaged = tmp_path / "damaged"
    shutil.copytree(inputs, damaged)
    (damaged / "out" / "book.json").write_text("{")
    other = tmp_path / "other"
    shutil.copytree(inputs, other)
    (other / "out" / "receipts.parquet").write_bytes((inputs / "features" / "driver_periods.parquet").read_bytes())
    pl.DataFrame({"a": [1]}).write_parquet(other / "features" / "driver_measures.parquet")
    mistakes = [
        ([*train(inputs, features=tmp_path / "nowhere"), *model], 1, "output folder of ubi features build"),
        ([*train(inputs, policies=bad), *model], 1, f"{bad}, row 2, column start: 'x2"),
        ([*train(inputs, claims=inputs / "policies.csv"), *model], 1, "column occurred_on: is missing"),
        ([*train(inputs), *model, "--plan", "chna"], 2, "there is no such plan"),
        ([*train(inputs), *model, "--rating-date", "2031-01-01"], 1, "no policy covers 2031-01-01"),
        ([*score(inputs)[:-4], "--model", str(tmp_path), "--out", str(tmp_path)], 1, "no model there"),
        ([*score(inputs)[:-4], "--model", str(bad), "--out", str(tmp_path)], 1, "bad.csv: no model there"),
        ([*score(inputs), "--out", str(inputs / "model")], 2, "holds a model, whose files would mix"),
        (
            [*score(other), "--out", str(tmp_path)],
            1,
            "column policy_id: is missing or not String; run ubi features build",
        ),
        (rebuilt("verify", damaged, "p00042"), 1, "book.json: not JSON"),
        (
            [*rebuilt("verify", inputs, "p00042"), "--factors", str(other / "out")],
            1,
            "belongs to another factors.parquet",
        ),
        (rebuilt("explain", inputs, "p99999"), 1, "holds no policy or receipt 'p99999'"),
    ]
    for arguments, status, told in mistakes:
        assert ubi.main(arguments) == status, arguments
        error = capsys.readouterr().err
        lines = [line for line in error.splitlines() if line.startswith("ubi: error:")]
        assert len(lines) == 1, error
        assert told in lines[0]
        assert "Traceback" not in error


def test_a_tariff_in_another_unit_and_drivers_of_another_book_are_told(inputs, tmp_path, caplog):
    policies, model = pl.read_csv(inputs / "policies.csv"), ["--model", str(tmp_path / "model")]
    policies.with_columns(pl.col("tariff_frequency") * 1000).write_csv(tmp_path / "mille.csv")
    assert ubi.main([*train(inputs, policies=tmp_path / "mille.csv"), *model]) == 0
    assert re.search(
        r"claims are 0\.00\d+ times what the tariff expects: is tariff_frequency in claims a year", caplog.text
    )
    policies.with_columns(driver_id="x" + pl.col("driver_id")).write_csv(tmp_path / "others.csv")
    assert ubi.main([*train(inputs, policies=tmp_path / "others.csv"), *model]) == 1
    assert "no driver of the policies has a trip" in caplog.text


def test_a_wrong_date_is_a_usage_error(inputs, capsys):
    with pytest.raises(SystemExit) as end:
        ubi.main([*score(inputs), "--out", "x", "--rating-date", "1.1.2025"])
    assert end.value.code == 2
    assert "'1.1.2025' is not a date (YYYY-MM-DD)" in capsys.readouterr().err


@pytest.mark.parametrize("command", [train, score])
def test_an_output_that_cannot_be_a_folder_is_told_before_the_work(inputs, capsys, tmp_path, command):
    taken = tmp_path / "taken"
    taken.write_text("a file")
    option = "--model" if command is train else "--out"
    assert ubi.main([*command(inputs), option, str(taken)]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ubi: error")]
    assert f"{taken}: cannot be made a folder" in line
    assert taken.read_text() == "a file"


def test_a_model_of_another_catalogue_is_refused(inputs, capsys, tmp_path):
    shutil.copytree(inputs / "model", tmp_path / "model")
    manifest = tmp_path / "model" / "manifest.json"
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(content | {"catalogue_version": "0"}))
    words = [word if word != str(inputs / "model") else str(tmp_path / "model") for word in score(inputs)]
    assert ubi.main([*words, "--out", str(tmp_path / "out")]) == 1
    assert "train" in capsys.readouterr().err.splitlines()[-1]


def test_claims_of_unknown_policies_are_counted_and_told(inputs, caplog, tmp_path):
    claims = pl.read_csv(inputs / "claims.csv", infer_schema=False)
    strange = claims.head(2).with_columns(policy_id=pl.lit("nobody"))
    if "claim_id" in claims.columns:
        strange = strange.with_columns(claim_id=pl.Series(["x1", "x2"]))
    pl.concat([claims, strange]).write_csv(tmp_path / "claims.csv")
    assert ubi.main([*train(inputs, claims=tmp_path / "claims.csv"), "--model", str(tmp_path / "model")]) == 0
    assert "claims.csv: 2 rows are set aside: they name a policy that is not in the file" in caplog.text
    set_aside = pl.read_csv(tmp_path / "model" / "set_aside.csv")
    assert set_aside.filter(judgement=9).select("file", "row", "judgement").rows() == [
        ("claims.csv", claims.height + 1, 9),
        ("claims.csv", claims.height + 2, 9),
    ]
    manifest = json.loads((tmp_path / "model" / "manifest.json").read_text())
    counts = {row["number"]: row["count"] for row in manifest["diagnostics"]["portfolio"]}
    assert counts[9] == 2
    months = manifest["diagnostics"]["exposure_by_month"]
    assert sum(row["claims"] for row in months) <= claims.height
    assert months[-1]["years"] > 0


def test_semicolons_and_folders_are_told_as_what_they_are(inputs, capsys, tmp_path):
    table = pl.read_csv(inputs / "policies.csv", infer_schema=False)
    table.write_csv(tmp_path / "policies.csv", separator=";")
    for file, told in ((tmp_path / "policies.csv", "are separated by ';'"), (tmp_path, "is a folder")):
        assert ubi.main([*train(inputs, policies=file), "--model", str(tmp_path / "model")]) == 1
        assert told in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("command", ["explain", "verify"])
def test_features_that_are_built_again_meanwhile_are_not_mixed(inputs, tmp_path, monkeypatch, capsys, command):
    shutil.copytree(inputs, tmp_path, dirs_exist_ok=True)
    load, file = model.load_model, tmp_path / "features" / "driver_periods.parquet"

    def meanwhile(*arguments, **named):
        pl.read_parquet(file).head(0).write_parquet(file)
        return load(*arguments, **named)

    monkeypatch.setattr(f"pricing.{'model' if command == 'explain' else 'verify'}.load_model", meanwhile)
    assert ubi.main(rebuilt(command, tmp_path, "p00042")) == 75
    out, err = capsys.readouterr()
    assert (out, f"{file}: was built again while it was read; run again" in err) == ("", True)


def test_explain_tells_machines_what_it_tells_people(inputs, capsys):
    assert ubi.main([*rebuilt("explain", inputs, "d00042"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["published"]["policy_id"] == "p00042"
    assert (told["seen_share"], told["other_policies"]) == (1.0, [])
    assert told["base_factor"] * told["base"] * math.prod(told["effects"].values()) * math.prod(
        told["adjustments"].values()
    ) == pytest.approx(told["published"]["factor"], abs=1e-6)
