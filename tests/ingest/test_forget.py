from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime

import polars as pl
import pytest

import ubi
from device.contract import topics
from device.contract.errors import TryAgainError, UbiError, UsageError
from features.build import build
from features.policies import read_policies
from ingest.authority import Authority
from ingest.certificates import revoked_serials
from ingest.contract.erasure import Erasures, was_erased
from ingest.contract.lake import Lake
from ingest.devices import Consent
from ingest.enrol import Enrolment, enrol
from ingest.forget import Places, forget, forgotten_in
from ingest.gate import Gate
from ingest.query import status
from ingest.registry import read_registry
from ingest.seal import seal
from ingest.search import search
from ingest.theirs import People
from ingest.worker import Worker
from tests.ingest.drive import Drive
from tests.ingest.people import DAY_MS, NOW_MS, OTHERS, PERSON, POLICIES, fill, simulated, tables


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    root = tmp_path_factory.mktemp("filled") / "lake"
    lake = fill(root)
    simulated(lake)
    return root


@pytest.fixture
def lake(filled, tmp_path):
    subprocess.run(["cp", "-r", filled, tmp_path / "lake"], check=True)
    return Lake(tmp_path / "lake")


def test_nothing_is_left_of_the_person_and_all_of_the_others(lake):
    before = tables(lake)
    told = forget(Places(lake), PERSON, NOW_MS + 20)
    after = tables(lake)
    for name in ("trips", "events", "health", "messages"):
        assert after[name].equals(before[name].filter(pl.col("device_id") != PERSON)), name
        assert told.erased[name] == before[name].height - after[name].height > 0
    assert after["motion"].height == before["motion"].height * 3 // 4
    assert set(after["motion"]["trip_key"]) == set(after["trips"]["trip_key"])
    assert after["rejects"]["payload"].to_list() == [b"other garbage"]
    assert told.erased["rejects"] == 4
    assert PERSON not in {row["device_id"] for row in status(lake)}


def test_the_search_finds_what_is_there_and_nothing_afterwards(lake):
    people = People(frozenset({PERSON}))
    _, findings = search([lake.root], people)
    tables_told = {finding.file.relative_to(lake.root).parts[0] for finding in findings}
    assert tables_told >= {"messages", "rejects", "sealed", "ledger"}
    forget(Places(lake), PERSON, NOW_MS + 20)
    assert search([lake.root], people)[1] == []
    assert search([lake.root], People(frozenset({OTHERS[0]})))[1] != []


def test_the_bytes_of_every_file_hold_neither_name_nor_stream_nor_hash(lake):
    drive = Drive(PERSON)
    drive.trip()
    secrets = [drive.stream_id.hex().encode(), drive.stream_id, *(m.hash for m in drive.messages)]
    raw = [frame.write_csv().encode() for frame in (lake.scan_messages().select("device_id", "stream_id").collect(),)]
    assert secrets[0] in raw[0]
    forget(Places(lake), PERSON, NOW_MS + 20)
    texts, blobs = [], []
    for path in lake.root.rglob("*.parquet"):
        frame = pl.read_parquet(path, hive_partitioning=False)
        for name, kind in frame.schema.items():
            if kind == pl.String:
                texts += frame[name].drop_nulls().to_list()
            if kind == pl.Binary:
                blobs += frame[name].drop_nulls().to_list()
    words = "\n".join(texts).encode()
    for secret in secrets:
        assert secret not in words
        assert not any(secret in blob for blob in blobs)
    assert not any(PERSON in text.split(":")[0].split("/")[2:3] or text == PERSON for text in texts)


def test_the_record_says_that_and_when_and_how_much_but_not_who(lake):
    told = forget(Places(lake), PERSON, NOW_MS + 20)
    content = json.loads((lake.root / "erasures" / f"{told.erasure}.json").read_text())
    assert (content["begun_at_ms"], content["done_at_ms"]) == (NOW_MS + 20, NOW_MS + 20)
    assert content["erased"]["trips"] == 4
    assert content["searched_files"] == told.searched_files > 5
    assert PERSON not in json.dumps(content)


