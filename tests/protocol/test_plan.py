from __future__ import annotations

import pytest

from energybench.protocol.plan import round_rows
from energybench.records.run_directory import RunDirectory
from energybench.workloads import named_design
from energybench.workloads.designs import Design


@pytest.mark.parametrize("seed", range(20))
def test_every_prefix_of_a_round_holds_its_share_of_each_split(seed):
    workloads = named_design("quick", "cpu").workloads
    splits = [r.workload.split for r in round_rows(workloads, repeat=0, seed=seed, first_order=0)]
    for split in ("fit", "heldout", "idle"):
        total = splits.count(split)
        for n in range(len(splits) + 1):
            # one row of its own share of the round, and one for each other split's random place
            assert abs(splits[:n].count(split) - total * n / len(splits)) <= 3
    # the middle of a round has seen held-out and idle rows
    half = splits[: len(splits) // 2]
    assert half.count("heldout") >= 1
    assert half.count("idle") >= 1


def test_a_round_is_a_shuffle_of_its_own():
    workloads = named_design("quick", "cpu").workloads
    orders = {
        (seed, repeat): [r.workload.name for r in round_rows(workloads, repeat=repeat, seed=seed, first_order=5)]
        for seed in (0, 1)
        for repeat in (0, 1)
    }
    assert all(sorted(names) == sorted(w.name for w in workloads) for names in orders.values())
    assert len({tuple(names) for names in orders.values()}) == 4
    again = [r.workload.name for r in round_rows(workloads, repeat=1, seed=1, first_order=5)]
    assert again == orders[1, 1]
    assert [r.order for r in round_rows(workloads, repeat=0, seed=0, first_order=5)][:3] == [5, 6, 7]


def test_within_a_budget_each_workload_has_its_window_before_any_has_two(small_design, run_virtual, tmp_path):
    design = Design("fixed", small_design.workloads, 3, 3, 0.05, 0.4)
    run_virtual(design, tmp_path / "run", budget_s=150.0)
    repeats = [r.repeat for r in RunDirectory(tmp_path / "run").read_records()]
    assert repeats == sorted(repeats)
    assert repeats.count(0) == len(design.workloads)
    assert 0 < repeats.count(1) <= len(design.workloads)
