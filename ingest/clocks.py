"""Whether it is this computer's clock that is wrong: what the clocks of the devices heard last say of it.

    early          a message came before it was queued, by a clock said to be right: no way has a negative length
    contradicted   the device says that the time in the acks contradicts its clock

One device that disagrees has a wrong clock. Where most do, it is ours, or that of another worker.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Final

from device.contract import wire
from device.contract import wire_pb2 as pb
from device.contract.wire import CLOCK_TOLERANCE_MS

log = logging.getLogger(__name__)

HEARD: Final = 200  # devices remembered: a busy worker hears them within a second, a small fleet is all of them
LEAST_HEARD: Final = 10  # of fewer nothing is said: they may share a network, and its time server
DOUBTED: Final = 0.5
CLEARED: Final = 0.25
_SET: Final = (pb.CLOCK_NTP, pb.CLOCK_GNSS)


class Clocks:
    """The last word of each of the devices heard last.

    Attributes
    ----------
    doubted : bool
        Whether most of them disagree with this computer's clock.
    """

    def __init__(self) -> None:
        self._disagrees: OrderedDict[str, bool] = OrderedDict()
        self._disagreeing = 0
        self.doubted = False

    @property
    def share(self) -> float:
        """Devices that disagree, of those heard last; 0 where they are too few to tell."""
        heard = len(self._disagrees)
        return self._disagreeing / heard if heard >= LEAST_HEARD else 0.0

    def hear(self, header: wire.Header, received_ms: int) -> None:
        """Take the word of a message; that of a clock which claims nothing, or is a recording's, is none."""
        early = header.clock_quality in _SET and header.queued_at_ms - received_ms > CLOCK_TOLERANCE_MS
        contradicted = header.clock_quality == pb.CLOCK_CONTRADICTED
        if not contradicted and header.clock_quality not in _SET:
            return
        self._disagreeing += (early or contradicted) - self._disagrees.pop(header.device_id, False)
        self._disagrees[header.device_id] = early or contradicted
        if len(self._disagrees) > HEARD:
            self._disagreeing -= self._disagrees.popitem(last=False)[1]

    def judge(self) -> None:
        """Say in the log when this computer's clock begins to be doubted, and when it no longer is."""
        doubted = self.share > (CLEARED if self.doubted else DOUBTED)
        if doubted != self.doubted:
            self.doubted = doubted
            if doubted:
                log.warning(
                    "%.0f %% of the %d devices heard last have clocks over 2 minutes off this computer's: is it wrong, "
                    "or another worker's? Trips are flagged for it; see 'timedatectl'",
                    100 * self.share,
                    len(self._disagrees),
                )
            else:
                log.info("most devices agree with this computer's clock again")
