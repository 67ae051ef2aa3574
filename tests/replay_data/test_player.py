from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import ubi
from device.contract import bodies
from device.contract.broker import parse_broker
from device.contract.recording import RecordingHead, write_recording
from device.contract.signing import verify
from replay_data import player as player_module
from replay_data.player import WAIT_S, Player, read_recording
from tests.conftest import REPOSITORY
from tests.device.agents import drive
from tests.insurer import Insurer, until

STARTED_MS = 1_735_516_800_000


def recording(path: Path, seconds: int = 900, seed: int = 1, vehicle: str = "") -> Path:
    readings = {(r.t_ms, r.signal): r for r in drive(seconds, seed)}
    order = {"speed_kmh": 1, "rpm": 2, "odometer_km": 13}
    rising = sorted(readings.values(), key=lambda r: (r.t_ms, order[r.signal]))
    head = RecordingHead("test", vehicle=vehicle, started_at_ms=STARTED_MS, utc_offset_min=60)
    write_recording(path, head, rising)
    return path


@pytest.fixture
def played(mosquitto, tmp_path):
    """Run `ubi replay` to the test's broker, in this process: (arguments) -> exit status."""

    def run(*arguments: object) -> int:
        words = ["replay", *map(str, arguments), "--broker", mosquitto.url, "--outbox", str(tmp_path / "outbox")]
        return ubi.main(words)

    return run


def lines(capsys):
    return capsys.readouterr().out.splitlines()


@pytest.mark.broker
def test_a_replay_prints_a_line_for_each_recording_and_leaves_no_outbox(mosquitto, played, tmp_path, capsys):
    first = recording(tmp_path / "first.ubirec", 900, 1, "Seat León")
    second = recording(tmp_path / "second drive.ubirec", 300, 2)
    with Insurer(mosquitto.port) as insurer:
        assert played(first, second) == 0
        sent = len(insurer.payloads)
        devices = {message.header.device_id for message in insurer.messages}
    one, two = lines(capsys)
    assert one.startswith("first.ubirec         ubi recording, device Seat-Leon: trips 1, ")
    assert two.startswith("second drive.ubirec  ubi recording, device second-drive: trips 1, ")
    assert devices == {"Seat-Leon", "second-drive"}
    assert sum(int(line.split("acked ")[1]) for line in (one, two)) == sent
    assert list((tmp_path / "outbox").iterdir()) == []


@pytest.mark.broker
def test_replaying_twice_gives_byte_identical_messages(mosquitto, played, tmp_path):
    path = recording(tmp_path / "a.ubirec")
    with Insurer(mosquitto.port) as first:
        assert played(path) == 0
    with Insurer(mosquitto.port) as second:
        assert played(path, "--rate", "20000") == 0
    assert first.stream == second.stream
    with Insurer(mosquitto.port) as third:
        assert played(path, "--device", "other") == 0
    assert {m.header.stream_id for m in third.messages}.isdisjoint(m.header.stream_id for m in first.messages)


@pytest.mark.broker
def test_messages_carry_the_recordings_own_time_identity_and_key(mosquitto, played, tmp_path):
    path = recording(tmp_path / "a.ubirec")
    with Insurer(mosquitto.port) as insurer:
        assert played(path) == 0
        messages = sorted(insurer.messages, key=lambda message: message.header.seq)
    known = read_recording(path)
    start, end = messages[0].body, messages[-1].body
    assert isinstance(start, bodies.TripStart)
    assert isinstance(end, bodies.TripEnd)
    assert (start.recording, start.recorded_file, start.adapter) == (known.sha256, "a.ubirec", "test")
    assert (start.started_at_ms, start.utc_offset_min) == (STARTED_MS + start.start_mono_ms, 60)
    assert {message.header.stream_id for message in messages} == {known.stream_id}
    assert all(message.header.queued_at_ms == STARTED_MS + message.header.mono_ms for message in messages)
    assert verify(known.signer.public_key, messages[-1].hash, messages[-1].signature)
    assert any(isinstance(message.body, bodies.Motion) for message in messages)


@pytest.mark.broker
def test_a_file_name_that_is_no_text_is_replayed(mosquitto, played, tmp_path):
    path = recording(tmp_path / os.fsdecode(b"drive-\xff.ubirec"), 200)
    with Insurer(mosquitto.port) as insurer:
        assert played(path) == 0
    assert insurer.messages[0].body.recorded_file == "drive-\ufffd.ubirec"


@pytest.mark.broker
def test_several_recordings_of_one_device_go_over_one_connection(mosquitto, played, tmp_path):
    paths = [recording(tmp_path / f"{seed}.ubirec", 200, seed, "Twin") for seed in range(4)]
    with Insurer(mosquitto.port) as insurer:
        assert played(*paths) == 0
        assert len({message.header.stream_id for message in insurer.messages}) == 4
        assert insurer.statuses.count(b"online") == 1


@pytest.mark.broker
def test_json_tells_the_same(mosquitto, played, tmp_path, capsys):
    path = recording(tmp_path / "a.ubirec")
    with Insurer(mosquitto.port):
        assert played(path, "--json", "--device", "car-1") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert {"file", "format", "device_id", "trips", "distance_m", "events", "messages", "acked", "rejected"} == set(row)
    assert (row["device_id"], row["trips"], row["rejected"]) == ("car-1", 1, 0)
    assert row["messages"] == row["acked"] > 10
    assert row["distance_m"] > 1_000