def test_again_changes_nothing_and_keeps_the_counts(lake):
    first = forget(Places(lake), PERSON, NOW_MS + 20)
    files = {path: path.read_bytes() for path in lake.root.rglob("*.parquet")}
    again = forget(Places(lake), PERSON, NOW_MS + 99)
    assert again == first
    assert {path: path.read_bytes() for path in lake.root.rglob("*.parquet")} == files
    assert Erasures(lake.root).read(first.erasure).begun_at_ms == NOW_MS + 20


def test_somebody_who_was_never_here_leaves_a_record_too(lake):
    before = tables(lake)
    told = forget(Places(lake), "stranger", NOW_MS)
    assert sum(told.erased.values()) == 0
    assert all(frame.equals(before[name]) for name, frame in tables(lake).items())


@pytest.mark.parametrize("name", ["1", "a", "trips", "messages", "key", "01", "2026"])
def test_any_name_can_be_forgotten(tmp_path, name):
    lake = Lake(tmp_path)
    worker = Worker(lake, "w", lambda _topic, _payload: None, gate=Gate(lake.root))
    for message in (*Drive(name).trip(), *Drive("other").trip()):
        worker.take(message.topic, message.payload, NOW_MS)
    worker.flush(NOW_MS)
    seal(lake, NOW_MS)
    forget(Places(lake), name, NOW_MS)
    assert lake.scan("trips").collect()["device_id"].to_list() == ["other"]


def test_late_messages_are_refused_by_a_worker_that_was_running_all_the_time(lake):
    acks = []
    worker = Worker(lake, "x", lambda topic, payload: acks.append(topic), gate=Gate(lake.root))
    worker.flush(NOW_MS)
    drive = Drive(PERSON)
    drive.trip()
    late = drive.trip()
    for message in late[:3]:
        worker.take(message.topic, message.payload, NOW_MS + 30)  # held while the erasure runs
    forget(Places(lake), PERSON, NOW_MS + 31)
    for message in late[3:]:
        worker.take(message.topic, message.payload, NOW_MS + 32)
    worker.flush(NOW_MS + 33)
    assert acks == [topics.ack(PERSON)]  # so that it stops
    assert worker.counters["rejected_forgotten"] == len(late)
    assert search([lake.root], People(frozenset({PERSON})))[1] == []
    seal(lake, NOW_MS + 34)
    assert PERSON not in set(lake.scan("trips").collect()["device_id"])


def test_sealing_goes_on_and_seals_nothing_of_the_person(lake):
    before = tables(lake)
    forget(Places(lake), PERSON, NOW_MS + 20)
    worker = Worker(lake, "x", lambda _topic, _payload: None, gate=Gate(lake.root))
    drive = Drive("new")
    for message in drive.trip():
        worker.take(message.topic, message.payload, NOW_MS + 40)
    worker.flush(NOW_MS + 40)
    report = seal(lake, NOW_MS + 41 + 40 * DAY_MS)
    trips = lake.scan("trips", "messages").collect()
    assert set(trips["device_id"]) == {*OTHERS, "new"}
    assert trips.height == 3 * 2 + 1
    assert report.open == 0
    afresh = seal(lake, NOW_MS + 42 + 40 * DAY_MS, afresh=True)
    assert afresh.trips == trips.height
    assert lake.scan("trips", "messages").collect().sort("trip_key").equals(trips.sort("trip_key"))
    assert before["trips"].height > trips.height


def test_a_backup_that_was_restored_is_erased_again_from_the_records_alone(lake, filled):
    forget(Places(lake), PERSON, NOW_MS + 20)
    assert forgotten_in(lake) == []
    subprocess.run(["cp", "-r", f"{filled}/.", lake.root], check=True)
    assert forgotten_in(lake) == [PERSON]


