from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import polars as pl
import pytest

from device.contract import bodies, topics, wire
from device.contract import wire_pb2 as pb
from device.contract.errors import TryAgainError, UbiError
from ingest.contract import durable
from ingest.contract.erasure import Erasure, Erasures, hashed, note_drivers, was_erased
from ingest.contract.lake import Lake
from ingest.devices import ACTIVE, REVOKED, Consent, Device
from ingest.gate import PURPOSE, Gate, beyond_consent
from ingest.registry import change_registry
from ingest.worker import Worker
from tests.ingest.drive import START_MS, Drive, seqs

CELL = bodies.Cell(4_810, 1_160)
ALL = Consent(("accident", "pricing"), "full", "full")


class Desk:
    """A worker behind a gate, on a lake of its own, and the acks it published."""

    def __init__(self, root, *, consent=ALL, status=ACTIVE, registered=("car",)):
        self.lake = Lake(root / "lake")
        self.registry = root / "registry.jsonl"
        lines = [Device(name, status, date(2026, 1, 1), consent) for name in registered]
        change_registry(self.registry, lambda devices: devices.devices.update({line.device_id: line for line in lines}))
        self.published = []
        self.gate = Gate(self.lake.root, self.registry)
        publish = lambda topic, payload: self.published.append((topic, payload))  # noqa: E731
        self.worker = Worker(self.lake, "w", publish, gate=self.gate)

    def take(self, *messages, received_ms=START_MS):
        for message in messages:
            self.worker.take(message.topic, message.payload, received_ms)
        self.worker.flush(received_ms)

    def change(self, **fields):
        def edit(devices):
            devices.devices = {name: replace(device, **fields) for name, device in devices.devices.items()}

        change_registry(self.registry, edit)

    def forget(self, device_id):
        erasures = Erasures(self.lake.root)
        with erasures.alone(1.0):
            erasures.write(Erasure(hashed(erasures.key(), device_id), START_MS))

    @property
    def acked(self):
        acks = [pb.Ack.FromString(payload) for _, payload in self.published]
        stored, rejected = (
            {seq for ack in acks for seq in seqs(getattr(ack, part))} for part in ("stored", "rejected")
        )
        return stored, rejected

    @property
    def stored(self):
        return self.lake.scan_messages().collect()

    @property
    def rejects(self):
        return self.lake.scan_rejects().collect().to_dicts()


def body(kind, cell=None):
    """A body of a kind, with a cell where it has one."""
    drive = Drive()
    drive.start()
    made = {
        pb.BODY_TRIP_START: lambda: bodies.TripStart(500, START_MS, 0, 1, 1, start_cell=cell),
        pb.BODY_EVENT: lambda: bodies.Event(1, 1, 1, 0, 0, 0, 500, 400, 500, -80, 1, 1, cell),
        pb.BODY_IMPACT: lambda: bodies.Impact(1, 0, 3_000, None, complete=False, period_ms=500, cell=cell),
        pb.BODY_TRACK: lambda: bodies.Track(1, 0, 500, [4_800_000], [1_100_000]),
        pb.BODY_MOTION: lambda: None,
        pb.BODY_HEALTH: lambda: bodies.Health({"x": 1}),
    }
    return made[kind]()


@pytest.mark.parametrize("kind", sorted(PURPOSE))
def test_every_kind_needs_its_purpose_and_health_needs_none(kind):
    assert beyond_consent(Consent(), kind, None) == f"no consent to {PURPOSE[kind]}"
    assert beyond_consent(ALL, kind, None) is None
    assert beyond_consent(Consent(), pb.BODY_HEALTH, body(pb.BODY_HEALTH)) is None


def test_every_kind_that_the_wire_knows_has_a_purpose_or_serves_the_device():
    assert {*PURPOSE, int(pb.BODY_NONE), int(pb.BODY_HEALTH)} == {*pb.BodyKind.values()}


