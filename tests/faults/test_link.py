from __future__ import annotations

import socket

import pytest

from tests.faults.link import Link

PUBLISH = bytes([0x32, 5]) + b"abcde"
LONG = bytes([0x32, 0xC8, 0x01]) + bytes(200)
OTHER = bytes([0xC0, 0])


@pytest.fixture
def ends():
    """A link, the client's socket before it and the server's behind it."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        Link(listener.getsockname()[1], seed=1) as link,
        socket.create_connection(("127.0.0.1", link.port), timeout=10) as client,
        listener.accept()[0] as server,
    ):
        server.settimeout(10)
        client.sendall(OTHER)
        assert read(server, 2) == OTHER  # the road is open in both directions
        yield link, client, server


def read(end, count):
    got = b""
    while len(got) < count:
        part = end.recv(count - len(got))
        if not part:
            break
        got += part
    return got


def test_an_honest_link_passes_both_ways(ends):
    _, client, server = ends
    client.sendall(PUBLISH + OTHER + LONG)
    assert read(server, len(PUBLISH + OTHER + LONG)) == PUBLISH + OTHER + LONG
    server.sendall(OTHER)
    assert read(client, 2) == OTHER


def test_only_messages_are_doubled(ends):
    link, client, server = ends
    link.doubled = 1.0
    client.sendall(OTHER + PUBLISH)
    assert read(server, 2 + 2 * len(PUBLISH)) == OTHER + PUBLISH + PUBLISH
    assert link.counters["doubled"] == 1


def test_a_delayed_message_comes_after_later_ones(ends):
    link, client, server = ends
    link.delayed = 1.0
    client.sendall(PUBLISH + OTHER)
    assert read(server, 2 + len(PUBLISH)) == OTHER + PUBLISH


def test_an_old_message_is_replayed(ends):
    link, client, server = ends
    client.sendall(LONG)
    assert read(server, len(LONG)) == LONG
    link.replayed = 1.0
    client.sendall(PUBLISH)
    assert read(server, len(PUBLISH) + len(LONG)) == PUBLISH + LONG


def test_a_cut_resets_both_ends(ends):
    link, client, server = ends
    link.cut()
    for end in (client, server):
        with pytest.raises(ConnectionResetError):
            end.recv(1)


def test_a_cut_inside_a_packet_passes_half_of_it(ends):
    link, client, server = ends
    link.cut(inside=True)
    client.sendall(LONG)
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with pytest.raises(ConnectionResetError):
        read(server, len(LONG) // 2 + 1)


def test_a_stalled_link_holds_everything_until_it_flows(ends):
    link, client, server = ends
    link.stall()
    client.sendall(PUBLISH)
    server.settimeout(0.2)
    with pytest.raises(TimeoutError):
        server.recv(1)
    server.settimeout(10)
    link.flow()
    assert read(server, len(PUBLISH)) == PUBLISH


def test_a_target_that_is_down_is_a_reset(free_port):
    def connect_and_read():
        with socket.create_connection(("127.0.0.1", link.port), timeout=10) as client:
            client.recv(1)

    with Link(free_port, seed=1) as link, pytest.raises(ConnectionResetError):
        connect_and_read()
