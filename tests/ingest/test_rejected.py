from __future__ import annotations

import pytest

from device.contract import wire
from ingest import judge as judging
from ingest.contract.lake import Lake
from ingest.query import gaps, rejects, status
from ingest.rejected import Which, export, readmit
from ingest.seal import seal
from ingest.worker import Worker
from tests.ingest.drive import START_MS, Drive


@pytest.fixture
def refused(tmp_path, monkeypatch):
    """A lake whose worker knew no trip_end yet, and refused garbage besides."""
    lake, drives = Lake(tmp_path / "lake"), [Drive("car"), Drive("bus")]
    real = wire.read_body

    def read_body(header, raw):
        body = real(header, raw)
        late = type(body).__name__ == "TripEnd"
        return wire.Reject(wire.Reason.ABSURD_VALUE, "unknown body kind 4", header) if late else body

    worker = Worker(lake, "w", lambda topic, payload: None)
    with monkeypatch.context() as patch:
        patch.setattr(judging.wire, "read_body", read_body)
        for drive in drives:
            for message in drive.trip():
                worker.take(message.topic, message.payload, START_MS)
        worker.take("ubi/v1/car/up", b"\xff", START_MS)
        worker.flush(START_MS)
    return lake


def test_what_is_sound_now_is_taken_in_and_no_longer_a_reject(refused):
    assert seal(refused, START_MS).trips == 0
    assert readmit(refused, Which(), START_MS + 5) == {"readmitted": 2, "refused": 1, "without_payload": 0}
    report = seal(refused, START_MS)
    assert (report.messages, report.trips, report.incomplete) == (12, 2, 0)
    assert [(row["device_id"], row["reason"]) for row in rejects(refused)] == [("car", "garbage")]
    assert gaps(refused) == []
    assert refused.scan_messages().collect()["received_at_ms"].unique().to_list() == [START_MS]
    assert readmit(refused, Which(), START_MS + 6) == {"readmitted": 0, "refused": 1, "without_payload": 0}


def test_only_what_is_meant_is_judged_again(refused):
    assert readmit(refused, Which("bus"), START_MS + 5)["readmitted"] == 1
    assert readmit(refused, Which(reason="garbage"), START_MS + 5)["readmitted"] == 0
    assert [row["device_id"] for row in rejects(refused)] == ["car", "car"]
    seal(refused, START_MS)
    assert {row["device_id"]: row["rejects"] for row in status(refused)} == {"bus": 0, "car": 2}
    assert [row["device_id"] for row in status(refused, "bus")] == ["bus"]


def test_what_the_registry_refuses_stays_refused(refused):
    def admit(verdict, device):
        return wire.Reject(wire.Reason.REVOKED_DEVICE, "revoked", verdict.header) if device == "car" else None

    assert readmit(refused, Which(), START_MS + 5, admit) == {"readmitted": 1, "refused": 2, "without_payload": 0}


def test_payloads_that_were_cut_or_withheld_are_not_judged(tmp_path):
    lake = Lake(tmp_path)
    worker = Worker(lake, "w", lambda topic, payload: None)
    worker.take("ubi/v1/car/up", bytes(wire.MAX_PAYLOAD_BYTES + 1), START_MS)
    worker.flush(START_MS)
    assert readmit(lake, Which(), START_MS) == {"readmitted": 0, "refused": 0, "without_payload": 1}


def test_a_kill_between_the_two_commits_doubles_nothing(refused, monkeypatch):
    from ingest import rejected
    from ingest.contract import durable

    real, calls = durable.commit, []

    def commit(files, then=None):
        calls.append(files)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(files, then)

    with monkeypatch.context() as patch:
        patch.setattr(rejected.durable, "commit", commit)
        with pytest.raises(KeyboardInterrupt):
            readmit(refused, Which(), START_MS + 5)
    assert readmit(refused, Which(), START_MS + 6)["readmitted"] == 2
    report = seal(refused, START_MS)
    assert (report.messages, report.duplicates, report.trips, report.conflicts) == (12, 2, 2, 0)


def test_export_writes_the_payloads(refused, tmp_path):
    import polars as pl

    target = tmp_path / "out" / "rejects.parquet"
    assert export(refused, Which("car"), target) == 2
    rows = pl.read_parquet(target)
    assert sorted(rows["reason"]) == ["absurd_value", "garbage"]
    assert rows["payload"].null_count() == 0
