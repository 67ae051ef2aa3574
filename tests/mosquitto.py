"""A real mosquitto as a test object: started on a loopback port, stopped, or killed as a power cut would."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

READY_WITHIN_S = 10.0

CONFIG = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence false
# 0 is unlimited: the broker's own default is 20 in flight and 1,000 queued, and drops what is beyond.
max_inflight_messages 0
max_queued_messages 0
{extra}
"""


def find_mosquitto() -> str | None:
    """Path of the broker's program; Debian puts it where a plain user's PATH does not look."""
    return shutil.which("mosquitto", path=os.environ.get("PATH", os.defpath) + os.pathsep + "/usr/sbin")


class Mosquitto:
    """One broker. `extra` is more lines of mosquitto.conf; `log` tells what the broker said."""

    def __init__(self, binary: str, folder: Path, port: int, extra: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = port
        self.url = f"mqtt://127.0.0.1:{port}"
        self.log = folder / "mosquitto.log"
        self._config = folder / "mosquitto.conf"
        self._config.write_text(CONFIG.format(port=port, extra=extra))
        self._binary = binary
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id while it runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the broker and return once it accepts connections."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._binary, "-c", str(self._config)], stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + READY_WITHIN_S
        while not self._accepts():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill9()
                raise RuntimeError(f"mosquitto did not start on port {self.port}:\n{self.log.read_text()}")
            threading.Event().wait(0.01)

    def stop(self) -> None:
        """Stop the broker with SIGTERM, as an administrator would."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=READY_WITHIN_S)
            self._process = None

    def kill9(self) -> None:
        """Kill the broker with SIGKILL: what it held only in memory is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=READY_WITHIN_S)
            self._process = None

    def _accepts(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True
