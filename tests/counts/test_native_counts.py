"""What surrounds the tallies: field lists, probes, threads, bases, large and abstract shapes, arguments."""

from typing import Any, cast

import numpy as np
import pytest
import torch

from energybench import kernels
from energybench.errors import CountingError, UsageError
from energybench.kernels import native
from energybench.kernels.families.conv.shape import ConvShape
from energybench.records.op_counts import COUNT_FIELDS


def test_cpp_tallies_the_fields_that_python_records():
    assert native.cpu().count_fields == COUNT_FIELDS


@pytest.mark.parametrize(("dtype", "lanes"), [("float32", 8), ("float64", 4), ("float32", 16), ("float64", 8)])
def test_probe_fma_counts(dtype, lanes):
    x = np.full((3, 14, lanes), 0.5, dtype)
    counts = kernels.counted_run("probe_fma", x, steps=11).counts
    assert counts == kernels.count("probe_fma", x, steps=11, basis="issued")
    assert counts.macs == 3 * 11 * 14 * lanes
    # fourteen vectors and then their lanes are summed: 14·lanes numbers need one add less than there are
    assert counts.adds == 3 * (14 * lanes - 1)
    assert (counts.loads, counts.stores) == (3 * 14 * lanes, 3)


@pytest.mark.parametrize("n", [1, 8, 9, 1003])
def test_probe_stream_counts(n):
    x = np.ones(n, "float32")
    counts = kernels.counted_run("probe_stream", x, repeats=3, threads=2).counts
    assert counts == kernels.count("probe_stream", x, repeats=3, basis="issued")
    assert (counts.flops, counts.load_bytes, counts.store_bytes) == (0, 12 * n, 12 * n)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_sum_their_tallies(threads):
    x, w = np.ones((3, 2, 9, 7), "float32"), np.ones((4, 2, 3, 3), "float32")
    counts = kernels.counted_run("conv2d", x, w, padding=1, threads=threads).counts
    assert counts == kernels.count("conv2d", x, w, padding=1, basis="issued")


def test_compulsory_and_issued_differ_in_traffic_alone():
    x, w = np.ones((1, 3, 8, 8), "float32"), np.ones((4, 3, 3, 3), "float32")
    compulsory, issued = (kernels.count("conv2d", x, w, basis=basis) for basis in ("compulsory", "issued"))
    assert (compulsory.traffic_basis, issued.traffic_basis) == ("compulsory", "issued")
    assert compulsory.flops == issued.flops
    assert issued.load_bytes > compulsory.load_bytes


def test_counting_needs_no_data():
    q = torch.empty(8, 32, 4096, 128, device="meta")
    counts = kernels.count("attention", q, q, q, causal=True)
    assert counts.macs == 2 * 8 * 32 * 128 * (4096 * 4097 // 2)
    assert counts.nominal_macs == 2 * 8 * 32 * 128 * 4096 * 4096


def test_the_first_layer_of_a_residual_network_is_counted_at_its_real_size():
    # seconds of counting are what docs/kernels/conv2d.md states; here only that it is done and right
    x, w = np.ones((1, 3, 224, 224), "float32"), np.ones((64, 3, 7, 7), "float32")
    counts = kernels.counted_run("conv2d", x, w, stride=2, padding=3, threads=2).counts
    assert counts == kernels.count("conv2d", x, w, stride=2, padding=3, basis="issued")
    assert counts.nominal_macs == 64 * 112 * 112 * 3 * 49


def test_counts_beyond_32_and_53_bits_are_exact():
    x = torch.empty(100_000, 1024, 512, 512, device="meta")
    w = torch.empty(1023, 1024, 7, 7, device="meta")
    counts = kernels.count("conv2d", x, w)
    assert counts.macs == 100_000 * 1023 * 506 * 506 * 1024 * 49 > 2**60
    assert counts.loads == 100_000 * 1024 * 512 * 512 + 1023 * 1024 * 49


def test_output_size_follows_the_corrected_formula():
    # [D9] prints (n + k − 1)/s + 1; torch is the judge
    for H, K, s, p, d in [(7, 3, 2, 1, 1), (9, 2, 3, 0, 2), (5, 5, 1, 4, 1)]:
        shape = ConvShape(1, 1, H, H, 1, K, K, (s, s), (p, p), (d, d))
        expected = torch.nn.functional.conv2d(torch.ones(1, 1, H, H), torch.ones(1, 1, K, K), None, s, p, d)
        assert shape.output_shape == tuple(expected.shape)


def test_count_and_run_take_the_same_arguments():
    x, w = torch.ones(1, 2, 5, 5), torch.ones(2, 2, 3, 3)
    options: dict[str, Any] = {"padding": 1, "variant": "naive", "threads": 1}
    assert kernels.count("conv2d", x, w, None, **options).macs > 0
    assert kernels.conv2d(x, w, None, **options).shape == (1, 2, 5, 5)


def test_counted_runs_say_where_their_counts_come_from():
    run = kernels.counted_run("conv2d", np.ones((1, 1, 2, 2)), np.ones((1, 1, 1, 1)), variant="naive")
    assert (run.counts_source, run.variant, run.counts.traffic_basis) == ("counted", "naive", "issued")


def test_unknown_bases_and_kernels_are_refused():
    x = np.ones((1, 1, 2, 2), "float32")
    with pytest.raises(CountingError, match="choose one of the two"):
        kernels.count("conv2d", x, x, basis=cast(Any, "hardware"))
    with pytest.raises(UsageError, match="choose one of conv2d, .*gru, .*attention"):
        kernels.count("conv3d", x, x)


def test_kernel_list_names_each_kernel_once():
    specs = kernels.list_kernels()
    ids = [spec.kernel_id for spec in specs]
    assert len(set(ids)) == len(ids)
    assert {"conv2d_forward_naive_fp32", "gru_forward_naive_fp64", "attention_forward_naive_fp32"} <= set(ids)
    for spec in specs:
        assert callable(getattr(kernels, spec.name))
        assert spec.to_dict()["kernel_id"] == spec.kernel_id
