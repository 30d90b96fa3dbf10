"""The CUDA module: what can be known of it without a GPU, and that the host stand-in cannot pass for one."""

import functools
import subprocess
import sys

import pytest

from energybench import kernels
from energybench.errors import NativeModuleError
from energybench.kernels import native
from energybench.records.op_counts import COUNT_FIELDS

pytestmark = pytest.mark.timeout(900)  # compiling the stand-in, on a busy machine


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


def test_cuda_module_refuses_what_it_cannot_check_elsewhere(stand_in):
    cuda = stand_in.module
    with pytest.raises(ValueError, match="wrong number"):
        cuda.gru("float32", [1, 1, 1], [0] * 14, 0, 0, False)
    with pytest.raises(ValueError, match="negative"):
        cuda.gru("float32", [1, 1, -1, 1], [0] * 14, 0, 0, False)
    with pytest.raises(TypeError, match="element type int8"):
        cuda.gru("int8", [1, 1, 1, 1], [0] * 14, 0, 0, False)


def test_the_stand_in_says_what_it_is(stand_in, monkeypatch):
    assert stand_in.module.device_name(0) == "host stand-in, not a GPU"
    monkeypatch.setattr(native, "cuda", lambda: stand_in.module)
    assert kernels.describe_native("cuda") == "1 device (host stand-in, not a GPU), built for host stand-in"


def test_the_package_refuses_a_stand_in_in_place_of_its_module(stand_in, monkeypatch):
    monkeypatch.setitem(sys.modules, "energybench._cuda", stand_in.module)
    monkeypatch.setattr(native, "cuda", functools.cache(native.cuda.__wrapped__))
    with pytest.raises(NativeModuleError, match="is the tests' host stand-in"):
        native.cuda()