@pytest.mark.parametrize(
    ("consent", "kind", "cell", "said"),
    [
        (Consent(("pricing",)), pb.BODY_MOTION, None, "motion, and the consent is motion = off"),
        (Consent(("pricing",), "coarse", "full"), pb.BODY_TRACK, None, "a track, and the consent is location = coarse"),
        (Consent(("pricing",), "off", "full"), pb.BODY_EVENT, CELL, "cell, and the consent is location = off"),
        (
            Consent(("pricing",), "off", "full"),
            pb.BODY_TRIP_START,
            CELL,
            "start_cell, and the consent is location = off",
        ),
        (Consent(("accident",), "off", "full"), pb.BODY_IMPACT, CELL, "cell, and the consent is location = off"),
        (Consent(("pricing",), "coarse", "off"), pb.BODY_EVENT, CELL, None),
        (Consent(("pricing",), "full", "off"), pb.BODY_TRACK, None, None),
        (Consent(("pricing",), "off", "off"), pb.BODY_EVENT, None, None),
        (Consent(("accident",), "off", "off"), pb.BODY_IMPACT, None, None),
        (Consent(("accident",), "full", "full"), pb.BODY_EVENT, None, "no consent to pricing"),
        (Consent(("pricing",), "full", "full"), pb.BODY_IMPACT, None, "no consent to accident"),
    ],
)
def test_what_the_consent_does_not_cover_is_named(consent, kind, cell, said):
    assert beyond_consent(consent, kind, body(kind, cell)) == said


def test_a_trip_within_consent_is_taken_and_acked(tmp_path):
    desk, messages = Desk(tmp_path), Drive("car").trip()
    desk.take(*messages)
    assert desk.acked == ({m.seq for m in messages}, set())
    assert desk.stored.height == len(messages)
    assert desk.rejects == []


def test_motion_beyond_consent_leaves_header_hash_and_reason_and_the_trip_is_whole_without_it(tmp_path):
    desk, messages = Desk(tmp_path, consent=Consent(("pricing",))), Drive("car").trip()
    desk.take(*messages)
    motion = {2: messages[1], 3: messages[2]}
    assert desk.acked == ({1, 4, 5, 6}, {2, 3})
    assert [(row["seq"], row["reason"], row["payload"]) for row in desk.rejects] == [
        (2, "beyond_consent", None),
        (3, "beyond_consent", None),
    ]
    assert {row["stream_id"] for row in desk.rejects} == {Drive("car").stream_id.hex()}
    rows = desk.stored.sort("seq")
    assert rows["tombstone"].to_list() == [False, True, True, False, False, False]
    assert rows["hash"].to_list() == [m.hash for m in messages]
    for row in rows.filter(pl.col("tombstone")).to_dicts():
        sent = pb.Envelope.FromString(motion[row["seq"]].payload)
        kept = pb.Envelope.FromString(row["payload"])
        assert (kept.body, kept.header) == (b"", sent.header)
        assert sent.body not in row["payload"]
    desk.take(*messages)  # the device did not hear the ack
    assert desk.stored.height == len(messages)
    assert len(desk.rejects) == 2


def test_a_device_that_sends_tombstones_of_what_it_may_not_send_is_within_consent(tmp_path):
    desk, message = Desk(tmp_path, consent=Consent(("pricing",))), Drive("car").trip()[1]
    desk.take(message._replace(payload=wire.tombstone(message.payload)))
    assert desk.acked == ({2}, set())
    assert desk.rejects == []


def test_a_broken_body_beyond_consent_is_not_kept_either(tmp_path):
    desk, message = Desk(tmp_path, consent=Consent(("pricing",))), Drive("car").trip()[1]
    envelope = pb.Envelope.FromString(message.payload)
    envelope.body = envelope.body[:-3] + b"xyz"
    desk.take(message._replace(payload=envelope.SerializeToString()))
    assert [(row["reason"], row["payload"]) for row in desk.rejects] == [("beyond_consent", None)]