@pytest.mark.parametrize(("connect_s", "patience_s"), [(0.2, "60"), (60.0, "0.2")])
def test_no_broker_is_try_again_and_the_rows_stay(tmp_path, free_port, monkeypatch, capsys, connect_s, patience_s):
    monkeypatch.setattr("replay_data.player.CONNECT_WITHIN_S", connect_s)
    path, box = recording(tmp_path / "a.ubirec"), tmp_path / "outbox"
    words = ["replay", str(path), "--broker", f"mqtt://127.0.0.1:{free_port}", "--outbox", str(box)]
    assert ubi.main([*words, "--until-acked", patience_s]) == 75
    told = capsys.readouterr()
    assert f"mqtt://127.0.0.1:{free_port} does not answer" in told.err
    assert f"messages wait in {box} and the same command sends them" in told.err
    assert "acked 0" in told.out
    assert len(list(box.iterdir())) == 1


@pytest.mark.broker
def test_a_broker_without_an_insurer_is_try_again_and_the_next_replay_delivers(mosquitto, played, tmp_path, capsys):
    path = recording(tmp_path / "a.ubirec")
    assert played(path, "--until-acked", "0.3") == 75
    told = capsys.readouterr()
    assert "no ack from an insurer" in told.err
    with Insurer(mosquitto.port) as insurer:
        assert played(path) == 0
        delivered = insurer.stream
    with Insurer(mosquitto.port) as insurer:
        assert played(path) == 0
        assert insurer.stream == delivered


@pytest.mark.broker
def test_a_broker_that_restarts_meanwhile_is_waited_for(mosquitto, tmp_path, monkeypatch):
    player = Player(parse_broker(mosquitto.url), tmp_path)
    player.play(read_recording(recording(tmp_path / "a.ubirec", 200)))
    until(lambda: any(uplink.is_ready for uplink in player._uplinks.values()), lambda: player._turn(0.01))
    mosquitto.stop()
    until(lambda: any(uplink.last_error for uplink in player._uplinks.values()), lambda: player._turn(0.01))
    monkeypatch.setattr("replay_data.player.CONNECT_WITHIN_S", 0.0)
    mosquitto.start()
    with Insurer(mosquitto.port):
        player.deliver()
        player.close()
    assert player.results[0].acked == player.results[0].messages > 0


@pytest.mark.broker
def test_refused_messages_are_a_domain_error(mosquitto, tmp_path):
    path = recording(tmp_path / "a.ubirec", 200)
    player = Player(parse_broker(mosquitto.url), tmp_path / "outbox")
    with Insurer(mosquitto.port, takes=lambda _: False) as insurer:
        player.play(read_recording(path))
        stream_id = read_recording(path).stream_id
        wait = threading.Thread(target=lambda: insurer.say(player.results[0].device_id, rejection(stream_id)))
        wait.start()
        player.deliver()
        wait.join()
    player.close()
    assert player.results[0].rejected == player.results[0].messages > 0


def rejection(stream_id: bytes) -> bytes:
    from device.contract import wire_pb2 as pb

    return pb.Ack(stream_id=stream_id, rejected=[pb.Range(first=1, last=10**6)]).SerializeToString()


@pytest.mark.broker
def test_a_paced_replay_takes_its_time(mosquitto, tmp_path, monkeypatch):
    """300 s at 1,000 times real time are 0.3 s, on a clock that goes on by what is waited and by nothing else."""
    player = Player(parse_broker(mosquitto.url), tmp_path / "outbox", rate=1_000)
    turn, waited = player._turn, []
    monkeypatch.setattr(player, "_turn", lambda wait_s=0.0: (waited.append(wait_s), turn(wait_s)))
    clock = SimpleNamespace(monotonic=lambda: sum(waited), monotonic_ns=time.monotonic_ns)
    monkeypatch.setattr(player_module, "time", clock)
    with Insurer(mosquitto.port):
        player.play(read_recording(recording(tmp_path / "a.ubirec", 300)))
        assert sum(waited) == pytest.approx(0.3, abs=2 * WAIT_S)
        player.deliver()
    player.close()


@pytest.mark.broker
def test_kill_9_at_any_moment_and_replay_again_delivers_the_same_stream(mosquitto, tmp_path):
    seed = random.randrange(2**32)
    draw = random.Random(seed)
    path = recording(tmp_path / "a.ubirec", 7_200)
    command = [sys.executable, "-m", "ubi", "replay", str(path), "--broker", mosquitto.url, "--rate", "7200"]
    command += ["--outbox", str(tmp_path / "killed")]
    kills = 0
    with Insurer(mosquitto.port) as insurer:
        for _ in range(8):
            target = len(insurer.payloads) + draw.randrange(1, 25)
            with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL) as process:
                while process.poll() is None and len(insurer.payloads) < target:
                    threading.Event().wait(0.002)
                process.send_signal(signal.SIGKILL)
            kills += process.returncode == -signal.SIGKILL
        assert subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL).returncode == 0
        interrupted = insurer.stream
    assert kills > 1, f"seed {seed}"
    with Insurer(mosquitto.port) as insurer:
        assert ubi.main([*command[3:-1], str(tmp_path / "whole")]) == 0
        assert insurer.stream == interrupted, f"seed {seed}"


@pytest.mark.broker
def test_sigterm_leaves_with_0_and_what_was_queued_in_the_outbox(mosquitto, tmp_path):
    path = recording(tmp_path / "a.ubirec", 7_200)
    command = [sys.executable, "-m", "ubi", "replay", str(path), "--broker", mosquitto.url, "--rate", "100"]
    command += ["--outbox", str(tmp_path / "outbox")]
    with (
        Insurer(mosquitto.port) as insurer,
        subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
    ):
        while process.poll() is None and not insurer.payloads:
            threading.Event().wait(0.01)
        process.terminate()
        told, logged = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "a.ubirec" in told
    assert "cut off; the same command goes on where it was" in logged.splitlines()[-1]
    assert len(list((tmp_path / "outbox").iterdir())) == 1
