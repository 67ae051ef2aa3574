"""One outbox for each recording and device: never two writers, never the same drive twice in a stream."""

from __future__ import annotations

import pytest

from device.contract.broker import parse_broker
from device.contract.errors import TryAgainError, UbiError, UsageError
from device.state import STATE_VERSION
from replay_data.player import Player, read_recording
from tests.replay_data.test_player import recording


def test_the_same_recording_under_two_names_is_refused(tmp_path, free_port):
    first = recording(tmp_path / "a.ubirec", 60, vehicle="Car")
    second = recording(tmp_path / "b.ubirec", 60, vehicle="Car")
    player = Player(parse_broker(f"mqtt://localhost:{free_port}"), tmp_path / "outbox")
    player.play(read_recording(first))
    with pytest.raises(UsageError, match=r"b\.ubirec: the same recording as .*a\.ubirec"):
        player.play(read_recording(second))
    player.close()


def test_two_replays_of_one_recording_at_a_time_are_refused(tmp_path, free_port):
    known = read_recording(recording(tmp_path / "a.ubirec", 60))
    first, second = (Player(parse_broker(f"mqtt://localhost:{free_port}"), tmp_path / "outbox") for _ in range(2))
    first.play(known)
    with pytest.raises(TryAgainError, match="in use by another process"):
        second.play(known)
    first.close()
    second.close()


def test_an_outbox_of_another_release_is_not_driven_a_second_time(tmp_path, free_port, monkeypatch):
    played = read_recording(recording(tmp_path / "a.ubirec", 200))
    player = Player(parse_broker(f"mqtt://127.0.0.1:{free_port}"), tmp_path)
    player.play(played)
    player.close()
    monkeypatch.setattr("device.state.STATE_VERSION", STATE_VERSION + 1)
    with pytest.raises(UbiError, match="begun by another release"):
        player.play(played)
    player.close()
