from __future__ import annotations

import math

import pytest

from energybench.errors import UsageError
from energybench.protocol.plan import round_rows
from energybench.workloads.designs import Design, named_design
from energybench.workloads.idle import idle_workload
from energybench.workloads.inputs import DISTRIBUTIONS, MOST_DRAWN, normal_tensors
from energybench.workloads.lab import lab_development, lab_operators, lab_sealed, smallest, timed_operators
from energybench.workloads.variants import optimizer_step, with_backward, with_values
from energybench.workloads.vendor import matmul, stream_copy, vendor_linear
from energybench.workloads.zoo_rows import DEVELOPMENT, SEALED


def test_operators_are_of_every_class_and_all_are_counted():
    design = lab_operators()
    assert 95 <= design.round_windows <= 125
    classes = {w.kernel_class for w in design.workloads}
    assert classes >= {
        "gemm", "conv", "depthwise", "attention", "rnn", "pointwise", "norm", "softmax", "pool", "copy", "optimizer",
        "probe", "idle",
    }  # fmt: skip
    assert {w.dtype for w in design.workloads} == {"float32", "float16", "bfloat16"}
    assert {w.input_distribution for w in design.workloads} >= set(DISTRIBUTIONS)
    assert {w.direction for w in design.workloads} == {"forward", "backward", "training", "optimizer"}
    assert all(w.network is None for w in design.workloads)
    for w in design.workloads:
        assert w.is_idle or w.counts().launches > 0, w.name


def test_native_rows_are_counted_as_a_gpu_runs_them():
    rows = {w.name: w for w in lab_operators().workloads if w.implementation == "native"}
    assert rows["native/gru/t16b32i128h256"].counts().launches == 16
    assert rows["native/gru_backward/t8b32i128h128"].counts().launches == 8 + 4
    tiled = rows["native/linear/b2048i1024o2048/tiled"]
    assert tiled.kernel_id == "linear_forward_tiled_fp32"
    assert tiled.counts().macs == 2048 * 1024 * 2048
    designed = [w for w in named_design("thorough", "cuda:0").workloads if w.implementation == "native"]
    assert all(w.counts().launches == w.shape["T"] for w in designed if w.kernel_class == "rnn")
    assert designed


def test_networks_are_held_out_and_apart():
    assert {w.network for w in lab_development().workloads} == {None, *DEVELOPMENT}
    assert {w.network for w in lab_sealed().workloads} == {None, *SEALED}
    again = {w.name for w in lab_development().workloads if w.network is None and not w.is_idle}
    operators = {w.name for w in lab_operators().workloads}
    assert again <= operators
    assert len(again) == 12  # ten and the two anchors


def test_about_two_thousand_operators_are_timed():
    rows = timed_operators()
    assert 1_800 <= len(rows) <= 2_200
    assert len({w.name for w in rows}) == len(rows)


def test_anchors_are_spread_over_a_round():
    workloads = tuple(idle_workload(i) for i in range(40))
    design = Design("d", workloads, 1, 2, 0.1, 1.0, anchors=("idle/0",), anchor_windows=4)
    assert design.round_windows == 43
    for repeat in range(2):
        rows = list(
            round_rows(workloads, repeat=repeat, seed=3, first_order=repeat * 43, windows=design.windows_in_a_round)
        )
        assert [r.order for r in rows] == list(range(43 * repeat, 43 * (repeat + 1)))
        assert len({r.row_id for r in rows}) == 43
        at = [i for i, r in enumerate(rows) if r.workload.name == "idle/0"]
        assert [rows[i].repeat for i in at] == [4 * repeat + i for i in range(4)]
        assert [i * 4 // 43 for i in at] == [0, 1, 2, 3]
    with pytest.raises(UsageError, match="anchor"):
        Design("d", workloads, 1, 2, 0.1, 1.0, anchors=("none",))


def test_the_smallest_rows_keep_the_idle_ones():
    design = smallest(lab_operators(), 5)
    assert sum(not w.is_idle for w in design.workloads) == 5
    assert sum(w.is_idle for w in design.workloads) == 4


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_values_of_each_distribution(distribution):
    (x,) = normal_tensors(((100, 100),), dtype="float32", device="cpu", seed=5, distribution=distribution)
    zeros, mean, power = float((x == 0).float().mean()), float(x.mean()), float(x.square().mean())
    expected = {
        "normal(0,1)": (0.0, 0.0, 1.0),
        "normal(0,1), half zero": (0.5, 0.0, 0.5),
        "relu(normal(0,1))": (0.5, 1 / math.sqrt(2 * math.pi), 0.5),
        "constant 1": (0.0, 1.0, 1.0),
    }[distribution]
    assert (zeros, mean, power) == pytest.approx(expected, abs=0.04)


def test_a_large_tensor_repeats_its_values():
    (x,) = normal_tensors(((MOST_DRAWN + 3,),), dtype="float32", device="cpu", seed=5)
    assert x[-3:].tolist() == x[:3].tolist()
    with pytest.raises(UsageError, match="unknown"):
        normal_tensors(((1,),), dtype="float32", device="cpu", seed=5, distribution="uniform")


def test_variants_run_and_are_counted():
    values = with_values(matmul(8, 8, 8), "constant 1")
    assert (values.input_distribution, values.name) == ("constant 1", "vendor/matmul/m8n8k8/fp32/constant_1")
    assert values.counts() == matmul(8, 8, 8).counts()
    training = with_backward(vendor_linear(4, 8, 8))
    assert (training.direction, training.counts().macs) == ("training", 2 * vendor_linear(4, 8, 8).counts().macs)
    for workload in (values, training, *(optimizer_step(name, 64) for name in ("sgd", "momentum", "adam"))):
        runnable = workload.build("cpu", seed=1)
        runnable.run()
        assert runnable.is_finite()
    assert optimizer_step("adam", 64).counts().load_bytes == 64 * 4 * 4
    with pytest.raises(UsageError, match="backward"):
        with_backward(stream_copy(8))
    with pytest.raises(UsageError, match="unknown|cannot"):
        with_values(vendor_linear(4, 8, 8), "constant 1")
