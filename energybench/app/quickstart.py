"""The whole story on one machine: doctor, counts, calibration, fit, profile, estimate, comparison, report."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from energybench.app.calibrate import calibrate
from energybench.app.compare import compare_run
from energybench.app.doctor import examine
from energybench.app.estimate import estimate
from energybench.app.fit import FitOutcome, fit_run
from energybench.app.report import write_report
from energybench.app.verify_counts import verify_counts
from energybench.errors import CountingError
from energybench.estimation import Comparison, EnergyEstimate
from energybench.records.run_directory import RunDirectory
from energybench.units import Second, Watt, format_si

if TYPE_CHECKING:
    from energybench.protocol.progress import Progress

Say = Callable[[str], None]

#: Stands in for the datasheet power of a CPU whose name says nothing, so that a pipeline check can run on any machine.
#: A round number on purpose: it is announced as assumed and scales every modelled joule alike.
ASSUMED_TDP_W: Final[Watt] = 100.0
#: Longest calibration: with installation apart, the whole quickstart stays within two minutes on two cores.
CALIBRATION_BUDGET_S: Final[Second] = 75.0


@dataclass(frozen=True)
class QuickstartOutcome:
    """What was found, in words, and where the files lie."""

    findings: tuple[str, ...]
    run: RunDirectory

    @property
    def profile_path(self) -> Path:
        return self.run.profile_path

    @property
    def report_path(self) -> Path:
        return self.run.report_path


def _choose_meter(meter: str, device: str, tdp_w: Watt | None, *, measures: bool, say: Say) -> tuple[str, Watt | None]:
    """A real meter where there is one; otherwise modelled energy, announced."""
    if meter != "auto" or measures or device != "cpu":
        return meter, tdp_w
    from energybench.meters.modelled import cpu_model_name, datasheet_power

    if tdp_w is None:
        try:
            datasheet_power(cpu_model_name())
        except ValueError:
            tdp_w = ASSUMED_TDP_W
            say(
                "No meter measures here and the datasheet power of this CPU is unknown: "
                f"{ASSUMED_TDP_W:g} W is ASSUMED (--tdp-w sets it)."
            )
    say("Energy is MODELLED: CPU time times a datasheet power. This is a pipeline check, not energy.")
    return "modelled", tdp_w


def _verify(say: Say) -> str:
    checks = verify_counts()
    bad = [check for check in checks if not check.passed]
    if bad:
        raise CountingError(
            f"{len(bad)} of {len(checks)} kernels count wrongly (first: {bad[0].kernel_id}); "
            "do not measure with this build, see: energybench kernels --verify"
        )
    text = f"Counts of {len(checks)} kernel runs agree three ways: counted, closed form, model."
    say(text)
    return text


def run_quickstart(
    *,
    device: str = "cpu",
    meter: str = "auto",
    tdp_w: Watt | None = None,
    out: Path | None = None,
    say: Say,
    progress: Progress | None = None,
) -> QuickstartOutcome:
    """Run every step on this machine and write the run's files.

    Raises whatever a step raises: nothing is passed over.
    """
    begun_s = time.monotonic()
    diagnosis = examine()
    say(f"1. doctor: {diagnosis.verdict}")
    meter, tdp_w = _choose_meter(meter, device, tdp_w, measures=diagnosis.measures, say=say)
    say("2. counts")
    counted = _verify(say)
    say("3. calibrate")
    run = calibrate(
        device=device,
        meter=meter,
        design="quick",
        budget_s=CALIBRATION_BUDGET_S,
        out=out or Path("runs") / datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ"),
        tdp_w=tdp_w,
        progress=progress,
    )
    say("4. fit and profile")
    outcome = fit_run(run)
    say(outcome.fit.summary())
    say("5. estimate")
    estimated = _estimate_one(outcome)
    say(str(estimated))
    say("6. compare")
    comparison = compare_run(run, outcome.profile)
    say("7. report")
    write_report(run.path)
    findings = (
        counted,
        *_findings(run, outcome, comparison, estimated),
        f"All of it took {time.monotonic() - begun_s:.0f} s.",
    )
    return QuickstartOutcome(findings, run)


def _estimate_one(outcome: FitOutcome) -> EnergyEstimate:
    """A network that the fit has not seen."""
    import torch

    from energybench.workloads.networks import ConvNet

    with torch.device("meta"):
        return estimate(ConvNet(), outcome.profile, torch.empty(1, 3, 64, 64))


def _findings(
    run: RunDirectory, outcome: FitOutcome, comparison: Comparison, estimated: EnergyEstimate
) -> tuple[str, ...]:
    records = run.read_records()
    valid = sum(record.valid for record in records)
    kind = outcome.fit.kind
    identified = [name for name, verdict in outcome.fit.verdicts.items() if verdict == "identified"]
    other = [f"{name} is {verdict}" for name, verdict in outcome.fit.verdicts.items() if verdict != "identified"]
    lines = [
        f"{len(records)} windows were recorded, {len(records) - valid} of them invalid; their energy is {kind}.",
        f"Identified coefficients: {', '.join(identified) or 'none'}."
        + (f" Doubtful: {'; '.join(other)}." if other else ""),
        f"A network that was not fitted: {format_si(estimated.energy_j, 'J')} per call, estimated from {kind} energy.",
    ]
    if kind == "modelled":
        lines.append(
            "Pipeline check, not energy: fitting modelled power to time proves that the pipeline works and nothing "
            "about accuracy. On a machine with a meter the same command measures; energybench doctor says what is "
            "missing here."
        )
    else:
        mean_power = comparison.null_models.get("mean-power")
        beside = (
            f", mean power times time {100 * mean_power.median_ape:.1f} %"
            if mean_power is not None and mean_power.median_ape is not None
            else ""
        )
        if comparison.median_ape is not None:
            lines.append(f"Median error of the estimate {100 * comparison.median_ape:.1f} % ({kind}){beside}.")
    return tuple(lines)
