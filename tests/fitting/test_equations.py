"""Features of every equation against values worked out by hand, and what equations refuse."""

from __future__ import annotations

import numpy as np
import pytest

from energybench.errors import FitError, RecordError
from energybench.model import (
    DOCUMENT_EQUATIONS,
    EQUATION_NAMES,
    NULL_MODELS,
    FeatureTable,
    equation_for,
    equation_from_terms,
    equation_of_columns,
    feature_row,
    physical_equation,
)
from energybench.model.features import COUNT_COLUMNS
from energybench.model.null_table import NullTable
from energybench.records.frame import records_frame
from energybench.records.model_counts import ModelCounts, OperatorCounts
from energybench.records.op_counts import DtypeCounts, OpCounts
from energybench.records.run_record import DomainValue, RunRecord


def counts(*, launches: int = 0, **tallies: int) -> OpCounts:
    return OpCounts({"float32": DtypeCounts(**tallies)}, launches)


@pytest.fixture
def layer() -> OpCounts:
    return counts(macs=1000, adds=30, specials=12, loads=400, stores=100, load_bytes=1600, store_bytes=400, launches=2)


@pytest.fixture
def transformer(layer: OpCounts) -> ModelCounts:
    core = counts(macs=50, adds=20, load_bytes=64, loads=16)
    return ModelCounts(
        (
            OperatorCounts("scores", "encoder.attention", "forward", "attention", 1, core, component="self_attention"),
            OperatorCounts("linear", "encoder.attention", "forward", "gemm", 4, layer, component="multi_head"),
            OperatorCounts("linear", "encoder.mlp", "forward", "gemm", 2, layer, component="feed_forward"),
            OperatorCounts("layer_norm", "encoder", "forward", "norm", 1, counts(adds=80, load_bytes=8, loads=2)),
        ),
        parameters=500,
        parameter_bytes=2000,
    )


def table_of(*rows: dict) -> FeatureTable:
    return FeatureTable.from_rows(rows)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cnn", [1000, 500, 42 / 250]),
        ("cnn-literal", [1000 * 500, 42 / 250]),
        ("cnn-total-flops", [1000, 500, 2042 / 250]),
        ("rnn", [1000, 500 / 250]),
        ("physical", [1000, 42, 2000, 2, 0.25]),
        ("mean-power", [0.25]),
        ("macs-only", [1000]),
        ("parameters-only", [250]),
        ("operator-count", [2]),
    ],
)
def test_features_by_hand(layer: OpCounts, name: str, expected: list[float]) -> None:
    table = table_of(feature_row(layer, time_s=0.25, parameters=250))
    design = equation_for(name, table).features(table)
    assert design.X.tolist() == [pytest.approx(expected, rel=1e-15)]
    assert len(design.names) == len(expected)


def test_transformer_weights_each_part_by_its_share_of_all_flops(transformer: ModelCounts) -> None:
    table = table_of(feature_row(transformer, time_s=1.0))
    parts = {"self_attention": 120, "multi_head": 2042, "feed_forward": 2042}
    total = 120 + 2042 + 2042 + 80
    design = equation_for("transformer", table).features(table)
    assert design.X[0] == pytest.approx([w * w / total for w in parts.values()], rel=1e-14)


def test_rows_that_an_equation_cannot_describe_are_counted(layer: OpCounts) -> None:
    idle = feature_row(counts(), time_s=1.0, kernel_class="idle")
    table = table_of(feature_row(layer, time_s=1.0, parameters=9), feature_row(layer, time_s=1.0), idle)
    design = DOCUMENT_EQUATIONS["cnn"].features(table)
    assert design.kept.tolist() == [True, False, False]
    assert design.dropped == {"no parameters (M = 0) to divide by": 2}
    physical = physical_equation(table).features(table)
    assert physical.kept.all()
    assert physical.X[2].tolist() == [0, 0, 0, 0, 1.0]
    assert DOCUMENT_EQUATIONS["transformer"].features(table).dropped == {"no work that the equation prices": 3}


def test_a_record_and_an_estimate_have_the_same_features(transformer: ModelCounts) -> None:
    record = RunRecord(
        run_id="r",
        row_id="1",
        workload="bert",
        kernel_id="bert",
        family="transformer",
        split="fit",
        kernel_class="network",
        implementation="vendor",
        direction="forward",
        dtype="float32",
        device="cpu",
        counts=transformer.total,
        counts_source="model",
        operators=transformer.calls,
        parameters=transformer.parameters,
        calls=1,
        repeat=0,
        order=0,
        meter="simulated",
        kind="simulated",
        energy_j=1.0,
        energy_uncertainty_j=0.0,
        time_s=0.5,
        begin_ns=0,
        end_ns=10,
        domains={"package-0": DomainValue(1.0, 0.0)},
        environment_sha256="e" * 64,
        components=transformer.component_flops(),
        tdp_w=100.0,
        idle_power_w=20.0,
    )
    recorded = FeatureTable.from_frame(records_frame([record]))
    made = table_of(feature_row(transformer, time_s=0.5, tdp_w=100.0, idle_power_w=20.0))
    for name in (*COUNT_COLUMNS, "macs_float32", "parameters", "operators", "time_s", "tdp_w", "idle_power_w"):
        assert made.column(name).tolist() == recorded.column(name).tolist(), name
    for name in EQUATION_NAMES:
        if name != "tdp":
            equation = equation_for(name, recorded)
            assert equation.features(made).X.tolist() == equation.features(recorded).X.tolist(), name


