"""`run_design`: a whole calibration, window by window, in real or virtual time."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import asdict
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
from energybench.meters.rise_time import Load
from energybench.protocol.bad_run import refuse_bad_run
from energybench.protocol.call_time import TIMED_AT_LEAST_S
from energybench.protocol.edge_noise import counted_noise_rel
from energybench.protocol.environment import capture_environment
from energybench.protocol.executor import Executor, why_it_cannot_run
from energybench.protocol.heating import heat, warm_up_limit_s
from energybench.protocol.idle_windows import IdleWindows
from energybench.protocol.manifest import Manifest, utc_now
from energybench.protocol.measure_row import RowMeter
from energybench.protocol.measure_window import Edges
from energybench.protocol.plan import Row, round_rows
from energybench.protocol.progress import Progress, SilentProgress
from energybench.protocol.row_plan import PREPARE_S, RowPlan, plan_rows
from energybench.protocol.run_time import RunTime, closing_s
from energybench.protocol.stopping import StoppingCriterion
from energybench.protocol.validity import ValidityLimits
from energybench.protocol.window_length import window_length_s
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
    load: Load | None = None,
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
        load: Keeps the device busy while the meter is characterised, which then finds the sensor's rise time and the
            share of time that it sees.

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
        found = characterise(meter, load=load) if characteristics is None else characteristics
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
        manifest.save(run)
        try:
            if not done:
                runner.warm_up()
                manifest.save(run)
            runner.progress.started(
                design=design.name, meter=meter.name, kind=meter.kind, rows=runner.expected_rows(), done=len(done)
            )
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
        self.records, self.manifest = records, manifest
        self.done, self.progress = done, progress
        self._choose, self._room = choose, room
        self._warmed_up = False
        # A counter that its maker calls continuous has no ticks to align to (a modelled meter reads a clock).
        continuous = nominal_update_period_s(meter) == 0
        period_s = 0.0 if continuous else characteristics.update_period_s
        self.edges = Edges(
            period_s,
            align=bool(period_s),
            whole_period=getattr(meter, "integrates_whole_period", False),
            update_noise_rel=None if continuous else counted_noise_rel(characteristics),
        )
        self._window_s = window_length_s(
            characteristics,
            target_rel_error=design.target_rel_error,
            floor_s=design.window_s,
            metered=not continuous,
        )
        # The longest of what the run may take: planned from here, and once more when the warm-up is over.
        self._begin_ns, self._starting_s = begin_ns, starting_s
        self._limits, self._readings, self._readings_taken = limits, readings, readings_taken
        self._environment_sha256 = environment_sha256
        self._counter_integral_ratio = characteristics.counter_integral_ratio
        wanted_s = manifest.budget_s if manifest.budget_s is not None else design.budget_s
        self._wanted_s, self._is_kept = wanted_s, manifest.budget_s is not None
        self._plan_rows(known_plan, still_s=warm_up_limit_s(meter.kind, wanted_s), prepare_s=PREPARE_S)
        self._criteria = {
            w.name: StoppingCriterion(
                target_rel_error=design.target_rel_error,
                min_count=design.min_repeats * design.windows_in_a_round(w),
                max_count=design.max_repeats * design.windows_in_a_round(w),
            )
            for w in design.workloads
        }

    def _plan_rows(self, known_plan: RowPlan | None, *, still_s: Second, prepare_s: Second) -> None:
        """Plan the rows from the time there is now, less what must come before them (`still_s`)."""
        period_s, workloads, time_s = self.edges.update_period_s or 0.0, self.design.round_windows, None
        budget_s = wanted_s = self._wanted_s
        if wanted_s is not None:
            spent_s = ns_to_s(self.meter.clock.now_ns() - self._begin_ns)
            time_s = max(1.0, wanted_s - spent_s - still_s - closing_s(wanted_s, self._starting_s))
        # A resumed run keeps its plan: windows of one workload are then alike.
        self.plan = known_plan or plan_rows(
            self._window_s,
            period_s,
            workloads=workloads,
            min_repeats=self.design.min_repeats,
            time_s=time_s,
            prepare_s=prepare_s,
        )
        if wanted_s is not None and time_s is not None and not self._is_kept:
            budget_s = max(wanted_s, wanted_s - time_s + (workloads + 1) * self.plan.row_s)
        self.time = RunTime(
            self.meter.clock, self._begin_ns, budget_s=budget_s, starting_s=self._starting_s, row_s=self.plan.row_s
        )
        idle = IdleWindows(
            self.meter,
            self.edges,
            self._readings,
            names_taken=self._readings_taken,
            duration_s=self.plan.idle_s,
            every=self.plan.idle_every,
        )
        self._rows_of = RowMeter(
            self.executor,
            self.meter,
            self.edges,
            self.plan,
            self._limits,
            idle,
            self._readings,
            self.manifest,
            environment_sha256=self._environment_sha256,
            counter_integral_ratio=self._counter_integral_ratio,
        )
        self.manifest.window_s, self.manifest.budget_s = self.plan.window_s, budget_s
        self.manifest.row_plan = asdict(self.plan)

    def warm_up(self) -> None:
        """Run the heaviest workload until power and temperature are steady; then plan the rows from the time left.

        A steady device is warm long before the time that is kept for it, and how long preparing takes here is known
        then. Without work that can run nothing happens.
        """
        self._warmed_up = True
        prepare_s = self._warm_up()
        if prepare_s is not None:
            self._plan_rows(None, still_s=0.0, prepare_s=min(PREPARE_S, prepare_s + TIMED_AT_LEAST_S))

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
            if not self._warmed_up:  # a resumed run that has rows to take
                self._warm_up()
                self._warmed_up = True
            if self.time.is_out():
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
        # A workload that was skipped took a number too: what goes on does so after the last one.
        order = itertools.count(1 + max((record.order for record in self.done.values()), default=-1))
        while batch := choose(list(self.done.values()), self.manifest.skipped):
            for workload in batch:
                yield Row(workload, windows[workload.name], next(order))
                windows[workload.name] += 1

    def expected_rows(self) -> int:
        """How many rows the run will have at most, from the repeats still wanted and the time left."""
        rows, left = self.design.max_repeats * self.design.round_windows, self.time.rows_left()
        return max(len(self.done), rows if left is None else min(rows, len(self.done) + left))

    def _take(self, row: Row) -> None:
        begin_ns = self.meter.clock.now_ns()
        try:
            prepared = self.executor.prepare(row.workload)
            try:
                record = self._rows_of.measure(row, prepared)
            finally:
                prepared.release()
        except (MeterUnavailable, RecordError, ThrottledError):
            raise
        except CounterWrapAmbiguous as error:
            # The readings are kept; without an energy there is no record, and a later round takes the row again.
            self.progress.skipped(row.workload.name, str(error))
            return
        except Exception as error:  # a workload that cannot run here must not end the run
            self._skip(row.workload, error)
            return
        self.records.append(record.to_dict())
        self.done[row.row_id] = record
        self.time.add_row(ns_to_s(self.meter.clock.now_ns() - begin_ns))
        self._judge(row, record)
        self.progress.row_done(
            record,
            done=len(self.done),
            rows=self.expected_rows(),
            width_rel=self._criteria[row.workload.name].relative_half_width,
        )
        refuse_bad_run(self.done.values())

    def _skip(self, workload: Workload, error: Exception) -> None:
        self.manifest.skipped[workload.name] = reason = why_it_cannot_run(error)
        self.progress.skipped(workload.name, reason)

    def _judge(self, row: Row, record: RunRecord) -> None:
        """Valid windows count; for an idle row the value is its power, since its length is not its own."""
        if record.valid:
            value = record.energy_j / record.time_s if row.workload.is_idle else record.energy_j
            self._criteria[row.workload.name].add(value)

    def _warm_up(self) -> Second | None:
        """Run the heaviest workload until power and temperature are steady; how long it took to prepare, if any ran."""
        for workload in sorted(self._warm_up_candidates(), key=lambda w: -w.counts().macs):
            begin_ns = self.meter.clock.now_ns()
            try:
                prepared = self.executor.prepare(workload)
            except Exception:
                continue
            prepare_s = ns_to_s(self.meter.clock.now_ns() - begin_ns)
            try:
                result = heat(
                    prepared,
                    self.meter,
                    self.edges,
                    temperature=lambda: self.executor.state().temp_c,
                    limit_s=warm_up_limit_s(self.meter.kind, self.time.budget_s),
                )
                self.manifest.warm_up = asdict(result)
            finally:
                prepared.release()
            return prepare_s
        return None

    def _warm_up_candidates(self) -> list[Workload]:
        found = []
        for workload in self.design.workloads:
            if workload.is_idle or workload.name in self.manifest.skipped:
                continue
            try:
                workload.counts()
            except Exception as error:  # recorded; its rows are then left out
                self._skip(workload, error)
                continue
            found.append(workload)
        return found
