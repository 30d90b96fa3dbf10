"""`run_design`: a whole calibration, window by window, in real or virtual time."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Final

from energybench.errors import (
    CounterWrapAmbiguous,
    DiskFull,
    MeterUnavailable,
    RecordError,
    ThrottledError,
    UsageError,
)
from energybench.meters.base import EnergyMeter
from energybench.meters.characterise import characterise, nominal_update_period_s
from energybench.meters.window import Window
from energybench.protocol.call_time import call_time_s
from energybench.protocol.device_state import DeviceState
from energybench.protocol.edge_noise import counted_noise_rel
from energybench.protocol.environment import capture_environment
from energybench.protocol.executor import Executor, Prepared, why_it_cannot_run
from energybench.protocol.idle import IDLE_SUFFIX, measure_idle, response_s
from energybench.protocol.manifest import Manifest, utc_now
from energybench.protocol.measure_window import Edges, idle_power_w, measure_window, window_values
from energybench.protocol.plan import Row, round_rows
from energybench.protocol.progress import Progress, SilentProgress
from energybench.protocol.row_plan import RowPlan, plan_rows
from energybench.protocol.state_watch import StateWatch
from energybench.protocol.stopping import StoppingCriterion
from energybench.protocol.validity import ValidityLimits, invalid_reason
from energybench.protocol.warmup import WarmUp
from energybench.protocol.window_length import calls_for, window_length_s
from energybench.records.disk_room import MAX_RUN_MB, ROW_BYTES, DiskRoom
from energybench.records.jsonl import JsonlWriter
from energybench.records.reading import MeterCharacteristics
from energybench.records.run_directory import RunDirectory
from energybench.records.run_record import RunRecord
from energybench.units import BYTES_PER_MB, Second, Watt, ns_to_s, s_to_ns
from energybench.version import __version__
from energybench.workloads.designs import Design
from energybench.workloads.workload import Workload

#: Rounds beyond the design's own in which invalid windows are taken again.
EXTRA_ROUNDS: Final = 2
#: A run is refused when more than this share of its windows is invalid, judged from this many windows on.
MAX_INVALID_SHARE: Final = 0.5
JUDGED_FROM: Final = 12
#: What to do about the commonest cause of invalid windows.
_REMEDY_BUSY: Final = "free the machine of other work, let it cool, and --resume"
_REMEDY: Final = {
    "counter and power disagree": "see `energybench doctor --meter`, update the driver, or measure with another --meter"
}
#: Longest warm-up. A modelled meter shows no heat, so there the device only wakes up.
MAX_WARM_UP_S: Final[Second] = 30.0
MODELLED_WARM_UP_S: Final[Second] = 0.5
#: Of the budget, spent on warming up at most.
WARM_UP_SHARE: Final = 0.1
#: Kept of the budget for writing the manifest and letting go of the device; to that comes as much as starting took,
#: which shows how much of a busy machine this process gets, up to a twentieth of the budget.
CLOSING_S: Final[Second] = 0.5
CLOSING_SHARE: Final = 0.05
#: What a row takes on the disk under nine domains, the two packages of a server with all that RAPL tells of them.
EXPECTED_ROW_BYTES: Final = 4096

#: From the records so far and the workloads that were skipped, the next windows to take, in order.
Choose = Callable[[Sequence[RunRecord], Container[str]], Sequence[Workload]]


def run_design(
    design: Design,
    executor: Executor,
    meter: EnergyMeter,
    run: RunDirectory,
    *,
    seed: int = 0,
    budget_s: Second | None = None,
    spent_s: Second = 0.0,
    resume: bool = False,
    progress: Progress | None = None,
    tdp_w: Watt | None = None,
    limits: ValidityLimits | None = None,
    characteristics: MeterCharacteristics | None = None,
    choose: Choose | None = None,
    max_disk_bytes: int = MAX_RUN_MB * BYTES_PER_MB,
) -> Manifest:
    """Run every workload of a design under a meter and write the run's records.

    The meter is characterised, the device warmed up, then windows are taken in rounds of random order until each
    workload's interval is narrow enough, its repeats are used up, or the budget ends. Every window is appended and
    synced to ``records.jsonl`` and ``readings.jsonl`` outside the windows, so a killed run can go on.

    The rows are planned from the time there is: `budget_s`, or the design's own. A budget that is given is kept. The
    design's own gives way where one round of the shortest rows that the counter allows takes longer.

    Args:
        design: The workloads and the effort for each.
        executor: Where they run.
        meter: What is read around them; its kind is the records' kind.
        run: Where the files go.
        seed: Seed of order, phase and inputs.
        budget_s: Stop before this time on the meter's clock; None for the design's own time, if it has one.
        spent_s: How much of the budget was spent before the call.
        resume: Go on with the run that lies in `run`.
        progress: Callbacks.
        tdp_w: Datasheet power, recorded for the null model that uses it.
        limits: What a window tolerates; by the meter's kind when None.
        characteristics: What characterising the meter found; done here when None.
        choose: Chooses the next windows from the records so far, instead of rounds over the design; the run ends when
            it chooses none.
        max_disk_bytes: Cap on the run's files. A row is taken only where there is room for it under the cap and on the
            disk; before the first, there must be room for all rows that are expected.

    Returns:
        The run's manifest, which also lies in ``run.json``.

    Raises:
        UsageError: the directory holds a run and `resume` is False, or no workload of the design can run.
        RecordError: the run to resume is another one, another process writes it, or the disk refuses a row.
        DiskFull: no room is left, on the disk or under the cap; what was recorded is usable.
        MeterUnavailable: the meter's counter does not move, or the meter went away.
        ThrottledError: more than half of the windows are invalid.
        KeyboardInterrupt: passed on after the run was closed; what was recorded is usable.
    """
    run.create()
    room = DiskRoom(run.files, max_bytes=max_disk_bytes)
    with (
        JsonlWriter(run.records_path, require_room=room.require) as records,
        JsonlWriter(run.readings_path, require_room=room.require) as readings,
    ):
        run.remove_leftovers()
        done = {record.row_id: record for record in run.read_records()}
        if done and not resume:
            raise UsageError(f"{run.path} holds a run already; add --resume to go on with it or choose another --out")
        begin_ns = meter.clock.now_ns() - s_to_ns(spent_s)
        found = characterise(meter) if characteristics is None else characteristics
        gpu = getattr(meter, "device_state", None)
        environment = capture_environment(
            device=executor.device,
            device_name=executor.device_name,
            meter=meter.name,
            characteristics=found,
            gpu=gpu() if gpu is not None else None,
            extra=executor.facts(),
        )
        manifest = Manifest(
            design=design.name,
            seed=seed,
            device=executor.device,
            device_name=executor.device_name,
            meter=meter.name,
            kind=meter.kind,
            energybench_version=__version__,
            threads=executor.threads,
            device_uuid=environment.device_uuid,
            budget_s=budget_s,
            tdp_w=tdp_w if tdp_w is not None else getattr(meter, "tdp_w", None),
            workloads=len(design.workloads),
        )
        known_plan: RowPlan | None = None
        if run.manifest_path.exists() and done:
            before = Manifest.load(run)
            before.refuse_other(manifest)
            manifest.run_id, manifest.started_utc = before.run_id, before.started_utc
            manifest.resumed, manifest.skipped = before.resumed + 1, before.skipped
            known_plan = None if before.row_plan is None else RowPlan(**before.row_plan)
        elif done:
            raise RecordError(f"{run.path} has records but no run.json; restore it or choose another --out")
        run.write_environment(environment)
        runner = _Runner(
            design,
            executor,
            meter,
            records,
            readings,
            manifest,
            done,
            environment.sha256,
            found,
            limits or ValidityLimits.for_kind(meter.kind, device=executor.device, cores=os.cpu_count() or 1),
            progress or SilentProgress(),
            begin_ns,
            known_plan,
            run.reading_ids(),
            choose,
            room,
            spent_s,
        )
        room.require((runner.expected_rows() - len(done)) * EXPECTED_ROW_BYTES)
        manifest.window_s, manifest.budget_s = runner.plan.window_s, runner.budget_s
        manifest.row_plan = asdict(runner.plan)
        manifest.save(run)
        runner.progress.started(
            design=design.name, meter=meter.name, kind=meter.kind, rows=runner.expected_rows(), done=len(done)
        )
        try:
            manifest.status = runner.run()
        except KeyboardInterrupt:
            manifest.status, manifest.message = "interrupted", "interrupted from the keyboard"
            raise
        except ThrottledError as error:
            manifest.status, manifest.message = "refused", str(error)
            raise
        except DiskFull as error:
            manifest.status, manifest.message = "full", str(error)
            raise
        except BaseException as error:
            manifest.status, manifest.message = "failed", str(error)
            raise
        finally:
            manifest.ended_utc = utc_now()
            manifest.rows, manifest.valid_rows = len(runner.done), sum(r.valid for r in runner.done.values())
            # what went wrong matters more than that it cannot be written down either
            quiet = manifest.status in ("full", "failed")
            with contextlib.suppress(RecordError) if quiet else contextlib.nullcontext():
                manifest.save(run)
            runner.progress.finished(manifest.status)
    return manifest


class _Runner:
    """The state of one run while it goes on."""

    def __init__(
        self,
        design: Design,
        executor: Executor,
        meter: EnergyMeter,
        records: JsonlWriter,
        readings: JsonlWriter,
        manifest: Manifest,
        done: dict[str, RunRecord],
        environment_sha256: str,
        characteristics: MeterCharacteristics,
        limits: ValidityLimits,
        progress: Progress,
        begin_ns: int,
        known_plan: RowPlan | None,
        readings_taken: set[str],
        choose: Choose | None,
        room: DiskRoom,
        starting_s: Second,
    ) -> None:
        self.design, self.executor, self.meter = design, executor, meter
        self.records, self.readings, self.manifest = records, readings, manifest
        self.done, self.environment_sha256 = done, environment_sha256
        self.limits, self.progress = limits, progress
        self.counter_integral_ratio = characteristics.counter_integral_ratio
        self._begin_ns, self._closing_s = begin_ns, CLOSING_S
        # A counter that its maker calls continuous has no ticks to align to (a modelled meter reads a clock).
        continuous = nominal_update_period_s(meter) == 0
        period_s = 0.0 if continuous else characteristics.update_period_s
        self.edges = Edges(
            period_s,
            align=bool(period_s),
            whole_period=getattr(meter, "integrates_whole_period", False),
            update_noise_rel=None if continuous else counted_noise_rel(characteristics),
        )
        window_s = window_length_s(
            characteristics,
            target_rel_error=design.target_rel_error,
            floor_s=design.window_s,
            metered=not continuous,
        )
        wanted_s = manifest.budget_s if manifest.budget_s is not None else design.budget_s
        time_s = None if wanted_s is None else max(1.0, wanted_s - self._spent_s() - self._warm_up_limit_s(wanted_s))
        workloads = design.round_windows
        # A resumed run keeps its plan: windows of one workload are then alike.
        self.plan = known_plan or plan_rows(
            window_s, period_s or 0.0, workloads=workloads, min_repeats=design.min_repeats, time_s=time_s
        )
        self.budget_s = wanted_s
        if wanted_s is not None and time_s is not None and manifest.budget_s is None:
            self.budget_s = max(wanted_s, wanted_s - time_s + (workloads + 1) * self.plan.row_s)
        if self.budget_s is not None:
            self._closing_s += min(starting_s, CLOSING_SHARE * self.budget_s)
        self._readings_taken, self._choose, self._room = readings_taken, choose, room
        self._warmed_up = False
        self._last_idle: tuple[str, Watt | None] | None = None
        self._rows_since_idle = 0
        self._call_s: dict[str, Second] = {}
        self._longest_row_s = self.plan.row_s
        self._rows_s, self._rows_taken = 0.0, 0
        self._criteria = {
            w.name: StoppingCriterion(
                target_rel_error=design.target_rel_error,
                min_count=design.min_repeats * design.windows_in_a_round(w),
                max_count=design.max_repeats * design.windows_in_a_round(w),
            )
            for w in design.workloads
        }

    def run(self) -> str:
        """All rounds, or what is chosen; returns the status.

        What was recorded before is taken as if it had been measured now.
        """
        for row in self._rows() if self._choose is None else self._chosen_rows(self._choose):
            if row.row_id in self.done:
                self._judge(row, self.done[row.row_id])
                continue
            if row.workload.name in self.manifest.skipped:
                continue
            if not self._warmed_up:
                self._warm_up()
                self._warmed_up = True
            if self._out_of_time():
                return "budget"
            self._room.require(ROW_BYTES)
            self._take(row)
        if all(r.split == "idle" for r in self.done.values()):
            reasons = list(self.manifest.skipped.values()) or ["the design has none"]
            raise UsageError(f"no workload of design {self.design.name} could run: {reasons[0]}; choose another design")
        return "finished"

    def _rows(self) -> Iterator[Row]:
        """Rounds in random order; the design's own, then those in which invalid windows are taken again."""
        for repeat in range(self.design.max_repeats + EXTRA_ROUNDS):
            yield from round_rows(
                [w for w in self.design.workloads if not self._criteria[w.name].is_finished()],
                repeat=repeat,
                seed=self.manifest.seed,
                first_order=repeat * self.design.round_windows,
                windows=self.design.windows_in_a_round,
            )

    def _chosen_rows(self, choose: Choose) -> Iterator[Row]:
        """What is chosen from the records so far; a resumed run begins with all of its own."""
        windows = Counter(record.workload for record in self.done.values())
        order = itertools.count(len(self.done))
        while batch := choose(list(self.done.values()), self.manifest.skipped):
            for workload in batch:
                yield Row(workload, windows[workload.name], next(order))
                windows[workload.name] += 1

    def expected_rows(self) -> int:
        """How many rows the run will have at most, from the repeats still wanted and the time left."""
        rows = self.design.max_repeats * self.design.round_windows
        if self.budget_s is not None:
            left_s = max(0.0, self.budget_s - self._spent_s())
            rows = min(rows, len(self.done) + int(left_s / self._mean_row_s()))
        return max(rows, len(self.done))

    def _spent_s(self) -> Second:
        return ns_to_s(self.meter.clock.now_ns() - self._begin_ns)

    def _mean_row_s(self) -> Second:
        """As planned until rows were taken; then as they were."""
        return self._rows_s / self._rows_taken if self._rows_taken else self.plan.row_s

    def _out_of_time(self) -> bool:
        left_s = self._longest_row_s + self._closing_s
        return self.budget_s is not None and self._spent_s() + left_s > self.budget_s

    def _take(self, row: Row) -> None:
        begin_ns = self.meter.clock.now_ns()
        try:
            prepared = self.executor.prepare(row.workload)
            try:
                record = self._measure(row, prepared)
            finally:
                prepared.release()
        except (MeterUnavailable, RecordError, ThrottledError):
            raise
        except CounterWrapAmbiguous as error:
            # The readings are kept; without an energy there is no record, and a later round takes the row again.
            self.progress.skipped(row.workload.name, str(error))
            return
        except Exception as error:  # a workload that cannot run here must not end the run
            reason = why_it_cannot_run(error)
            self.manifest.skipped[row.workload.name] = reason
            self.progress.skipped(row.workload.name, reason)
            return
        self.records.append(record.to_dict())
        self.done[row.row_id] = record
        row_s = ns_to_s(self.meter.clock.now_ns() - begin_ns)
        self._longest_row_s = max(self._longest_row_s, row_s)
        self._rows_s, self._rows_taken = self._rows_s + row_s, self._rows_taken + 1
        self._judge(row, record)
        self.progress.row_done(
            record,
            done=len(self.done),
            rows=self.expected_rows(),
            width_rel=self._criteria[row.workload.name].relative_half_width,
        )
        self._refuse_bad_run()

    def _judge(self, row: Row, record: RunRecord) -> None:
        """Valid windows count; for an idle row the value is its power, since its length is not its own."""
        if record.valid:
            value = record.energy_j / record.time_s if row.workload.is_idle else record.energy_j
            self._criteria[row.workload.name].add(value)

    def _refuse_bad_run(self) -> None:
        invalid = [r.invalid_reason or "" for r in self.done.values() if not r.valid]
        if len(self.done) < JUDGED_FROM or len(invalid) <= MAX_INVALID_SHARE * len(self.done):
            return
        causes = Counter(part.partition(":")[0] for reason in invalid for part in reason.split("; "))
        cause, count = causes.most_common(1)[0]
        raise ThrottledError(
            f"{len(invalid)} of {len(self.done)} windows are invalid, {count} of them for {cause}; "
            f"{_REMEDY.get(cause, _REMEDY_BUSY)}"
        )

    def _measure(self, row: Row, prepared: Prepared) -> RunRecord:
        workload, meter = row.workload, self.meter
        period_s = self.edges.update_period_s or 0.0
        draw = random.Random(f"{self.manifest.seed}/{row.row_id}")
        # The work must not start at the same phase of the sensor each time, nor end there.
        lead_s, tail_s = draw.random() * period_s, draw.random() * period_s
        beside_w: Watt | None = None
        idle_row_id: str | None = None
        during: tuple[DeviceState, ...] = ()
        earlier, earlier_ns = self.executor.state(), meter.clock.now_ns()
        if workload.is_idle:
            calls, idle_s = 1, self.plan.window_s + tail_s
            meter.clock.sleep(response_s(period_s))
            before, before_ns = self.executor.state(), meter.clock.now_ns()
            measured = measure_window(
                meter,
                self.edges,
                row_id=row.row_id,
                work=lambda: meter.clock.sleep(idle_s),
                fence=lambda: None,
            )
        else:
            idle_row_id, beside_w = self._idle_beside(row)
            call_s = self._call_time_s(workload, prepared)
            prepared.run(calls_for(self.plan.pre_run_s, call_s))
            prepared.fence()
            calls = calls_for(self.plan.window_s + tail_s, call_s)
            before, before_ns = self.executor.state(), meter.clock.now_ns()
            with StateWatch(self.executor.state) if self.executor.is_watched else contextlib.nullcontext() as watch:
                measured = measure_window(
                    meter,
                    self.edges,
                    row_id=row.row_id,
                    work=lambda: prepared.run(calls),
                    fence=prepared.fence,
                    lead_s=lead_s,
                )
            during = () if watch is None else tuple(watch.states)
        after = self.executor.state()
        recorded = replace(measured.recorded, idle_row_id=idle_row_id)
        self.readings.append(recorded.to_dict())
        values = window_values(
            recorded,
            kind=meter.kind,
            begin_ns=measured.begin_ns,
            end_ns=measured.end_ns,
            calls=calls,
            idle_power_w=beside_w,
        )
        self._call_s[workload.name] = values.time_s
        window = Window.from_window_readings(recorded, kind=meter.kind)
        reason = invalid_reason(
            window,
            before,
            after,
            self.limits,
            is_work=not workload.is_idle,
            earlier=earlier,
            earlier_s=ns_to_s(before_ns - earlier_ns),
            during=during,
            counter_integral_ratio=self.counter_integral_ratio,
        )
        if reason is not None:
            self._last_idle = None  # what spoiled this row may have spoiled an idle window that others would share
        states = (before, *during, after)
        clocks = [s.clock_mhz for s in states if s.clock_mhz is not None]
        temps = [s.temp_c for s in (*during, after) if s.temp_c is not None]
        return RunRecord(
            run_id=self.manifest.run_id,
            row_id=row.row_id,
            workload=workload.name,
            kernel_id=workload.kernel_id,
            family=workload.family,
            split=workload.split,
            kernel_class=workload.kernel_class,
            implementation=workload.implementation,
            direction=workload.direction,
            dtype=workload.dtype,
            device=self.executor.device,
            counts=workload.counts(),
            counts_source=workload.tally.source,
            operators=workload.operators,
            parameters=workload.parameters,
            calls=calls,
            repeat=row.repeat,
            order=row.order,
            meter=meter.name,
            kind=meter.kind,
            energy_j=values.energy_j,
            energy_uncertainty_j=values.energy_uncertainty_j,
            time_s=values.time_s,
            begin_ns=measured.begin_ns,
            end_ns=measured.end_ns,
            domains=values.domains,
            environment_sha256=self.environment_sha256,
            network=workload.network,
            threads=self.executor.threads,
            shape=workload.shape,
            components=workload.components(),
            input_distribution=workload.input_distribution,
            idle_power_w=beside_w,
            tdp_w=self.manifest.tdp_w,
            temp_c=max(temps, default=None),
            clock_mhz=sum(clocks) / len(clocks) if clocks else None,
            valid=reason is None,
            invalid_reason=reason,
        )

    def _idle_beside(self, row: Row) -> tuple[str, Watt | None]:
        """Readings and power of the idle window beside a row: its own, or the last one where rows share it."""
        if self._last_idle is None or self._rows_since_idle >= self.plan.idle_every:
            row_id = self._new_reading(row.row_id + IDLE_SUFFIX)
            idle = measure_idle(self.meter, self.edges, row_id=row_id, duration_s=self.plan.idle_s)
            self.readings.append(idle.recorded.to_dict())
            self._readings_taken.add(row_id)
            self._last_idle = row_id, idle_power_w(idle.recorded, kind=self.meter.kind)
            self._rows_since_idle = 0
        self._rows_since_idle += 1
        return self._last_idle

    def _new_reading(self, row_id: str) -> str:
        """A name that no readings have: rows recorded before a kill may refer to those under the plain one."""
        names = (row_id if i == 0 else f"{row_id}{i}" for i in itertools.count())
        return next(name for name in names if name not in self._readings_taken)

    def _call_time_s(self, workload: Workload, prepared: Prepared) -> Second:
        """From the last window where there was one: its timing is the better one."""
        known = self._call_s.get(workload.name)
        return call_time_s(prepared, self.meter.clock) if known is None else known

    def _warm_up(self) -> None:
        """Run the heaviest workload until power and temperature are steady."""
        limit_s = self._warm_up_limit_s(self.budget_s)
        for workload in sorted(self._warm_up_candidates(), key=lambda w: -w.counts().macs):
            try:
                prepared = self.executor.prepare(workload)
            except Exception:
                continue
            try:
                self.manifest.warm_up = self._heat(prepared, limit_s)
            finally:
                prepared.release()
            return

    def _warm_up_limit_s(self, budget_s: Second | None) -> Second:
        limit_s = MODELLED_WARM_UP_S if self.meter.kind == "modelled" else MAX_WARM_UP_S
        return limit_s if budget_s is None else min(limit_s, WARM_UP_SHARE * budget_s)

    def _warm_up_candidates(self) -> list[Workload]:
        found = []
        for workload in self.design.workloads:
            if workload.is_idle or workload.name in self.manifest.skipped:
                continue
            try:
                workload.counts()
            except Exception as error:  # recorded; its rows are then left out
                self.manifest.skipped[workload.name] = why_it_cannot_run(error)
                self.progress.skipped(workload.name, self.manifest.skipped[workload.name])
                continue
            found.append(workload)
        return found

    def _heat(self, prepared: Prepared, limit_s: Second) -> dict[str, object]:
        clock = self.meter.clock
        slice_s = max(0.1, 10 * (self.edges.update_period_s or 0.0))
        call_s = call_time_s(prepared, clock)
        warm_up = WarmUp()
        begin_ns = clock.now_ns()
        begin, _ = self.edges.read(self.meter)
        while not warm_up.is_steady() and ns_to_s(clock.now_ns() - begin_ns) < limit_s:
            prepared.run(calls_for(slice_s, call_s))
            prepared.fence()
            end, _ = self.edges.read(self.meter)
            window = Window.from_readings(
                begin,
                end,
                self.meter.domains,
                kind=self.meter.kind,
                update_period_s=self.edges.update_period_s,
                aligned=self.edges.align,
            )
            if window.mean_power_w is not None:
                warm_up.add(ns_to_s(end.time_ns - begin_ns), window.mean_power_w, self.executor.state().temp_c)
            begin = end
        return asdict(warm_up.result())
