"""The shipped broker configuration with a real mosquitto, and real clients that try what they may not."""

from __future__ import annotations

import gc
import getpass
import signal
import socket
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from ingest.authority import Authority
from ingest.certificates import Pair
from ingest.contract.private import write_private
from ingest.devices import Consent
from ingest.enrol import Enrolment, enrol
from tests.ingest.process import wait_for
from tests.mosquitto import Mosquitto
from tests.ports import free_ports

CARS = ("car-a", "car-b")


class Site:
    """An insurer's site in a folder: authorities, registry, broker, and the bundles of its cars."""

    def __init__(self, binary: str, folder: Path, consent: Consent | None = None) -> None:
        self.folder = folder
        self.now = datetime.now(UTC) - timedelta(days=2)  # made two days ago
        self.registry = folder / "registry.jsonl"
        self.authority = Authority(folder / "ca")
        self.car_port, self.worker_port = free_ports(2)
        self.authority.create(["localhost"], self.now, None, (self.car_port, self.worker_port))
        for name in CARS:
            self.enrol(name, consent or Consent(("pricing",), motion="full"))
        self.broker = Mosquitto(binary, folder / "mosquitto", self.car_port)
        shipped = (self.authority.folder / "broker" / "mosquitto.conf").read_text()
        # started by root, the broker would become a user who may not read the test's folder
        self.broker._config.write_text(shipped + f"log_type all\nuser {getpass.getuser()}\n")
        self.broker.start()
        wait_for(lambda: b" running" in self.broker.log.read_bytes())  # both listeners are open

    def enrol(self, name: str, consent: Consent) -> None:
        """Enrol a car; its bundle lies in the folder of its name."""
        configuration = {"zone": "UTC", "broker": f"mqtts://localhost:{self.car_port}", "obd_port": "/dev/null"}
        asked = Enrolment(name, consent, configuration)
        enrol(asked, self.authority, self.registry, self.folder / name, self.now, again=False)

    def reload(self) -> None:
        """Tell the broker to read its list of revoked certificates again."""
        process = self.broker._process
        assert process is not None
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: b"Reloading config" in self.broker.log.read_bytes())

    def keep(self, pair: Pair, name: str) -> tuple[Path, Path]:
        """Write a certificate and its key; where they lie."""
        folder = self.folder / name
        folder.mkdir()
        (folder / "tls.pem").write_bytes(pair.certificate)
        write_private(folder / "tls.key", pair.key)
        return folder / "tls.pem", folder / "tls.key"

    def car(self, name: str, **options: Any) -> Client:
        """A client with a car's certificate, at the cars' port."""
        shown = (self.folder / name / "tls.pem", self.folder / name / "tls.key")
        return Client(self, self.car_port, shown, name, **options)

    def worker(self, name: str = "spy", **options: Any) -> Client:
        """A client with a worker's certificate, at the workers' port."""
        folder = self.authority.folder / "worker"
        return Client(self, self.worker_port, (folder / "worker.pem", folder / "worker.key"), name, **options)


class Client:
    """A real MQTT client, as a context, that writes down all that happens to it."""

    def __init__(
        self,
        site: Site,
        port: int,
        shown: tuple[Path, Path] | None,
        client_id: str,
        *,
        version: MQTTProtocolVersion = mqtt.MQTTv5,
        will: str | None = None,
        user: str | None = None,
    ) -> None:
        self.got: list[tuple[str, bytes]] = []
        self.granted: list[str] = []
        self.confirmed: dict[int, str] = {}
        self.lost: list[str] = []
        self.refused = ""
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id, protocol=version, reconnect_on_failure=False)
        context = ssl.create_default_context(cafile=site.authority.folder / "services.pem")
        if shown is not None:
            context.load_cert_chain(*shown)
        self._client.tls_set_context(context)
        self._client.on_message = lambda _c, _d, message: self.got.append((message.topic, bytes(message.payload)))
        self._client.on_connect = lambda _c, _d, _f, reason, _p: self._on_connect(reason)
        self._client.on_disconnect = lambda _c, _d, _f, reason, _p: self.lost.append(str(reason))
        self._client.on_subscribe = lambda _c, _d, _m, reasons, _p: self.granted.extend(map(str, reasons))
        self._client.on_publish = lambda _c, _d, number, reason, _p: self.confirmed.update({number: str(reason)})
        if will is not None:
            self._client.will_set(will, b"will", qos=1, retain=True)
        if user is not None:
            self._client.username_pw_set(user, "secret")
        self._port = port

    def __enter__(self) -> Self:
        try:
            self._client.connect("localhost", self._port, 30)
        except (OSError, ssl.SSLError) as error:
            self.refused = str(error)
        self._client.loop_start()
        wait_for(lambda: self._client.is_connected() or self.refused or self.lost)
        return self

    def __exit__(self, *exception: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        if self.refused or self.lost:
            gc.collect()  # paho leaves the socket of a failed handshake to the collector: let it be now, not anywhere

    @property
    def is_connected(self) -> bool:
        return self._client.is_connected()

    def subscribe(self, *filters: str) -> None:
        """Ask for topics; whether the broker grants them says nothing."""
        for one in filters:
            before = len(self.granted)
            self._client.subscribe(one, qos=1)
            wait_for(lambda n=before: len(self.granted) > n or self.lost)

    def publish(self, topic: str, payload: bytes = b"forged", *, retain: bool = False) -> str:
        """Publish and wait for what the broker says."""
        info = self._client.publish(topic, payload, qos=1, retain=retain)
        wait_for(lambda: info.mid in self.confirmed or self.lost)
        return self.confirmed.get(info.mid, "connection lost")

    def break_off(self) -> None:
        """End without a goodbye: the broker sends the will."""
        socket_ = self._client.socket()
        assert isinstance(socket_, ssl.SSLSocket)
        socket_.shutdown(socket.SHUT_RDWR)
        wait_for(lambda: self.lost)

    def _on_connect(self, reason: Any) -> None:
        if reason.is_failure:
            self.refused = str(reason)


def self_signed(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate that nobody signed, and its key."""
    folder.mkdir()
    certificate, key = folder / "tls.pem", folder / "tls.key"
    curve = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    out = ["-out", str(certificate), "-keyout", str(key)]
    command: list[str] = ["openssl", "req", "-x509", "-newkey", *curve, "-subj", f"/CN={name}", *out]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key
