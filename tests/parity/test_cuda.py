"""The CUDA module: what can be known of it without a GPU, and parity where there is one."""

import subprocess
import sys

import pytest
import torch

from energybench import kernels
from energybench.errors import NativeModuleError
from energybench.kernels import native
from energybench.records.op_counts import COUNT_FIELDS


@pytest.fixture(scope="module")
def cuda():
    try:
        return native.cuda()
    except NativeModuleError as error:
        pytest.skip(f"energybench._cuda was not built: {error}")


@pytest.fixture
def device(cuda):
    count, reason = cuda.device_count()
    if count == 0 or not torch.cuda.is_available():
        pytest.skip(f"no CUDA device: {reason or 'torch is a CPU build'}")
    return torch.device("cuda", 0)


@pytest.mark.cuda_build
def test_cuda_module_tallies_the_same_fields(cuda):
    assert cuda.count_fields == COUNT_FIELDS


@pytest.mark.cuda_build
def test_cuda_module_loads_without_torch_and_without_a_driver(cuda):
    program = "import sys, energybench._cuda as c; c.device_count(); assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.cuda_build
def test_cuda_without_a_gpu_says_so_in_use(cuda):
    count, reason = cuda.device_count()
    if count:
        assert "no device" not in kernels.describe_native("cuda")
        return
    assert "no device (" in kernels.describe_native("cuda")
    assert reason in kernels.describe_native("cuda")
    with pytest.raises(RuntimeError, match=reason):
        cuda.conv2d("float32", [1] * 14, [0, 0, 0, 0], 0, 0, False)


@pytest.mark.cuda_build
def test_cuda_module_refuses_what_it_cannot_check_elsewhere(cuda):
    with pytest.raises(ValueError, match="wrong number"):
        cuda.gru("float32", [1, 1, 1], [0] * 13, 0, 0, False)
    with pytest.raises(ValueError, match="negative"):
        cuda.gru("float32", [1, 1, -1, 1], [0] * 13, 0, 0, False)
    with pytest.raises(TypeError, match="element type int8"):
        cuda.gru("int8", [1, 1, 1, 1], [0] * 13, 0, 0, False)


CALLS = [
    ("conv2d", [(2, 6, 9, 7), (9, 2, 3, 2), (9,)], {"padding": (2, 1), "stride": (2, 1), "groups": 3}),
    ("gru", [(5, 3, 7), (3, 6), (18, 7), (18, 6), (18,), (18,)], {}),
    ("attention", [(2, 3, 9, 5), (2, 3, 6, 5), (2, 3, 6, 5)], {"causal": True}),
    ("linear", [(9, 7), (5, 7), (5,)], {"variant": "naive"}),
    ("softmax", [(3, 4, 37)], {}),
    ("layer_norm", [(3, 4, 37), (37,), (37,)], {}),
    ("relu", [(3, 37)], {}),
    ("sigmoid", [(3, 37)], {}),
    ("tanh", [(3, 37)], {}),
    ("gelu", [(3, 37)], {}),
    ("max_pool2d", [(2, 3, 9, 7)], {"kernel_size": 3, "stride": 2, "padding": 1}),
    ("avg_pool2d", [(2, 3, 9, 7)], {"kernel_size": (3, 2), "padding": 1}),
]


@pytest.mark.gpu
@pytest.mark.parametrize(("kernel", "shapes", "options"), CALLS)
def test_cuda_gives_what_the_cpu_gives_and_counts_the_same(device, kernel, shapes, options):
    generator = torch.Generator().manual_seed(1)
    arrays = [torch.randn(shape, generator=generator) for shape in shapes]
    on_device = [a.to(device) for a in arrays]
    cpu, gpu = kernels.counted_run(kernel, *arrays, **options), kernels.counted_run(kernel, *on_device, **options)
    assert gpu.counts.by_dtype == cpu.counts.by_dtype
    assert gpu.counts == kernels.count(kernel, *on_device, basis="issued", **options)
    plain = getattr(kernels, kernel)(*on_device, **options)
    plain = plain if isinstance(plain, tuple) else (plain,)
    for of_plain, of_counting, of_cpu in zip(plain, gpu.outputs, cpu.outputs, strict=True):
        assert torch.equal(of_plain, of_counting)
        torch.testing.assert_close(of_plain.cpu(), of_cpu, rtol=2e-6, atol=2e-6)


@pytest.mark.gpu
def test_a_second_kernel_waits_for_the_stream_of_the_first(device):
    x, w = torch.randn(1, 8, 64, 64, device=device), torch.randn(8, 8, 3, 3, device=device)
    stream = torch.cuda.Stream(device)
    with torch.cuda.stream(stream):
        y = kernels.conv2d(kernels.conv2d(x, w, padding=1), w, padding=1)
    stream.synchronize()
    reference = torch.nn.functional.conv2d(
        torch.nn.functional.conv2d(x.double(), w.double(), padding=1), w.double(), padding=1
    )
    torch.testing.assert_close(y.double(), reference, rtol=1e-4, atol=1e-2)
