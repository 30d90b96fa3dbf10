"""The host stand-in itself: it runs what is right, and fails what a GPU would get wrong in silence."""

import shutil
import subprocess
from pathlib import Path

import pytest

STAND_IN = Path(__file__).parent / "stand_in"

PROGRAM = """
#include <cstdio>
#include <cstdlib>
#include <cuda_runtime.h>

extern "C" void stand_in_begin(unsigned seed, void* stream);

namespace eb {
__device__ inline int* memory() {
  extern __shared__ __align__(16) unsigned char eb_shared[];
  return reinterpret_cast<int*>(eb_shared);
}
}  // namespace eb
using eb::memory;

// Every thread reads what its neighbour wrote.
__global__ void rotate(int* y, bool with_barrier) {
  memory()[threadIdx.x] = static_cast<int>(threadIdx.x + 1000 * blockIdx.x);
  if (with_barrier) __syncthreads();
  y[blockIdx.x * blockDim.x + threadIdx.x] = memory()[(threadIdx.x + 1) % blockDim.x];
}
__global__ void diverge(int* y) {
  if (threadIdx.x < 40) __syncthreads();
  y[threadIdx.x] = 1;
}
__global__ void two_places(int* y) {
  if (threadIdx.x < 32) {
    __syncthreads();
    y[threadIdx.x] = 1;
  } else {
    y[threadIdx.x] = 2;
    __syncthreads();
  }
}
__global__ void part_of_a_warp(int* y) {
  if (threadIdx.x % 32 != 7) y[threadIdx.x] = __shfl_down_sync(0xffffffffu, 1, 1);
}
__global__ void too_far(int*) { memory()[blockDim.x] = 1; }
__global__ void sums(int* y) {
  int sum = static_cast<int>(threadIdx.x);
  for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_down_sync(0xffffffffu, sum, offset);
  if (threadIdx.x % 32 == 0) atomicAdd(y, sum);
}

template <class... P, class... A>
cudaError_t go(void (*kernel)(P...), A... arguments) {
  void* addresses[] = {&arguments...};
  return cudaLaunchKernel(kernel, dim3(3), dim3(64), addresses, 64 * sizeof(int), nullptr);
}

int main(int, char** argv) {
  stand_in_begin(static_cast<unsigned>(std::atoi(argv[2])), nullptr);
  static int y[3 * 64];
  cudaError_t status = cudaSuccess;
  switch (argv[1][0]) {
    case 'r': status = go(rotate, &y[0], true); break;
    case 'b': status = go(rotate, &y[0], false); break;
    case 'd': status = go(diverge, &y[0]); break;
    case 't': status = go(two_places, &y[0]); break;
    case 'p': status = go(part_of_a_warp, &y[0]); break;
    case 'f': status = go(too_far, &y[0]); break;
    case 's': status = go(sums, &y[0]); break;
  }
  if (status != cudaSuccess) return std::puts(cudaGetErrorString(status)), 1;
  bool rotated = true;
  for (int i = 0; i < 3 * 64; ++i) rotated = rotated && y[i] == (i % 64 + 1) % 64 + 1000 * (i / 64);
  std::printf("%d %d\\n", rotated, y[0]);
}
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("machine")
    source = folder / "program.cpp"
    source.write_text(PROGRAM, encoding="utf-8")
    compiler = shutil.which("g++")
    assert compiler, "g++ is needed: it compiles energybench._cpu"
    command = [compiler, "-std=c++17", "-O1", f"-I{STAND_IN}", source, STAND_IN / "machine.cpp", "-o", folder / "run"]
    subprocess.run(command, check=True)

    def run(kernel, seed=0):
        done = subprocess.run([folder / "run", kernel, str(seed)], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.strip()

    return run


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_barriers_and_shuffles_work_in_any_order(machine, seed):
    assert machine("rotate", seed) == (0, "1 1")
    code, output = machine("sums", seed)
    assert (code, output.split()[1]) == (0, str(3 * sum(range(64))))


def test_a_missing_barrier_is_seen(machine):
    assert machine("barrier missing", 1)[1].startswith("0 ")


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        ("diverge", "wait at different barriers, or some have ended"),
        ("two_places", "wait at different barriers"),
        ("part_of_a_warp", "wait at different barriers, or some have ended"),
        ("far", "a write beyond the shared memory"),
    ],
)
def test_what_a_gpu_would_not_say_fails(machine, kernel, message):
    code, output = machine(kernel)
    assert code == 1
    assert message in output