def test_consent_withdrawn_holds_from_the_next_segment_on_without_a_restart(tmp_path):
    desk, drive = Desk(tmp_path), Drive("car")
    desk.take(*drive.trip())
    desk.change(consent=Consent())
    desk.take(*drive.trip())
    assert desk.stored.filter(pl.col("seq") > 6)["tombstone"].to_list() == [True, True, True, True, False, True]
    assert desk.worker.counters["rejected_beyond_consent"] == 5


def test_an_unknown_device_is_refused_without_an_ack_and_taken_once_it_is_registered(tmp_path):
    desk, messages = Desk(tmp_path, registered=("bus",)), Drive("car").trip()
    desk.take(*messages)
    desk.take(*messages)
    assert desk.published == []
    assert desk.stored.height == 0
    assert [(row["device_id"], row["seq"], row["reason"], row["payload"]) for row in desk.rejects] == [
        ("car", seq, "unknown_device", None) for seq in range(1, 7)
    ]
    change_registry(desk.registry, lambda d: d.devices.update(car=replace(d.devices["bus"], device_id="car")))
    desk.take(*messages)
    assert desk.acked == ({m.seq for m in messages}, set())
    assert desk.stored.height == len(messages)


def test_a_revoked_device_is_refused_and_acked_so_that_it_ends(tmp_path):
    desk, messages = Desk(tmp_path, status=REVOKED), Drive("car").trip()
    desk.take(*messages)
    assert desk.acked == (set(), {m.seq for m in messages})
    assert desk.stored.height == 0
    assert {(row["reason"], row["payload"]) for row in desk.rejects} == {("revoked_device", None)}


def test_garbage_of_a_device_that_may_not_speak_is_not_kept(tmp_path):
    desk = Desk(tmp_path, status=REVOKED)
    for name in ("car", "nobody"):
        desk.worker.take(topics.up(name), b"garbage of a person", START_MS)
    desk.worker.take("ubi/v1/no device/up", b"?", START_MS)
    desk.worker.flush(START_MS)
    assert [(row["reason"], row["payload"]) for row in desk.rejects] == [
        ("revoked_device", None),
        ("wrong_device", b"?"),
    ]  # the same bytes are kept once
    assert desk.worker.counters["rejected_unknown_device"] == 1


def test_a_message_on_the_topic_of_another_is_judged_as_the_others(tmp_path):
    desk, message = Desk(tmp_path, registered=("thief",)), Drive("car").start()
    desk.worker.take(topics.up("thief"), message.payload, START_MS)
    desk.worker.flush(START_MS)
    assert [(row["device_id"], row["reason"], row["payload"]) for row in desk.rejects] == [
        ("thief", "unknown_device", None)
    ]
    assert desk.published == []


def test_of_a_forgotten_device_nothing_is_kept_that_names_it(tmp_path):
    desk, drive = Desk(tmp_path), Drive("car")
    desk.forget("car")
    desk.take(*drive.trip())
    desk.worker.take(topics.up("car"), b"car garbage", START_MS)
    desk.worker.take(topics.up("thief"), drive.start().payload, START_MS)
    desk.worker.flush(START_MS + 1)
    assert desk.acked == (set(), {1, 2, 3, 4, 5, 6})
    assert desk.stored.height == 0
    (name,) = Erasures(desk.lake.root).names
    for row in desk.rejects:
        told = {"reason": "forgotten", "detail": f"erasure {name}", "received_at_ms": row["received_at_ms"]}
        assert {key: value for key, value in row.items() if value is not None} == told | {
            "payload_sha256": row["payload_sha256"]
        }
    assert len(desk.rejects) == 8


