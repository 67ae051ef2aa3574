"""Many devices at once: in several processes, or on one clock; and what became of each is told as ever."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

import ubi
from device.contract.broker import parse_broker
from device.contract.errors import TryAgainError, UsageError
from replay_data import player as player_module
from replay_data.jobs import Task, _shares, by_device, replay
from replay_data.player import Player, Progress
from replay_data.recording import device_of, read_recording
from tests.conftest import REPOSITORY
from tests.insurer import Insurer
from tests.replay_data.test_player import recording

pytestmark = pytest.mark.timeout(120)


def fleet(folder, cars=4, drives=2, seconds=300):
    folder.mkdir(exist_ok=True)
    return [
        recording(folder / f"{car}-{n}.ubirec", seconds, 10 * car + n, f"car-{car}")
        for n in range(drives)
        for car in range(cars)
    ]


@pytest.mark.broker
def test_several_processes_send_what_one_sends_and_tell_it_in_the_order_of_the_files(mosquitto, tmp_path, capsys):
    files = fleet(tmp_path / "files")
    streams, told = [], []
    for jobs in ("1", "3"):
        words = ["replay", *map(str, files), "--broker", mosquitto.url, "--json", "--jobs", jobs]
        with Insurer(mosquitto.port) as insurer:
            assert ubi.main([*words, "--outbox", str(tmp_path / jobs)]) == 0
            streams.append(set(insurer.payloads))
        told.append(json.loads(capsys.readouterr().out))
        assert list((tmp_path / jobs).iterdir()) == []
    assert streams[0] == streams[1]
    assert told[0] == told[1]
    assert [row["file"] for row in told[1]] == [path.name for path in files]
    assert all(row["messages"] == row["acked"] > 0 for row in told[1])


@pytest.mark.broker
def test_at_a_rate_all_devices_drive_at_once_and_each_one_drive_after_the_other(mosquitto, tmp_path, monkeypatch):
    """Two cars of two drives of 300 s at 1,000 times real time: 0.6 s, not 1.2, on a clock that only waiting moves."""
    files = fleet(tmp_path / "files", cars=2)
    task = Task(tuple(files), parse_broker(mosquitto.url), tmp_path / "outbox", rate=1_000)
    player = task.player()
    turn, waited, order = player._turn, [0.0], []
    monkeypatch.setattr(player, "_turn", lambda wait_s=0.0: (waited.append(wait_s), turn(wait_s)))
    clock = SimpleNamespace(monotonic=lambda: sum(waited), monotonic_ns=__import__("time").monotonic_ns)
    monkeypatch.setattr(player_module, "time", clock)
    begin = player._begin
    monkeypatch.setattr(player, "_begin", lambda rec: (order.append((rec.path.name, sum(waited))), begin(rec))[1])
    with Insurer(mosquitto.port):
        player.play_all(by_device(task), task.read)
        assert sum(waited) == pytest.approx(0.6, abs=0.05)
        player.deliver()
    player.close()
    began = dict(order)
    assert began["0-0.ubirec"] == began["1-0.ubirec"] == 0
    assert began["0-1.ubirec"] == pytest.approx(0.3, abs=0.03)
    assert began["1-1.ubirec"] == pytest.approx(0.3, abs=0.03)
    assert all(result.acked == result.messages > 0 for result in player.results)


def test_files_of_a_device_go_to_one_process_and_the_work_is_shared_evenly(tmp_path):
    files = fleet(tmp_path / "files", cars=5, drives=2)
    devices = by_device(Task(tuple(files), parse_broker("mqtt://localhost"), tmp_path))
    assert [{device_of(path) for path in paths} for paths in devices] == [{f"car-{car}"} for car in range(5)]
    shares = _shares(devices, 2)
    assert sorted(path for share in shares for paths in share for path in paths) == sorted(files)
    loads = [sum(path.stat().st_size for paths in share for path in paths) for share in shares]
    assert max(loads) < 2 * min(loads)
    assert len(_shares(devices[:1], 1)) == 1


@pytest.mark.broker
def test_progress_counts_recordings_devices_and_acks_of_all(mosquitto, tmp_path):
    files = fleet(tmp_path / "files", cars=2)
    seen: list[Progress] = []
    with Insurer(mosquitto.port):
        assert replay(Task(tuple(files), parse_broker(mosquitto.url), tmp_path / "outbox"), {}, 2, seen.append) is None
    last = seen[-1]
    assert (last.recordings, last.devices) == (4, 2)
    assert last.acked == last.messages > 0
    assert [p.messages for p in seen] == sorted(p.messages for p in seen)


def test_an_error_of_a_process_is_the_command_s(tmp_path, free_port, monkeypatch, capsys):
    files = fleet(tmp_path / "files", cars=2, drives=1, seconds=60)
    words = ["replay", *map(str, files), "--broker", f"mqtt://127.0.0.1:{free_port}", "--jobs", "2"]
    assert ubi.main([*words, "--outbox", str(tmp_path / "outbox")]) == 75
    told = capsys.readouterr()
    assert "does not answer" in told.err
    assert told.out.count("acked 0") == 2


@pytest.mark.broker
def test_killed_with_all_its_processes_it_goes_on_where_it_was(mosquitto, tmp_path):
    files = fleet(tmp_path / "files", cars=2, drives=1, seconds=7_200)
    command = [sys.executable, "-m", "ubi", "replay", *map(str, files), "--broker", mosquitto.url, "--jobs", "2"]
    killed = [*command, "--outbox", str(tmp_path / "killed")]
    with Insurer(mosquitto.port) as insurer:
        with subprocess.Popen([*killed, "--rate", "3600"], cwd=REPOSITORY, stdout=subprocess.DEVNULL) as process:
            while process.poll() is None and len(insurer.payloads) < 20:
                threading.Event().wait(0.01)
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        while (status := subprocess.run(killed, cwd=REPOSITORY, stdout=subprocess.DEVNULL).returncode) == 75:
            threading.Event().wait(0.1)  # its processes end when they see that nobody is there
        assert status == 0
        interrupted = set(insurer.payloads)
    assert list((tmp_path / "killed").iterdir()) == []
    with Insurer(mosquitto.port) as insurer:
        assert ubi.main([*command[3:], "--outbox", str(tmp_path / "whole")]) == 0
        assert set(insurer.payloads) == interrupted


def test_too_many_devices_at_a_rate_are_refused(tmp_path):
    player = Player(parse_broker("mqtt://localhost"), tmp_path, rate=1.0)
    with pytest.raises(UsageError, match="251 devices at once are too many, at most 250"):
        player.play_all([[tmp_path / str(n)] for n in range(251)], read_recording)


def test_a_process_that_dies_is_try_again(tmp_path, monkeypatch):
    """Its word never comes; the others are waited for."""
    from replay_data import jobs

    files = fleet(tmp_path / "files", cars=2, drives=1, seconds=60)
    monkeypatch.setattr(jobs, "_work", die)
    error = replay(Task(tuple(files), parse_broker("mqtt://localhost"), tmp_path / "outbox"), {}, 2)
    assert isinstance(error, TryAgainError)
    assert "ended with 3; the same command goes on where it was" in str(error)


def die(*_arguments):
    os._exit(3)
