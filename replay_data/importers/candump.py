"""candump of OBD-II frames: what control units replied to requests of service 01, ISO-TP put together.

    (1436509053.650713) can0 7E8#03410D32AAAAAAAA            candump -l, -L
     (1436509053.650713)  can0  7E8   [8]  03 41 0D 32 ...   candump -ta, -tz

Replies come from 7E8-7EF or, with 29-bit identifiers, 18DAF1xx (ISO 15765-4). Of a message of ISO 15765-2 the first
byte's high half tells single frame, first frame, consecutive frame; a lost frame loses its message. One message may
answer up to six PIDs. Of several control units the first that answered a PID is read. Other frames are not looked at:
what they mean only the maker knows. Formats: candump.c and lib.c of can-utils.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from device.contract.errors import RecordingError
from device.contract.recording import RecordingHead
from device.contract.signals import BY_NAME, Reading
from device.sources.j1979 import BITMAPS, FORMULAS, PIDS, REPLY, SERVICE, Refusal, parse_reply
from replay_data.importers.clock import Clock, seconds_ms
from replay_data.importers.readings import collected, in_order, number_reading, require_speed

NAME: Final = "candump"
TITLE: Final = "candump log of OBD-II"
MAX_LINE: Final = 1_024
LEAST_SHARE: Final = 0.5
MAX_DAMAGED_SHARE: Final = 0.01
EPOCH_S: Final = 1_000_000_000  # 2001: an earlier stamp counts from somewhere else
FRAME: Final = re.compile(
    rb"""\s*\((?P<at>\d+\.\d+)\)\s+\S+\s+(?P<id>[0-9A-Fa-f]{3,8})(?:
        \#(?P<log>[0-9A-Fa-f.]*)                                # candump -l
        | \#R\d? | \#\#\d[0-9A-Fa-f]*                           # a remote request, a frame of CAN FD
        | \s+\[\d+\]\s(?P<seen>[\ 0-9A-Fa-f]*)(?:'.*')?         # on the screen, perhaps with its text
        | \s+\[\d+\]\s+remote\ request
    )(?:\ [TR])?\s*""",
    re.VERBOSE,
)
REPLY_ID: Final = re.compile(rb"7E[89A-F]|18DAF1[0-9A-F]{2}")
SIGNAL_OF_PID: Final = {pid: name for name, pid in PIDS.items()}
BITMAP_BYTES: Final = 4


class Frame(NamedTuple):
    """A reply's frame: monotonic time, identifier, data."""

    t_ms: int
    ecu: bytes
    data: bytes


def sniff(first_bytes: bytes) -> bool:
    """Tell whether a file that starts so is of this format."""
    lines = [line for line in first_bytes.split(b"\n")[:100] if line.strip()]
    return bool(lines) and sum(bool(FRAME.fullmatch(line)) for line in lines) >= max(1, LEAST_SHARE * len(lines))


def read(path: Path) -> tuple[RecordingHead, list[Reading]]:
    """Read a log. Raises RecordingError where that is not possible."""
    frames = _Frames(path)
    replies = _Replies(frames.clock.repairs)
    readings = collected(path, (reading for frame in frames.replies() for reading in replies.take(frame)))
    if not replies.messages:
        fault = f"{frames.met} frames, none a reply to OBD-II: nobody asked the car, or not by CAN identifiers 7E8-7EF"
        raise RecordingError(str(path), fault)
    require_speed(path, readings, frames.clock.repairs)
    ordered = in_order(readings, frames.clock.repairs)
    first_ms = frames.clock.first_ms or 0
    head = RecordingHead(
        source=NAME,
        original=path.name.encode("utf-8", "replace").decode(),
        started_at_ms=first_ms if first_ms >= EPOCH_S * 1_000 else None,
        repairs=dict(frames.clock.repairs),
    )
    return head, ordered


