"""`estimate_counts`: joules of a call from its counts and a profile, split every way, with an interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, TypeVar

import numpy as np

from energybench.errors import ProfileMismatch, UsageError
from energybench.estimation.amounts import Amounts, brain_time_s
from energybench.estimation.applicability import foreign_classes, refuse_basis, refuse_dtypes
from energybench.estimation.components import COMPONENT_NAMES, ComponentShare, component_shares
from energybench.estimation.interval import ANY_NETWORK, EnergyInterval, half_widths_j, interval_method
from energybench.estimation.module_sums import module_sums
from energybench.estimation.time_interval import TimeInterval, log_reach
from energybench.model.equation import Equation
from energybench.model.features import FeatureTable, FloatArray, feature_row
from energybench.model.operator_table import operator_table
from energybench.model.power_cap import capped_time_s
from energybench.notebook import html_lines, html_table
from energybench.profiles.profile import DeviceProfile
from energybench.records.model_counts import ModelCounts, OperatorCounts
from energybench.records.op_counts import OpCounts
from energybench.records.vocabulary import Component, Direction, KernelClass, Kind
from energybench.units import Joule, Second, format_si

_Key = TypeVar("_Key", bound=Hashable)

#: Level of the interval that is printed and written, where none is asked for.
LEVEL = 0.9


@dataclass(frozen=True)
class EnergyEstimate:
    """Energy of one call, estimated.

    `kind`          of the energies that the profile was fitted to; the estimate itself was not metered
    `time_kind`     `measured` where the caller gave the duration, `predicted` where the profile's time law did,
                    None where neither exists (and the equation needs none)
    `extrapolated`  the work lies outside what the profile was fitted to; `notes` say how
    `coverage`      share of the traffic whose operators were counted by formula, 1 for bare counts
    `amounts`       samples, tokens and the epoch that the call belongs to
    """

    energy_j: Joule
    time_s: Second | None
    time_kind: Literal["measured", "predicted"] | None
    kind: Kind
    target: str
    extrapolated: bool
    coverage: float
    notes: tuple[str, ...]
    profile: DeviceProfile = field(repr=False)
    counts: ModelCounts | OpCounts = field(repr=False)
    table: FeatureTable = field(repr=False)
    X: FloatArray = field(repr=False)
    amounts: Amounts = field(default_factory=Amounts)

    def with_amounts(self, amounts: Amounts) -> EnergyEstimate:
        """The same estimate of a call that works through `amounts`."""
        return replace(self, amounts=amounts)

    def per(self) -> dict[str, Joule]:
        """Joules per ``batch``, ``sample``, ``token`` and ``epoch``, where the call has such."""
        return self.amounts.per(self.energy_j)

    @property
    def brain_time_s(self) -> Second:
        """How long a person's brain (20 W) runs on this energy [D25]."""
        return brain_time_s(self.energy_j)

    def interval(self, level: float = 0.9, *, absolute: bool = False) -> EnergyInterval | None:
        """Prediction interval of one call; None where the profile cannot say how unseen workloads spread.

        It is for what the profile's own meter would show. With `absolute` the uncertainty of that meter's scale is in
        it too: what a perfect meter would show; None where no meter states it.
        """
        scale_rel = self.profile.meter_gain_rel if absolute else 0.0
        if scale_rel is None:
            return None
        half = half_widths_j(
            self.profile,
            self.X,
            np.array([self.energy_j]),
            level,
            networks=[self._network],
            time_half_j=self._time_half_j(level),
            scale_rel=scale_rel,
        )
        if half is None:
            return None
        return EnergyInterval(max(self.energy_j - float(half[0]), 0.0), self.energy_j + float(half[0]))

    def interval_method(self, level: float = 0.9) -> str:
        """How `interval` comes about, in words: conformal over networks, or parametric and why."""
        return interval_method(self.profile, level, network=self._network, time_predicted=self.time_kind == "predicted")

    @property
    def _network(self) -> str | None:
        return ANY_NETWORK if isinstance(self.counts, ModelCounts) else None

    def time_interval(self, level: float = LEVEL) -> TimeInterval | None:
        """Interval of a predicted time; None where the time was measured or there is none."""
        law = self.profile.time_law
        if self.time_kind != "predicted" or law is None or self.time_s is None:
            return None
        reach = math.exp(log_reach(law, level))
        return TimeInterval(self.time_s / reach, self.time_s * reach)

    def _time_half_j(self, level: float) -> float:
        if self.time_kind != "predicted" or self.profile.time_law is None:
            return 0.0
        static = sum(
            self.profile.params[term.name] * float(x)
            for term, x in zip(self.profile.equation.terms, self.X[0], strict=True)
            if "time_s" in term.columns
        )
        return static * math.expm1(log_reach(self.profile.time_law, level))

    def by_term(self) -> dict[str, Joule]:
        """Coefficient -> joules; they sum to `energy_j`."""
        return {
            name: self.profile.params[name] * float(x)
            for name, x in zip(self.profile.equation.names, self.X[0], strict=True)
        }

    def by_role(self) -> dict[str, Joule]:
        """Compute, memory, other_flops, launch, static -> joules; they sum to `energy_j`."""
        result: dict[str, Joule] = {}
        for term, energy_j in zip(self.profile.equation.terms, self.by_term().values(), strict=True):
            result[term.role] = result.get(term.role, 0.0) + energy_j
        return result

    def by_module(self, depth: int | None = None) -> dict[str, Joule]:
        """Dotted path -> joules of the module with its children; ``""`` is the whole model.

        Terms that need a duration are shared out by predicted time (by bytes where no time law exists), and terms that
        are no sum over parts by MACs (the product of [D10] as printed) or, what a cache saves, by bytes.
        """
        if not isinstance(self.counts, ModelCounts):
            return {"": self.energy_j}
        return module_sums([row.module for row in self.counts.rows], self._operator_energies_j, depth)

    def by_layer(self) -> dict[str, Joule]:
        """Dotted path -> joules of the operators that the module itself calls, its children apart; they sum to all."""
        return self._by(lambda row: row.module)

    def by_operator(self) -> dict[str, Joule]:
        """Operator name -> joules of all its calls; they sum to `energy_j`. Shared out as in `by_module`."""
        return self._by(lambda row: row.operator)

    def by_kernel_class(self) -> dict[KernelClass, Joule]:
        """Kernel class -> joules; they sum to `energy_j`. Shared out as in `by_module`."""
        return self._by(lambda row: row.kernel_class)

    def by_direction(self) -> dict[Direction, Joule]:
        """Forward, backward, optimizer -> joules; they sum to `energy_j`. Shared out as in `by_module`."""
        return self._by(lambda row: row.direction)

    def by_component(self) -> dict[Component, Joule]:
        """Part of a Transformer [D18] -> joules, what belongs to none left out; empty where there is none."""
        return self._by(lambda row: row.component)

    def components(self) -> tuple[ComponentShare, ...]:
        """The parts of a Transformer with their shares of energy and of FLOPs, beside the document's claims [D17]."""
        if not isinstance(self.counts, ModelCounts):
            return ()
        flops = self.counts.component_flops()
        return component_shares(self.by_component(), flops, energy_j=self.energy_j, total_flops=self.counts.total.flops)

    def _by(self, key: Callable[[OperatorCounts], _Key | None]) -> dict[_Key, Joule]:
        if not isinstance(self.counts, ModelCounts):
            return {}
        sums: dict[_Key, Joule] = {}
        for row, energy_j in zip(self.counts.rows, self._operator_energies_j, strict=True):
            if (group := key(row)) is not None:
                sums[group] = sums.get(group, 0.0) + float(energy_j)
        return sums

    @cached_property
    def _operator_energies_j(self) -> FloatArray:
        """Energy of each operator row (n,), summing to `energy_j`; only of `ModelCounts`."""
        assert isinstance(self.counts, ModelCounts)
        operators = operator_table(self.counts, self.table)
        law = self.profile.time_law
        timed = law is not None and law.covers(self.table.dtypes)
        weights = law.predict_s(operators) if law is not None and timed else operators.column("bytes")
        operators = operators.with_column("time_s", (self.time_s or 0.0) * _shares(weights))
        energies = np.zeros(len(operators))
        for term, x in zip(self.profile.equation.terms, self.X[0], strict=True):
            if term.additive:
                whole = float(term.feature(self.table)[0])
                # a power limit lowers the price of all arithmetic alike, a residual learner changes that of everything
                part = term.feature(operators) * (float(x) / whole if whole else 1.0)
            else:
                part = float(x) * _shares(operators.column("bytes" if term.role == "memory" else "macs"))
            energies += self.profile.params[term.name] * part
        return energies

    def to_dict(self) -> dict[str, Any]:
        """The payload of ``estimate --json``."""
        interval, times = self.interval(LEVEL), self.time_interval(LEVEL)
        whole = self.interval(LEVEL, absolute=True)
        return {
            "energy_j": self.energy_j,
            "interval": {
                "level": LEVEL,
                "low_j": None if interval is None else interval.low_j,
                "high_j": None if interval is None else interval.high_j,
                "method": None if interval is None else self.interval_method(LEVEL),
            },
            "absolute_interval": None if whole is None else {"low_j": whole.low_j, "high_j": whole.high_j},
            "time_s": self.time_s,
            "time_kind": self.time_kind,
            "time_interval": None if times is None else {"low_s": times.low_s, "high_s": times.high_s},
            "kind": self.kind,
            "target": self.target,
            "extrapolated": self.extrapolated,
            "coverage": self.coverage,
            "by_term": self.by_term(),
            "by_role": self.by_role(),
            "by_direction": self.by_direction(),
            "by_kernel_class": self.by_kernel_class(),
            "by_operator": self.by_operator(),
            "components": [share.to_dict() for share in self.components()],
            "per": self.per(),
            "amounts": self.amounts.to_dict(),
            "brain_time_s": self.brain_time_s,
            "profile": self.profile.name,
            "equation": self.profile.equation_name,
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        interval = self.interval()
        text = f"{format_si(self.energy_j, 'J')} estimated from {self.kind} energy"
        if interval is not None:
            text += f", 90 % between {format_si(interval.low_j, 'J')} and {format_si(interval.high_j, 'J')}"
        if self.time_s is not None:
            text += f"; {format_si(self.time_s, 's')} ({self.time_kind})"
        if (times := self.time_interval()) is not None:
            text += f", 90 % between {format_si(times.low_s, 's')} and {format_si(times.high_s, 's')}"
        return "\n".join([text, *(f"note: {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        def rows(energies: dict[Any, Joule]) -> list[tuple[object, ...]]:
            return [
                (name, format_si(e, "J"), f"{e / self.energy_j:.1%}" if self.energy_j else "–")
                for name, e in energies.items()
            ]

        tables = html_table((f"term ({self.kind} energy)", "energy", "share"), rows(self.by_term()))
        directions = self.by_direction()
        if len(directions) > 1:
            tables += html_table(("pass", "energy", "share"), rows(directions))
        if parts := self.by_component():
            named = {COMPONENT_NAMES[part]: e for part, e in parts.items()}
            tables += html_table(("part of the Transformer", "energy", "share"), rows(named))
        return html_lines(str(self).splitlines()) + tables


def estimate_counts(
    counts: ModelCounts | OpCounts,
    profile: DeviceProfile,
    *,
    time_s: Second | None = None,
    parameters: int | None = None,
    kernel_class: KernelClass | None = None,
    amounts: Amounts = Amounts(),  # noqa: B008 - immutable
    clock_mhz: float | None = None,
) -> EnergyEstimate:
    """Estimate the energy of one call.

    Args:
        counts: its tallies; `ModelCounts` can be split by module and have a better predicted time.
        profile: the device.
        time_s: measured duration of the call; predicted from the profile's time law when left out.
        parameters: M for bare `OpCounts` where the equation divides by it.
        kernel_class: of bare `OpCounts`, where the profile prices kernel classes apart.
        amounts: samples, tokens and epoch, for the energy per each.
        clock_mhz: mean clock of the call, for a profile that prices it; the highest one when left out.

    Raises:
        ProfileMismatch: no coefficient for an element type, another traffic basis, no time law where one is needed,
            or work that the profile's equation does not describe.
        UsageError: a duration that is not finite and positive.
    """
    if time_s is not None and not (np.isfinite(time_s) and time_s > 0):
        raise UsageError(f"time_s={time_s!r} is no duration; give the seconds of one call, or leave it out")
    refuse_basis(profile, counts.traffic_basis)
    equation = profile.equation
    row = feature_row(counts, time_s=np.nan, parameters=parameters, kernel_class=kernel_class)
    row["clock_mhz"] = np.nan if clock_mhz is None else clock_mhz
    table = FeatureTable.from_rows([row]).with_facts(profile.environment.get("facts") or {})
    refuse_dtypes(profile, table)
    duration, time_kind = _duration(counts, profile, equation, table, time_s)
    table = table.with_column("time_s", np.array([0.0 if duration is None else duration]))
    coef = np.array(list(profile.params.values()))
    if time_kind == "predicted" and duration and profile.time_law is not None:
        capped = capped_time_s(profile.time_law, equation, coef, table)
        duration, table = float(capped[0]), table.with_column("time_s", capped)
    priced = profile.price(table)
    if not priced.design.kept.all():
        raise ProfileMismatch(
            f"equation {equation.name} of profile {profile.name} cannot describe this call: "
            f"{next(iter(priced.design.dropped))}; use a profile of the physical equation"
        )
    notes, extrapolated = _notes(counts, profile, table, time_kind, factor=float(priced.factor[0]))
    if priced.held.any():
        notes += (f"the device's power limit holds this call at {profile.held_power_w:.4g} W",)
    return EnergyEstimate(
        energy_j=float(priced.total_j[0]),
        time_s=duration,
        time_kind=time_kind,
        kind=profile.kind,
        target=profile.target,
        extrapolated=extrapolated,
        coverage=counts.coverage if isinstance(counts, ModelCounts) else 1.0,
        notes=notes,
        profile=profile,
        counts=counts,
        table=table,
        X=priced.design.X,
        amounts=amounts,
    )


def _duration(
    counts: ModelCounts | OpCounts,
    profile: DeviceProfile,
    equation: Equation,
    table: FeatureTable,
    time_s: Second | None,
) -> tuple[Second | None, Literal["measured", "predicted"] | None]:
    if time_s is not None:
        return time_s, "measured"
    law = profile.time_law
    if law is not None and law.covers(table.dtypes):
        operators = operator_table(counts, table) if isinstance(counts, ModelCounts) else table
        return law.call_s(operators), "predicted"
    if equation.uses_time:
        raise ProfileMismatch(
            f"profile {profile.name} cannot predict how long this call takes; give the measured time_s of one call"
        )
    return None, None


def _shares(weights: FloatArray) -> FloatArray:
    """Weights (n,) as shares of 1; equal ones where there is no weight at all."""
    total = float(np.sum(weights))
    return weights / total if total > 0 else np.full(len(weights), 1.0 / max(len(weights), 1))


def _notes(
    counts: ModelCounts | OpCounts, profile: DeviceProfile, table: FeatureTable, time_kind: str | None, *, factor: float
) -> tuple[tuple[str, ...], bool]:
    outside = profile.domain.outside(table)
    notes: list[str] = []
    if profile.kind != "measured":
        notes.append(f"the profile was fitted to {profile.kind} energy, so this is no estimate of real joules")
    if isinstance(counts, ModelCounts):
        outside += foreign_classes(profile, counts)
        if counts.uncovered:
            notes.append(
                f"no formula for {', '.join(counts.uncovered)}: "
                f"{1 - counts.coverage:.1%} of the traffic has unknown work"
            )
    notes += [f"extrapolated: {reason}" for reason in outside]
    for term in profile.equation.terms:
        if unknown := [name for name in term.needs if np.isnan(table.column(name)).any()]:
            notes.append(f"{term.name}: {', '.join(unknown)} of this call is not known; priced with {term.bound}")
    if time_kind == "predicted":
        notes.append("the time was predicted, not measured")
    if profile.residual is not None:
        notes.append(f"a residual learner makes it {factor:.3f} times what the equation says; it explains nothing")
    if profile.target == "net":
        notes.append("net of idle power: add idle power × time for what a meter would show")
    doubtful = [n for n, c in profile.coefficients.items() if c.verdict in ("not identified", "model misfit")]
    if doubtful:
        notes.append(f"the profile does not know {', '.join(doubtful)} well: shares by term are doubtful")
    return tuple(notes), bool(outside)
