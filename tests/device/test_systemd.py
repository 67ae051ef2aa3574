"""What systemd is told."""

from __future__ import annotations

import socket

import pytest

from device.systemd import ALIVE_EVERY_MS, Systemd


@pytest.fixture
def listening(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "notify"))
        end.setblocking(False)
        yield str(tmp_path / "notify"), end


def told(end: socket.socket) -> list[str]:
    texts = []
    while True:
        try:
            texts.append(end.recv(1_000).decode())
        except BlockingIOError:
            return texts


def test_ready_alive_and_stopping_are_told(listening):
    address, end = listening
    systemd = Systemd(address)
    systemd.ready()
    systemd.alive(0, lambda: "awake")
    systemd.alive(ALIVE_EVERY_MS - 1, lambda: "awake")
    systemd.alive(ALIVE_EVERY_MS, lambda: "awake")
    systemd.alive(2 * ALIVE_EVERY_MS, lambda: "parked")
    systemd.stopping()
    assert told(end) == [
        "READY=1",
        "WATCHDOG=1\nSTATUS=awake",
        "WATCHDOG=1",
        "WATCHDOG=1\nSTATUS=parked",
        "STOPPING=1",
    ]


def test_the_address_is_that_of_the_environment_abstract_ones_too(monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind("\0ubi-test-notify")
        end.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", "@ubi-test-notify")
        Systemd().ready()
        assert told(end) == ["READY=1"]


def test_without_systemd_or_with_one_that_does_not_listen_nothing_happens(tmp_path, monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    asked = []
    Systemd().ready()
    Systemd(str(tmp_path / "nobody")).alive(0, lambda: asked.append("awake") or "awake")
    assert asked == ["awake"]
