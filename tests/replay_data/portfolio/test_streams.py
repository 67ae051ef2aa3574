import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay_data.portfolio.streams import PURPOSES, Streams, normal_sf, weibull

STREAMS = Streams(7, "book")


@given(first=st.integers(0, 40), count=st.integers(1, 20), width=st.integers(1, 11), purpose=st.sampled_from(PURPOSES))
def test_a_driver_draws_the_same_in_any_chunk(first, count, width, purpose):
    for draw in (STREAMS.uniforms, STREAMS.normals, STREAMS.words):
        whole = draw(purpose, 0, 60, width)
        assert whole.shape == (60, width)
        assert np.array_equal(draw(purpose, first, count, width), whole[first : first + count])


def test_seed_book_and_purpose_each_give_other_numbers():
    draws = [
        streams.uniforms(purpose, 0, 1, 1)[0, 0]
        for streams in (STREAMS, Streams(8, "book"), Streams(7, "other"))
        for purpose in PURPOSES
    ]
    assert len(set(draws)) == 3 * len(PURPOSES)


def test_normals_are_standard_and_independent():
    z = STREAMS.normals("habits", 0, 100_000, 5)
    assert np.abs(z.mean(axis=0)).max() < 0.015
    assert np.abs(np.cov(z.T) - np.eye(5)).max() < 0.02


def test_the_tail_of_the_normal_is_exact():
    assert normal_sf([0.0, 1.959963984540054, 6.0]) == pytest.approx([0.5, 0.025, 9.865876450376946e-10], rel=1e-12)


def test_weibull_has_its_mean():
    u = (np.arange(100_000) + 0.5) / 100_000
    assert weibull(u, mean=0.14, shape=2.2).mean() == pytest.approx(0.14, rel=1e-3)