def test_an_erasure_that_begins_after_the_disk_refused_reaches_what_waits(tmp_path, monkeypatch):
    desk, drive, bus = Desk(tmp_path, registered=("car", "bus")), Drive("car"), Drive("bus")
    desk.worker.flush(START_MS)  # makes the folders
    for message in (*drive.trip(), *bus.trip()):
        desk.worker.take(message.topic, message.payload, START_MS)
    desk.worker.take(topics.up("bus"), drive.messages[0].payload, START_MS)  # a reject that names the car
    with monkeypatch.context() as patch:
        patch.setattr(durable.os, "fsync", refuse)
        with pytest.raises(TryAgainError):
            desk.worker.flush(START_MS)
    desk.forget("car")
    desk.worker.flush(START_MS)
    assert desk.stored["device_id"].unique().to_list() == ["bus"]
    assert desk.rejects == []


def refuse(_descriptor):
    raise OSError(28, "No space left on device")


def test_without_a_registry_everybody_is_taken_but_the_forgotten(tmp_path):
    lake = Lake(tmp_path)
    desk = Desk(tmp_path)
    desk.forget("car")
    gate = Gate(desk.lake.root)
    worker = Worker(lake, "w", lambda _t, _p: None, gate=gate)
    for message in (*Drive("car").trip(), *Drive("bus").trip()):
        worker.take(message.topic, message.payload, START_MS)
    worker.flush(START_MS)
    assert lake.scan_messages().collect()["device_id"].unique().to_list() == ["bus"]


def test_a_broken_registry_leaves_the_devices_as_they_were_and_is_counted(tmp_path):
    desk, drive = Desk(tmp_path), Drive("car")
    desk.registry.write_text("broken")
    desk.take(*drive.trip())
    desk.take(*drive.trip())
    assert desk.stored.height == 12
    assert desk.worker.counters["registry_errors"] == 1


def test_two_erasures_in_one_tick_of_the_clock_are_both_seen(tmp_path):
    desk = Desk(tmp_path, registered=("a", "b"))
    watched = Erasures(desk.lake.root)
    for name in ("a", "b"):
        desk.forget(name)
        assert watched.refresh()
        assert watched.name_of(name)
    assert not watched.refresh()
    assert watched.name_of("c") is None


def test_an_erasure_waits_for_the_segment_that_is_being_written(tmp_path):
    desk = Desk(tmp_path)
    other = Erasures(desk.lake.root)
    with desk.gate.writing(), pytest.raises(TryAgainError, match="a worker has been writing a segment"), other.alone(0):
        pass
    with desk.gate.writing(), desk.gate.writing():
        pass  # workers do not wait for each other


def test_records_whose_key_is_gone_stop_a_worker(tmp_path):
    desk = Desk(tmp_path)
    desk.forget("car")
    (desk.lake.root / "erasures" / "key").unlink()
    with pytest.raises(UbiError, match="key: No such file or directory; without it nobody can tell whom to refuse"):
        Gate(desk.lake.root)
    (desk.lake.root / "erasures" / "key").write_bytes(b"short")
    with pytest.raises(UbiError, match="has 5 bytes, not 32"):
        Gate(desk.lake.root)


def test_the_key_is_private_and_the_name_says_nothing_without_it(tmp_path):
    desk = Desk(tmp_path)
    desk.forget("car")
    folder = desk.lake.root / "erasures"
    assert (folder / "key").stat().st_mode & 0o777 == 0o600
    (record,) = folder.glob("*.json")
    assert record.stem == hashed((folder / "key").read_bytes(), "car")
    assert "car" not in record.read_text()
    assert json.loads(record.read_text())["done_at_ms"] is None


def test_feature_tables_know_whom_they_lost(tmp_path):
    note_drivers(tmp_path, ["D-1", "D-2"], START_MS)
    note_drivers(tmp_path, ["D-2", "D-3"], START_MS)
    assert [name for name in ("D-1", "D-2", "D-3", "D-4") if was_erased(tmp_path, name)] == ["D-1", "D-2", "D-3"]
    content = json.loads((tmp_path / "erased.json").read_text())
    assert len(content["erased"]) == 3
    assert "D-" not in (tmp_path / "erased.json").read_text()
    assert not was_erased(tmp_path / "elsewhere", "D-1")
