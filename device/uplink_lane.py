"""What one outbox has on the road: which rows to send now, how many at once, and when to send them again.

    window   rows that may wait for their ack at once; an impact goes beyond it
    silence  a time-out in which no ack came: the window falls to a few rows, the next time-out is twice as long, up to
             ten times; every row that is acked then opens the window by one

So an insurer whose worker is down costs the car some 30 messages an hour, not a whole window every minute, and is found
again within ten minutes. A single row without an ack is sent again after `resend_ms`, then after twice as long, and
behind what was never sent: no row can hold up the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from device.outbox import Outbox
from device.outbox_ranks import Rank

WINDOW_ROWS: Final = 500  # more than a segment of the insurer holds back
PROBE_ROWS: Final = 5
RESEND_MAX_MS: Final = 3_600_000
LONGEST_SILENCE: Final = 10  # time-outs

Spans = Iterable[tuple[int, int]]  # first and last seq, both included


class Sent(NamedTuple):
    """How a row was sent: how often, when it may be sent again, and when it was sent first."""

    times: int
    again_ms: int
    first_ms: int


class Lane:
    """The road of one outbox.

    Parameters
    ----------
    outbox : Outbox
    resend_ms : int
        First time-out.

    Attributes
    ----------
    silences : int
        Time-outs without any ack since the last ack.
    """

    def __init__(self, outbox: Outbox, resend_ms: int) -> None:
        self.outbox = outbox
        self.silences = 0
        self._resend_ms = resend_ms
        self._own_seq = outbox.next_seq  # rows before it may have been sent by another process, nobody knows when
        self._window = WINDOW_ROWS
        self._sent: dict[int, Sent] = {}  # and not acked
        self._road: set[int] = set()  # of these, what has not timed out: it fills the window
        self._heard_ms = 0  # since when we wait for an ack
        self._heard_here = False  # an ack, on this connection
        self._next_ms = 0  # nothing times out before

    def due(self, now_ms: int) -> list[int]:
        """Seqs to send now, the most important first; `sent` is to be told of each."""
        if self._road and now_ms >= self._next_ms:
            self._time_out(now_ms)
        room = self._window - len(self._road)
        chosen: list[int] = []
        if self.outbox.waiting() > len(self._sent):
            last, limit = (Rank.REST, room) if room > 0 else (Rank.URGENT, PROBE_ROWS)
            order = self.outbox.in_order(len(self._sent) + limit, last)
            chosen = [seq for seq in order if seq not in self._sent][:limit]
        if room > len(chosen) and len(self._sent) > len(self._road):
            waited = [(sent.times, seq) for seq, sent in self._sent.items() if sent.again_ms <= now_ms]
            chosen += [seq for _, seq in sorted(waited) if seq not in self._road][: room - len(chosen)]
        return chosen

    def sent(self, seq: int, now_ms: int) -> bool:
        """A row was handed to the network; whether it had been before."""
        before = self._sent.get(seq)
        times = before.times + 1 if before else 1
        again_ms = now_ms + self._doubled(times - 1)
        self._heard_ms = self._heard_ms if self._road else now_ms
        self._next_ms = min(self._next_ms, again_ms) if self._road else again_ms
        self._sent[seq] = Sent(times, again_ms, before.first_ms if before else now_ms)
        self._road.add(seq)
        return times > 1

    def acked(self, spans: Spans, now_ms: int) -> int | None:
        """The insurer holds these rows, or wants them no more.

        Returns
        -------
        int or None
            A time before this ack was made: the latest at which one of these rows was sent for the first time. None
            where that is not known: none of them was on the road, or all are of an earlier start.
        """
        sent_ms: int | None = None
        for seq in [seq for first, last in spans for seq in self._sent_within(first, last)]:
            sent = self._forget(seq)
            if sent is not None:
                if seq >= self._own_seq:
                    sent_ms = max(sent_ms or sent.first_ms, sent.first_ms)
                self._window = min(WINDOW_ROWS, self._window + 1)
                self.silences, self._heard_ms, self._heard_here = 0, now_ms, True
        return sent_ms

    def lost(self, seq: int) -> None:
        """A row is not in the outbox any more."""
        self._forget(seq)

    def reconnected(self) -> None:
        """What was on the road may be lost: it is sent again, a few rows first if that connection brought no ack."""
        self._clear(PROBE_ROWS if self._road and not self._heard_here else self._window)
        self._heard_here = False

    def _time_out(self, now_ms: int) -> None:
        if now_ms - self._heard_ms >= self._silence_ms():
            self.silences += 1
            self._clear(PROBE_ROWS)
        elif not self.silences:
            self._road -= {seq for seq in self._road if self._sent[seq].again_ms <= now_ms}
        left = [self._sent[seq].again_ms for seq in self._road if not self.silences]
        self._next_ms = min([self._heard_ms + self._silence_ms(), *left])

    def _clear(self, window: int) -> None:
        """Nothing is on the road; what was sent may be sent again at once."""
        self._window = window
        self._road.clear()
        self._sent = {seq: sent._replace(again_ms=0) for seq, sent in self._sent.items()}

    def _forget(self, seq: int) -> Sent | None:
        self._road.discard(seq)
        return self._sent.pop(seq, None)

    def _sent_within(self, first: int, last: int) -> list[int]:
        if last - first < len(self._sent):
            return [seq for seq in range(first, last + 1) if seq in self._sent]
        return [seq for seq in self._sent if first <= seq <= last]

    def _silence_ms(self) -> int:
        return min(self._doubled(self.silences), LONGEST_SILENCE * self._resend_ms)

    def _doubled(self, times: int) -> int:
        return min(self._resend_ms << min(times, 16), max(RESEND_MAX_MS, self._resend_ms))
