"""The allow-list: all that is ever sent to an adapter. It only asks; nothing writes, clears, controls or monitors."""

from __future__ import annotations

import re
from typing import Final

# Current data and vehicle information. A sixth digit is the number of replies to wait for.
REQUEST: Final = rb"0[19][0-9A-F]{2}[0-9A-F]?"
# Settings of the adapter that end with its power: reset, format of its replies, protocol.
SETTING: Final = rb"AT(?:Z|E0|H1|L0|SP0|TP[1-9A-C])"
# What the adapter tells of itself. ST is the prefix of the STN chips.
QUESTION: Final = rb"AT(?:I|@1|RV|DPN|RD|IGN|AMC)|STI"
# No command at all: python-OBD finds the baud rate with it, the answer is a question mark.
PROBE: Final = rb"\x7F\x7F"

ALLOWED: Final = re.compile(rb"(?:%b|%b|%b|%b)\r" % (REQUEST, SETTING, QUESTION, PROBE))


def is_allowed(data: bytes) -> bool:
    """Tell whether `data` is one whole command of the allow-list."""
    return ALLOWED.fullmatch(data) is not None
