"""`Window`: energy between two readings with its standard uncertainty. Nothing else turns counters into joules.

The uncertainty of one window, derived
--------------------------------------
A counter that is updated every ``T`` seconds and read at a random moment is ``u`` seconds old, ``u`` uniform on
(0, T). With power ``P`` inside the window and ``ρP`` before it, the difference of two readings errs by

    e = ρ·P·u_begin − P·u_end,      E[e²] = P²·T²·((1 + ρ²)/3 − ρ/2).

``ρ`` is not known: 1 inside a long steady load (which gives P²T²/6, the usual 0.41·T/W relative), near 0 when the
window starts from idle, where the error is mostly a loss. Taken uniform on (0, 1) the mean square is

    σ_edge² = (7/36)·P²·T²          (0.441·P·T)

Such an error is bounded and lies to one side, so an interval is not ``energy ± z·σ_edge`` (that covers 91 % of windows
from idle at ρ = 0.1, where 95 % are stated). `Window.interval` takes the smallest margins that hold for every steady
0 ≤ ρ ≤ 1. The counter has lost more than ``x·P·T`` with a chance of at most 1 − x (at ρ = 0), and gained more than
that with at most (1 − x)²/2 (at ρ = 1); never both at one ρ. At level L the truth lies above the reading by up to
x₋ = L periods of power and below it by up to x₊ = 1 − √(2(1 − L) − (1 − L)²):

    truth − reading ∈ (−x₊·P·T, x₋·P·T),      0.69 and 0.95 periods at 95 %.

``P`` itself is found from a reading with that error: a window of W seconds that lost x₋ periods shows P·(W − x₋T)
joules, so the margin above is x₋T·E/(W − x₋T) and the one below x₊T·E/(W + x₊T). The normal parts below are added to
each side in quadrature.

A sensor whose updates average over A > T seconds lags: a step of power at the begin of the window is charged late, and
what is charged late at the end is not in the window. With L = (A − T)/2T the mean square is (1/2 + L)²/3 + 1/9, and the
margin above is (L + x₋) periods. One that averages over less than T errs by no more than one that averages over T.

Where both edges were aligned to updates (`aligned`), the age at an edge is at most the time between two polls, so ``T``
is replaced by the poll interval, and by T − A more where the sensor looks at A < T of every period: work that begins or
ends in the part that it does not see is charged as if it had filled the period, or not at all. Rounding to steps of
``r`` at both edges adds ``σ_quantisation² = 2·r²/12``.

Where one update carries the independent relative noise ``s`` (`update_noise_rel`), a window of W seconds averages
``W/T`` of them: ``σ_noise² = s²·E²·T/W``.

Not in this number, and stated apart: the gain of the sensor (`gain_uncertainty_j`, a systematic term common to all
windows), and the part-time sampling of a sensor, which only repeated windows at other phases can show.

A total sums the domains at the top that are `in_total`, never a parent and its child. Their edges share one moment,
so edge terms (and gains) add linearly; quantisation and noise add in quadrature.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from types import MappingProxyType
from typing import Final

from energybench.errors import RecordError, UsageError
from energybench.meters.wrap import counter_delta
from energybench.records.reading import Domain, Reading
from energybench.records.vocabulary import Kind
from energybench.records.window_readings import WindowReadings
from energybench.units import Joule, Nanosecond, Second, Watt, nj_to_j, ns_to_s

#: Variance of the difference of two values rounded down to a step of 1.
QUANTISATION_VARIANCE: Final = 2 / 12


def edge_variance(lag_periods: float = 0.0) -> float:
    """Mean square of the edge error in (P·T)², ρ uniform on (0, 1), for a sensor that lags by that many periods."""
    return (0.5 + lag_periods) ** 2 / 3 + 1 / 9


def edge_margins(level: float) -> tuple[float, float]:
    """How many periods of power a reading may lie above and below the truth at that level: the derivation's x₊, x₋."""
    tail = 1 - level
    return 1 - math.sqrt(2 * tail - tail**2), level


@dataclass(frozen=True, slots=True)
class DomainEnergy:
    """Energy of one domain over one window.

    `uncertainty_j`       one standard deviation of quantisation, edges and noise; None where it cannot be stated (the
                          update period is unknown, or no update fell into the window and no power bound exists)
    `gain_uncertainty_j`  the systematic part: gain_rel · energy_j
    `corrected`           a counter wrap was corrected
    """

    energy_j: Joule
    uncertainty_j: Joule | None
    gain_uncertainty_j: Joule
    corrected: bool
    in_total: bool


