"""`fit_records`: from a records frame to coefficients with verdicts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from energybench.design.collinearity import condition_number, vif
from energybench.errors import FitError
from energybench.fitting.calibration import network_scores
from energybench.fitting.chosen_equation import ChosenEquation, choose_equation
from energybench.fitting.clusters import cluster_labels
from energybench.fitting.covariance import ClusterCovariance, cluster_covariance
from energybench.fitting.development import networks_missed, networks_object
from energybench.fitting.drift import Drift, measure_drifts, without_drift
from energybench.fitting.least_squares import Loss, RelativeLeastSquares
from energybench.fitting.misfit import measure_misfit
from energybench.fitting.null_rows import NullRows
from energybench.fitting.order import chains_of
from energybench.fitting.pooled_units import PooledUnits, gain_covariance, measure_units, on_common_scale
from energybench.fitting.power_cap import with_power_cap
from energybench.fitting.repeat_scatter import scatter_beyond_windows
from energybench.fitting.residual_fit import LearntResidual, fit_residual
from energybench.fitting.result import PIPELINE_CHECK, FitResult
from energybench.fitting.sessions import session_offsets
from energybench.fitting.time_fit import fit_time_law, time_scores
from energybench.fitting.validation import Sample, Validation, left_out_classes_rms, validate
from energybench.fitting.verdict import VIF_LIMIT, Finding, judge
from energybench.model.domain import Domain
from energybench.model.equation import Equation
from energybench.model.features import FeatureTable, FloatArray
from energybench.model.observations import Observations, Target
from energybench.model.pricing import PricedRows, price_rows
from energybench.model.time_law import TimeLaw
from energybench.records.sealed import refuse_sealed
from energybench.records.timed_network import TimedNetwork
from energybench.records.vocabulary import FAMILIES

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


def fit_records(
    records: pd.DataFrame,
    equation: str | Equation | Sequence[str] = "physical",
    *,
    target: Target = "gross",
    families: Sequence[str] | None = None,
    by_kernel_class: bool | Literal["auto"] = "auto",
    optional: Sequence[str] | Literal["auto"] = "auto",
    loss: Loss = "squares",
    ordered: bool = False,
    level: float = 0.95,
    validation: bool = True,
    time_law: bool = True,
    residual_learner: bool = False,
    timings: FeatureTable | None = None,
    timed_networks: Sequence[TimedNetwork] = (),
    meter_gain_rel: float | None = None,
    seed: int = 0,
) -> FitResult:
    """Fit an equation's coefficients to records.

    Rows of split ``fit`` and ``idle`` are fitted, ``heldout`` rows are only scored, invalid windows are left out.
    Weights make every row count by its relative error; coefficients that physics bounds are not negative.

    Args:
        records: one row per window, as `load_records` gives it.
        equation: a name, an `Equation`, or the count columns that get one coefficient each.
        target: `gross` energy, or `net` of idle power × duration.
        families: only rows of these families (idle rows stay); all by default.
        by_kernel_class: `physical` with a MAC coefficient per kernel class; "auto" only where the records need it,
            drawn towards the element type's mean, which prices work of unknown class (`choose_kernel_classes`).
        optional: terms that `physical` has beside its own (`active_power_w`: power × time of calls that do work;
            `zero_saving_j`; `padded_mac_j`; `busy_unit_w`; `cache_saving_j`; `clock_saving_j`); "auto" keeps those that
            the records need (`needed_terms`); where no clock explains them, rows that a power limit holds leave the fit
            (`held_by_limit`).
        loss: `squares`, or `huber` for windows that something disturbed.
        ordered: hold MAC coefficients to bf16 ≤ tf32 ≤ fp32 ≤ fp64, for hardware with units for each.
        level: of the intervals.
        validation: score the fit on rows left out, beside the null models.
        time_law: fit the durations too, so that a profile can predict them.
        timings: operators that were timed without a meter (`timed_table`); the time law is learnt from them, and
            from the records where there are none.
        timed_networks: networks that were timed without a meter; they calibrate intervals of predicted times.
        meter_gain_rel: relative standard uncertainty of a meter's scale. Where the records have a column `unit` with
            several units of one model, each gets a gain (`GainLeastSquares`).
        residual_learner: also learn what the equation leaves of work like the fitted rows (`ResidualLearner`); kept
            only where workloads left out come out better and held-out networks no worse. Work that the equation prices
            at 0 J or less is passed over (a note says so). Refits of the validation are without it, the held-out rows
            are scored with it.
        seed: of random splits.

    Raises:
        RecordError: rows that cannot be measurements, are there twice, or are of sealed networks.
        FitError: mixed kinds, devices, meters or traffic bases, nothing to fit, or an equation that cannot be fitted.
    """
    if not 0 < level < 1:
        raise FitError(f"level {level!r} is not between 0 and 1; use 0.95 for 95 % intervals")
    refuse_sealed(records["workload"], records["network"])
    everything = _of_families(Observations.from_frame(records, target=target), families)
    pooled = measure_units(everything.take(everything.labels["split"] != "heldout"), meter_gain_rel)
    if pooled is not None:
        everything = on_common_scale(everything, pooled)
    held = everything.labels["split"] == "heldout"
    if held.all():
        raise FitError("every row is held out, and held-out rows never enter a fit; add rows of split 'fit'")
    rows, heldout = everything.take(~held), everything.take(held)
    drifts = measure_drifts(rows)
    rows = without_drift(rows, drifts)
    choice = choose_equation(rows, heldout, equation, by_kernel_class=by_kernel_class, optional=optional)
    chosen, rows, shrinkage, held_power_w = choice.equation, choice.rows, choice.shrinkage, choice.held_power_w
    design = chosen.features(rows.table)
    if not design.kept.any():
        raise FitError(
            f"no row has work that equation {chosen.name} prices; fit another equation or add workloads for it"
        )
    sample = Sample(rows.take(design.kept), design.X)
    described = chosen.features(choice.given.table).kept
    nulls = NullRows(choice.given.take(described), ~choice.limited[described])
    if bool(sample.rows.idle.all()):
        raise FitError("only idle windows are left to fit; add rows with work")
    if (sample.rows.energy_j <= 0).any():
        raise FitError("a target energy is not positive; use target='gross'")
    chains = chains_of(chosen.names) if ordered else ()
    estimator = RelativeLeastSquares(nonneg=chosen.nonneg, shrinkage=shrinkage, loss=loss, ordered=chains)
    estimator.fit(sample.X, sample.rows.energy_j)
    fitted = estimator.predict(sample.X)
    root = np.sqrt(estimator.weights_)
    weighted = sample.X * root[:, None]
    names, clusters = np.unique(cluster_labels(sample.rows), return_inverse=True)
    covariance = _covariance(weighted, (sample.rows.energy_j - fitted) * root, clusters, estimator)
    if pooled is not None:
        of_gains = gain_covariance(sample.X, sample.rows.energy_j, estimator.weights_, sample.rows, pooled)
        covariance = replace(covariance, matrix=covariance.matrix + of_gains)
    if shrinkage is not None:
        weighted = np.vstack([weighted, shrinkage.rows])
    inflation = vif(weighted)
    inference = _infer(chosen, sample, estimator, covariance, inflation, weighted, level)
    note = PIPELINE_CHECK if rows.kind == "modelled" else ""
    price = partial(price_rows, chosen, estimator.coef_, held_power_w=held_power_w)
    learnt, learnt_note = None, ""
    if residual_learner:
        learnt, learnt_note = _learn(sample.rows, fitted, heldout, price)
        price = partial(price, residual=None if learnt is None else learnt.learner)
    held_sample = _heldout_sample(heldout, price)
    scored: Validation | None = None
    if validation:
        scored = validate(sample, estimator, fitted, nulls=nulls, heldout=held_sample, seed=seed, note=note)
    spread_rel = _spread(scored, sample, fitted, estimator)
    spread_rel = spread_rel if learnt is None else learnt.spread_rel(spread_rel)
    work = sample.rows.take(~sample.rows.idle)
    misfit = measure_misfit(sample.rows, sample.X, fitted, clusters, names)
    untold = choice.terms.untold if misfit is not None and misfit.present else {}
    return FitResult(
        equation=chosen,
        params=dict(zip(chosen.names, map(float, estimator.coef_), strict=True)),
        units=chosen.units,
        bse=inference.bse,
        dof=inference.dof,
        limits=inference.limits,
        findings=inference.findings,
        covariance=covariance.matrix,
        vif={n: float(v) if np.isfinite(v) else None for n, v in zip(chosen.names, inflation, strict=True)},
        condition_number=condition_number(weighted),
        rows=sample.rows,
        domain=_domain(nulls.rows),
        X=sample.X,
        fittedvalues=fitted,
        spread_rel=spread_rel,
        n_workloads=len(set(work.labels["workload"])),
        converged=estimator.converged_,
        misfit=misfit,
        validation=scored,
        time_law=_time_law(choice, heldout, estimator.coef_, timings, timed_networks) if time_law else None,
        null_models=nulls.fit(),
        level=level,
        drifts=drifts,
        notes=_notes(choice, drifts, design.dropped, estimator, inflation, note, held_sample, len(heldout))
        + ((learnt_note,) if learnt_note else ())
        + tuple(f"{name} was not tried: the records do not carry {', '.join(what)}" for name, what in untold.items()),
        network_scores=network_scores(scored, sample, held_sample, covariance.matrix, spread_rel),
        shrunken=shrinkage is not None,
        scale_rel=_scale_rel(meter_gain_rel, pooled),
        pooled=pooled,
        held_power_w=held_power_w,
        residual=None if learnt is None else learnt.learner,
    )


def _scale_rel(meter_gain_rel: float | None, pooled: PooledUnits | None) -> float | None:
    """What stays unknown of the common scale: the mean of n meters is known √n times better than one."""
    if meter_gain_rel is None or pooled is None:
        return meter_gain_rel
    return meter_gain_rel / float(np.sqrt(len(pooled.gains)))


def _time_law(
    choice: ChosenEquation,
    held: Observations,
    coef: FloatArray,
    timings: FeatureTable | None,
    networks: Sequence[TimedNetwork],
) -> TimeLaw | None:
    law = fit_time_law(choice.given.table if timings is None else timings)
    if law is None:
        return None
    law = with_power_cap(law, choice.given, held, choice.equation, coef, timings, choice.held_power_w)
    return replace(law, network_scores=time_scores(law, networks))


def _of_families(rows: Observations, families: Sequence[str] | None) -> Observations:
    if families is None:
        return rows
    unknown = sorted(set(families) - set(FAMILIES))
    if unknown:
        raise FitError(f"no family is called {', '.join(unknown)}; use some of {', '.join(FAMILIES)}")
    kept = np.isin(rows.labels["family"], list(families)) | rows.idle
    if not (kept & ~rows.idle).any():
        raise FitError(f"no row is of the families {', '.join(families)}; the records have none of their workloads")
    return rows.take(kept)


def _learn(
    rows: Observations, fitted: FloatArray, held: Observations, price: Callable[..., PricedRows]
) -> tuple[LearntResidual | None, str]:
    """A residual learner that both workloads left out and held-out networks speak for, and what to say of it."""
    learnt = fit_residual(rows, fitted)
    if learnt is None:
        return None, "residual learner left out: it does not predict workloads better that it never saw"
    if len(held):
        before, after = (networks_missed(held, price(held.table, residual=r)) for r in (None, learnt.learner))
        if networks_object(before, after):
            return None, f"residual learner left out: held-out networks miss by {after:.1%} instead of {before:.1%}"
    note = (
        f"residual learner: workloads left out miss by {learnt.after_rms_rel:.1%} (rms) instead of "
        f"{learnt.before_rms_rel:.1%}; it explains nothing and holds near the fitted rows alone"
    )
    if learnt.unpriced:
        note += f"; {learnt.unpriced} rows that the equation prices at 0 J or less have no ratio to learn from"
    return learnt, note


def _heldout_sample(rows: Observations, price: Callable[[FeatureTable], PricedRows]) -> Sample | None:
    if len(rows) == 0:
        return None
    design = price(rows.table).design
    return Sample(rows.take(design.kept), design.X) if design.kept.any() else None


def _domain(rows: Observations) -> Domain:
    return Domain.of(rows.table, tuple({str(f) for f in rows.labels["family"]}), rows.input_distributions)


class _Inference:
    """Standard errors, limits and verdicts of all coefficients."""

    def __init__(self) -> None:
        self.bse: dict[str, float | None] = {}
        self.dof: dict[str, float | None] = {}
        self.limits: dict[str, float | None] = {}
        self.findings: dict[str, Finding] = {}


def _infer(
    equation: Equation,
    sample: Sample,
    estimator: RelativeLeastSquares,
    covariance: ClusterCovariance,
    inflation: FloatArray,
    weighted: FloatArray,
    level: float,
) -> _Inference:
    from scipy.stats import t

    result = _Inference()
    empty = ~estimator.carried(sample.X)
    free = _unbounded(sample, estimator) if estimator.at_bound_.any() else estimator.coef_
    for j, term in enumerate(equation.terms):
        known = bool(covariance.estimable[j])
        se = float(np.sqrt(max(covariance.matrix[j, j], 0.0))) if known else None
        dof = float(covariance.dof[j]) if known else None
        clamped = bool(estimator.at_bound_[j])
        limit = half = None
        negative = False
        if se is not None and dof is not None:
            if clamped:
                # from the bound, not from the negative optimum: a limit below the truth would be worse than a wide one
                limit = float(t.ppf(level, dof)) * se
                negative = float(free[j]) < -float(t.ppf(0.5 + level / 2, dof)) * se
            else:
                half = float(t.ppf(0.5 + level / 2, dof)) * se
        result.bse[term.name] = None if clamped else se
        result.dof[term.name] = dof
        result.limits[term.name] = limit
        result.findings[term.name] = judge(
            term,
            value=float(estimator.coef_[j]),
            half_width=half,
            at_bound=clamped,
            tied=bool(estimator.tied_[j]),
            empty=bool(empty[j]),
            alone=bool(covariance.alone[j]),
            significantly_negative=negative,
            vif=float(inflation[j]),
            partners=_partners(weighted, j, equation.names) if inflation[j] > VIF_LIMIT else (),
        )
    return result


def _unbounded(sample: Sample, estimator: RelativeLeastSquares) -> FloatArray:
    """What the clamped coefficients would be without their bounds, at the final weights."""
    free = RelativeLeastSquares(nonneg=False, relative=False, shrinkage=estimator.shrinkage)
    return free.fit(sample.X, sample.rows.energy_j, estimator.weights_).coef_


def _partners(weighted: FloatArray, j: int, names: Sequence[str]) -> tuple[str, ...]:
    """Columns that go along with column j: cosine above 0.9 alone, or else those that most of it is made of."""
    norm = np.linalg.norm(weighted, axis=0)
    if norm[j] == 0:
        return ()
    present = [i for i in range(len(names)) if i != j and norm[i] > 0]
    Z = weighted / np.where(norm > 0, norm, 1.0)
    close = [names[i] for i in present if float(Z[:, i] @ Z[:, j]) > 0.9]
    if close or not present:
        return tuple(close)
    share = np.linalg.lstsq(Z[:, present], Z[:, j], rcond=None)[0]
    return tuple(names[i] for i, s in zip(present, share, strict=True) if abs(s) > 0.3)


def _covariance(
    weighted: FloatArray, residuals: FloatArray, clusters: NDArray[np.intp], estimator: RelativeLeastSquares
) -> ClusterCovariance:
    """Clustered by workload; each kernel class about its mean is one more thing that varies by itself."""
    if estimator.shrinkage is None:
        return cluster_covariance(weighted, residuals, clusters)
    rows = estimator.shrinkage.rows
    return cluster_covariance(
        np.vstack([weighted, rows]),
        np.concatenate([residuals, -rows @ estimator.coef_]),
        np.concatenate([clusters, int(clusters.max()) + 1 + np.arange(len(rows))]),
    )


def _spread(
    scored: Validation | None, sample: Sample, fitted: FloatArray, estimator: RelativeLeastSquares
) -> float | None:
    """Relative standard deviation of one window of an unseen workload about its prediction.

    From workloads left out where the fit was validated; else from residuals, corrected for the coefficients fitted.
    Where kernel classes differ, from whole classes left out: a network runs kernels that no row had.
    """
    if estimator.shrinkage is not None:
        rms = left_out_classes_rms(sample, estimator)
        if rms is not None:
            return rms
    if scored is not None and scored.leave_one_out is not None and scored.leave_one_out.rms_rel is not None:
        return scored.leave_one_out.rms_rel
    work = ~sample.rows.idle
    relative = (sample.rows.energy_j / np.where(fitted > 0, fitted, np.nan) - 1)[work]
    left = int(work.sum()) - int((sample.X != 0).any(axis=0).sum())
    if left <= 0:
        return None
    return float(np.sqrt(np.nansum(relative**2) / left))


def _notes(
    choice: ChosenEquation,
    drifts: Mapping[str, Drift],
    dropped: Mapping[str, int],
    estimator: RelativeLeastSquares,
    inflation: FloatArray,
    note: str,
    held: Sample | None,
    n_held: int,
) -> tuple[str, ...]:
    rows, refused = choice.rows, choice.terms.refused
    notes: list[str] = []
    if note:
        notes.append(f"{note}: modelled energy is power × time, so a fit of it proves nothing about accuracy")
    elif rows.kind != "measured":
        notes.append(f"{rows.kind} energy, not measured")
    if estimator.shrinkage is not None:
        notes.append("kernel classes differ: MACs are priced by class, those of unknown class at their mean")
    notes += [
        f"power drifts by {math.expm1(drift.slope_per_min):+.2%} a minute in run {run}; energies were brought to the "
        "run's middle"
        for run, drift in drifts.items()
    ]
    notes += [
        f"sessions differ: run {run} draws {offset:+.1%} against the first run for the same workloads; "
        "fit them apart and compare the profiles"
        for run, offset in session_offsets(rows).items()
    ]
    scatter = scatter_beyond_windows(rows)
    if scatter is not None:
        notes.append(
            f"power wanders: repeats of a workload scatter {scatter:.1f} times what their windows state "
            "(temperature, other load or the meter itself); warm up longer or add repeats"
        )
    if refused:
        notes.append(
            f"the rows ask for {', '.join(refused)}, but the held-out networks come out worse with it: left out"
        )
    notes += [f"{n} rows left out: {why}" for why, n in rows.left_out.items()]
    notes += [f"{n} rows left out: {why}" for why, n in dropped.items()]
    if n_held and held is None:
        notes.append(f"{n_held} held-out rows could not be scored: the equation prices none of their work")
    if len(rows.sources) > 1:
        notes.append(f"rows of {len(rows.sources)} environments are pooled")
    if not estimator.converged_:
        notes.append(f"weights had not settled after {estimator.n_iter_} rounds")
    if choice.equation.collinear_on_purpose:
        worst = float(np.nanmax(inflation))
        notes.append(
            f"FLOPs = 2·MACs + the rest: MACs and total FLOPs are near multiples of each other where M varies little "
            f"(largest VIF {worst:.3g}), so α and γ cannot be told apart [D34]"
        )
    return tuple(notes)
