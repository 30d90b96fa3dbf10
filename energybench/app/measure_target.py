"""Measure one call of a model: enough calls in one window, divided by their number."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any, Final

from energybench.app.measure import measure
from energybench.app.open_window import fence
from energybench.errors import MeterUnavailable, UsageError
from energybench.meters import open_meter
from energybench.meters.discovery import gpu_index
from energybench.records.vocabulary import Kind
from energybench.units import Joule, Second, Watt

#: Window of a measurement whose calls are not given: 50 updates of the slowest counter known (100 ms).
WINDOW_S: Final[Second] = 5.0
#: Calls are timed for at least this long before their number is chosen.
TIMING_S: Final[Second] = 0.2


@dataclass(frozen=True, slots=True)
class DomainCall:
    """Energy of one domain per call; the uncertainty is one standard deviation, None where it cannot be stated."""

    energy_j: Joule
    energy_uncertainty_j: Joule | None


@dataclass(frozen=True)
class MeasuredCall:
    """Energy and time of one call of a model, gross."""

    target: str
    kind: Kind
    meter: str
    device: str
    calls: int
    energy_j: Joule
    energy_uncertainty_j: Joule | None
    time_s: Second
    domains: Mapping[str, DomainCall]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return asdict(self)


def measure_target(
    target: str,
    *,
    inputs: Sequence[str] = (),
    device: str = "cpu",
    meter: str = "auto",
    tdp_w: Watt | None = None,
    threads: int | None = None,
    calls: int | None = None,
) -> MeasuredCall:
    """Run the forward pass of a TARGET in one window of the meter.

    Floating inputs are normal(0,1), integer inputs as the target gives them (zeros for a bare shape). On a virtual
    device the model's counts are spent instead and nothing runs.

    Raises:
        UsageError: an unknown target, a shape the model refuses, an unknown device.
        MeterUnavailable, MeterPermissionError: nothing measures; the message names the remedy.
    """
    from energybench.meters.simulated import SimulatedMeter

    with closing(open_meter(meter, device=device, tdp_w=tdp_w)) as opened:
        if isinstance(opened, SimulatedMeter):
            run, call_s = _virtual(opened, target, inputs)
        else:
            run, call_s = _real(target, inputs, device, threads)
        number = calls or max(1, math.ceil(WINDOW_S / call_s))
        with measure(target, opened) as measurement:
            run(number)
    uncertainty_j = measurement.uncertainty_j
    return MeasuredCall(
        target=target,
        kind=measurement.kind,
        meter=opened.name,
        device=device,
        calls=number,
        energy_j=measurement.energy_j / number,
        energy_uncertainty_j=None if uncertainty_j is None else uncertainty_j / number,
        time_s=measurement.time_s / number,
        domains={
            name: DomainCall(d.energy_j / number, None if d.uncertainty_j is None else d.uncertainty_j / number)
            for name, d in measurement.domains.items()
        },
        notes=measurement.notes,
    )


def _virtual(meter: Any, target: str, inputs: Sequence[str]) -> tuple[Callable[[int], None], Second]:
    from energybench.counting import count_model, load_target

    model, args, kwargs = load_target(target, inputs=inputs)
    counts = count_model(model, *args, **kwargs).total
    call_s = meter.device.execute(counts, 1)
    return (lambda number: meter.device.execute(counts, number)), call_s


def _real(target: str, inputs: Sequence[str], device: str, threads: int | None) -> tuple[Callable[[int], None], Second]:
    import torch

    from energybench.counting import load_target

    if gpu_index(device) is not None and not torch.cuda.is_available():
        raise MeterUnavailable(f"torch cannot use CUDA here, so {device} cannot run; use --device cpu")
    if threads is not None:
        torch.set_num_threads(threads)
    model, args, kwargs = load_target(target, inputs=inputs, device=device)
    model = model.to(device).eval()
    generator = torch.Generator().manual_seed(0)

    def real(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        if not value.is_meta:
            return value.to(device)
        return torch.randn(value.shape, generator=generator).to(device=device, dtype=value.dtype)

    args = tuple(map(real, args))
    kwargs = {name: real(value) for name, value in kwargs.items()}

    def run(number: int) -> None:
        with torch.no_grad():
            for _ in range(number):
                model(*args, **kwargs)

    return run, _time_call(run, target)


def _time_call(run: Callable[[int], None], target: str) -> Second:
    """Seconds of one call, after one that warms up."""
    try:
        run(1)
    except (RuntimeError, TypeError, ValueError) as error:
        line = " ".join(str(error).split())[:200]
        raise UsageError(f"{target} cannot run on these inputs ({line}); give its shapes with --input") from None
    fence()
    begun_s, number = time.perf_counter(), 0
    while (elapsed_s := time.perf_counter() - begun_s) < TIMING_S:
        run(1)
        fence()
        number += 1
    return elapsed_s / number
