from __future__ import annotations

import socket
import threading
import time

import pytest

from device.contract import wire
from device.contract.broker import BrokerAddress, ClientCertificate, parse_broker
from device.contract.errors import UsageError
from device.outbox import Outbox
from device.uplink import RESEND_MS, Uplink
from device.uplink_lane import WINDOW_ROWS
from tests.device.test_outbox import put, seqs
from tests.insurer import Insurer, ack, until
from tests.mosquitto import find_mosquitto
from tests.tls_broker import tls_broker

STREAM = bytes(range(16))
pytestmark = pytest.mark.broker


@pytest.fixture
def outbox(tmp_path):
    with Outbox(tmp_path / "outbox", STREAM) as outbox:
        yield outbox


@pytest.fixture
def uplink(mosquitto, outbox):
    uplink = Uplink("car", parse_broker(mosquitto.url))
    uplink.add(outbox)
    yield uplink
    uplink.stop()


def test_rows_leave_the_outbox_on_the_application_ack_alone(mosquitto, outbox, uplink):
    put(outbox, 5)
    with Insurer(mosquitto.port, takes=lambda message: message.header.seq != 3) as insurer:
        until(lambda: seqs(outbox) == [3], lambda: uplink.step(0, 0.01))
        assert [message.header.seq for message in insurer.messages] == [1, 2, 3, 4, 5]
        assert insurer.statuses == [b"online"]


def test_an_unacked_row_is_sent_again_byte_identical_after_60_s_then_after_twice_as_long(mosquitto, outbox, uplink):
    put(outbox, 2)
    with Insurer(mosquitto.port, takes=lambda _: False) as insurer:
        sent = 0
        for now_ms, count in [
            (0, 2),
            (RESEND_MS - 1, 2),
            (RESEND_MS, 4),
            (2 * RESEND_MS, 4),
            (3 * RESEND_MS - 1, 4),
            (3 * RESEND_MS, 6),
        ]:
            until(lambda count=count: len(insurer.payloads) >= count, lambda now=now_ms: uplink.step(now, 0.01))
            uplink.step(now_ms, 0.1)
            assert len(insurer.payloads) == count
            sent = count
        assert len({*insurer.payloads}) == 2
        assert uplink.counters["resent"] == sent - 2
        insurer.say("car", ack(STREAM, 1, 2))
        until(lambda: outbox.waiting() == 0, lambda: uplink.step(0, 0.01))


def test_a_rejected_row_is_deleted_and_counted(mosquitto, outbox, uplink):
    put(outbox, 3)
    with Insurer(mosquitto.port, takes=lambda _: False) as insurer:
        until(lambda: len(insurer.payloads) == 3, lambda: uplink.step(0, 0.01))
        insurer.say("car", ack(STREAM, 1, rejected=(2,)))
        until(lambda: seqs(outbox) == [3], lambda: uplink.step(0, 0.01))
    assert uplink.counters["rejected"] == outbox.rejected == 1


@pytest.mark.parametrize("payload", [b"", b"\xff" * 50, ack(bytes(16), 1, 2, 3), ack(STREAM, 2**63, 2**64 - 1, 0)])
def test_foreign_and_damaged_acks_delete_nothing(mosquitto, outbox, uplink, payload):
    put(outbox, 3)
    with Insurer(mosquitto.port, takes=lambda _: False) as insurer:
        until(lambda: len(insurer.payloads) == 3, lambda: uplink.step(0, 0.01))
        insurer.say("car", payload)
        insurer.say("car", ack(STREAM, 3))
        until(lambda: 3 not in seqs(outbox), lambda: uplink.step(0, 0.01))
    assert seqs(outbox) == [1, 2]


def test_a_broker_killed_before_the_ack_gets_everything_again(mosquitto, outbox, uplink):
    put(outbox, 50)
    with Insurer(mosquitto.port, takes=lambda _: False) as insurer:
        until(lambda: len(insurer.payloads) == 50, lambda: uplink.step(0, 0.01))
    mosquitto.kill9()
    until(lambda: not uplink.is_ready, lambda: uplink.step(0, 0.01))
    put(outbox, 5)
    mosquitto.start()
    with Insurer(mosquitto.port) as insurer:
        until(lambda: outbox.waiting() == 0, lambda: uplink.step(10_000, 0.01))
        assert len(insurer.stream) == 55
    assert uplink.counters["connects"] == 2


