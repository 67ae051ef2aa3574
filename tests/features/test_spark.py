"""A build on a real Spark cluster gives the bytes of one on this machine, also when an executor dies in mid-job."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from pathlib import Path

import pytest

import features.units
import ubi
from device.contract.errors import UbiError, UsageError
from features.build import build, make_parts
from features.policies import read_policies
from tests.features.held_up import HeldUp
from tests.features.lakes import lake_of, year_of_trips
from tests.features.spark_cluster import Cluster, executor_of, missing, wait_for
from tests.features.whole import contents
from tests.ports import free_port

needs_spark = pytest.mark.skipif(missing() is not None, reason=str(missing()))
TRIPS = year_of_trips(devices=5, months=3)
POLICIES = "policy_id,driver_id,device_id,start,end\nP0,ann,car-0,2025-01-01,2025-02-10\nP1,ann,car-1,2025-01-01,\n"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("spark"), free_port()) as running:
        yield running


@pytest.fixture
def lake(tmp_path):
    (tmp_path / "policies.csv").write_text(POLICIES)
    return lake_of(tmp_path / "lake", TRIPS)


@pytest.fixture
def policies(lake, tmp_path):
    return read_policies(tmp_path / "policies.csv")


@pytest.fixture
def whole(lake, policies, tmp_path):
    build(lake, tmp_path / "whole", policies)
    return contents(tmp_path / "whole")


@needs_spark
@pytest.mark.timeout(300)
def test_the_command_on_a_cluster_gives_the_bytes_of_this_machine(cluster, lake, whole, tmp_path, capfd):
    arguments = ["--lake", lake.root, "--out", tmp_path / "out", "--policies", tmp_path / "policies.csv"]
    spark = ["--engine", "spark", "--spark-master", cluster.url]
    assert ubi.main(["features", "build", *map(str, (*arguments, *spark))]) == 0
    assert contents(tmp_path / "out") == whole
    assert capfd.readouterr().out.startswith("45 trips, ")
    assert ubi.main(["features", "build", *map(str, arguments)]) == 0  # takes over what the cluster made
    assert contents(tmp_path / "out") == whole


@needs_spark
@pytest.mark.timeout(300)
def test_an_executor_killed_in_mid_job_costs_time_and_changes_nothing(
    cluster, lake, policies, whole, tmp_path, monkeypatch
):
    from features.spark import spark_engine

    monkeypatch.setattr(features.units, "UNIT_TRIPS", 0)
    signs = tmp_path / "signs"
    signs.mkdir()
    killed = []

    def kill_one():
        wait_for(lambda: len(list(signs.glob("*.started"))) >= 2, "a task on each worker")
        worker = int(min(signs.glob("*.started")).name.partition("-")[0])
        killed.append(executor_of(worker))
        os.kill(killed[0], signal.SIGKILL)
        (signs / "go").touch()

    killer = threading.Thread(target=kill_one, name="killer")
    with spark_engine(cluster.url) as engine:
        killer.start()
        build(
            lake,
            tmp_path / "out",
            policies,
            engine=lambda function, tasks: engine(HeldUp(signs) if function is make_parts else function, tasks),
        )
    killer.join()
    assert len(killed) == 1
    assert not Path(f"/proc/{killed[0]}").exists()
    begun = Counter("-".join(sign.name.split("-")[1:-1]) for sign in signs.glob("*.started"))
    assert max(begun.values()) == 2  # what the dead one was making was made by another
    build(lake, tmp_path / "buckets", policies)
    assert contents(tmp_path / "out") == contents(tmp_path / "buckets")
    assert contents(tmp_path / "out")["driver_periods"] == whole["driver_periods"]


@needs_spark
@pytest.mark.timeout(300)
def test_motion_derived_on_a_cluster_gets_the_verdicts_of_this_machine(cluster, lake, capsys):
    derive = ["features", "derive", "--lake", str(lake.root)]
    assert ubi.main(derive) == 0
    here = capsys.readouterr().out
    assert ubi.main([*derive, "--engine", "spark", "--spark-master", cluster.url]) == 0
    assert capsys.readouterr().out == here
    assert "45 trips agree, 0 differ" in here


@needs_spark
@pytest.mark.timeout(300)
def test_a_damaged_file_is_named_by_the_executor_that_read_it(cluster, lake, tmp_path):
    from features.spark import spark_engine

    (file, *_) = lake.sealed_files("trips")
    file.write_bytes(file.read_bytes()[:100])
    with spark_engine(cluster.url) as engine, pytest.raises(UbiError, match=f"{file.name}: cannot be read"):
        build(lake, tmp_path / "out", engine=engine)


@needs_spark
def test_an_executor_of_another_release_refuses(lake):
    from features.spark import _Checked, _taken

    refused = _Checked(make_parts, "another release")("task")
    with pytest.raises(UbiError, match="an executor has another release or other libraries"):
        _taken(refused)


@needs_spark
def test_a_folder_that_only_the_executor_sees_is_told(tmp_path):
    from features.spark import _taken

    with pytest.raises(UbiError, match="--out has to be a folder that all share"):
        _taken({"trips": tmp_path / "there.parquet"})


@needs_spark
@pytest.mark.timeout(300)
def test_nobody_at_the_address_is_one_line(free_port):
    from features.spark import spark_engine

    with (
        pytest.raises(UsageError, match=r"no Spark at spark://127\.0\.0\.1") as caught,
        spark_engine(f"spark://127.0.0.1:{free_port}"),
    ):
        pass
    assert "\n" not in str(caught.value)


def test_a_master_without_spark_is_a_contradiction(lake, tmp_path, capsys):
    arguments = [
        "features",
        "build",
        "--lake",
        lake.root,
        "--out",
        tmp_path / "out",
        "--spark-master",
        "spark://x:7077",
    ]
    assert ubi.main([*map(str, arguments)]) == 2
    assert "--spark-master is for --engine spark" in capsys.readouterr().err


@pytest.mark.skipif(missing() is None, reason="pyspark is installed here")
def test_without_pyspark_the_extra_is_named(lake, tmp_path, capsys):
    arguments = ["features", "build", "--lake", lake.root, "--out", tmp_path / "out", "--engine", "spark"]
    assert ubi.main([*map(str, arguments)]) == 2
    told = capsys.readouterr().err
    assert "pip install 'ubi[spark]'" in told
