from __future__ import annotations

import sys

import numpy as np
import pytest

from energybench.app.calibrate import calibrate
from energybench.app.replay import replay
from energybench.design.i_optimal import i_optimal_rows
from energybench.design.sequential import next_batch, relative_rows
from energybench.errors import UsageError


def test_rows_are_shares_of_the_expected_energy():
    rows = relative_rows(np.array([[2.0, 1.0], [0.0, 4.0]]), np.array([1.0, 2.0]))
    assert rows == pytest.approx(np.array([[0.5, 0.5], [0.0, 1.0]]))


def test_a_coefficient_of_zero_can_still_be_chosen_for():
    # a row of nothing but that coefficient is one too, an idle window while no static power was seen
    alone = relative_rows(np.array([[1.0, 10.0], [0.0, 5.0]]), np.array([1.0, 0.0]))
    assert alone[1] == pytest.approx([0.0, 1.0])
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


def test_what_a_target_does_not_need_is_not_run():
    """The target is all in the first term; the third is never looked at, however little is known of it."""
    X = np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
    chosen = next_batch(X, np.ones(3), 6, targets=np.array([[5.0, 0.0, 0.0]]))
    assert 2 not in chosen
    assert chosen.count(0) > chosen.count(1)


def test_each_choice_takes_most_off_the_variance():
    """Against trying every candidate: the identity for one more row is exact."""
    draw = np.random.default_rng(3)
    rows, past, targets = draw.uniform(0, 1, (12, 4)), draw.uniform(0, 1, (6, 4)), draw.uniform(0, 1, (2, 4))

    def variance(with_row: np.ndarray) -> float:
        M = past.T @ past + np.outer(with_row, with_row)
        return float(np.einsum("ij,jk,ik->", targets, np.linalg.inv(M), targets))

    best = min(range(12), key=lambda i: variance(rows[i]))
    assert i_optimal_rows(rows, targets, 1, existing=past) == [best]
    # a chosen row counts as run for the next one
    assert i_optimal_rows(rows, targets, 3, existing=past)[1:] == i_optimal_rows(
        rows, targets, 2, existing=np.vstack([past, rows[best]])
    )


def test_windows_of_one_candidate_are_limited():
    X = np.array([[1.0, 0.0], [0.0, 1.0], [0.1, 0.9]])
    chosen = next_batch(X, np.ones(2), 9, run_so_far=np.array([0]), most_each=np.array([2, 2, 3]))
    assert sorted(chosen) == [0, 1, 1, 2, 2, 2]


def test_targets_of_another_equation_are_refused():
    with pytest.raises(UsageError):
        i_optimal_rows(np.ones((2, 2)), np.ones((1, 3)), 1)
    with pytest.raises(UsageError):
        i_optimal_rows(np.ones((2, 2)), np.ones((1, 2)), 1, cost=np.zeros(2))


def test_chosen_windows_narrow_the_launch_and_resume(scenario_path, tmp_path):
    """Half of the chosen windows are of what is hardest to see, launches against idle; a cut run goes on by choice."""
    run = calibrate(meter=f"simulated:{scenario_path}", design="optimal", budget_s=200.0, out=tmp_path / "run")
    records = run.read_records()
    first = len(records)
    # Numbered as they came; workloads that the virtual device cannot price were skipped, and took a number each.
    assert [r.order for r in records] == sorted({r.order for r in records})
    assert all(r.split != "heldout" for r in records)
    launches = sum(r.split == "idle" or r.counts.bytes < 2**16 for r in records)
    assert launches > len(records) / 2
    lines = run.records_path.read_bytes().splitlines(keepends=True)
    run.records_path.write_bytes(b"".join(lines[: first // 2]))
    calibrate(meter=f"simulated:{scenario_path}", design="optimal", budget_s=200.0, out=tmp_path / "run", resume=True)
    records = run.read_records()
    assert len(records) > first // 2
    assert [r.order for r in records] == sorted({r.order for r in records})
    assert len({r.row_id for r in records}) == len(records)
    assert replay(run).agrees


def test_windows_for_a_model_are_others(scenario_path, tmp_path):
    (tmp_path / "wide.py").write_text("import torch\n\n\ndef linear():\n    return torch.nn.Linear(512, 512)\n")
    sys.path.insert(0, str(tmp_path))
    try:
        run = calibrate(
            meter=f"simulated:{scenario_path}",
            design="optimal",
            budget_s=150.0,
            out=tmp_path / "run",
            estimate_of=["wide:linear@64x512"],
        )
    finally:
        sys.path.remove(str(tmp_path))
    records = run.read_records()
    launches = sum(r.split == "idle" or r.counts.bytes < 2**16 for r in records)
    assert launches < len(records) / 2
    with pytest.raises(UsageError, match="add --design optimal"):
        calibrate(meter=f"simulated:{scenario_path}", estimate_of=["wide:linear"], out=tmp_path / "other")
