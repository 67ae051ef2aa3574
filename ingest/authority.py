"""The folder of the insurer's authorities, and what goes out of it: broker, workers, cars.

    ca/cars.pem, cars.key           signs cars; the key belongs on the machine that enrols, and nowhere else
    ca/services.pem, services.key   signs the broker and the workers
    ca/crl.pem                      certificates of cars that are revoked
    ca/config.key                   signs what cars are configured to ('ubi ingest config --key'); each car knows it
    ca/broker/                      all that the broker's machine needs: mosquitto.conf, access rules, certificates
    ca/worker/                      all that a worker needs: worker.pem, worker.key, services.pem

Every private key has mode 0600. The broker's folder gets its copy of crl.pem with each revocation.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib import resources
from pathlib import Path
from string import Template
from typing import Final

from device.contract.errors import UsageError
from device.contract.signing import KEY_BYTES, Signer
from ingest.certificates import CLIENT, SERVER, Pair, issue, new_authority, revocation_list
from ingest.contract import durable
from ingest.contract.private import read_private, write_private

CAR_PORT: Final = 8883
WORKER_PORT: Final = 8884
SERVICE_DAYS: Final = 1_825
WORKER: Final = "ubi-worker"


class Authority:
    """The authorities at a folder that `create` made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(
        self,
        hosts: Sequence[str],
        now: datetime,
        broker_folder: Path | None,
        ports: tuple[int, int] = (CAR_PORT, WORKER_PORT),
    ) -> None:
        """Make the authorities, and the folders of broker and worker.

        Parameters
        ----------
        hosts : sequence of str
            Names and addresses under which cars and workers reach the broker.
        now : datetime
            UTC.
        broker_folder : Path or None
            Where the broker's folder will stand on its machine; None: where it is made.
        ports : tuple of int
            For cars and for workers.

        Raises
        ------
        UsageError
            If authorities are there already: cars in the field trust them.
        """
        if (self.folder / "cars.key").exists():
            raise UsageError(f"{self.folder}: holds authorities already, which cars in the field trust; name another")
        services, cars = new_authority("ubi services", now), new_authority("ubi cars", now)
        broker, worker = self.folder / "broker", self.folder / "worker"
        for folder in (broker, worker):
            durable.make_folder(folder)
        server = issue(services, "ubi broker", now, SERVICE_DAYS, [SERVER], hosts)
        client = issue(services, WORKER, now, SERVICE_DAYS, [CLIENT])
        empty = revocation_list(cars, now)
        where = (broker_folder or broker).absolute()
        names = {"folder": where, "car_port": ports[0], "worker_port": ports[1]}
        public = {
            broker / "mosquitto.conf": Template(_shipped("mosquitto.conf")).substitute(names).encode(),
            broker / "cars.acl": _shipped("cars.acl").encode(),
            broker / "workers.acl": _shipped("workers.acl").encode(),
            broker / "broker.pem": server.certificate,
            broker / "cars.pem": cars.certificate,
            broker / "services.pem": services.certificate,
            broker / "crl.pem": empty,
            worker / "worker.pem": client.certificate,
            worker / "services.pem": services.certificate,
            self.folder / "services.pem": services.certificate,
            self.folder / "cars.pem": cars.certificate,
            self.folder / "crl.pem": empty,
        }
        durable.commit(public)
        write_private(self.folder / "config.key", os.urandom(KEY_BYTES))
        write_private(broker / "broker.key", server.key)
        write_private(worker / "worker.key", client.key)
        write_private(self.folder / "services.key", services.key)
        write_private(self.folder / "cars.key", cars.key)  # last: what makes the folder count

    def issue_car(self, device_id: str, now: datetime, days: int) -> Pair:
        """Make a car's key and certificate."""
        return issue(self._cars(), device_id, now, days, [CLIENT])

    @property
    def services(self) -> bytes:
        """Certificate by which a car knows the broker, PEM."""
        return self._read("services.pem")

    @property
    def insurer_key(self) -> str:
        """Public key, hex, by which a car knows a configuration of the insurer."""
        return Signer.from_seed(read_private(self.folder / "config.key")).public_key.hex()

    def revoke(self, serials: Iterable[str], now: datetime) -> None:
        """Add certificates to the list of what is revoked, here and in the broker's folder."""
        with self._alone():
            listed = revocation_list(self._cars(), now, serials, self._read("crl.pem"))
            durable.commit({self.folder / "crl.pem": listed, self.folder / "broker" / "crl.pem": listed})

    def _cars(self) -> Pair:
        return Pair(self._read("cars.pem"), read_private(self.folder / "cars.key"))

    def _read(self, name: str) -> bytes:
        try:
            return (self.folder / name).read_bytes()
        except OSError as error:
            raise UsageError(
                f"{self.folder / name}: {error.strerror}; name the folder that 'ubi ingest ca' made"
            ) from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        lock = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def _shipped(name: str) -> str:
    return (resources.files("ingest") / "mosquitto" / name).read_text(encoding="utf-8")
