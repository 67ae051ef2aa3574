from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.between import LINE, PARTS, STEP, bins, place
from pricing.boosting import Boosted
from pricing.distil import distil, parse
from pricing.errors import ModelError
from pricing.tables import MAIN_FILE, PAIR_FILE, UNIT, Main, Pair, RatingTables, read_tables
from tests.pricing.test_boosting import NAMES, rows, train


@pytest.fixture(scope="module")
def sample():
    x, claims, mu0 = rows()
    x[:, 1] = np.nan_to_num(x[:, 1], nan=1.5)  # one feature that training always knew
    return x, mu0, train(x, claims, mu0)


@pytest.fixture(scope="module")
def tables(sample):
    x, mu0, boosted = sample
    return distil(boosted, x, mu0)


@pytest.fixture(scope="module")
def lines(sample):
    x, mu0, boosted = sample
    return distil(boosted, x, mu0, LINE)


values = st.one_of(st.just(np.nan), st.floats(-1, 20), st.sampled_from([0.0, 2.0, np.inf]))


@given(st.lists(st.tuples(values, values, values, values), min_size=1, max_size=20))
def test_tables_score_whatever_the_trees_score(sample, tables, points):
    x = np.array(points)
    assert tables.score(x) == pytest.approx(sample[2].score(x), abs=1e-9)


def test_a_value_on_a_threshold_is_below_it_in_both(sample, tables):
    x, _, boosted = sample
    for column, main in enumerate(tables.mains):
        on = np.tile(x[:1], (len(main.ends), 1))
        on[:, column] = main.ends
        just_above = on.copy()
        just_above[:, column] = np.nextafter(main.ends, np.inf)
        for points in (on, just_above):
            assert tables.score(points) == pytest.approx(boosted.score(points), abs=1e-9)


def test_what_training_always_knew_counts_as_typical_where_it_is_not_known(sample, tables):
    typical = sample[2].typical[1]
    assert typical is not None
    x = sample[0][:50].copy()
    x[:, 1] = np.nan
    filled = x.copy()
    filled[:, 1] = typical
    assert tables.score(x).tolist() == tables.score(filled).tolist()


def test_main_effects_and_pairs_have_mean_zero_over_independent_features(tables):
    share = {main.feature: (main.ends, main.share) for main in tables.mains}
    for main in tables.mains:
        assert abs(main.effect @ main.share) < 2
    for pair in tables.pairs:
        weights = []
        for name, ends in ((pair.first, pair.first_ends), (pair.second, pair.second_ends)):
            fine, of_bin = share[name]
            weights.append(np.bincount(bins(ends, np.array([*fine, np.inf, np.nan])), of_bin, len(ends) + 2))
        assert np.abs(pair.effect @ weights[1]).max() < 4
        assert np.abs(weights[0] @ pair.effect).max() < 4


def test_with_lines_means_are_zero_over_where_rows_stand_between_points(sample, lines):
    """Main effects and pairs as the score takes them, row by row against all rows of the other feature."""
    x, mu0, _ = sample
    none = np.zeros(len(mu0))
    for column, main in enumerate(lines.mains):
        alone = replace(lines, intercept=0, mains=tuple(flat(m) if m != main else m for m in lines.mains), pairs=())
        assert abs(np.average(alone.score(x), weights=mu0)) < 1e-11, column
    for pair in lines.pairs:
        alone = replace(lines, intercept=0, mains=tuple(map(flat, lines.mains)), pairs=(pair,))
        first, second = lines.features.index(pair.first), lines.features.index(pair.second)
        for k in range(0, len(mu0), 400):
            against = np.column_stack([none] * 4)
            against[:, first], against[:, second] = x[k, first], x[:, second]
            assert abs(np.average(alone.score(against), weights=mu0)) < 1e-11
            against[:, first], against[:, second] = x[:, first], x[k, second]
            assert abs(np.average(alone.score(against), weights=mu0)) < 1e-11


def flat(main):
    return replace(main, effect=np.zeros_like(main.effect))


def test_at_points_lines_are_what_steps_are_and_never_jump(sample, lines):
    x = np.array([[main.points[k % max(len(main.points), 1)] if len(main.points) else 0.0 for main in lines.mains]
                  for k in range(40)])  # fmt: skip
    assert lines.score(x).tolist() == lines.steps().score(x).tolist()
    assert lines.steps() != lines
    for column, main in enumerate(lines.mains):
        on = np.tile(sample[0][:1], (len(main.ends), 1))
        on[:, column] = main.ends
        above = on.copy()
        above[:, column] = np.nextafter(main.ends, np.inf)
        jump = np.abs(lines.score(above) - lines.score(on))
        assert (jump <= 3 * np.ptp(lines.score(sample[0])) / PARTS).all()


def test_what_is_not_known_is_no_mixture(sample, lines):
    x = sample[0][:200].copy()
    x[:, 0] = np.nan
    at = place(lines.mains[0].ends, lines.mains[0].points, x[:, 0])
    assert set(at.at.tolist()) == {len(lines.mains[0].ends) + 1}
    assert set(at.part.tolist()) == {0}


def test_the_first_trees_alone_make_tables_too(sample):
    x, mu0, boosted = sample
    first = distil(boosted, x, mu0, rounds=20)
    assert first.score(x) == pytest.approx(boosted.staged_scores(x, (20,))[:, 0], abs=1e-9)


