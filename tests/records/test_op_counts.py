from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from energybench.errors import CountingError, RecordError
from energybench.records.op_counts import COUNT_FIELDS, DTYPE_BYTES, DTYPE_SHORT, DtypeCounts, OpCounts

tallies = st.fixed_dictionaries({name: st.integers(0, 2**62) for name in COUNT_FIELDS})
op_counts = st.builds(
    OpCounts,
    st.dictionaries(st.sampled_from(sorted(DTYPE_BYTES)), st.builds(lambda t: DtypeCounts(**t), tallies), max_size=3),
    st.integers(0, 10**6),
    st.sampled_from(["compulsory"]),
)


def test_derived_totals() -> None:
    counts = OpCounts.single(
        "float32", launches=2, macs=10, adds=1, muls=2, divs=3, compares=4, specials=5, loads=7, stores=8
    )
    assert counts.other_flops == 15
    assert counts.flops == 35
    assert counts.accesses == 15
    assert counts.totals()["flops"] == 35
    assert counts.totals()["launches"] == 2


@given(op_counts, op_counts)
def test_sum_adds_every_field(a: OpCounts, b: OpCounts) -> None:
    total = a + b
    for name in (*COUNT_FIELDS, "other_flops", "flops", "accesses", "bytes", "launches"):
        assert getattr(total, name) == getattr(a, name) + getattr(b, name)
    assert total == OpCounts.sum([b, a])


@given(op_counts, st.integers(0, 1000))
def test_scaled_is_repeated_addition(a: OpCounts, times: int) -> None:
    assert a.scaled(times) == (OpCounts.sum([a] * times) if times else a.scaled(0))
    assert a.scaled(times).macs == a.macs * times


@given(op_counts)
def test_json_round_trip_keeps_integers_beyond_2_53(a: OpCounts) -> None:
    assert OpCounts.from_dict(json.loads(json.dumps(a.to_dict()))) == a


def test_different_bases_do_not_add() -> None:
    with pytest.raises(CountingError, match="issued traffic cannot be added to compulsory traffic"):
        OpCounts() + OpCounts(traffic_basis="issued")


@pytest.mark.parametrize("value", [-1, 1.5, True, "3", None])
def test_a_count_is_a_non_negative_integer(value: object) -> None:
    with pytest.raises(CountingError, match="macs="):
        DtypeCounts(macs=value)  # type: ignore[arg-type]


def test_unknown_dtype_and_basis_are_refused() -> None:
    with pytest.raises(CountingError, match="float12"):
        OpCounts({"float12": DtypeCounts()})
    with pytest.raises(CountingError, match="guessed"):
        OpCounts(traffic_basis="guessed")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"by_dtype": {}, "launches": -1, "traffic_basis": "compulsory"},
        {"by_dtype": {"float32": {"mac": 1}}, "launches": 0, "traffic_basis": "compulsory"},
        {"by_dtype": {"float32": 3}, "launches": 0, "traffic_basis": "compulsory"},
        {"by_dtype": [], "launches": 0, "traffic_basis": "compulsory"},
    ],
)
def test_malformed_counts_are_record_errors(data: dict[str, object]) -> None:
    with pytest.raises(RecordError):
        OpCounts.from_dict(data)


def test_by_dtype_cannot_be_changed() -> None:
    counts = OpCounts.single("float32", macs=1)
    with pytest.raises(TypeError):
        counts.by_dtype["float32"] = DtypeCounts()  # type: ignore[index]


def test_every_dtype_has_a_short_name() -> None:
    assert set(DTYPE_SHORT) == set(DTYPE_BYTES)
    assert len(set(DTYPE_SHORT.values())) == len(DTYPE_SHORT)
