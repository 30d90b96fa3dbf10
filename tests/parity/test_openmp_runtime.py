"""Threads: idle workers do not spin, and ours work beside torch's. Each case is a process of its own."""

import os
import subprocess
import sys

import pytest

# CPU seconds that the whole process uses while its main thread sleeps 0.15 s, after a kernel has woken the workers.
IDLE = """
import time
import numpy as np
{before}
from energybench import kernels
x, w = np.ones((1, 8, 32, 32), "float32"), np.ones((8, 8, 3, 3), "float32")
kernels.conv2d(x, w, threads=2)
{after}
begin = time.process_time()
time.sleep(0.15)
print(time.process_time() - begin)
"""
# Far above what sleeping costs (well below a millisecond), far below what one spinning worker costs on a busy machine.
SPINNING_S = 0.01


def run(program: str, **environment: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    # numpy's OpenBLAS has a pool of its own, whose workers spin for some 30 ms after numpy is imported
    clean["OPENBLAS_NUM_THREADS"] = "1"
    result = subprocess.run(
        [sys.executable, "-c", program], env={**clean, **environment}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def idle_cpu_s(program: str, **environment: str) -> float:
    """The least of a few runs: on a busy machine one may be charged for what it did not do; spinning never is free."""
    return min(float(run(program, **environment)) for _ in range(3))


def test_idle_workers_sleep():
    assert idle_cpu_s(IDLE.format(before="", after="")) < SPINNING_S


def test_the_idle_test_sees_workers_that_spin():
    assert idle_cpu_s(IDLE.format(before="", after=""), OMP_WAIT_POLICY="ACTIVE") > SPINNING_S


@pytest.mark.parametrize(
    "before", ["", "import torch; torch.set_num_threads(2); torch.ones(512, 512) @ torch.ones(512, 512)"]
)
def test_released_workers_cannot_spin(before):
    program = IDLE.format(before=before, after="assert kernels.release_threads(); kernels.openmp_runtimes()")
    assert idle_cpu_s(program, OMP_WAIT_POLICY="ACTIVE") < SPINNING_S


def test_kernels_run_again_after_their_workers_were_released():
    program = """
import numpy as np
from energybench import kernels
x, w = np.ones((2, 3, 9, 9), "float32"), np.ones((4, 3, 3, 3), "float32")
before = kernels.conv2d(x, w, threads=2)
for _ in range(3):
    assert kernels.release_threads()
    assert (kernels.conv2d(x, w, threads=2) == before).all()
"""
    run(program)


def test_loading_the_kernels_leaves_the_environment_as_it_was():
    program = """
import os
before = dict(os.environ)
from energybench import kernels
kernels.default_threads()
assert dict(os.environ) == before
"""
    run(program)
    run(program, OMP_WAIT_POLICY="ACTIVE")


def test_threads_follow_the_environment():
    program = "from energybench import kernels; print(kernels.default_threads())"
    assert int(run(program, OMP_NUM_THREADS="3")) == 3
    assert int(run(program)) >= 1


@pytest.mark.parametrize("first", ["torch", "energybench._cpu"])
def test_both_runtimes_work_in_one_process(first):
    program = f"""
import {first}
import torch
from energybench import kernels
torch.set_num_threads(2)
x, w = torch.randn(4, 8, 20, 20), torch.randn(16, 8, 3, 3)
for _ in range(20):
    ours = kernels.conv2d(x, w, threads=2)
    theirs = torch.nn.functional.conv2d(x, w)
    assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4)
assert kernels.default_threads() == 2
print(len(kernels.openmp_runtimes()))
"""
    assert int(run(program)) == 1  # one pool: both ask for libgomp.so.1, and the first copy serves both


def test_torch_stays_unimported_until_it_is_asked_for():
    program = """
import sys
import numpy as np
from energybench import kernels
kernels.conv2d(np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2)))
kernels.count("conv2d", np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2)))
assert "torch" not in sys.modules and "energybench._cuda" not in sys.modules
"""
    run(program)


def test_a_team_smaller_than_asked_for():
    """Of eight threads two come: there is room for the padded images of those that were asked for."""
    program = """
import numpy as np
from energybench import kernels
rng = np.random.default_rng(1)
x, w = rng.normal(size=(3, 6, 200, 200)).astype("float32"), rng.normal(size=(40, 6, 2, 2)).astype("float32")
for variant in kernels.instruction_sets():
    call = {"padding": 1, "algorithm": "im2col", "variant": variant}
    assert np.array_equal(kernels.conv2d(x, w, threads=8, **call), kernels.conv2d(x, w, threads=1, **call)), variant
"""
    run(program, OMP_THREAD_LIMIT="2")
