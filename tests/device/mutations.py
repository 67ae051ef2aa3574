"""Mutated bytes for the campaigns over parsers: seeded, so that any input can be made again from its seed.

A campaign is cut into chunks; chunk `n` of a campaign is made from the seed n alone. A failure names its seed and the
input; a campaign that was interrupted goes on with the chunks that are left.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any


def mutated(draw: random.Random, sample: bytes, others: Sequence[bytes]) -> bytes:
    """A sample with one to four changes: bytes set, bits flipped, cut out, put in, repeated, or taken from another."""
    out = bytearray(sample)
    for _ in range(draw.randrange(1, 5)):
        where, length = draw.randrange(len(out) + 1), draw.randrange(1, 9)
        match draw.randrange(7):
            case 0:
                out[where : where + 1] = bytes([draw.randrange(256)])
            case 1:
                out[where : where + 1] = bytes([byte ^ 1 << draw.randrange(8) for byte in out[where : where + 1]])
            case 2:
                del out[where : where + length]
            case 3:
                out[where:where] = draw.randbytes(length)
            case 4:
                out[where:where] = out[where : where + length]
            case 5:
                out[where : where + 1] = draw.choice((b"\x00", b"\x7f", b"\x80", b"\xff", b"\xff" * 9 + b"\x01"))
            case _:
                other = draw.choice(others)
                out[where:] = other[draw.randrange(len(other) + 1) :]
    return bytes(out)


NUMBERS = (0, 1, 2, 7, 127, 128, 255, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**53 + 1, 2**63 - 1, 2**64 - 1)


def reshaped(draw: random.Random, message: Any) -> None:
    """Change some values of a protobuf message in place: it stays readable, and says what nobody would say."""
    fields = list(message.DESCRIPTOR.fields)
    for field in draw.sample(fields, min(len(fields), draw.randrange(1, 4))):
        try:
            if field.message_type is not None and field.message_type.GetOptions().map_entry:
                getattr(message, field.name)["x" * draw.randrange(300)] = draw.choice(NUMBERS)
            elif field.is_repeated:
                values = getattr(message, field.name)
                if field.message_type is not None:
                    reshaped(draw, values.add())
                elif values and draw.random() < 0.5:
                    del values[draw.randrange(len(values))]
                else:
                    values.insert(draw.randrange(len(values) + 1), _number(draw))
            elif field.message_type is not None:
                reshaped(draw, getattr(message, field.name))
            elif draw.random() < 0.1:
                message.ClearField(field.name)
            elif field.cpp_type == field.CPPTYPE_STRING:
                text = "ü" * draw.randrange(300)
                setattr(message, field.name, text.encode() if field.type == field.TYPE_BYTES else text)
            else:
                setattr(message, field.name, _number(draw))
        except (OverflowError, TypeError, ValueError):  # the number does not fit the field: then it stays as it was
            continue


def _number(draw: random.Random) -> int:
    return draw.choice(NUMBERS) * draw.choice((1, 1, -1)) + draw.randrange(-2, 3)


def campaign(
    seed: int, count: int, make: Callable[[random.Random], bytes], judge: Callable[[bytes], str]
) -> Counter[str]:
    """Judge `count` inputs; return how often each outcome came.

    Raises
    ------
    AssertionError
        With seed, number and input, when `judge` raises.
    """
    draw = random.Random(seed)
    outcomes: Counter[str] = Counter()
    for number in range(count):
        payload = make(draw)
        try:
            outcomes[judge(payload)] += 1
        except Exception as error:
            raise AssertionError(f"seed {seed}, input {number}: {payload.hex()}") from error
    return outcomes