def test_a_silent_broker_does_not_block_the_caller(outbox):
    """A listener that accepts and says nothing: `step` goes on at once, for the readings cannot wait."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        uplink = Uplink("car", BrokerAddress("127.0.0.1", server.getsockname()[1], tls=False))
        uplink.add(outbox)
        began = time.perf_counter()
        for _ in range(100):
            uplink.step(0)
        assert time.perf_counter() - began < 1.0
        assert not uplink.is_ready
    until(lambda: uplink.last_error, lambda: uplink.step(0, 0.01))
    uplink.stop()


@pytest.mark.parametrize(("drawn", "share"), [(0.0, 0.1), (0.5, 0.55), (1.0, 1.0)])
def test_attempts_to_connect_wait_ever_longer_by_chance(free_port, outbox, drawn, share):
    uplink = Uplink("car", parse_broker(f"mqtt://localhost:{free_port}"), draw=lambda: drawn)
    now_ms = 0
    for bound_ms in (2_000, 4_000, 8_000):
        wait_ms = round(bound_ms * share)
        until(lambda: uplink._connection is None and uplink.last_error, lambda now=now_ms: uplink.step(now, 0.01))
        assert "refused" in uplink.last_error
        assert uplink._connect_at_ms == now_ms + wait_ms
        uplink.last_error = ""
        uplink.step(now_ms + wait_ms - 1)
        assert uplink._connection is None
        now_ms += wait_ms
        uplink.step(now_ms)
    uplink.stop()
    assert threading.active_count() < 5


def test_the_window_bounds_what_is_on_the_road(mosquitto, outbox, uplink):
    put(outbox, WINDOW_ROWS + 20)
    with Insurer(mosquitto.port, takes=lambda _: False) as insurer:
        until(lambda: len(insurer.payloads) >= WINDOW_ROWS, lambda: uplink.step(0, 0.01))
        uplink.step(0, 0.1)
        assert len(insurer.payloads) == WINDOW_ROWS
        insurer.say("car", ack(STREAM, *range(1, 21)))
        until(lambda: len(insurer.payloads) == WINDOW_ROWS + 20, lambda: uplink.step(0, 0.01))


def test_one_device_sends_several_streams(mosquitto, tmp_path, outbox, uplink):
    put(outbox, 3)
    with Outbox(tmp_path / "second") as second, Insurer(mosquitto.port) as insurer:
        put(second, 4)
        uplink.add(second)
        until(lambda: outbox.waiting() + second.waiting() == 0, lambda: uplink.step(0, 0.01))
        assert {message.header.stream_id for message in insurer.messages} == {STREAM, second.stream_id}
        uplink.remove(second)


def test_status_is_online_then_offline_also_for_who_is_cut_off(mosquitto, outbox, uplink):
    with Insurer(mosquitto.port) as insurer:
        until(lambda: uplink.is_ready, lambda: uplink.step(0, 0.01))
        until(lambda: insurer.statuses == [b"online"])
        uplink.stop()
        until(lambda: insurer.statuses == [b"online", b"offline"])
        until(lambda: uplink.is_ready, lambda: uplink.step(0, 0.01))
        uplink._connection._client.socket().shutdown(socket.SHUT_RDWR)
        until(lambda: insurer.statuses[2:] == [b"online", b"offline"], lambda: uplink.step(0, 0.01))
    with Insurer(mosquitto.port) as late:
        until(lambda: late.statuses)
        assert late.statuses == [b"offline"]  # retained


@pytest.fixture
def binary():
    found = find_mosquitto()
    if found is None:
        pytest.skip("mosquitto is not installed (apt-get install mosquitto)")
    return found


def test_tls_delivers_to_a_broker_we_trust(binary, tmp_path, outbox):
    put(outbox, 3)
    with tls_broker(binary, tmp_path) as broker, Insurer(broker.plain_port) as insurer:
        uplink = Uplink("car", parse_broker(f"mqtts://localhost:{broker.port}"), ca_file=broker.cert_file)
        uplink.add(outbox)
        until(lambda: outbox.waiting() == 0, lambda: uplink.step(0, 0.01))
        uplink.stop()
        assert len(insurer.stream) == 3


# paho leaves a socket whose handshake failed to the garbage collector.
@pytest.mark.filterwarnings("ignore:.*SSLSocket:pytest.PytestUnraisableExceptionWarning")
def test_tls_says_nothing_to_a_broker_we_do_not_trust(binary, tmp_path, outbox):
    put(outbox, 3)
    with tls_broker(binary, tmp_path) as broker, Insurer(broker.plain_port) as insurer:
        uplink = Uplink("car", parse_broker(f"mqtts://localhost:{broker.port}"))
        uplink.add(outbox)
        until(lambda: uplink.last_error, lambda: uplink.step(0, 0.01))
        assert insurer.payloads == insurer.statuses == []
        assert "certificate verify failed" in uplink.last_error
        uplink.stop()


@pytest.mark.parametrize("from_day", [-9, 9])
@pytest.mark.filterwarnings("ignore:.*SSLSocket:pytest.PytestUnraisableExceptionWarning")
def test_a_certificate_out_of_its_time_asks_for_the_clock(binary, tmp_path, from_day):
    with tls_broker(binary, tmp_path, from_day=from_day) as broker:
        uplink = Uplink("car", parse_broker(f"mqtts://localhost:{broker.port}"), ca_file=broker.cert_file)
        until(lambda: uplink.last_error, lambda: uplink.step(0, 0.01))
        uplink.stop()
    assert "is the clock of this computer right?" in uplink.last_error


@pytest.mark.filterwarnings("ignore:.*SSLSocket:pytest.PytestUnraisableExceptionWarning")
def test_a_broker_that_asks_for_a_certificate_gets_ours(binary, tmp_path, outbox):
    put(outbox, 3)
    with tls_broker(binary, tmp_path, asks=True) as broker, Insurer(broker.plain_port) as insurer:
        address = parse_broker(f"mqtts://localhost:{broker.port}")
        stranger = Uplink("car", address, broker.cert_file)
        stranger.add(outbox)
        until(lambda: stranger.last_error, lambda: stranger.step(0, 0.01))
        stranger.stop()
        assert "does not take this device's certificate" in stranger.last_error
        assert (insurer.payloads, outbox.waiting()) == ([], 3)
        uplink = Uplink("car", address, broker.cert_file, client=ClientCertificate(broker.cert_file, broker.key_file))
        uplink.add(outbox)
        until(lambda: outbox.waiting() == 0, lambda: uplink.step(0, 0.01))
        uplink.stop()


def test_a_certificate_file_that_is_none_is_named(tmp_path):
    (tmp_path / "ca.pem").write_text("nonsense")
    for name in ("ca.pem", "missing.pem"):
        with pytest.raises(UsageError, match=name):
            Uplink("car", BrokerAddress("broker.example", 8883, tls=True), tmp_path / name)
        client = ClientCertificate(tmp_path / name, tmp_path / "tls.key")
        with pytest.raises(UsageError, match=f"{name} and .*tls.key: cannot be read as a certificate and its key"):
            Uplink("car", BrokerAddress("broker.example", 8883, tls=True), client=client)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mqtts://broker.example", ("broker.example", 8883, True)),
        ("mqtts://broker.example:1234/", ("broker.example", 1234, True)),
        ("mqtt://localhost", ("localhost", 1883, False)),
        ("mqtt://127.0.0.9:5", ("127.0.0.9", 5, False)),
        ("mqtt://[::1]:5", ("::1", 5, False)),
    ],
)
def test_a_broker_address_is_read(url, address):
    assert parse_broker(url) == address
    assert parse_broker(str(parse_broker(url))) == address


@pytest.mark.parametrize(
    ("url", "fix"),
    [
        ("mqtt://10.0.0.1", "use mqtts://, or say --insecure"),
        ("mqtt://localhost.example", "use mqtts://, or say --insecure"),
        ("localhost:1883", "write mqtts://HOST"),
        ("http://localhost", "write mqtts://HOST"),
        ("mqtts://", "write mqtts://HOST"),
        ("mqtts://host:99999", "write mqtts://HOST"),
        ("mqtts://host:x", "write mqtts://HOST"),
        ("mqtts://user:secret@host", "more than a host and a port"),
        ("mqtts://host/topic", "more than a host and a port"),
        ("mqtts://[::1", "write mqtts://HOST"),
        (f"mqtts://{'x' * 70}.example", "write mqtts://HOST"),
        ("", "write mqtts://HOST"),
    ],
)
def test_a_wrong_broker_address_is_one_line_with_the_fix(url, fix):
    with pytest.raises(UsageError, match="broker") as caught:
        parse_broker(url)
    assert fix in str(caught.value)
    assert "\n" not in str(caught.value)


def test_plain_mqtt_over_the_network_only_when_insecure_is_said():
    assert parse_broker("mqtt://10.0.0.1", insecure=True) == ("10.0.0.1", 1883, False)


def test_what_was_sent_is_what_was_queued(mosquitto, outbox, uplink):
    put(outbox, 3)
    queued = [row.payload for row in outbox.unacked(3)]
    with Insurer(mosquitto.port) as insurer:
        until(lambda: outbox.waiting() == 0, lambda: uplink.step(0, 0.01))
        assert insurer.payloads == queued
        assert all(isinstance(wire.decode(payload, "car"), wire.Message) for payload in insurer.payloads)
