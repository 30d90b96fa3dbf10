"""What figures and tables are made from, by hand: rows beside their records, shares, roofline points, words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from energybench.errors import RecordError
from energybench.report import ReportData
from energybench.report.error_table import error_lines
from energybench.report.networks import heldout_lines
from energybench.report.roofline import energy_roofline
from energybench.report.rows import ReportRow, report_rows
from energybench.report.shares import energy_shares, row_energies
from energybench.report.verdict import verdict_sentences
from energybench.report.wording import group_of


@pytest.fixture
def data(data_of: Callable[..., ReportData]) -> ReportData:
    return data_of("simulated")


def without_runs(data: ReportData) -> dict[str, Any]:
    """The comparison, its rows named by row alone."""
    rows = [{k: v for k, v in row.items() if k != "run_id"} for row in data.comparison["rows"]]
    return {**data.comparison, "rows": rows}


def test_a_row_is_found_by_its_name_alone_only_where_that_is_one_record(data: ReportData) -> None:
    named = report_rows(replace(data, comparison=without_runs(data)))
    assert [row.index for row in named] == [row.index for row in report_rows(data)]
    twice = pd.concat([data.records, data.records.assign(run_id="run-2")], ignore_index=True)
    with pytest.raises(RecordError, match="compare this run again"):
        report_rows(replace(data, records=twice, comparison=without_runs(data)))


def test_rows_of_a_group_count_alike(data: ReportData) -> None:
    rows = report_rows(data)
    names, energies, kept = row_energies(data, rows)
    assert kept.all()
    groups = {row.group: row for row in energy_shares(data, rows)}
    members = [i for i, row in enumerate(rows) if row.network is None and group_of(row.workload) == "conv2d"]
    sizes = energies[members].sum(axis=1)
    assert sizes.max() > 5 * sizes.min()  # pooled shares would be those of the largest
    expected = (energies[members] / sizes[:, None]).mean(axis=0)
    assert groups["conv2d"].shares == pytest.approx(dict(zip(names, expected, strict=True)), rel=1e-12)


def test_work_in_an_element_type_without_a_roof_is_drawn(data: ReportData) -> None:
    rows = report_rows(data)
    usual = energy_roofline(data, rows)
    assert usual is not None
    other = energy_roofline(replace(data, records=data.records.assign(dtype="float16")), rows)
    assert other is not None
    assert usual.elsewhere > 0  # launches, mostly
    assert (other.elsewhere, len(other.points)) == (0, len(usual.points) + usual.elsewhere)


def row(name: str, error_rel: float, *, hit: bool | None = True) -> ReportRow:
    return ReportRow(name, name, "net", "cnn", "heldout", 1.0, 1.0 + error_rel, None, None, error_rel, hit, 0)


def test_a_network_that_comes_out_low_has_a_negative_error() -> None:
    (line,) = heldout_lines([row("a", -0.3), row("b", -0.2), row("c", 0.1, hit=None)])
    assert line.error_rel == -0.2
    assert (line.hits, line.n_intervals, line.n) == (2, 2, 3)


def words(data: ReportData, rows: list[ReportRow], error: float, null: float) -> str:
    headline = {"name": "n", "unit": "network", "median_ape": error, "null_models": {"mean-power": null}}
    fit = {**data.fit, "validation": {"headline": headline, "heldout": None}}
    return " ".join(verdict_sentences(replace(data, fit=fit), rows, 0))


def test_no_better_than_a_null_model_is_said(data: ReportData) -> None:
    rows = [row("a", 0.1), row("b", 0.1, hit=False), row("c", 0.1, hit=None)]
    assert "the equation is no better than that" in words(data, rows, 0.10, 0.09)
    assert "the equation is no better than that" in words(data, rows, 0.10, 0.104)
    assert "2.0 times as much" in words(data, rows, 0.10, 0.20)
    assert "in 1 of 2\N{NO-BREAK SPACE}rows" in words(data, rows, 0.10, 0.20)


def test_a_null_model_of_fixed_power_leaves_idling_out_of_net_energy(data: ReportData) -> None:
    rows = [r for r in report_rows(data) if r.split == "heldout"]
    net = replace(data, fit={**data.fit, "target": "net"})
    (line,) = [entry for entry in error_lines(net, rows) if entry.name == "Held-out rows"]
    frame = data.records.iloc[[r.index for r in rows]]
    predicted = (frame["tdp_w"] - frame["idle_power_w"]) * frame["time_s"]
    errors = abs(predicted.to_numpy() / np.array([r.recorded_j for r in rows]) - 1)
    assert line.null_models["tdp"] == pytest.approx(float(np.median(errors)), rel=1e-9)