def test_a_file_that_cannot_be_read_or_that_nobody_can_erase_leaves_the_erasure_open(lake):
    stray = lake.root / "messages" / "export.csv"
    stray.write_text(f"a,b\n1,{PERSON}\n")
    with pytest.raises(UbiError, match=r"1 files still tell of the device: .*export.csv: its content; remove them"):
        forget(Places(lake), PERSON, NOW_MS)
    (record,) = Erasures(lake.root).read_all()
    assert record.done_at_ms is None
    stray.unlink()
    assert forget(Places(lake), PERSON, NOW_MS).erased["trips"] == 4
    (lake.root / "messages" / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(UbiError, match=r"broken.parquet: cannot be read"):
        forget(Places(lake), PERSON, NOW_MS)


def test_what_killed_workers_left_half_written_is_gone_too(lake):
    segment = next((lake.root / "messages").rglob("*.parquet"))
    half = segment.with_name(f".{segment.name}.tmp")
    half.write_bytes(segment.read_bytes()[:-9])
    forget(Places(lake), PERSON, NOW_MS)
    assert not half.exists()


def test_it_waits_for_no_worker_that_stands_still(lake):
    with Gate(lake.root).writing(), pytest.raises(TryAgainError, match="run again when it is done, or stop it"):
        forget(Places(lake), PERSON, NOW_MS, worker_within_s=0)
    assert not list((lake.root / "erasures").glob("*.json"))


def test_no_device_has_such_a_name(lake):
    with pytest.raises(UsageError, match="device id"):
        forget(Places(lake), "a/b", NOW_MS)


@pytest.fixture(params=[True, False], ids=["with policies", "without policies"])
def features(request, lake, tmp_path):
    policies = tmp_path / "policies.csv"
    policies.write_text(POLICIES)
    out = tmp_path / "features"
    build(lake, out, read_policies(policies) if request.param else None)
    return out


def test_feature_tables_lose_the_person_and_note_the_driver(lake, features):
    before = {name: pl.read_parquet(features / f"{name}.parquet") for name in ("trips", "events", "driver_periods")}
    driver = before["trips"].filter(pl.col("device_id") == PERSON)["driver_id"][0]
    told = forget(Places(lake, [features]), PERSON, NOW_MS)
    after = {name: pl.read_parquet(features / f"{name}.parquet") for name in before}
    for name in ("trips", "events"):
        assert after[name].equals(before[name].filter(pl.col("device_id") != PERSON))
    assert after["driver_periods"].equals(before["driver_periods"].filter(pl.col("driver_id") != driver))
    assert (
        told.erased["features/driver_periods"] == before["driver_periods"].height - after["driver_periods"].height > 0
    )
    assert was_erased(features, driver)
    assert not was_erased(features, "D-2")
    assert driver not in (features / "erased.json").read_text()
    # the same tables as if the person had never been
    policies = features.parent / "policies.csv"
    again = features.parent / "again"
    build(lake, again, read_policies(policies) if driver == "D-1" else None)
    for name in before:
        assert pl.read_parquet(again / f"{name}.parquet").equals(after[name])


@pytest.fixture
def enrolled(tmp_path):
    now = datetime(2026, 11, 22, tzinfo=UTC)
    authority = Authority(tmp_path / "ca")
    authority.create(["localhost"], now, None)
    keys = {"zone": "UTC", "broker": "mqtts://localhost", "obd_port": "x"}
    for name in (PERSON, OTHERS[0]):
        asked = Enrolment(name, Consent(("pricing",)), keys, ("P-1", "D-1"))
        enrol(asked, authority, tmp_path / "registry.jsonl", tmp_path / name, now, again=False)
    return authority, tmp_path / "registry.jsonl"


def test_the_line_in_the_registry_goes_and_the_certificate_is_revoked(lake, enrolled):
    authority, registry = enrolled
    serial = read_registry(registry)[0].devices[PERSON].certificates[0].serial
    forget(Places(lake, registry=registry, authority=authority), PERSON, NOW_MS)
    assert set(read_registry(registry)[0].devices) == {OTHERS[0]}
    assert PERSON.encode() not in registry.read_bytes().replace(OTHERS[0].encode(), b"")
    assert revoked_serials((authority.folder / "broker" / "crl.pem").read_bytes()) == {serial}


def test_a_name_that_nobody_had_is_told(lake, caplog, capsys):
    assert ubi.main(["ingest", "forget", PERSON, "typo", "--lake", str(lake.root)]) == 0
    assert caplog.text.count("nothing of this device was here; is its name right?") == 1
    assert "typo" not in caplog.text + capsys.readouterr().out