@dataclass(frozen=True, slots=True)
class Window:
    """One measured stretch of time. `energy_j` and the uncertainties are totals over the top-level domains.

    `edge_age_s`   how old the counter may be at an edge: the derivation's T, None where it is not known
    `edge_lag_s`   how late the sensor's averaging charges a step of power: (A − T)/2
    `random_j`     one standard deviation of quantisation and noise, the normal part of the uncertainty
    `top_domains`  the domains that the totals sum
    """

    begin: Reading
    end: Reading
    kind: Kind
    domains: Mapping[str, DomainEnergy]
    energy_j: Joule
    uncertainty_j: Joule | None
    gain_uncertainty_j: Joule
    update_period_s: Second | None
    aligned: bool
    edge_age_s: Second | None
    edge_lag_s: Second
    random_j: Joule
    top_domains: tuple[Domain, ...]

    @classmethod
    def from_readings(
        cls,
        begin: Reading,
        end: Reading,
        domains: Sequence[Domain],
        *,
        kind: Kind,
        update_period_s: Second | None,
        aligned: bool = False,
        poll_interval_s: Second | None = None,
        update_noise_rel: float = 0.0,
        averaging_s: Second | None = None,
        between: Sequence[Reading] = (),
    ) -> Window:
        """The window between two readings of one meter.

        Args:
            begin: The first reading.
            end: The last reading.
            domains: The meter's domains; each must be in every reading.
            kind: The meter's kind, which the energy keeps.
            update_period_s: The counter's update period; 0 for one that moves continuously, None if unknown.
            aligned: Both edges were aligned to counter updates.
            poll_interval_s: Time between two polls while aligning; the age of an aligned edge. Unknown: the whole
                update period is charged, as if the edges were not aligned.
            update_noise_rel: Relative standard deviation of one counter update, as `characterise` sees it in idle.
            averaging_s: How long the sensor averages for one update; None is taken as its whole period.
            between: Readings taken on the way, which keep a wrapping counter unambiguous in a long window.

        Raises:
            CounterWrapAmbiguous: a counter may have wrapped more than once between two readings, or was reset.
            RecordError: a domain is missing from a reading, or the readings are not in order of time.
        """
        elapsed_ns = end.time_ns - begin.time_ns
        if elapsed_ns < 0:
            raise RecordError("a window ends before it begins; pass begin and end in the order they were taken")
        for name, value in (
            ("update_period_s", update_period_s),
            ("poll_interval_s", poll_interval_s),
            ("update_noise_rel", update_noise_rel),
            ("averaging_s", averaging_s),
        ):
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise UsageError(f"{name}={value!r} is not possible; pass a finite number, 0 or more")
        time_s = ns_to_s(elapsed_ns)
        noise_rel = update_noise_rel * math.sqrt((update_period_s or 0.0) / time_s) if time_s > 0 else 0.0
        edge_age_s = update_period_s
        if aligned and poll_interval_s is not None:
            unseen_s = 0.0 if averaging_s is None else max(0.0, (update_period_s or 0.0) - averaging_s)
            edge_age_s = poll_interval_s + unseen_s
        lag_s = max(0.0, averaging_s - (update_period_s or 0.0)) / 2 if averaging_s is not None else 0.0
        edge_s = None
        if edge_age_s is not None:
            # (1/2 + L)²/3 + 1/9 in periods, written in seconds so that a period of 0 is no special case.
            edge_s = math.sqrt((0.5 * edge_age_s + lag_s) ** 2 / 3 + edge_age_s**2 / 9)
        readings = (begin, *between, end)
        by_name: dict[str, DomainEnergy] = {}
        total_j = gain_j = edge_j = random_var = 0.0
        known = True
        for domain in domains:
            energy_nj, corrected = _sum_of_deltas(domain, readings)
            energy_j, resolution_j = nj_to_j(energy_nj), nj_to_j(domain.resolution_nj)
            power_w = _edge_power_w(domain, energy_j, resolution_j, time_s, update_period_s)
            one_edge_j = None
            if edge_s is not None and power_w is not None:
                one_edge_j = power_w * edge_s
            one_random_var = QUANTISATION_VARIANCE * resolution_j**2 + (noise_rel * energy_j) ** 2
            one_gain_j = domain.gain_rel * energy_j
            by_name[domain.name] = DomainEnergy(
                energy_j=energy_j,
                uncertainty_j=None if one_edge_j is None else math.sqrt(one_edge_j**2 + one_random_var),
                gain_uncertainty_j=one_gain_j,
                corrected=corrected,
                in_total=is_in_total(domain),
            )
            if is_in_total(domain):
                total_j += energy_j
                gain_j += one_gain_j
                random_var += one_random_var
                known = known and one_edge_j is not None
                edge_j += one_edge_j or 0.0
        return cls(
            begin=begin,
            end=end,
            kind=kind,
            domains=MappingProxyType(by_name),
            energy_j=total_j,
            uncertainty_j=math.sqrt(edge_j**2 + random_var) if known else None,
            gain_uncertainty_j=gain_j,
            update_period_s=update_period_s,
            aligned=aligned,
            edge_age_s=edge_age_s,
            edge_lag_s=lag_s,
            random_j=math.sqrt(random_var),
            top_domains=tuple([d for d in domains if is_in_total(d)]),
        )

    @classmethod
    def from_window_readings(
        cls,
        recorded: WindowReadings,
        *,
        kind: Kind = "replayed",
        poll_interval_s: Second | None = None,
        update_noise_rel: float | None = None,
    ) -> Window:
        """The window of a recorded counter pair; what is not given is as recorded. Raises as `from_readings`."""
        return cls.from_readings(
            recorded.begin,
            recorded.end,
            recorded.domains,
            kind=kind,
            update_period_s=recorded.update_period_s,
            aligned=recorded.aligned,
            poll_interval_s=recorded.poll_interval_s if poll_interval_s is None else poll_interval_s,
            update_noise_rel=(recorded.update_noise_rel or 0.0) if update_noise_rel is None else update_noise_rel,
        )

    @property
    def begin_ns(self) -> Nanosecond:
        return self.begin.time_ns

    @property
    def end_ns(self) -> Nanosecond:
        return self.end.time_ns

    @property
    def time_s(self) -> Second:
        return ns_to_s(self.end.time_ns - self.begin.time_ns)

    @property
    def mean_power_w(self) -> Watt | None:
        """Energy over time; None for a window without duration."""
        return self.energy_j / self.time_s if self.time_s > 0 else None

    @property
    def corrected(self) -> bool:
        """True where any domain's counter wrapped inside the window and was corrected."""
        return any(d.corrected for d in self.domains.values())

    @property
    def update_periods(self) -> float | None:
        """How many counter updates the window spans; None where the period is unknown or zero."""
        return self.time_s / self.update_period_s if self.update_period_s else None

    def interval(self, level: float = 0.95, *, with_gain: bool = False) -> tuple[Joule, Joule] | None:
        """The total's interval at that level, not below 0; None where its uncertainty cannot be stated.

        Args:
            level: Share of windows whose truth it holds.
            with_gain: Add the sensor's gain class, taken as a normal standard deviation; without it the interval is
                for comparing windows of one sensor, with it for joules in the absolute.
        """
        if not 0 < level < 1:
            raise UsageError(f"level={level!r} is no coverage; give a fraction between 0 and 1, as 0.95")
        if self.uncertainty_j is None or self.edge_age_s is None:
            return None
        normal_j = NormalDist().inv_cdf(0.5 + level / 2) * math.hypot(
            self.random_j, self.gain_uncertainty_j if with_gain else 0.0
        )
        gained, lost = edge_margins(level)
        above_j = below_j = 0.0
        for domain in self.top_domains:
            one_above_j = self._lost_j(domain, self.edge_lag_s + lost * self.edge_age_s)
            if one_above_j is None:
                return None
            above_j += one_above_j
            gained_s = gained * self.edge_age_s
            below_j += self.domains[domain.name].energy_j * gained_s / (self.time_s + gained_s) if gained_s else 0.0
        return max(0.0, self.energy_j - math.hypot(below_j, normal_j)), self.energy_j + math.hypot(above_j, normal_j)

    def _lost_j(self, domain: Domain, lost_s: Second) -> Joule | None:
        """What a counter can have lost at the edges, if it lost so many seconds of the domain's power."""
        if lost_s == 0:
            return 0.0
        energy_j = self.domains[domain.name].energy_j
        bound_j = None if domain.max_power_w is None else domain.max_power_w * lost_s
        seen = energy_j > 0 or self.time_s >= 2 * lost_s
        if not seen or self.time_s <= lost_s:
            return bound_j
        shown_j = max(energy_j, nj_to_j(domain.resolution_nj)) * lost_s / (self.time_s - lost_s)
        return shown_j if bound_j is None else min(shown_j, bound_j)


