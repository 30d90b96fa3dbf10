from __future__ import annotations

import json
from dataclasses import replace

import pytest

from energybench.errors import RecordError
from energybench.records.model_counts import ModelCounts, OperatorCounts
from energybench.records.op_counts import OpCounts


def row(operator: str, module: str, macs: int, **changes: object) -> OperatorCounts:
    counts = OpCounts.single("float32", launches=1, macs=macs, nominal_macs=macs, load_bytes=4 * macs)
    return OperatorCounts(operator, module, "forward", "gemm", 1, counts, **changes)  # type: ignore[arg-type]


@pytest.fixture
def counts() -> ModelCounts:
    backward = OperatorCounts("mm", "body.a", "backward", "gemm", 2, OpCounts.single("float32", macs=20, launches=2))
    rows = (row("mm", "body.a", 10, component="feed_forward"), row("add", "body", 1), row("mm", "head", 5), backward)
    return ModelCounts(rows, parameters=7, parameter_bytes=28)


def test_totals_and_directions(counts: ModelCounts) -> None:
    assert counts.total.macs == 36
    assert counts.forward.macs == 16
    assert counts.backward.macs == 20
    assert counts.calls == 5


def test_module_tree_includes_children(counts: ModelCounts) -> None:
    tree = counts.by_module()
    assert {name: c.macs for name, c in tree.items()} == {"": 36, "body": 31, "body.a": 30, "head": 5}
    assert set(counts.by_module(depth=1)) == {"", "body", "head"}


def test_groups(counts: ModelCounts) -> None:
    assert counts.by_operator()["mm"].macs == 35
    assert counts.component_flops() == {"feed_forward": 20}
    assert counts.by_kernel_class()["gemm"].macs == 36


def test_coverage_is_weighted_by_traffic(counts: ModelCounts) -> None:
    assert counts.coverage == 1.0
    more = ModelCounts((*counts.rows, row("my::op", "x", 16, covered=False)), 7, 28)
    assert more.coverage == pytest.approx(64 / 128)
    assert more.uncovered == ("my::op",)
    silent = ModelCounts((OperatorCounts("my::op", "", "forward", "gemm", 1, OpCounts(), covered=False),), 0, 0)
    assert silent.coverage == 0.0


def test_frame_holds_a_row_each(counts: ModelCounts) -> None:
    frame = counts.to_frame()
    assert len(frame) == 4
    assert int(frame["macs"].sum()) == counts.total.macs


def test_json_round_trip(counts: ModelCounts) -> None:
    assert ModelCounts.from_dict(json.loads(json.dumps(counts.to_dict()))) == counts
    with pytest.raises(RecordError):
        ModelCounts.from_dict({"rows": [{}]})


def test_a_notebook_shows_totals_classes_and_operators(counts: ModelCounts) -> None:
    page = replace(counts, notes=("<script>",))._repr_html_()
    total = counts.total
    assert f"{total.macs:,} MACs · {total.flops:,} FLOPs · {total.bytes:,} bytes (compulsory, eager)" in page
    assert "coverage 100.0%" in page
    assert page.count("<table>") == 2
    share = f"{35 / 36:.1%}"
    for cell in ("gemm", "mm", "add", "4", "35", "70", share):
        assert f">{cell}</td>" in page
    assert page.index(">mm</td>") < page.index(">add</td>")
    assert "<script>" not in page
    assert ">–</td>" in ModelCounts((OperatorCounts("view", "", "forward", "copy", 1, OpCounts()),), 0, 0)._repr_html_()
