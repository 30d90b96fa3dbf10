from __future__ import annotations

import pytest
import torch

from energybench.errors import UsageError
from energybench.protocol.executor import HostExecutor, NotFinite, workload_seed
from energybench.records.op_counts import OpCounts
from energybench.workloads import named_design
from energybench.workloads.idle import idle_workload
from energybench.workloads.inputs import all_finite, normal_tensors
from energybench.workloads.native import native_attention, native_conv2d, native_gru
from energybench.workloads.network_rows import conv_net, gru_sequence_model, separable_conv_net, transformer_encoder
from energybench.workloads.vendor import (
    ModuleRecipe,
    avg_pool,
    matmul,
    matvec,
    softmax,
    stream_add,
    stream_copy,
    stream_exp,
    vendor_attention,
    vendor_conv2d,
    vendor_gru,
    vendor_linear,
)
from energybench.workloads.workload import Tally, Workload

QUICK = {w.name: w for w in named_design("quick", "cpu").workloads}


@pytest.mark.parametrize("name", sorted(QUICK))
def test_every_quick_row_builds_runs_and_is_counted(name):
    workload = QUICK[name]
    runnable = workload.build("cpu", threads=1, seed=1)
    runnable.run()
    assert runnable.is_finite()
    counts = workload.counts()
    assert counts.traffic_basis == "compulsory"
    if workload.is_idle:
        assert counts.totals() == dict.fromkeys(counts.totals(), 0)
        return
    assert counts.launches >= 1
    assert counts.bytes > 0
    assert (workload.issued_counts() is not None) == (workload.implementation == "native")
    assert workload.tally.source == ("closed_form" if workload.implementation == "native" else "model")
    assert workload.operators >= 1


def test_counts_of_single_operators_by_hand():
    counts = matmul(256, 128, 64).counts()
    assert (counts.macs, counts.other_flops, counts.launches) == (256 * 128 * 64, 0, 1)
    assert counts.load_bytes == 4 * (256 * 64 + 64 * 128)
    assert counts.store_bytes == 4 * 256 * 128
    assert matvec(64, 32).counts().macs == 64 * 32
    add = stream_add(1000).counts()
    assert (add.macs, add.adds, add.load_bytes, add.store_bytes, add.launches) == (0, 1000, 8000, 4000, 1)
    exp = stream_exp(1000).counts()
    assert (exp.specials, exp.other_flops, exp.bytes) == (1000, 1000, 8000)
    copy = stream_copy(1000).counts()
    assert (copy.flops, copy.load_bytes, copy.store_bytes) == (0, 4000, 4000)
    # avg_pool at stride 1: at least K² adds per output, no MAC, each element once
    pool = avg_pool(2, 16, 5).counts()
    assert pool.macs == 0
    assert pool.adds >= 2 * 12 * 12 * (5 * 5 - 1)
    assert softmax(4, 8).counts().specials == 32


def test_native_and_vendor_rows_of_one_shape_count_the_same_work():
    pairs = (
        (native_gru(8, 4, 16, 24), vendor_gru(8, 4, 16, 24)),
        (native_conv2d(1, 8, 12, 16, 3, padding=1), vendor_conv2d(1, 8, 12, 16, 3, padding=1)),
        (native_attention(1, 2, 20, 16, causal=True), vendor_attention(1, 2, 20, 16, causal=True)),
    )
    for native, vendor in pairs:
        for name in ("macs", "nominal_macs", "other_flops"):
            assert getattr(native.counts(), name) == getattr(vendor.counts(), name), (native.name, name)
        assert native.parameters == vendor.parameters
        assert native.kernel_class == vendor.kernel_class


def test_work_of_transformer_parts():
    """[D18] prices three parts: each has a row of its own."""
    assert vendor_linear(4, 8, 16).components() == {"feed_forward": vendor_linear(4, 8, 16).counts().flops}
    attention = native_attention(1, 2, 16, 8)
    assert attention.components() == {"self_attention": attention.counts().flops}
    network = transformer_encoder(1, 16).components()
    assert set(network) == {"self_attention", "multi_head", "feed_forward"}
    assert all(flops > 0 for flops in network.values())


@pytest.mark.parametrize("make", [conv_net, separable_conv_net, gru_sequence_model, transformer_encoder])
def test_networks_are_counted_whole(make):
    workload = make()
    recipe = workload.recipe
    assert isinstance(recipe, ModuleRecipe)
    model = recipe.factory()
    assert workload.parameters == sum(p.numel() for p in model.parameters())
    assert workload.operators >= 2
    assert workload.counts().macs > 10**6


def test_training_costs_more_than_forward():
    forward, training = conv_net(1, 32), conv_net(1, 32, training=True)
    assert training.direction == "training"
    # two more products of the same size per layer, but none for the input of the first
    assert 2.5 <= training.counts().macs / forward.counts().macs <= 3.0
    runnable = training.build("cpu", threads=1, seed=0)
    runnable.run()
    assert runnable.is_finite()


def test_the_same_seed_means_the_same_inputs_and_leaves_torch_alone():
    state = torch.random.get_rng_state()
    a = normal_tensors(((3, 4),), dtype="float32", device="cpu", seed=5)[0]
    b = normal_tensors(((3, 4),), dtype="float32", device="cpu", seed=5)[0]
    c = normal_tensors(((3, 4),), dtype="float32", device="cpu", seed=6)[0]
    conv_net(1, 32).build("cpu", seed=1)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert torch.equal(state, torch.random.get_rng_state())
    big = normal_tensors(((100_000,),), dtype="float32", device="cpu", seed=0)[0]
    assert abs(float(big.mean())) < 0.02
    assert float(big.std()) == pytest.approx(1.0, abs=0.02)
    assert workload_seed("a", 0) != workload_seed("b", 0)


def test_finite_means_all_of_it():
    good = torch.zeros(3)
    bad = torch.tensor([0.0, float("nan")])
    assert all_finite((good, [good], {"a": good}))
    assert not all_finite((good, [bad]))
    assert not all_finite({"a": torch.tensor(float("inf"))})


def test_unknown_dtype():
    with pytest.raises(UsageError, match="float3"):
        normal_tensors(((1,),), dtype="float3", device="cpu", seed=0)


def test_a_kernel_whose_output_is_not_finite_is_refused():
    class Recipe:
        def tally(self):
            return Tally(OpCounts(), "closed_form", 0, 1)

        def build(self, device, threads, seed):
            return self

        def run(self):
            pass

        def is_finite(self):
            return all_finite(torch.tensor([1.0, float("nan")]))

    workload = Workload("bad", "bad", "probe", "fit", "gemm", "vendor", "float32", Recipe())  # type: ignore[arg-type]
    with pytest.raises(NotFinite, match="bad: an output is NaN or infinite"):
        HostExecutor("cpu").prepare(workload)


def test_idle_does_nothing():
    runnable = idle_workload().build("cpu")
    runnable.run()
    assert runnable.is_finite()