class _Frames:
    """Frames of a file; `met` counts all."""

    def __init__(self, path: Path) -> None:
        self.clock = Clock(seconds_ms)
        self.met = 0
        self._path = path

    def replies(self) -> Iterator[Frame]:
        damaged, first = 0, (0, "")
        with self._path.open("rb") as file:
            for line, text in enumerate(iter(lambda: file.readline(MAX_LINE), b""), start=1):
                if not text.strip():
                    continue
                try:
                    frame = self._frame(text)
                except ValueError as error:
                    damaged += 1
                    first = first if first[0] else (line, str(error))
                    continue
                self.met += 1
                if frame.data and REPLY_ID.fullmatch(frame.ecu):
                    yield frame
        if damaged > max(1, MAX_DAMAGED_SHARE * (damaged + self.met)):
            share = f"({damaged} of {damaged + self.met} lines are damaged)"
            raise RecordingError(str(self._path), f"{first[1]} {share}", line=first[0])
        if damaged:
            self.clock.repairs["damaged_rows"] += damaged

    def _frame(self, text: bytes) -> Frame:
        found = FRAME.fullmatch(text)
        if found is None:
            raise ValueError(f"{text[:60].strip().decode(errors='replace')!r} is no frame")
        return Frame(self.clock.read(found["at"].decode()), found["id"].upper(), _data(found))


def _data(found: re.Match[bytes]) -> bytes:
    digits = (found["log"] or found["seen"] or b"").replace(b".", b"").replace(b" ", b"")
    return bytes.fromhex(digits.decode()) if len(digits) % 2 == 0 else b""


class _Replies:
    """Frames to messages to readings. What cannot be put together or understood is counted, and no reading."""

    def __init__(self, repairs: Counter[str]) -> None:
        self.messages = 0
        self._repairs = repairs
        self._begun: dict[bytes, tuple[int, bytearray, int]] = {}  # of each control unit: length, bytes, next number
        self._owners: dict[str, bytes] = {}

    def take(self, frame: Frame) -> Iterator[Reading]:
        message = self._message(frame.ecu, frame.data)
        if message is None or not message or message[0] != SERVICE + REPLY:
            return
        self.messages += 1
        for signal, reply in self._split(message[1:]):
            if self._owners.setdefault(signal, frame.ecu) != frame.ecu:
                continue
            value = parse_reply(signal, reply)
            if isinstance(value, Refusal):
                self._repairs[f"implausible_{signal}"] += 1
                yield Reading(frame.t_ms, signal, None)
            else:
                yield number_reading(frame.t_ms, BY_NAME[signal], value, self._repairs)

    def _message(self, ecu: bytes, data: bytes) -> bytes | None:
        """The whole message that this frame ends; None while there is none."""
        kind, low = data[0] >> 4, data[0] & 0x0F
        if kind == 0:
            if 0 < low < len(data):
                return data[1 : 1 + low]
            self._repairs["damaged_messages"] += 1
        elif kind == 1 and len(data) > 2:
            self._lose(ecu)
            self._begun[ecu] = (low << 8 | data[1], bytearray(data[2:]), 1)
        elif kind == 2 and ecu in self._begun:  # one that we did not see begin is no fault
            length, whole, number = self._begun.pop(ecu)
            if low != number & 0x0F:
                self._repairs["damaged_messages"] += 1
                return None
            whole += data[1:]
            if len(whole) >= length:
                return bytes(whole[:length])
            self._begun[ecu] = (length, whole, number + 1)
        return None

    def _lose(self, ecu: bytes) -> None:
        if self._begun.pop(ecu, None) is not None:
            self._repairs["damaged_messages"] += 1

    def _split(self, body: bytes) -> Iterator[tuple[str, bytes]]:
        """Signal and single reply of each PID of a message; from an unknown one on nothing can be told."""
        while body:
            if body[0] in BITMAPS:
                body = body[1 + BITMAP_BYTES :]
                continue
            signal = SIGNAL_OF_PID.get(body[0])
            if signal is None:
                self._repairs["unknown_pids"] += 1
                return
            end = 1 + FORMULAS[signal].size
            yield signal, bytes([SERVICE + REPLY]) + body[:end]
            body = body[end:]
