from __future__ import annotations

import numpy as np
import pytest

from energybench.design.sequential import next_batch, relative_rows
from energybench.errors import UsageError


def test_rows_are_shares_of_the_expected_energy():
    rows = relative_rows(np.array([[2.0, 1.0], [0.0, 4.0]]), np.array([1.0, 2.0]))
    assert rows == pytest.approx(np.array([[0.5, 0.5], [0.0, 1.0]]))


def test_a_coefficient_of_zero_can_still_be_chosen_for():
    rows = relative_rows(np.array([[1.0, 10.0], [1.0, 0.0]]), np.array([1.0, 0.0]))
    assert rows[0, 1] == pytest.approx(1e-3, rel=0.01)


def test_what_is_not_known_yet_is_chosen_next():
    X = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    assert next_batch(X, np.ones(3), 1, run_so_far=np.array([0, 0, 1])) == [2]
    # a dear row waits for cheap ones
    assert next_batch(X, np.ones(3), 1, run_so_far=np.array([0, 1, 2]), cost=np.array([10.0, 10.0, 1.0])) == [2]


@pytest.mark.parametrize(
    ("features", "coefficients"),
    [(np.ones((2, 2)), np.ones(3)), (np.zeros((1, 2)), np.ones(2)), (np.ones((1, 2)), np.array([1.0, -1.0]))],
)
def test_impossible_input_is_refused(features, coefficients):
    with pytest.raises(UsageError):
        relative_rows(features, coefficients)
