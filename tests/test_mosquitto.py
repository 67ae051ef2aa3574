from __future__ import annotations

import socket

import pytest

pytestmark = pytest.mark.broker


def accepts(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_broker_comes_back_on_its_port_after_kill_and_after_stop(mosquitto):
    assert accepts(mosquitto.port)
    mosquitto.kill9()
    assert not accepts(mosquitto.port)
    mosquitto.start()
    assert accepts(mosquitto.port)
    mosquitto.stop()
    assert not accepts(mosquitto.port)
