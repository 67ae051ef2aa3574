"""Random numbers that belong to a purpose and a driver, so that no draw moves another.

A draw is addressed by (seed, book, purpose, driver number): drawing more motion does not change the truth, a larger
book does not change its first drivers, and a chunk of drivers draws what the whole book would have drawn for them.
Philox is counter-based, so a driver's place in the stream is reached by one jump.
"""

from __future__ import annotations

import math
import zlib
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# Each purpose is a stream of its own. Only additions at the end: the position is part of the seed.
PURPOSES: Final = ("drivers", "habits", "terms", "claims", "trips", "manoeuvres", "sensors")
_WORDS_PER_STEP: Final = 4  # a step of Philox4x64 makes four 64-bit words


class Streams(NamedTuple):
    """The random streams of one book."""

    seed: int
    book: str

    def uniforms(self, purpose: str, first: int, count: int, width: int) -> Floats:
        """Draw `width` numbers in (0, 1] for each of the drivers `first` to `first + count`.

        Returns
        -------
        ndarray, shape (count, width)
        """
        padded = _padded(width)
        draws = np.random.Generator(self._at(purpose, first, padded)).random(count * padded)
        return draws.reshape(count, padded)[:, :width] + 2.0**-54

    def normals(self, purpose: str, first: int, count: int, width: int) -> Floats:
        """Draw standard normals, shape (count, width), like `uniforms`."""
        half = (width + 1) // 2
        pairs = self.uniforms(purpose, first, count, 2 * half)
        return np.concatenate(normal_pair(pairs[:, :half], pairs[:, half:]), axis=1)[:, :width]

    def words(self, purpose: str, first: int, count: int, width: int) -> npt.NDArray[np.uint16]:
        """Draw 16-bit words, shape (count, width): what row noise is looked up with."""
        padded = _padded(-(-width // 4))
        raw = self._at(purpose, first, padded).random_raw(count * padded)
        return raw.astype("<u8", copy=False).view("<u2").reshape(count, 4 * padded)[:, :width]

    def _at(self, purpose: str, first: int, padded: int) -> np.random.Philox:
        key = np.random.SeedSequence([self.seed, zlib.crc32(self.book.encode()), PURPOSES.index(purpose)])
        philox = np.random.Philox(key)
        philox.advance(first * padded // _WORDS_PER_STEP)
        return philox


def _padded(words: int) -> int:
    return -(-words // _WORDS_PER_STEP) * _WORDS_PER_STEP


def normal_pair(u: Floats, v: Floats) -> tuple[Floats, Floats]:
    """Turn two independent uniforms into two independent standard normals (Box and Muller 1958)."""
    radius, angle = np.sqrt(-2.0 * np.log(u)), 2.0 * np.pi * v
    return radius * np.cos(angle), radius * np.sin(angle)


_erfc = np.frompyfunc(math.erfc, 1, 1)


def normal_sf(z: npt.ArrayLike) -> Floats:
    """Probability that a standard normal exceeds `z`; exact in the far tail, where crashes live."""
    return 0.5 * np.asarray(_erfc(np.asarray(z) / math.sqrt(2.0)), dtype=np.float64)


def weibull(u: Floats, mean: float, shape: float) -> Floats:
    """Quantile function of a Weibull distribution with the given mean, at probability `1 - u`."""
    return mean / math.gamma(1.0 + 1.0 / shape) * (-np.log(u)) ** (1.0 / shape)
