"""`prepare`: a kernel call that is checked once and made many times, as a measurement window does."""

from __future__ import annotations

from typing import Any

from energybench.kernels.call import prepare_call
from energybench.kernels.registry import resolve_operator
from energybench.kernels.repeat import PreparedCall


def prepare(kernel: str, *arrays: Any, **options: Any) -> PreparedCall:
    """Check a call, make it once, and keep it: ``prepare("linear", x, w, bias, threads=1).run()``.

    Every run reads `arrays` as they are then and writes the same `outputs`; it asks for no memory and costs about a
    microsecond beside the kernel. The arrays must be dense and on the CPU. Arguments and errors otherwise as the
    kernel's.
    """
    return prepare_call(resolve_operator(kernel), *arrays, **options)
