"""Rows that cannot be fitted are refused by name, in one line that names the fix; what is left out is counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from energybench.errors import FitError, RecordError
from energybench.fitting import fit_records


def edited(frame: pd.DataFrame, row: int, **values: Any) -> pd.DataFrame:
    copy = frame.copy()
    for name, value in values.items():
        copy[name] = copy[name].astype(object)
        copy.loc[row, name] = value
    return copy.infer_objects()


@pytest.mark.parametrize("value", [np.nan, 0.0, -1.0, np.inf])
@pytest.mark.parametrize("column", ["energy_j", "time_s"])
def test_numbers_that_are_no_measurement(frame, column: str, value: float) -> None:
    with pytest.raises(RecordError, match=rf"row run/7 \(product-2\): {column} is .*; ") as error:
        fit_records(edited(frame, 7, **{column: value}))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("column", "value"),
    [("kind", "measured"), ("device", "cuda:0"), ("meter", "rapl"), ("traffic_basis", "issued")],
)
def test_mixed_rows(frame, column: str, value: str) -> None:
    with pytest.raises(FitError, match=rf"run/9 \(product-3\) has {column} '{value}'"):
        fit_records(edited(frame, 9, **{column: value}))


def test_duplicated_rows(frame) -> None:
    with pytest.raises(RecordError, match="run/4 .* is there twice"):
        fit_records(pd.concat([frame, frame.loc[[4]]]))


def test_an_unknown_kind(frame) -> None:
    with pytest.raises(RecordError, match="kind 'guessed' is unknown"):
        fit_records(frame.assign(kind="guessed"))


def test_no_rows(frame) -> None:
    with pytest.raises(RecordError, match="no records"):
        fit_records(frame.iloc[:0])


def test_heldout_rows_never_enter_a_fit(frame) -> None:
    with pytest.raises(FitError, match="held-out rows never enter"):
        fit_records(frame[frame["split"] == "heldout"])


def test_only_idle_windows(frame) -> None:
    with pytest.raises(FitError, match="only idle windows"):
        fit_records(frame[frame["split"] == "idle"])


def test_no_row_that_the_equation_prices(frame) -> None:
    with pytest.raises(FitError, match="no row has work that equation transformer prices"):
        fit_records(frame[frame["kernel_class"] == "copy"], "transformer")


def test_missing_columns(frame) -> None:
    with pytest.raises(RecordError, match="lack the columns traffic_basis"):
        fit_records(frame.drop(columns="traffic_basis"))


def test_net_without_idle_power(frame) -> None:
    with pytest.raises(FitError, match=r"run/2 .*no idle power"):
        fit_records(edited(frame, 2, idle_power_w=np.nan), target="net")


def test_net_where_most_rows_use_no_more_than_idle(frame) -> None:
    with pytest.raises(FitError, match="no more than idle power"):
        fit_records(frame.assign(idle_power_w=500.0), target="net")


@pytest.mark.parametrize("arguments", [{"target": "both"}, {"level": 1.0}, {"families": ["bird"]}, {"equation": "x"}])
def test_arguments_that_cannot_work(frame, arguments: dict) -> None:
    with pytest.raises(FitError, match="use"):
        fit_records(frame, **arguments)


def test_invalid_windows_are_left_out_and_counted(frame) -> None:
    broken = edited(frame, 3, valid=False, energy_j=1e9)
    fit = fit_records(broken)
    assert fit.params == pytest.approx(fit_records(frame.drop(index=3)).params, rel=1e-12)
    assert "1 rows left out: window marked invalid" in fit.notes
    with pytest.raises(RecordError, match="every window is marked invalid"):
        fit_records(frame.assign(valid=False))


def test_families_choose_rows(frame) -> None:
    fit = fit_records(frame, "cnn", families=["cnn"])
    assert set(fit.rows.labels["family"]) == {"cnn"}
    with pytest.raises(FitError, match="no row is of the families rnn"):
        fit_records(frame[frame["family"] != "rnn"], families=["rnn"])


def test_a_sealed_network_never_enters_a_fit(frame) -> None:
    """As a held-out row neither: it would be scored, and again, until the equation suits it."""
    for values in (
        {"workload": "network/resnet50/n1s224/forward/fp16", "split": "heldout"},
        {"workload": "network/resnet50/n1s224/forward/fp16"},
        {"network": "resnet50"},
    ):
        with pytest.raises(RecordError, match=r"sealed networks \(resnet50\).*energybench compare"):
            fit_records(edited(frame, 9, **values))
