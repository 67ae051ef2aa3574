"""A model's folder is there whole or not at all, and no training takes another model's place unasked."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

import ubi
from device.contract.errors import TryAgainError, UsageError
from ingest.contract import durable
from pricing.errors import ModelError
from pricing.model import load_model
from tests.pricing.book import trained


@pytest.fixture(scope="module")
def model():
    return replace(trained().model, diagnosis={})


@pytest.fixture(scope="module")
def other(model):
    return replace(model, diagnostics=model.diagnostics | {"told": "another"})


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def killed_at(change, model, folder, tmp_path):
    """Die before the N-th change of a name while a model is put into a folder; only the last two are of folders."""
    model.save(tmp_path / "source")
    command = [sys.executable, "-m", "tests.pricing.killed_save", str(change)]
    done = subprocess.run([*command, str(tmp_path / "source"), str(folder)], capture_output=True, timeout=60)
    assert done.returncode == -9, done.stderr


FILES = 4  # main_effects.csv, pair_effects.csv, model.txt, manifest.json: each gets its name once


@pytest.mark.parametrize("change", [1, FILES, FILES + 1])
def test_a_save_that_is_killed_leaves_no_half_of_a_model(model, tmp_path, change):
    folder = tmp_path / "model"
    killed_at(change, model, folder, tmp_path)
    with pytest.raises(ModelError, match="no model there"):
        load_model(folder)
    model.save(folder)
    assert contents(folder) == contents(tmp_path / "source")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "source"]


@pytest.mark.parametrize(("change", "left"), [(2, "model"), (FILES + 1, "model"), (FILES + 2, ".model.old")])
def test_a_replacement_that_is_killed_leaves_the_earlier_model_whole(model, other, tmp_path, change, left):
    folder = tmp_path / "model"
    other.save(folder)
    killed_at(change, model, folder, tmp_path)
    assert load_model(tmp_path / left).model_id == other.model_id
    model.save(folder, replace=True)
    assert load_model(folder).model_id == model.model_id
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "source"]


def test_another_model_stays_and_the_new_one_is_told_beside_it(model, other, tmp_path):
    folder = tmp_path / "model"
    other.save(folder)
    beside = tmp_path / f"model-{model.model_id}"
    with pytest.raises(ModelError, match=f"holds another model, {other.model_id}, which stays.*{beside}.*--replace"):
        model.save(folder)
    assert load_model(folder).model_id == other.model_id
    assert load_model(beside).model_id == model.model_id
    model.save(folder, replace=True)
    assert load_model(folder).model_id == model.model_id


def test_the_same_model_may_be_saved_again_and_repairs_what_was_changed(model, tmp_path):
    model.save(tmp_path)
    (tmp_path / "model.txt").write_text("changed")
    model.save(tmp_path)
    assert load_model(tmp_path).model_id == model.model_id


def test_files_of_somebody_else_are_never_replaced(model, tmp_path, capsys):
    (tmp_path / "claims.csv").write_text("mine")
    with pytest.raises(UsageError, match=r"holds claims\.csv, which is no part of a model; name a new or an empty"):
        model.save(tmp_path, replace=True)
    words = ["--features", "f", "--policies", "p.csv", "--claims", "c.csv", "--model", str(tmp_path)]
    assert ubi.main(["pricing", "train", *words]) == 2
    assert "holds claims.csv" in capsys.readouterr().err
    assert contents(tmp_path) == {"claims.csv": b"mine"}


def test_two_trainings_do_not_write_to_one_place(model, tmp_path):
    with durable.locked(tmp_path / ".model.tmp" / ".lock"), pytest.raises(TryAgainError, match="another training"):
        model.save(tmp_path / "model")
