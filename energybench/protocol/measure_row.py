"""`RowMeter`: from a row of the plan to its record. Idle window, timing, pre-run, window, validity."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from energybench.meters.base import EnergyMeter
from energybench.meters.window import Window
from energybench.protocol.call_time import call_time_s
from energybench.protocol.device_state import DeviceState
from energybench.protocol.executor import Executor, Prepared
from energybench.protocol.idle import response_s
from energybench.protocol.idle_windows import IdleWindows
from energybench.protocol.manifest import Manifest
from energybench.protocol.measure_window import Edges, MeasuredWindow, measure_window, window_values
from energybench.protocol.plan import Row
from energybench.protocol.row_plan import RowPlan
from energybench.protocol.row_record import row_record
from energybench.protocol.state_watch import StateWatch
from energybench.protocol.validity import ValidityLimits, invalid_reason
from energybench.protocol.window_length import calls_for
from energybench.records.jsonl import JsonlWriter
from energybench.records.run_record import RunRecord
from energybench.units import Nanosecond, Second, Watt, ns_to_s
from energybench.workloads.workload import Workload


@dataclass(frozen=True, slots=True)
class WindowStates:
    """The device around one window: before the row, right before the window, looked at during it, after it."""

    earlier: DeviceState
    earlier_s: Second
    before: DeviceState
    during: tuple[DeviceState, ...]
    after: DeviceState


@dataclass(frozen=True, slots=True)
class TakenWindow:
    """A window over a row, with what is needed to read it.

    `idle_row_id`   readings of the idle window beside it, None for an idle row
    `idle_power_w`  its power
    `grid`          waves of the kernels, as far as they tell
    """

    measured: MeasuredWindow
    calls: int
    states: WindowStates
    idle_row_id: str | None = None
    idle_power_w: Watt | None = None
    grid: Mapping[str, int] = field(default_factory=dict)


class RowMeter:
    """Takes the windows of a run.

    Args:
        executor: Where the work runs.
        meter: What is read around it.
        edges: How the edges of a window are read.
        plan: How long the parts of a row are.
        limits: What a window tolerates.
        idle: The idle windows beside the work.
        readings: Where raw readings go.
        manifest: The run: its name, seed and rated power.
        environment_sha256: Of the run.
        counter_integral_ratio: Energy of the counter over that of its power, as characterising found it.
    """

    def __init__(
        self,
        executor: Executor,
        meter: EnergyMeter,
        edges: Edges,
        plan: RowPlan,
        limits: ValidityLimits,
        idle: IdleWindows,
        readings: JsonlWriter,
        manifest: Manifest,
        *,
        environment_sha256: str,
        counter_integral_ratio: float | None,
    ) -> None:
        self._executor, self._meter, self._edges, self._plan = executor, meter, edges, plan
        self._limits, self._idle, self._readings, self._manifest = limits, idle, readings, manifest
        self._environment_sha256, self._counter_integral_ratio = environment_sha256, counter_integral_ratio
        self._call_s: dict[str, Second] = {}

    def measure(self, row: Row, prepared: Prepared) -> RunRecord:
        """One window over a row; its readings are written before its record is made.

        Raises:
            MeterUnavailable: the counter does not move.
            CounterWrapAmbiguous: the counter may have wrapped more than once; the readings are kept.
            RecordError: the disk refuses the readings.
        """
        taken = self._rest(row) if row.workload.is_idle else self._work(row, prepared)
        recorded = replace(taken.measured.recorded, idle_row_id=taken.idle_row_id)
        self._readings.append(recorded.to_dict())
        values = window_values(
            recorded,
            kind=self._meter.kind,
            begin_ns=taken.measured.begin_ns,
            end_ns=taken.measured.end_ns,
            calls=taken.calls,
            idle_power_w=taken.idle_power_w,
        )
        self._call_s[row.workload.name] = values.time_s
        states = taken.states
        reason = invalid_reason(
            Window.from_window_readings(recorded, kind=self._meter.kind),
            states.before,
            states.after,
            self._limits,
            is_work=not row.workload.is_idle,
            earlier=states.earlier,
            earlier_s=states.earlier_s,
            during=states.during,
            counter_integral_ratio=self._counter_integral_ratio,
        )
        if reason is not None:
            self._idle.forget()
        return row_record(
            row,
            values,
            run_id=self._manifest.run_id,
            meter=self._meter.name,
            kind=self._meter.kind,
            device=self._executor.device,
            threads=self._executor.threads,
            environment_sha256=self._environment_sha256,
            calls=taken.calls,
            begin_ns=taken.measured.begin_ns,
            end_ns=taken.measured.end_ns,
            idle_power_w=taken.idle_power_w,
            tdp_w=self._manifest.tdp_w,
            states=(states.before, *states.during, states.after),
            grid=taken.grid,
            invalid_reason=reason,
        )

    def _phases(self, row: Row) -> tuple[Second, Second]:
        """The work must not start at the same phase of the sensor each time, nor end there: (lead, tail)."""
        draw = random.Random(f"{self._manifest.seed}/{row.row_id}")
        period_s = self._edges.update_period_s or 0.0
        return draw.random() * period_s, draw.random() * period_s

    def _rest(self, row: Row) -> TakenWindow:
        """An idle row: a longer window without work."""
        clock = self._meter.clock
        _, tail_s = self._phases(row)
        earlier, earlier_ns = self._look()
        idle_s = self._plan.window_s + tail_s
        clock.sleep(response_s(self._edges.update_period_s))
        before, before_ns = self._look()
        measured = measure_window(
            self._meter, self._edges, row_id=row.row_id, work=lambda: clock.sleep(idle_s), fence=lambda: None
        )
        states = WindowStates(earlier, ns_to_s(before_ns - earlier_ns), before, (), self._executor.state())
        return TakenWindow(measured, 1, states)

    def _work(self, row: Row, prepared: Prepared) -> TakenWindow:
        lead_s, tail_s = self._phases(row)
        earlier, earlier_ns = self._look()
        idle_row_id, beside_w = self._idle.beside(row.row_id)
        call_s = self._call_time_s(row.workload, prepared)
        prepared.run(calls_for(self._plan.pre_run_s, call_s))
        prepared.fence()
        calls = calls_for(self._plan.window_s + tail_s, call_s)
        before, before_ns = self._look()
        with StateWatch(self._executor.state) if self._executor.is_watched else contextlib.nullcontext() as watch:
            measured = measure_window(
                self._meter,
                self._edges,
                row_id=row.row_id,
                work=lambda: prepared.run(calls),
                fence=prepared.fence,
                lead_s=lead_s,
            )
        during = () if watch is None else tuple(watch.states)
        states = WindowStates(earlier, ns_to_s(before_ns - earlier_ns), before, during, self._executor.state())
        return TakenWindow(measured, calls, states, idle_row_id, beside_w, prepared.grid)

    def _look(self) -> tuple[DeviceState, Nanosecond]:
        return self._executor.state(), self._meter.clock.now_ns()

    def _call_time_s(self, workload: Workload, prepared: Prepared) -> Second:
        """From the last window where there was one: its timing is the better one."""
        known = self._call_s.get(workload.name)
        return call_time_s(prepared, self._meter.clock) if known is None else known
