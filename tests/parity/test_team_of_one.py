"""A call on one thread asks nothing of the OpenMP runtime; one on two does."""

import os
import shutil
import subprocess
import sys

import pytest

#: Stands between the module and libgomp, and says at the end how often it was asked.
COUNTER = r"""
#include <dlfcn.h>
#include <stdio.h>
static int regions;
void GOMP_parallel(void (*body)(void*), void* data, unsigned threads, unsigned flags) {
  ++regions;
  void (*real)(void (*)(void*), void*, unsigned, unsigned);
  *(void**)&real = dlsym(dlopen("libgomp.so.1", RTLD_LAZY | RTLD_NOLOAD), "GOMP_parallel");
  real(body, data, threads, flags);
}
__attribute__((destructor)) static void say(void) { fprintf(stderr, "regions %d\n", regions); }
"""
CALLS = """
import sys
import numpy as np
from energybench import kernels
threads = int(sys.argv[1])
x = np.random.default_rng(0).random((64, 64), "float32")
q = x.reshape(1, 4, 16, 64)
image = x.reshape(1, 4, 32, 32)
for variant in ("naive", "auto"):
    for call, arrays in (("linear", (x, x)), ("relu", (x,)), ("softmax", (x,)), ("attention", (q, q, q)),
                         ("online_attention", (q, q, q)), ("conv2d", (image, image[:, :, :3, :3].copy()))):
        results = [getattr(kernels, call)(*arrays, threads=n, variant=variant) for n in (threads, 1)]
        results = [result[0] if isinstance(result, tuple) else result for result in results]
        np.testing.assert_array_equal(*results)
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_regions_of_one_thread_are_calls(tmp_path, threads):
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    source, library = tmp_path / "counter.c", tmp_path / "counter.so"
    source.write_text(COUNTER, encoding="utf-8")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    done = subprocess.run(
        [sys.executable, "-c", CALLS, str(threads)],
        # behind what is there already: a sanitizer's runtime wants to be the first
        env={**os.environ, "LD_PRELOAD": f"{os.environ.get('LD_PRELOAD', '')} {library}".strip()},
        capture_output=True,
        text=True,
        check=True,
    )
    regions = int(done.stderr.rpartition("regions ")[2])
    assert regions == 0 if threads == 1 else regions > 6
