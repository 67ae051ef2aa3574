"""One world: cars, links, a broker, workers and a lake, and each fault that can strike it."""

from __future__ import annotations

import heapq
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final, Self

from ingest.contract.lake import Lake
from ingest.seal import seal
from tests.conftest import REPOSITORY
from tests.faults.disk import Disk
from tests.faults.link import Link
from tests.faults.oracle import Verdict, judge
from tests.faults.parts import CarPart, DevicePart, Part, WorkerPart
from tests.mosquitto import Mosquitto

DRAIN_WITHIN_S: Final = 180.0
DAYS: Final = 45.0  # a worker's clock is off by at most so much: beyond the 30 days after which a trip is given up
GIVEN_UP_MS: Final = 32 * 86_400_000 + round(DAYS * 86_400_000)
TRACEBACK: Final = "Traceback (most recent call last)"
KILLS: Final = ("kill agent", "kill broker", "kill worker", "kill sealer")


class World:
    """Everything runs from `__enter__` on. `strike` does one fault, `turn` lets time pass, `judge` ends it.

    Parameters
    ----------
    folder : Path
    mosquitto : str
        The broker's program.
    broker_port : int
    seed : str
    cars, devices, workers : int
        How many of each.
    """

    def __init__(
        self, folder: Path, mosquitto: str, broker_port: int, seed: str, *, cars: int, devices: int, workers: int
    ) -> None:
        self._folder = folder
        self._rng = random.Random(seed)
        self._seed = seed
        self._sizes = (cars, devices, workers)
        self._stack = ExitStack()
        self._later: list[tuple[float, int, Callable[[], object]]] = []
        self._number = count()
        self._pause = threading.Event()
        self._sealers: list[subprocess.Popen[bytes]] = []
        self.broker = Mosquitto(mosquitto, folder / "broker", broker_port)
        self._broker_up = True
        self.struck: Counter[str] = Counter()
        self.faults: dict[str, Callable[[], bool]] = {
            "kill agent": lambda: self._choose([*self.cars, *self.devices]).kill9(),
            "kill broker": self._kill_broker,
            "kill worker": lambda: self._choose(self.workers).kill9(),
            "kill sealer": self._kill_sealer,
            "cut link of the cars": lambda: self._cut(self.car_link),
            "cut link of the workers": lambda: self._cut(self.worker_link),
            "stall link": self._stall_link,
            "stall worker": lambda: self._stall_worker(0.5, 6.0),
            "stall worker for a minute": lambda: self._stall_worker(50.0, 65.0),  # the broker gives it up
            "worker's clock days off": self._shift_worker,
            "lake full": lambda: self._fill(self.lake_disk),
            "lake read-only": self._freeze,
            "car's disk full": lambda: self._fill(self.car_disk),
        }

    def __enter__(self) -> Self:
        cars, devices, workers = self._sizes
        with self._stack as stack:
            self.broker.start()
            stack.callback(self.broker.stop)
            self.car_link = stack.enter_context(Link(self.broker.port, self._rng.getrandbits(32)))
            self.worker_link = stack.enter_context(Link(self.broker.port, self._rng.getrandbits(32)))
            self.car_disk = stack.enter_context(Disk(self._folder / "cars", lambda: _pids(self.cars, self.devices)))
            self.lake_disk = stack.enter_context(Disk(self._folder / "insurer", lambda: _pids(self.workers)))
            self.lake = Lake(self.lake_disk.folder / "lake")
            outboxes, logs = self.car_disk.folder, self._folder / "logs"
            logs.mkdir()
            self.workers = [
                WorkerPart(f"worker-{i}", logs, self.worker_link.url, self.lake.root) for i in range(workers)
            ]
            self.cars = [
                CarPart(f"car-{i}", logs, self.car_link.url, outboxes, f"{self._seed}/{i}") for i in range(cars)
            ]
            self.devices = [
                DevicePart(f"device-{i}", logs, self.car_link.url, outboxes, f"{self._seed}/{i}")
                for i in range(devices)
            ]
            for device in self.devices:
                stack.callback(device.unplug)
            stack.callback(lambda: [part.kill9() for part in self.parts])
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    @property
    def parts(self) -> list[Part]:
        """Everything that is started again when it ends."""
        return [*self.workers, *self.cars, *self.devices]

    @property
    def kills(self) -> int:
        """Processes killed with SIGKILL so far."""
        return sum(self.struck[name] for name in KILLS)

    def strike(self, fault: str) -> bool:
        """Let a fault happen now; False, and not counted, where it could not."""
        happened = self.faults[fault]()
        self.struck[fault] += happened
        return happened

    def turn(self, seconds: float) -> None:
        """Let time pass: restart what is down, undo what is due."""
        until_s = time.monotonic() + seconds
        while True:
            while self._later and self._later[0][0] <= time.monotonic():
                heapq.heappop(self._later)[2]()
            for part in self.parts:
                part.tend()
            self._sealers = [sealer for sealer in self._sealers if sealer.poll() is None]
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                return
            self._pause.wait(min(left_s, 0.02))

    def drain(self) -> None:
        """No more faults: let everything that was begun be delivered."""
        while self._later:
            heapq.heappop(self._later)[2]()
        for link in (self.car_link, self.worker_link):
            link.honest()
        for car in self.cars:
            car.last = True
            car.kill9()  # the rest as fast as it goes
        until_s = time.monotonic() + DRAIN_WITHIN_S
        while not all(car.done for car in self.cars) and time.monotonic() < until_s:
            self.turn(0.1)
        for device in self.devices:
            while not device.retired:
                self.turn(3.0)
                device.terminate()
                device.retired = not device.journal.waiting or time.monotonic() > until_s
        for worker in self.workers:
            worker.terminate()
        for sealer in self._sealers:
            sealer.wait(60)

    def judge(self) -> Verdict:
        """Seal, and ask the oracle. A second sealing must find nothing to do."""
        now_ms = time.time_ns() // 1_000_000 + GIVEN_UP_MS
        seal(self.lake, now_ms)
        again = seal(self.lake, now_ms)
        assert again.groups_written == 0
        journals = [journal for car in self.cars for journal in car.journals]
        return judge(self.lake, [*journals, *(device.journal for device in self.devices)])

    def endings(self) -> dict[str, dict[int, int]]:
        """How parts ended by themselves: exit statuses by kind of part."""
        ended: dict[str, Counter[int]] = {}
        for part in self.parts:
            ended.setdefault(part.name.partition("-")[0], Counter()).update(part.ended)
        return {kind: dict(sorted(statuses.items())) for kind, statuses in ended.items()}

    def tracebacks(self) -> list[str]:
        """The last traceback in each part's log; a fault from outside is told in one line instead."""
        logs = {part.name: part.log.read_text(errors="replace") for part in self.parts if part.log.exists()}
        return [f"{name}: ...{log.rpartition(TRACEBACK)[2][:3_000]}" for name, log in logs.items() if TRACEBACK in log]

    def _choose(self, parts: Sequence[Part]) -> Part:
        return self._rng.choice([part for part in parts if part.pid is not None] or parts)

    def _kill_broker(self) -> bool:
        if not self._broker_up:
            return False
        self.broker.kill9()
        self._broker_up = False
        self._in(0.0, 0.5, self._start_broker)
        return True

    def _start_broker(self) -> None:
        self.broker.start()
        self._broker_up = True

    def _kill_sealer(self) -> bool:
        days = self._rng.uniform(0, DAYS)
        arguments = ["-m", "tests.faults.shifted", str(days), "ingest", "seal", "--lake", str(self.lake.root), "--json"]
        with (self._folder / "logs" / "sealer.log").open("ab") as log:
            sealer = subprocess.Popen([sys.executable, *arguments], cwd=REPOSITORY, stdout=log, stderr=log)
        self._sealers.append(sealer)
        self._in(0.2, 1.5, sealer.kill)
        return True

    def _cut(self, link: Link) -> bool:
        before = link.counters["cut"]
        link.cut(inside=self._rng.random() < 0.5)
        return link.counters["cut"] > before

    def _stall_link(self) -> bool:
        link = self._rng.choice([self.car_link, self.worker_link])
        link.stall()
        self._in(0.5, 5.0, link.flow)
        return True

    def _stall_worker(self, low_s: float, high_s: float) -> bool:
        pid = self._choose(self.workers).pid
        if pid is None:
            return False
        os.kill(pid, signal.SIGSTOP)
        self._in(low_s, high_s, partial(_wake, pid))
        return True

    def _shift_worker(self) -> bool:
        worker = self._rng.choice(self.workers)
        worker.days = self._rng.uniform(-DAYS, DAYS)
        worker.terminate()
        return True

    def _fill(self, disk: Disk) -> bool:
        filled = disk.fill()
        if filled:
            self._in(0.3, 3.0, disk.heal)
        return filled

    def _freeze(self) -> bool:
        frozen = self.lake_disk.freeze()
        if frozen:
            self._in(0.3, 3.0, self.lake_disk.heal)
        return frozen

    def _in(self, low_s: float, high_s: float, action: Callable[[], object]) -> None:
        due_s = time.monotonic() + self._rng.uniform(low_s, high_s)
        heapq.heappush(self._later, (due_s, next(self._number), action))


def _pids(*groups: Sequence[Part]) -> list[int]:
    return [part.pid for group in groups for part in group if part.pid is not None]


def _wake(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
