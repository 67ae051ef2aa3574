"""An erasure that dies before any of its changes of the disk, and is run again."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from features.build import build
from features.policies import read_policies
from ingest.contract import durable
from ingest.contract.erasure import was_erased
from ingest.contract.lake import Lake
from ingest.forget import Places, forget
from ingest.seal import seal
from tests.ingest.people import NOW_MS, PERSON, POLICIES, fill, tables


class Killed(BaseException):
    """Instead of kill -9: nothing that was to come is done."""


def dies_before(monkeypatch, step):
    """Let the process die before its step-th change of the disk; returns what counts them."""
    count = [0]
    durable._on_disk.clear()  # a new process has synced no folder

    def before(function):
        def wrapped(*arguments, **options):
            count[0] += 1
            if count[0] == step:
                raise Killed
            return function(*arguments, **options)

        return wrapped

    for target, name in ((os, "fsync"), (os, "ftruncate"), (Path, "replace"), (Path, "unlink"), (Path, "mkdir")):
        monkeypatch.setattr(target, name, before(getattr(target, name)))
    return count


@pytest.mark.parametrize("every", [9, pytest.param(1, marks=pytest.mark.long)])
def test_killed_before_any_change_of_the_disk_and_run_again_it_comes_to_the_same(tmp_path, monkeypatch, every):
    policies = tmp_path / "policies.csv"
    policies.write_text(POLICIES)
    start = fill(tmp_path / "start", trips=1)
    build(start, tmp_path / "start" / "features", read_policies(policies))

    def copy(name):
        subprocess.run(["cp", "-r", start.root, tmp_path / name], check=True)
        lake = Lake(tmp_path / name)
        return Places(lake, [lake.root / "features"])

    whole = copy("whole")
    with monkeypatch.context() as patch:
        steps = dies_before(patch, 0)
        told = forget(whole, PERSON, NOW_MS)
    assert steps[0] > 40
    for step in range(1, steps[0] + 1, every):
        places = copy("killed")
        with monkeypatch.context() as patch:
            dies_before(patch, step)
            with pytest.raises(Killed):
                forget(places, PERSON, NOW_MS)
        seal(places.lake, NOW_MS + 1)  # what goes on in between has to bear it
        again = forget(places, PERSON, NOW_MS)
        assert again.erased == told.erased, step
        for name, frame in tables(whole.lake).items():
            assert tables(places.lake)[name].equals(frame), (step, name)
        for name in ("trips", "events", "driver_periods"):
            file = f"features/{name}.parquet"
            assert (places.lake.root / file).read_bytes() == (whole.lake.root / file).read_bytes(), (step, name)
        assert was_erased(places.lake.root / "features", "D-1")
        subprocess.run(["rm", "-r", places.lake.root], check=True)