def test_with_lines_contributions_sum_to_the_score_to_the_last_integer(sample, lines):
    for tables in (lines, lines.steps()):
        assert (tables.exact_contributions(sample[0]).sum(axis=1) == tables.exact_score(sample[0])).all()


def test_a_score_does_not_depend_on_the_rows_beside_it(sample, lines):
    x = np.tile(sample[0], (4, 1))
    assert len(x) > 10_000
    again = np.concatenate([lines.exact_score(x[k : k + 777]) for k in range(0, len(x), 777)])
    assert again.tolist() == lines.exact_score(x).tolist()


def test_lines_come_back_from_their_files_as_they_were(sample, lines):
    again = read_tables(lines.files())
    assert again == lines
    assert again.exact_score(sample[0]).tolist() == lines.exact_score(sample[0]).tolist()


def test_points_that_do_not_rise_and_borders_of_no_feature_are_refused(lines):
    main = next(main for main in lines.mains if len(main.points) > 1)
    with pytest.raises(ModelError, match="points do not rise"):
        replace(lines, mains=(replace(main, points=main.points[::-1]),), pairs=())
    with pytest.raises(ModelError, match="points do not rise"):
        replace(lines, mains=(replace(main, points=main.points[1:]),), pairs=())
    for nowhere in (np.inf, np.nan):
        with pytest.raises(ModelError, match="points do not rise"):
            replace(lines, mains=(replace(main, points=np.append(main.points[:-1], nowhere)),), pairs=())
    pair = lines.pairs[0]
    with pytest.raises(ModelError, match=r"the borders of .* are not its own"):
        replace(lines, pairs=(replace(pair, first_ends=pair.first_ends + 0.1),))


@pytest.mark.parametrize("effect", [37 * 10**12, -37 * 10**12, np.iinfo(np.int64).min])
def test_effects_that_no_integer_could_sum_are_refused(effect):
    with pytest.raises(ModelError, match="too large"):
        RatingTables(0, (Main("a", np.array([1.0]), np.array([0, effect, 0]), np.ones(3) / 3),), ())


def test_the_largest_effects_that_are_taken_sum_without_overflow():
    quarter, axis = np.iinfo(np.int64).max // PARTS**2 // 4, np.array([1.0])
    a = Main("a", axis, np.array([-quarter, quarter, 0]), np.ones(3) / 3, np.array([0.0, 2.0]))
    b = replace(a, feature="b")
    tables = RatingTables(quarter, (a, b), (Pair("a", "b", axis, axis, np.full((3, 3), quarter)),))
    x = np.array([[-9.0, -9.0], [9.0, 9.0], [1.0, 9.0], [np.nan, 1.0]])
    assert tables.exact_score(x).tolist() == [quarter * PARTS**2 * k for k in (0, 4, 3, 2)]
    assert tables.exact_contributions(x).sum(axis=1).tolist() == tables.exact_score(x).tolist()


def test_contributions_sum_to_the_score_in_integers(sample, tables):
    x = sample[0]
    contributions = np.rint(tables.contributions(x) / (UNIT / 2)).astype(np.int64)
    assert (contributions.sum(axis=1) == np.rint(tables.score(x) / (UNIT / 2)).astype(np.int64)).all()


def test_files_come_back_as_they_were(sample, tables):
    again = read_tables(tables.files())
    assert again.files() == tables.files()
    assert again.score(sample[0]).tolist() == tables.score(sample[0]).tolist()
    assert again.features == NAMES


def test_a_split_of_what_is_known_from_what_is_not_is_no_border(sample):
    x, mu0, _ = sample
    x = x.copy()
    x[::2, 0] = np.nan
    boosted = train(x, np.where(np.isnan(x[:, 0]), 3.0, 0.0), mu0)
    assert "threshold=inf" in boosted.text
    for between in (STEP, LINE):
        made = distil(boosted, x, mu0, between)
        assert all(np.isfinite(main.ends).all() and np.isfinite(main.points).all() for main in made.mains)
        assert made.steps().score(x) == pytest.approx(boosted.score(x), abs=1e-9)


def test_no_tree_no_effect():
    x, claims, mu0 = rows(500)
    tables = distil(train(x, claims, mu0, rounds=0), x, mu0)
    assert tables.score(x).tolist() == [0.0] * 500
    assert read_tables(tables.files()).score(x).tolist() == [0.0] * 500


def test_no_rows_no_scores(tables):
    nobody = np.empty((0, 4))
    assert tables.score(nobody).shape == (0,)
    assert tables.contributions(nobody).shape == (0, 5)


def test_a_text_that_is_no_model_is_refused():
    x, _, mu0 = rows(10)
    with pytest.raises(ModelError, match="cannot be read"):
        distil(Boosted("tree\n\nTree=0\nnonsense", NAMES, (None,) * 4), x, mu0)


def test_a_split_by_category_is_refused():
    text = "\nTree=0\nsplit_feature=0\nthreshold=0\ndecision_type=1\nleft_child=-1\nright_child=-2\nleaf_value=0 1\n"
    with pytest.raises(ModelError, match="split by category"):
        parse(text)


@pytest.mark.parametrize("name", [MAIN_FILE, PAIR_FILE])
def test_a_file_that_is_no_table_is_refused(tables, name):
    with pytest.raises(ModelError, match="no rating table"):
        read_tables(tables.files() | {name: "feature,effect\nbrake,1\n"})
