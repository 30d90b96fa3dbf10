"""Plant bugs in a copy of the CUDA sources, one at a time; the stand-in's tests must fail on each.

Usage: python tests/cuda/plant_bugs.py [NUMBER …]     (about half a minute a bug; survivors make the exit code 1)
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]

#: File below csrc, what stands there, what the bug makes of it.
BUGS = [
    ("cuda/device.h", "blockIdx.x) * blockDim.x + threadIdx.x", "blockIdx.x) * blockDim.x + threadIdx.x / 2"),
    ("cuda/device.h", "gridDim.x) * blockDim.x", "gridDim.x) * blockDim.x + 1"),
    ("cuda/device.h", "int offset = 16; offset > 0", "int offset = 16; offset > 1"),
    ("cuda/device.h", "threadIdx.x % 32 == 0 && sum", "threadIdx.x == 0 && sum"),
    ("cuda/device.h", "__shfl_down_sync(0xffffffffu", "__shfl_down_sync(0x0000ffffu"),
    ("cuda/launches.h", "(elements + kBlock - 1) / kBlock", "elements / kBlock + (elements < kBlock)"),
    ("cuda/launches.h", "    EB_CUDA_CHECK(cudaStreamSynchronize(stream_));\n", ""),
    ("cuda/launches.h", "cudaMemsetAsync(device_, 0", "cudaMemsetAsync(device_, 1"),
    ("cuda/launches.h", "shared_bytes, stream_)", "shared_bytes, nullptr)"),
    ("cuda/launches.h", "    if (device_ != nullptr) cudaFreeAsync(device_, stream_);\n", ""),
    ("cuda/launches.h", "    ++launches_;\n", "    launches_ = 1;\n"),
    ("cuda/launch.cu", "e / W_out % H_out, co", "e / W_out % (H_out + 1), co"),
    ("cuda/launch.cu", "scratch.at(r * row_stride)", "scratch.at(r * (row_stride - 1))"),
    ("cuda/launch.cu", "s, t, e / s.H, e % s.H", "s, t, e / s.H, e % s.B"),
    ("cuda/layers.cu", "r < s.rows; r += element_stride()) softmax", "r <= s.rows; r += element_stride()) softmax"),
    (
        "cuda/layers.cu",
        "linear_forward_naive(ops, a, s, e / s.N, e % s.N)",
        "linear_forward_naive(ops, a, s, e / s.M, e % s.N)",
    ),
    ("cuda/gemm_tile.h", "    __syncthreads();  // the part before has been read\n", ""),
    ("cuda/gemm_tile.h", "    __syncthreads();\n    for (Index k", "    for (Index k"),
    ("cuda/gemm_tile.h", "r < rows ? live : 0", "live"),
    ("cuda/gemm_tile.h", "s.M - s.row, a_along_k", "s.M, a_along_k"),
    ("cuda/gemm_tile.h", "return 2 * kTileDepth", "return kTileDepth"),
    ("cuda/tiled.cu", "+ tap % s.KW * s.dilation_w", "+ tap % s.KW * s.dilation_h"),
    ("cuda/tiled.cu", "outside += Patch(s, k, p).inside(s) ? 0 : 1", "outside += 0 * p"),
    ("cuda/tiled.cu", "p + pixels - place < live ? p + pixels - place : live", "live"),
    ("cuda/rows_block.cu", "  __syncthreads();  // a reduction before has been read\n", ""),
    ("cuda/rows_block.cu", "t + half < width", "t + half <= width"),
    ("cuda/rows_block.cu", "(width + 1) / 2", "width / 2"),
    ("cuda/gru_backward.cu", "t >= -1; --t", "t >= 0; --t"),
    ("cuda/conv_backward.cu", "e / columns % rows, c", "e / rows % rows, c"),
    ("cuda/attention_backward.cu", "scratch.at(r * kOnlineBlock)", "scratch"),
    ("cuda/layers_backward.cu", "scratch.at(r * s.n)", "scratch"),
    ("bindings/cuda/backward.cpp", "a[14] != 0, a[8] != 0, 1", "a[8] != 0, a[14] != 0, 1"),
    ("bindings/cuda/module.cpp", "a[4] != 0, a[6] != 0", "a[4] == 0, a[6] != 0"),
    ("bindings/cuda/module.cpp", "a[1] != 0, a[2] != 0", "a[2] != 0, a[1] != 0"),
    ("bindings/cuda/module.cpp", "sizes[3] != 0, sizes[4] != 0", "sizes[4] != 0, sizes[3] != 0"),
    ("bindings/cuda/module.cpp", "sizes[4], sizes[5] != 0", "sizes[4], sizes[5] == 0"),
]


def survives(csrc: Path, file: str, old: str, new: str) -> bool:
    """Whether the tests pass with this bug in `csrc`, which is as it was afterwards."""
    path = csrc / file
    text = path.read_text(encoding="utf-8")
    if old not in text:
        raise SystemExit(f"{file} no longer has {old!r}; mend the list of bugs")
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    try:
        tests = [str(ROOT / "tests/cuda/test_cuda_parity.py"), "-k", "not gpu"]
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
        environment = {**os.environ, "ENERGYBENCH_TEST_CSRC": str(csrc)}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if done.returncode not in (0, 1):
            raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])
        if "error:" in done.stdout and "CalledProcessError" in done.stdout:
            raise SystemExit(f"{file}: {new!r} does not compile, so it shows nothing")
        return done.returncode == 0
    finally:
        path.write_text(text, encoding="utf-8")


def main() -> int:
    chosen = [int(number) for number in sys.argv[1:]] or range(len(BUGS))
    survivors = 0
    with tempfile.TemporaryDirectory() as folder:
        csrc = Path(folder) / "csrc"
        shutil.copytree(ROOT / "csrc", csrc)
        for number in chosen:
            survived = survives(csrc, *BUGS[number])
            survivors += survived
            file, old, new = (part.strip() for part in BUGS[number])
            print(f"{'SURVIVED' if survived else 'red':8} {number:2} {file}: {new!r} for {old!r}", flush=True)
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main())