def test_kernel_classes_split_the_macs_of_a_model_and_of_a_row(transformer: ModelCounts, layer: OpCounts) -> None:
    table = table_of(feature_row(transformer, time_s=1.0), feature_row(layer, time_s=1.0, kernel_class="conv"))
    equation = physical_equation(table, by_kernel_class=True)
    assert equation.names[:3] == ("mac_fp32_gemm_j", "mac_fp32_conv_j", "mac_fp32_attention_j")
    assert equation.features(table).X[:, :3].tolist() == [[2000, 0, 50], [0, 1000, 0]]


@pytest.mark.parametrize("columns", [("macs", "flops"), ("macs", "bytes", "flops", "time_s")])
def test_macs_beside_flops_are_refused_with_the_reason(columns: tuple[str, ...]) -> None:
    with pytest.raises(FitError, match="FLOPs = 2·MACs"):
        equation_of_columns(columns)


def test_total_flops_are_kept_as_a_named_reading() -> None:
    assert DOCUMENT_EQUATIONS["cnn-total-flops"].collinear_on_purpose


@pytest.mark.parametrize(
    "call",
    [
        lambda t: equation_for("chocolate", t),
        lambda t: equation_for("tdp", t),
        lambda t: equation_of_columns(["joules"]),
        lambda t: equation_of_columns([]),
        lambda t: equation_from_terms("physical", ["mac_fp32_j", "hope_j"]),
        lambda t: equation_from_terms("cnn", ["alpha"]),
    ],
)
def test_unknown_names_are_refused_in_one_line(layer: OpCounts, call) -> None:
    with pytest.raises(FitError) as error:
        call(table_of(feature_row(layer, time_s=1.0)))
    assert "\n" not in str(error.value)


def test_equations_are_rebuilt_from_their_coefficient_names(layer: OpCounts) -> None:
    half = OpCounts.single("bfloat16", macs=7)
    table = table_of(
        feature_row(layer, time_s=1.0, parameters=3), feature_row(half, time_s=1.0, parameters=3, kernel_class="gemm")
    )
    equations = [equation_for(n, table) for n in EQUATION_NAMES if n != "tdp"]
    equations += [physical_equation(table, by_kernel_class=True), equation_of_columns(["macs", "bytes"])]
    for equation in equations:
        again = equation_from_terms(equation.name, equation.names)
        assert again.features(table).X.tolist() == equation.features(table).X.tolist()
        assert again.units == equation.units


def test_every_term_says_what_it_is() -> None:
    table = table_of(feature_row(counts(macs=1), time_s=1.0))
    for name in EQUATION_NAMES:
        if name != "tdp":
            equation = equation_for(name, table)
            for term in equation.terms:
                assert term.unit
                assert term.latex
                assert term.source
                assert term.description
            assert equation.latex.startswith("E =")


def test_null_models_take_the_median_of_energy_over_their_quantity(layer: OpCounts) -> None:
    table = table_of(*(feature_row(layer, time_s=t, parameters=10) for t in (1.0, 2.0, 4.0)))
    energy = np.array([10.0, 40.0, 120.0])
    nulls = NullTable.of(table, "gross")
    found = nulls.fit(energy)
    assert list(found) == list(NULL_MODELS)
    assert found["mean-power"] == pytest.approx(20.0, rel=1e-15)
    assert found["parameters-only"] == pytest.approx(4.0, rel=1e-15)
    assert found["tdp"] == 1.0
    predicted = dict(zip(NULL_MODELS, nulls.energies_j(found).T, strict=True))
    assert predicted["mean-power"] == pytest.approx([20.0, 40.0, 80.0], rel=1e-15)
    assert np.isnan(predicted["tdp"]).all()  # no rated power is known
    assert np.isnan(nulls.energies_j({"tdp": 1.0})).all(), "no model but this has a coefficient"
    errors = nulls.errors_rel(found, energy)[:, list(NULL_MODELS).index("parameters-only")]
    assert errors == pytest.approx(40.0 / energy - 1, rel=1e-15)
    assert NullTable.of(table.with_column("macs", np.zeros(3)), "gross").fit(energy)["macs-only"] is None


def test_a_given_coefficient_loses_idle_energy_where_the_target_is_net(layer: OpCounts) -> None:
    table = table_of(*(feature_row(layer, time_s=t, idle_power_w=30.0, tdp_w=200.0) for t in (1.0, 2.0, 4.0)))
    given = {"tdp": 1.0, "mean-power": 50.0}
    net, gross = NullTable.of(table, "net").energies_j(given), NullTable.of(table, "gross").energies_j(given)
    names = list(NULL_MODELS)
    assert net[:, names.index("tdp")] == pytest.approx([170.0, 340.0, 680.0], rel=1e-15)
    assert gross[:, names.index("tdp")] == pytest.approx([200.0, 400.0, 800.0], rel=1e-15)
    assert (net[:, names.index("mean-power")] == gross[:, names.index("mean-power")]).all()  # fitted to net energies


def test_a_frame_with_impossible_counts_is_refused_by_row(frame) -> None:
    broken = frame.copy()
    broken["macs"] = broken["macs"].astype(float)
    broken.loc[5, "macs"] = np.nan
    with pytest.raises(RecordError, match="row 5: macs is nan"):
        FeatureTable.from_frame(broken)
    broken.loc[5, "macs"] = -1.0
    with pytest.raises(RecordError, match="row 5: macs is -1; counts and durations are finite and not negative"):
        FeatureTable.from_frame(broken)
    with pytest.raises(RecordError, match="lack the columns other_flops"):
        FeatureTable.from_frame(frame.drop(columns="other_flops"))