def is_in_total(domain: Domain) -> bool:
    """Whether a domain enters a total: at the top, and not overlapping the others (as psys does)."""
    return domain.parent is None and domain.in_total


def _sum_of_deltas(domain: Domain, readings: Sequence[Reading]) -> tuple[int, bool]:
    energy_nj, corrected = 0, False
    for before, after in itertools.pairwise(readings):
        try:
            before_nj, after_nj = before.energy_nj[domain.name], after.energy_nj[domain.name]
        except KeyError:
            raise RecordError(f"a reading lacks the domain {domain.name}; read every domain of the meter") from None
        delta_nj, wrapped = counter_delta(
            before_nj,
            after_nj,
            wrap_nj=domain.wrap_nj,
            elapsed_ns=after.time_ns - before.time_ns,
            max_power_w=domain.max_power_w,
        )
        energy_nj += delta_nj
        corrected = corrected or wrapped
    return energy_nj, corrected


def _edge_power_w(
    domain: Domain, energy_j: Joule, resolution_j: Joule, time_s: Second, update_period_s: Second | None
) -> Watt | None:
    """The power that may be missing at an edge.

    A window that saw no update says nothing about its power: the domain's bound stands in, and where there is none
    the uncertainty does not exist. (0 ± 0 J would be a lie.)
    """
    if update_period_s == 0:
        return 0.0
    if time_s <= 0 or (energy_j == 0 and (update_period_s is None or time_s < 2 * update_period_s)):
        return domain.max_power_w
    return max(energy_j, resolution_j) / time_s
