"""A product's counts and bits are the same however its work is shared out: by columns, by pairs, or not at all."""

import pytest
import torch

from energybench import kernels
from energybench.kernels.tiles import gemm_columns, gemm_rows


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


TUNED_HERE = [
    s.variant
    for s in kernels.list_kernels()
    if s.name == "linear" and s.dtype == "float32" and "cpu" in s.devices and s.runnable and s.variant != "naive"
]
#: Strips of rows and of columns: as many columns as threads share evenly, and as do not; one strip, and groups of them.
STRIPS = [(1, 2), (2, 3), (5, 1), (19, 3), (17, 4), (40, 2)]


@pytest.mark.parametrize(("row_strips", "column_strips"), STRIPS)
def test_a_product_is_the_same_for_any_number_of_threads(row_strips, column_strips):
    for variant in TUNED_HERE:
        rows, columns = gemm_rows(variant), gemm_columns(variant, "float32")
        # part of the last strips is empty; sums of two panels, long enough that small products share them too
        M, K, N = max(33, row_strips * rows - 1), 300, column_strips * columns - 1
        x, w, bias = normal(M, K), normal(N, K, seed=1), normal(N, seed=2)
        expected = kernels.linear(x, w, bias, variant="naive", threads=1)
        counts = kernels.count("linear", x, w, bias, variant=variant, basis="issued")
        for threads in (1, 2, 3):
            assert torch.equal(kernels.linear(x, w, bias, variant=variant, threads=threads), expected)
            counted = kernels.counted_run("linear", x, w, bias, variant=variant, threads=threads)
            assert counted.counts == counts
            assert torch.equal(counted.outputs[0], expected)
