"""Holding a valid certificate of car-a, nothing of car-b can be written, read or forged: tried, with real clients."""

from __future__ import annotations

from datetime import timedelta

import paho.mqtt.client as mqtt
import pytest

from device.contract import topics
from ingest.certificates import CLIENT, issue, new_authority
from ingest.devices import Consent
from ingest.enrol import revoke
from tests.ingest.access import Client, Site, self_signed
from tests.ingest.process import wait_for
from tests.mosquitto import find_mosquitto

pytestmark = [
    pytest.mark.broker,
    # paho leaves a socket whose handshake failed to the garbage collector
    pytest.mark.filterwarnings("ignore:.*socket:pytest.PytestUnraisableExceptionWarning"),
]

MINE = [topics.up("car-a"), topics.status("car-a")]
NOT_MINE = [
    *(make("car-b") for make in (topics.up, topics.status, topics.ack, topics.config)),
    *(make("car-a") for make in (topics.ack, topics.config)),
    *(make("nobody") for make in (topics.up, topics.ack)),
    "ubi/v1/probe/x",
    "ubi/v1/car-a/up/more",
    "ubi/v2/car-a/up",
    "ubi/v1/car-a",
    "anything",
    "$SYS/broker/version",
]
HEARD = ["ubi/v1/+/up", "ubi/v1/+/status", "ubi/v1/probe/+"]  # what a worker may read


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    binary = find_mosquitto() or pytest.skip("mosquitto is not installed (apt-get install mosquitto)")
    site = Site(binary, tmp_path_factory.mktemp("site"))
    yield site
    site.broker.stop()


@pytest.fixture
def spy(site):
    """A worker that reads all a worker may."""
    with site.worker() as spy:
        spy.subscribe(*HEARD)
        yield spy


def everything(clients):
    return [got for client in clients for got in client.got]


def drained(spy, client, *others):
    """All that anybody got, once what the client says last has come."""
    client.publish(topics.up("car-a"), b"last")
    wait_for(lambda: (topics.up("car-a"), b"last") in spy.got)
    return [got for got in everything([spy, *others]) if got != (topics.up("car-a"), b"last")]


@pytest.mark.parametrize("version", [mqtt.MQTTv311, mqtt.MQTTv5])
def test_a_car_speaks_on_its_topics_and_hears_its_acks_and_its_configuration(site, spy, version):
    with site.car("car-a", version=version) as car:
        spy.publish(topics.config("car-a"), b"settings", retain=True)
        car.subscribe(topics.ack("car-a"), topics.config("car-a"))
        for topic in MINE:
            car.publish(topic, b"mine")
        spy.publish(topics.ack("car-a"), b"taken")
        wait_for(lambda: len(car.got) == 2 and len(spy.got) == 2)
    assert sorted(car.got) == [(topics.ack("car-a"), b"taken"), (topics.config("car-a"), b"settings")]
    assert spy.got == [(topic, b"mine") for topic in MINE]
    spy.publish(topics.config("car-a"), b"", retain=True)


@pytest.mark.parametrize("version", [mqtt.MQTTv311, mqtt.MQTTv5])
@pytest.mark.parametrize("retain", [False, True])
def test_nothing_arrives_that_a_car_says_elsewhere(site, spy, version, retain):
    with site.car("car-a", version=version) as car, site.car("car-b") as other:
        other.subscribe(topics.ack("car-b"), topics.config("car-b"))
        said = [car.publish(topic, retain=retain) for topic in NOT_MINE]
        assert drained(spy, car, other) == []
    if version == mqtt.MQTTv5:
        assert set(said) == {"Not authorized"}
    with site.car("car-b") as other, site.worker("late") as late:  # nor was anything kept for later
        other.subscribe(topics.ack("car-b"), topics.config("car-b"))
        late.subscribe(*HEARD)
        with site.car("car-a") as car:
            assert drained(late, car, other) == []


@pytest.mark.parametrize("version", [mqtt.MQTTv311, mqtt.MQTTv5])
def test_a_car_hears_nothing_of_another_whatever_it_asks_for(site, spy, version):
    asked = [
        *(make("car-b") for make in (topics.up, topics.status, topics.ack, topics.config)),
        *("#", "+/+/+/+", "ubi/#", "ubi/v1/+/ack", "ubi/v1/+/config", "ubi/v1/+/up", "$SYS/#", "ubi/v1/probe/+"),
        *(f"$share/{group}/{topic}" for group in ("ubi-ingest", "x") for topic in ("#", "ubi/v1/+/up", "ubi/v1/+/ack")),
    ]
    spy.publish(topics.config("car-b"), b"secret", retain=True)
    with site.car("car-a", version=version) as thief, site.car("car-b") as other:
        thief.subscribe(*asked)
        other.publish(topics.up("car-b"), b"secret")
        other.publish(topics.status("car-b"), b"secret", retain=True)
        spy.publish(topics.ack("car-b"), b"secret")
        spy.publish(topics.ack("car-a"), b"last")
        wait_for(lambda: thief.got)
        assert set(thief.got) == {(topics.ack("car-a"), b"last")}
    for topic in (topics.config("car-b"), topics.status("car-b")):
        with site.car("car-b") as other:
            (spy if topic == topics.config("car-b") else other).publish(topic, b"", retain=True)


