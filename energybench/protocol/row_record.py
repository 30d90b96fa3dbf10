"""`row_record`: one measured row as the record that is kept of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from energybench.protocol.device_state import DeviceState
from energybench.protocol.measure_window import WindowValues
from energybench.protocol.plan import Row
from energybench.records.run_record import RunRecord
from energybench.records.vocabulary import Kind
from energybench.units import Nanosecond, Watt


def row_record(
    row: Row,
    values: WindowValues,
    *,
    run_id: str,
    meter: str,
    kind: Kind,
    device: str,
    threads: int | None,
    environment_sha256: str,
    calls: int,
    begin_ns: Nanosecond,
    end_ns: Nanosecond,
    idle_power_w: Watt | None,
    tdp_w: Watt | None,
    states: Sequence[DeviceState],
    grid: Mapping[str, int],
    invalid_reason: str | None,
) -> RunRecord:
    """The record of a window.

    Args:
        row: What was run, which repeat, in which order.
        values: Energy and time of a call, as `window_values` gives them.
        run_id: Of the run.
        meter: Its name.
        kind: Of its energy.
        device: Where the work ran.
        threads: CPU threads it ran on unless the workload has its own; None where that means nothing.
        environment_sha256: Of the run.
        calls: In the window.
        begin_ns: When the work began, on the meter's clock.
        end_ns: When it ended.
        idle_power_w: Beside it; None for an idle row.
        tdp_w: Rated power of the device.
        states: The device right before the window, during it and after it. The clock is their mean; the temperature
            the highest of those after work began.
        grid: Waves of its kernels, as far as they tell; they join the shape.
        invalid_reason: Why the window must not be used, None if it may be.
    """
    workload = row.workload
    clocks = [s.clock_mhz for s in states if s.clock_mhz is not None]
    temps = [s.temp_c for s in states[1:] if s.temp_c is not None]
    return RunRecord(
        run_id=run_id,
        row_id=row.row_id,
        workload=workload.name,
        kernel_id=workload.kernel_id,
        family=workload.family,
        split=workload.split,
        kernel_class=workload.kernel_class,
        implementation=workload.implementation,
        direction=workload.direction,
        dtype=workload.dtype,
        device=device,
        counts=workload.counts(),
        counts_source=workload.tally.source,
        operators=workload.operators,
        parameters=workload.parameters,
        calls=calls,
        repeat=row.repeat,
        order=row.order,
        meter=meter,
        kind=kind,
        energy_j=values.energy_j,
        energy_uncertainty_j=values.energy_uncertainty_j,
        time_s=values.time_s,
        begin_ns=begin_ns,
        end_ns=end_ns,
        domains=values.domains,
        environment_sha256=environment_sha256,
        network=workload.network,
        threads=threads if threads is None or workload.threads is None else workload.threads,
        shape={**workload.shape, **grid},
        components=workload.components(),
        input_distribution=workload.input_distribution,
        caches=workload.caches,
        idle_power_w=idle_power_w,
        tdp_w=tdp_w,
        temp_c=max(temps, default=None),
        clock_mhz=sum(clocks) / len(clocks) if clocks else None,
        valid=invalid_reason is None,
        invalid_reason=invalid_reason,
    )
