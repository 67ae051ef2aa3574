"""What an adapter is: what it says, and whether it can do what the version it claims can.

Clones print the version of a good chip and lack its commands; they are the ones that garble replies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

# Versions that Elm Electronics sold. There was never a 1.5, which most clones claim to be.
RELEASED: Final = frozenset(
    {"1.0", "1.0a", "1.1", "1.2", "1.2a", "1.3", "1.3a", "1.4", "1.4b", "2.0", "2.1", "2.2", "2.3"}
)
# Questions that a version knows and nobody else is asked by: since when, and what an answer looks like. ELM327 data
# sheet: AT RD reads a stored byte, AT IGN the ignition input, AT AMC the activity counter.
KNOWN_SINCE: Final[dict[str, tuple[float, re.Pattern[str]]]] = {
    "ATRD": (1.4, re.compile(r"[0-9A-F]{2}")),
    "ATIGN": (1.4, re.compile(r"ON|OFF")),
    "ATAMC": (2.0, re.compile(r"[0-9A-F]{2}")),
}
QUESTIONS: Final = ("ATI", "AT@1", "STI", *KNOWN_SINCE)
CLAIM: Final = re.compile(r"ELM327 v((\d\.\d)[a-z]?)")
MAX_TEXT: Final = 64


class Fingerprint(NamedTuple):
    """An adapter by its own words and by what it can do.

    `identity` is the answer to ATI, `description` that to AT@1; `chip` is told by STN chips alone, empty otherwise.
    `faults` says what does not fit: empty for a chip that can do what it claims.
    """

    identity: str
    description: str
    chip: str
    faults: tuple[str, ...]

    @property
    def is_clone(self) -> bool:
        """Whether it claims to be what it is not."""
        return bool(self.faults)

    def __str__(self) -> str:
        """Return one line for the trip and for people."""
        words = [
            self.identity or "says nothing",
            self.chip,
            "; ".join(self.faults) and f"clone: {'; '.join(self.faults)}",
        ]
        return ", ".join(word for word in words if word)


def fingerprint(answers: Mapping[str, str]) -> Fingerprint:
    """Return the fingerprint of the answers to `QUESTIONS`, one line each; "?" is "I do not know that"."""

    def told(question: str) -> str:
        text = "".join(c for c in answers.get(question, "") if c.isprintable()).strip()
        return "" if text == "?" else text[:MAX_TEXT]

    identity, chip = told("ATI"), told("STI")
    faults = []
    claim = CLAIM.search(identity)
    if claim and not chip:
        if claim[1] not in RELEASED:
            faults.append("no such version was made")
        lacking = [
            question
            for question, (since, answer) in KNOWN_SINCE.items()
            if float(claim[2]) >= since and not answer.fullmatch(told(question).upper())
        ]
        if lacking:
            faults.append(f"lacks {' '.join(lacking)}")
    return Fingerprint(identity, told("AT@1"), chip, tuple(faults))