def test_a_client_id_of_another_takes_nobodys_place(site):
    with (
        site.car("car-b") as victim,
        Client(site, site.car_port, (site.folder / "car-a/tls.pem", site.folder / "car-a/tls.key"), "car-b") as thief,
    ):
        assert thief.is_connected
        thief.subscribe(topics.ack("car-b"))
        with site.worker() as worker:
            worker.publish(topics.ack("car-b"), b"for b")
            victim.subscribe(topics.ack("car-b"))
            worker.publish(topics.ack("car-b"), b"for b")
        wait_for(lambda: victim.got)
        assert victim.is_connected
        assert thief.got == []


def test_a_user_name_says_nothing_beside_a_certificate(site, spy):
    with site.car("car-a", user="car-b") as thief:
        assert thief.publish(topics.up("car-b")) == "Not authorized"
        assert drained(spy, thief) == []


@pytest.mark.parametrize(
    "topic", [topics.status("car-b"), topics.up("car-b"), topics.ack("car-b"), topics.config("car-b")]
)
def test_a_will_on_a_topic_of_another_is_not_sent(site, spy, topic):
    with site.car("car-b") as victim:
        victim.subscribe(topics.ack("car-b"), topics.config("car-b"))
        with site.car("car-a", will=topic) as thief:
            thief.break_off()
        with site.car("car-a") as again:
            assert drained(spy, again, victim) == []


def test_a_will_on_its_own_status_is_sent(site, spy):
    with site.car("car-a", will=topics.status("car-a")) as car:
        car.break_off()
    wait_for(lambda: spy.got == [(topics.status("car-a"), b"will")])
    with site.car("car-a") as car:
        car.publish(topics.status("car-a"), b"", retain=True)


def test_nobody_enters_without_a_certificate_of_ours(site, tmp_path):
    authority, now = site.authority, site.now
    expired = site.keep(issue(authority._cars(), "car-a", now - timedelta(days=9), 1, [CLIENT]), "expired")
    foreign = site.keep(issue(new_authority("ubi cars", now), "car-a", now, 9, [CLIENT]), "foreign")
    worker = authority.folder / "worker"
    shown = {
        "none": None,
        "expired": expired,
        "another authority of the same name": foreign,
        "its own": self_signed(tmp_path / "own", "car-a"),
        "a worker's": (worker / "worker.pem", worker / "worker.key"),
    }
    for what, files in shown.items():
        with Client(site, site.car_port, files, "car-a") as client:
            assert not client.is_connected, what


def test_a_car_does_not_enter_where_workers_do(site):
    shown = (site.folder / "car-a/tls.pem", site.folder / "car-a/tls.key")
    for files in (shown, None):
        with Client(site, site.worker_port, files, "car-b") as client:
            assert not client.is_connected


@pytest.mark.parametrize("name", ["+", "#", "car-b/up", "+/up"])
def test_a_name_with_wildcards_opens_nothing_even_if_it_were_certified(site, spy, name):
    folder = "wild-" + "".join(f"{ord(letter):x}" for letter in name)
    files = site.keep(issue(site.authority._cars(), name, site.now, 9, [CLIENT]), folder)
    with Client(site, site.car_port, files, "x") as wild, site.car("car-b") as victim, site.car("car-a") as car:
        if wild.is_connected:
            victim.subscribe(topics.ack("car-b"))
            wild.subscribe(topics.ack("car-b"), "ubi/v1/+/ack")
            for topic in (topics.up("car-b"), topics.ack("car-b"), "ubi/v1/car-b/up/up"):
                wild.publish(topic)
            spy.publish(topics.ack("car-b"), b"secret")
            wait_for(lambda: victim.got)
            assert drained(spy, car) == []
        assert wild.got == []
        assert set(victim.got) <= {(topics.ack("car-b"), b"secret")}


def test_a_revoked_certificate_is_refused_once_the_broker_has_read_the_list(site, spy):
    site.enrol("car-c", Consent(("pricing",)))
    with site.car("car-c") as car:
        assert car.is_connected
    revoke("car-c", site.authority, site.registry, site.now)
    site.reload()
    with site.car("car-c") as car:
        assert not car.is_connected
    with site.car("car-a") as car:
        assert drained(spy, car) == []
