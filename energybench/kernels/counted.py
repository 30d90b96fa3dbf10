"""`counted_run` and `count`: the counts of a call, by running its counting kernel, or from its shapes alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from energybench.errors import NativeModuleError
from energybench.kernels.arrays import is_torch
from energybench.kernels.call import launch
from energybench.kernels.closed_form import Basis, CountRequest
from energybench.kernels.ladder import AUTO, choose_rung
from energybench.kernels.native import Target
from energybench.kernels.registry import resolve_operator
from energybench.records.op_counts import OpCounts


@dataclass(frozen=True, slots=True)
class CountedRun:
    """What a counting kernel returned: its outputs and its tallies, with ``issued`` traffic."""

    outputs: tuple[Any, ...]
    counts: OpCounts
    kernel: str
    variant: str
    counts_source: str = "counted"


def counted_run(kernel: str, *arrays: Any, **options: Any) -> CountedRun:
    """Run the counting instantiation of a kernel on real data: same arguments as the kernel, same outputs bit for bit.

    It is slow (every operation is tallied) and must not be measured. Raises what the kernel raises.
    """
    outcome = launch(resolve_operator(kernel), *arrays, counting=True, **options)
    if outcome.counts is None:
        raise NativeModuleError(f"{kernel} returned no counts; reinstall energybench")
    return CountedRun(outcome.outputs, outcome.counts, kernel, outcome.variant)


def count(
    kernel: str,
    *arrays: Any,
    basis: Basis = "compulsory",
    variant: str = AUTO,
    threads: int | None = None,
    device: Target | None = None,
    **options: Any,
) -> OpCounts:
    """Exact counts of a kernel call, by closed form: ``count("conv2d", x, w, padding=1)``.

    Arrays may lie on torch's meta device. The closed forms are proven equal to the counting kernels (`counted_run`)
    by tests, on ragged shapes; a record that uses them says ``counts_source="closed_form"``.

    Args:
        kernel: Name of the kernel.
        *arrays: Its arrays, as in the call.
        basis: ``compulsory`` (each tensor once) or ``issued`` (every load and store of the loops).
        variant: As in the call; issued traffic depends on it, work and compulsory traffic do not. A rung that this
            processor cannot run is counted all the same.
        threads: As in the call; counts do not depend on it.
        device: ``cpu`` or ``cuda``, where the call would run; launches and rungs depend on it. None: where the first
            array lies.
        **options: Its keyword arguments, as in the call.

    Raises:
        UsageError: The call itself would be refused.
        CountingError: The basis is neither of the two.
    """
    del threads
    operator = resolve_operator(kernel)
    shape, dtype = operator.read_shape(*arrays, **options)
    if device is None:
        device = "cuda" if is_torch(arrays[0]) and arrays[0].device.type == "cuda" else "cpu"
    rung = choose_rung(operator.name, operator.ladders, variant, device)
    return operator.closed_form(shape, CountRequest(dtype, basis, device, rung))
